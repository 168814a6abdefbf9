import { once } from "node:events";
import { createInterface } from "node:readline";
import { provide, use, withScope } from "yieldscope";
import { lock } from "../../docs/examples/lock/lock.ts";
import { Database } from "../../docs/examples/transaction/transaction.ts";

const [database = "", key = "", wait] = process.argv.slice(2);
const print = (line: string) => void process.stdout.write(`${line}\n`);

const Lock = lock(key, { wait: wait !== "no" });
const told = new AbortController();
const commands = createInterface({ input: process.stdin });
commands.on("line", (command) => {
	if (command === "abort") told.abort(new Error("told to stop"));
});

const bindings = [provide(Database, JSON.parse(database))];
try {
	await withScope({ bindings, signal: told.signal }, async ({ signal }) => {
		print("asks");
		await use(Lock);
		print("has it");
		const [command] = await once(commands, "line", { signal });
		if (command === "fail") throw new Error("told to fail");
	});
	print("succeeded");
} catch (error) {
	const { name, message, cause } = error as Error;
	print(`${name}: ${message}${cause instanceof Error ? `, ${cause.message}` : ""}`);
}
commands.close();
