import closeWithGrace from "close-with-grace";
import type { PoolConfig } from "pg";
import { currentScope, openScope, provide, use } from "yieldscope";
import { Orders } from "../../docs/examples/transaction/orders.ts";
import { Database, Tx } from "../../docs/examples/transaction/transaction.ts";
import { BossSchema, workQueue } from "../../docs/examples/worker/work-queue.ts";
import { Redis, workRedisQueue } from "../../docs/examples/worker/work-redis-queue.ts";
import { printResources } from "../print-resources.ts";

const [database = "", redis = "null"] = process.argv.slice(2);
const config: PoolConfig = JSON.parse(database);
const print = (line: string) => void process.stdout.write(`${line}\n`);

printResources(print);
const app = openScope({
	lifetime: "app",
	bindings: [
		provide(Database, config),
		provide(BossSchema, `${config.application_name}_jobs`),
		provide(Redis, JSON.parse(redis)),
	],
});
app.defer(() => print("closed"));

async function placeOrder(order: { customer: string; product: number }): Promise<undefined> {
	const tx = await use(Tx);
	print(`takes ${order.customer}`);
	currentScope().signal.addEventListener("abort", () => print(`gives up ${order.customer}`));
	await tx.query("SELECT FROM products WHERE id = $1 FOR UPDATE", [order.product]);
	await (await use(Orders)).place(order.customer, order.product); // written for requests
}

const stop =
	redis === "null"
		? await workQueue(app, "orders", placeOrder)
		: await workRedisQueue(app, "orders", placeOrder, {
				lockDuration: 1_000,
				stalledInterval: 500,
			});
closeWithGrace({ delay: false }, async () => {
	await stop();
	app.complete();
	await app.disposeAsync();
});
print("ready");
