import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type pg from "pg";
import { currentScope, openScope, override, provide, resource } from "yieldscope";
import { Database, Logger, Pool, RequestId, Tx } from "../../docs/examples/shop/resources.ts";
import { servers } from "../../docs/examples/shop/shops.ts";
import { shutDownOnSignal } from "../../docs/examples/shutdown/shut-down.ts";

const [name = "", database = "", times = ""] = process.argv.slice(2);
const create = servers[name];
if (create === undefined) throw new Error(`No server "${name}"`);

const print = (line: string) => void process.stdout.write(`${line}\n`);

/**
 * A statement that takes for ever; the customer "patient" gives up when told to, "stubborn" doesn't. "background" leaves
 * something running.
 */
const WaitingTx = resource(
	{ tx: Tx, request: RequestId },
	({ tx, request }, { signal }) => {
		if (request === "background") {
			void currentScope().detach(
				(scope) => new Promise((resolve) => scope.signal.addEventListener("abort", resolve)),
			);
		}
		if (!/^(?:patient|stubborn)/.test(request)) return tx;
		const query = () =>
			new Promise((_resolve, reject) => {
				print(`${request}   waits`);
				if (request.startsWith("patient"))
					signal.addEventListener("abort", () => reject(signal.reason));
			});
		return { query } as unknown as pg.PoolClient; // the shop calls nothing else
	},
	{ lifetime: "handler" },
);

const app = openScope({
	name,
	lifetime: "app",
	bindings: [
		provide(Database, JSON.parse(database)),
		provide(Logger, (request, event) => print(`${request} ${event}`)),
		override(Tx, WaitingTx),
	],
});
let pool: pg.Pool | undefined;
app.defer(() => print(`closed, pool ended: ${pool?.ended}`));
pool = await app.use(Pool);

const server = create(app);
server.keepAliveTimeout = 600_000;
shutDownOnSignal(server, app, JSON.parse(times), () => print("stopping"));
await once(server.listen(0, "127.0.0.1"), "listening");
print(`listening ${(server.address() as AddressInfo).port}`); // it listens on TCP
