import { subscribe } from "node:diagnostics_channel";
import closeWithGrace from "close-with-grace";
import { type MarkEvent, openScope, provide, use } from "yieldscope";
import { schedule } from "../../docs/examples/cron/schedule.ts";
import { Database, Tx } from "../../docs/examples/transaction/transaction.ts";
import { printResources } from "../print-resources.ts";

const [database = "", product] = process.argv.slice(2);
const print = (line: string) => void process.stdout.write(`${line}\n`);

printResources((line, job) => print(`${job} ${line}`));
subscribe("yieldscope:mark", (message) => {
	const { scope, name } = message as MarkEvent;
	print(`${scope.name} ${name}`);
});

const app = openScope({
	lifetime: "app",
	bindings: [provide(Database, JSON.parse(database))],
	onReleaseError: (error) => print(String(error)),
});
app.defer(() => print("closed"));

const stop = schedule(app, "restock", "* * * * * *", async () => {
	const tx = await use(Tx);
	await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ('us', $1, 1)", [
		product,
	]);
});
closeWithGrace({ delay: false }, async () => {
	stop();
	app.complete();
	await app.disposeAsync();
});
