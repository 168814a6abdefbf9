import { type HttpServer, load, median, start } from "./http.ts";
import type { Framework } from "./http-server.ts";
import type { Row } from "./row.ts";

async function compare(framework: Framework, short: boolean): Promise<Row[]> {
	const variants = ["inspected", "ours"] as const;
	const rates: number[] = [];
	const cpus: number[] = [];
	const middle = { inspected: [] as number[], ours: [] as number[] };
	const cpu = { inspected: [] as number[], ours: [] as number[] };
	// two processes of the same program differ by as much as is to be measured
	for (let pair = 0; pair < (short ? 1 : 12); pair++) {
		const servers: HttpServer[] = [];
		try {
			for (const variant of variants) servers.push(await start(framework, variant));
			for (const server of servers) await load(server, short ? 10_000 : 40_000);
			for (let round = 0; round < 5; round++) {
				for (const [i, variant] of variants.entries()) {
					const measured = await load(servers[i] as HttpServer, short ? 1500 : 5000);
					middle[variant].push(measured.rate);
					cpu[variant].push(measured.cpu);
				}
				rates.push((middle.inspected.at(-1) as number) / (middle.ours.at(-1) as number));
				cpus.push((cpu.inspected.at(-1) as number) / (cpu.ours.at(-1) as number));
			}
		} finally {
			for (const { process } of servers) process.disconnect();
		}
	}
	const row = (measured: typeof middle, ratios: readonly number[]) => ({
		ours: median(measured.inspected),
		against: "without the inspector",
		theirs: median(measured.ours),
		ratio: median(ratios),
	});
	const what = `${framework} hello world, inspected`;
	return [
		{ what: `${what}: throughput`, unit: "req/s", ...row(middle, rates), bar: { atLeast: 0.9 } },
		{ what: `${what}: the server's CPU time`, unit: "µs", ...row(cpu, cpus) },
	];
}

/** The same servers with and without an inspector that records, asked in turns. */
export async function measure(short: boolean): Promise<Row[]> {
	const rows: Row[] = [];
	const frameworks: readonly Framework[] = short ? ["hono"] : ["express", "koa", "hono"];
	for (const framework of frameworks) rows.push(...(await compare(framework, short)));
	return rows;
}
