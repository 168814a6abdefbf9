import closeWithGrace from "close-with-grace";
import { openScope, provide, use } from "yieldscope";
import { schedule } from "../../docs/examples/cron/schedule.ts";
import { Database, Logger, Tx } from "../../docs/examples/shop/resources.ts";

const [database = "", product] = process.argv.slice(2);
const print = (line: string) => void process.stdout.write(`${line}\n`);

const app = openScope({
	lifetime: "app",
	bindings: [
		provide(Database, JSON.parse(database)),
		provide(Logger, (name, event) => print(`${name} ${event}`)),
	],
	onReleaseError: (error) => print(String(error)),
});
app.defer(() => print("closed"));

const stop = schedule(app, "restock", "* * * * * *", async () => {
	const tx = await use(Tx, { lifetime: "task" });
	await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ('us', $1, 1)", [
		product,
	]);
});
closeWithGrace({ delay: false }, async () => {
	stop();
	app.complete();
	await app.disposeAsync();
});
