import { openScope, withScope } from "yieldscope";
import { Postgres } from "../../docs/examples/shop/postgres.ts";
import { servers } from "../../docs/examples/shop/shops.ts";
import { type Report, soak } from "./soak.ts";

const [minutes = 10, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);
if (!(minutes > 0 && Number.isInteger(seed))) throw new Error("npm run soak -- MINUTES SEED");
const unhandled: unknown[] = [];
process.on("unhandledRejection", (error) => {
	process.exitCode = 1;
	unhandled.push(error);
});
process.once("SIGINT", () => process.exit(130)); // PostgreSQL ends with us

console.log(`${minutes} minutes, seed ${seed}`);
await using suite = openScope({ name: "soak", lifetime: "process" });
await suite.use(Postgres);
const reports = await suite.run(() =>
	Promise.all(
		Object.keys(servers).map((name) =>
			withScope(
				{ name },
				async (): Promise<[string, Report]> => [
					name,
					await soak({ name, seconds: minutes * 60, seed }),
				],
			),
		),
	),
);

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
for (const [name, report] of reports) {
	const { SIGTERM, SIGKILL } = report.ended;
	console.log(`\n${name}: requests by kind and by what the client saw`);
	console.table(report.answers);
	console.log(
		`${report.sessionsKilled} sessions killed in PostgreSQL; the server was ended ${SIGTERM} times by SIGTERM, ${SIGKILL} times by SIGKILL`,
	);
	console.log(`\n${name}: orders by what the client may conclude and by what there is`);
	console.table(report.orders);
	console.log(
		"... those in doubt, whose COMMIT was under way when its connection or the time was up",
	);
	console.table(report.inDoubt);
	console.log(
		`orders without a fault that were refused: ${report.refusedPlain.join(", ") || "none"}`,
	);
	console.log(`heap of the last process: ${report.heap.map(megabytes).join(" MB, then ")} MB\n`);
	for (const { label, offenders } of report.checks) {
		console.log(`${offenders.length === 0 ? "ok" : "NO"}  ${label}: ${offenders.length}`);
	}
}
console.log(`\n${unhandled.length} unhandled errors of the soak's own`);
for (const error of unhandled) console.error(error);

// last, for those who see only the end of a log
for (const [name, { checks }] of reports) {
	for (const { label, offenders } of checks) {
		if (offenders.length === 0) continue;
		process.exitCode = 1;
		console.log(`\n${name}: ${label}: ${offenders.length}`);
		for (const offender of offenders.slice(0, 10)) console.log(`  ${offender}`);
	}
}
