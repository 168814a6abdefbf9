import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate, setTimeout } from "node:timers/promises";
import { inspect } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openScope, provide } from "yieldscope";
import { Database, Logger, Pool } from "../../docs/examples/shop/resources.ts";
import { servers } from "../../docs/examples/shop/shops.ts";
import { shutDownOnSignal } from "../../docs/examples/shutdown/shut-down.ts";
import { RELEASE_TIMEOUT, transfers } from "./transfer.ts";
import type { State } from "./verdict.ts";

/**
 * A shop in a process of its own. It prints what becomes of its orders, and what it shouldn't have to. A second server
 * answers with its state, when nothing is open any more.
 */
const [name = "", database = ""] = process.argv.slice(2);
const create = servers[name];
if (create === undefined) throw new Error(`No server "${name}"`);

// a write to a pipe is synchronous: what is printed is known, even if SIGKILL comes next
const print = (...words: unknown[]) => void process.stdout.write(`${words.join(" ")}\n`);

/** What the faults lead to. */
const expected = [
	// the soak's own, and what becomes of releases that take too long, here or because the machine is busy
	/^(?:Fault|ReleaseTimeoutError|ConflictError): /,
	/DeprecationWarning: Calling client\.query\(\) when/, // a ROLLBACK behind a statement that takes too long
	// connections to PostgreSQL that are lost, or that there are too few of
	/^error: terminating connection due to administrator command/,
	/^Error: (?:Connection terminated|timeout exceeded when trying to connect)/,
	/^Error: Client (?:has encountered a connection error|was closed) and is not queryable/,
	/^ServiceUnavailableError: The database can't be reached/,
	// clients that leave
	/^Error: (?:(?:read|write) (?:ECONNRESET|EPIPE)|Parse Error)/,
	/^AbortError: The client closed the connection/,
	/^Error(?: \[ERR_STREAM_PREMATURE_CLOSE\])?: Premature close/,
	// an app that closes
	/^ServiceUnavailableError: The server is shutting down/,
];

/** Tells of what is reported or printed, unless it is expected. */
function stray(error: unknown): void {
	const text = String(error);
	if (expected.some((pattern) => pattern.test(text))) return;
	print("stray", inspect(error).replaceAll("\n", " "));
}
console.error = stray;
process.on("unhandledRejection", (error) => stray(new Error("Unhandled", { cause: error })));
process.on("uncaughtExceptionMonitor", (error) => stray(new Error("Uncaught", { cause: error })));

const app = openScope({
	name,
	lifetime: "app",
	bindings: [
		provide(Database, JSON.parse(database)),
		provide(Logger, (request, event) => {
			if (event === "- Tx: COMMIT") print("committed", request);
		}),
		...transfers(print),
	],
	releaseTimeout: RELEASE_TIMEOUT,
	onReleaseError: stray,
});
app.defer(() => print("closed"));
const pool = await app.use(Pool);

setFlagsFromString("--expose-gc");
const gc: () => void = runInNewContext("gc");

/** Waits until nothing is open, at most ten seconds, and looks at what is. */
async function settle(): Promise<State> {
	const isBusy = () => app.inspect().children.length > 0 || pool.idleCount < pool.totalCount;
	for (let tries = 0; tries < 500 && isBusy(); tries++) await setTimeout(20);
	for (let i = 0; i < 5; i++) {
		await setImmediate();
		gc();
	}
	return {
		scopes: app.inspect().children.length,
		connections: pool.totalCount,
		idle: pool.idleCount,
		waiting: pool.waitingCount,
		heap: process.memoryUsage().heapUsed,
	};
}
const control = createServer(async (_request, response) => {
	response.end(JSON.stringify(await settle()));
});

const server = create(app);
shutDownOnSignal(server, app, { abortAt: 1_000, cutAt: 2_000, exitAt: 20_000 });
const ports: number[] = [];
for (const each of [server, control]) {
	await once(each.listen(0, "127.0.0.1"), "listening");
	ports.push((each.address() as AddressInfo).port); // it listens on TCP
}
print("listening", ...ports);
