import closeWithGrace from "close-with-grace";
import { openScope, provide, use } from "yieldscope";
import { Database, Logger, Tx } from "../../docs/examples/shop/resources.ts";
import { workQueue } from "../../docs/examples/worker/work-queue.ts";

const [database = ""] = process.argv.slice(2);
const print = (line: string) => void process.stdout.write(`${line}\n`);

const app = openScope({
	lifetime: "app",
	bindings: [
		provide(Database, JSON.parse(database)),
		provide(Logger, (_job, event) => print(event)),
	],
});
app.defer(() => print("closed"));

const stop = await workQueue(
	app,
	"orders",
	async (order: { customer: string; product: number }) => {
		const tx = await use(Tx, { lifetime: "task" });
		print(`takes ${order.customer}`);
		await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, 1)", [
			order.customer,
			order.product,
		]);
		return { done: order.customer };
	},
);
closeWithGrace({ delay: false }, async () => {
	await stop();
	app.complete();
	await app.disposeAsync();
});
print("ready");
