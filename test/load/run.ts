import { openScope } from "yieldscope";
import { Postgres } from "../../docs/examples/shop/postgres.ts";
import { servers } from "../../docs/examples/shop/shops.ts";
import { load } from "./load.ts";

const [requests = 20_000, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);
const unhandled: unknown[] = [];
process.on("unhandledRejection", (error) => {
	process.exitCode = 1;
	unhandled.push(error);
});
process.once("SIGINT", () => process.exit(130)); // PostgreSQL ends with us

console.log(`${requests} requests each, seed ${seed}`);
await using suite = openScope({ name: "load", lifetime: "process" });
await suite.use(Postgres);
for (const [name, create] of Object.entries(servers)) {
	const report = await suite.run(() => load({ name, create, requests, seed }));
	console.log(`\n${name}: ${report.seconds.toFixed(1)} s`);
	console.table(report.answers);
	for (const { label, found, expected } of report.checks) {
		if (found !== expected) process.exitCode = 1;
		console.log(
			`${found === expected ? "ok" : "NO"}  ${label}: ${found}${found === expected ? "" : `, not ${expected}`}`,
		);
	}
}
console.log(`\n${unhandled.length} unhandled errors`);
for (const error of unhandled) console.error(error);
