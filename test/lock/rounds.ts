import { setTimeout as sleep } from "node:timers/promises";
import { openScope, provide, use, withScope } from "yieldscope";
import { lock } from "../../docs/examples/lock/lock.ts";
import { Database, Pool } from "../../docs/examples/transaction/transaction.ts";

const [database = "", key = "", holder = ""] = process.argv.slice(2);

const Lock = lock(key);
const app = openScope({
	lifetime: "app",
	bindings: [provide(Database, JSON.parse(database))],
});
const pool = await app.use(Pool);

let stopped = false;
process.once("SIGTERM", () => {
	stopped = true;
});
for (let round = 1; !stopped; round++) {
	await withScope({ parent: app }, async () => {
		await use(Lock);
		const { rows } = await pool.query("INSERT INTO rounds (holder) VALUES ($1) RETURNING id", [
			holder,
		]);
		process.stdout.write(`round ${round}\n`);
		await sleep(5);
		await pool.query("UPDATE rounds SET ended = clock_timestamp() WHERE id = $1", [rows[0].id]);
	});
}
await app.disposeAsync();
