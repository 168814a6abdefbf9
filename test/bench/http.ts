import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import autocannon from "autocannon";
import type { Framework, Usage, Variant } from "./http-server.ts";
import type { Row } from "./row.ts";

export interface HttpServer {
	readonly process: ChildProcess;
	readonly url: string;
}

export async function start(framework: Framework, variant: Variant): Promise<HttpServer> {
	const program = fileURLToPath(new URL("http-server.ts", import.meta.url));
	const process = fork(program, [framework, variant], {
		execArgv: [],
		env: { ...globalThis.process.env, NODE_ENV: "production" },
	});
	const [port] = await once(process, "message");
	return { process, url: `http://127.0.0.1:${port}/` };
}

export async function usage({ process }: HttpServer): Promise<Usage> {
	process.send("usage");
	const [answer] = await once(process, "message");
	return answer;
}

/** Requests per second, and the server's CPU time for each, in microseconds. */
export async function load(
	server: HttpServer,
	amount: number,
): Promise<{ rate: number; cpu: number }> {
	const before = await usage(server);
	// it looks whether it is done but once in a sample
	const result = await autocannon({ url: server.url, connections: 20, amount, sampleInt: 5 });
	const after = await usage(server);
	if (result["2xx"] !== amount) throw new Error(`${result["2xx"]} of ${amount} were answered`);
	const seconds = (result.finish.getTime() - result.start.getTime()) / 1000;
	return { rate: amount / seconds, cpu: (after.microseconds - before.microseconds) / amount };
}

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1
		? (sorted[middle] as number)
		: ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

type Compared = Exclude<Variant, "inspected">;
type Samples = Record<Compared, number[]>;

async function compare(framework: Framework, bar: number, short: boolean): Promise<Row[]> {
	const variants: readonly Compared[] = short
		? ["byHand", "ours"]
		: ["bare", "byHand", "inFull", "core", "ours"];
	const servers = new Map<Compared, HttpServer>();
	const rates = { bare: [], byHand: [], inFull: [], core: [], ours: [] } as Samples;
	const cpus = { bare: [], byHand: [], inFull: [], core: [], ours: [] } as Samples;
	try {
		for (const variant of variants) servers.set(variant, await start(framework, variant));
		// it takes so many until all is compiled
		for (const server of servers.values()) await load(server, short ? 14_000 : 40_000);
		for (let round = 0; round < (short ? 5 : 31); round++) {
			for (const [variant, server] of servers) {
				const { rate, cpu } = await load(server, short ? 1500 : 5000);
				rates[variant].push(rate);
				cpus[variant].push(cpu);
			}
		}
		const { opened, open } = await usage(servers.get("ours") as HttpServer);
		if (opened === 0 || open > 0) throw new Error(`${open} of ${opened} greetings are open`);
	} finally {
		for (const { process } of servers.values()) process.disconnect();
	}
	const names = {
		bare: `bare ${framework}`,
		byHand: `${framework}, ALS and close by hand`,
		inFull: `${framework}, the same promises by hand`,
	};
	type Against = keyof typeof names;
	/** Throughput and CPU time of one variant against another's. */
	const rowsOf = (what: string, against: Against, of: Compared, bar?: Row["bar"]): Row[] => {
		const row = (measured: Samples) => ({
			ours: median(measured[of]),
			against: names[against],
			theirs: median(measured[against]),
			// of the two that ran at about the same time
			ratio: median(measured[of].map((each, i) => each / (measured[against][i] as number))),
		});
		return [
			{ what: `${what}: throughput`, unit: "req/s", ...row(rates), ...(bar && { bar }) },
			{ what: `${what}: the server's CPU time`, unit: "µs", ...row(cpus) },
		];
	};
	const what = `${framework} hello world`;
	const rows = rowsOf(what, "byHand", "ours", { atLeast: bar });
	if (short) return rows;
	rows.push(...rowsOf(what, "inFull", "ours"));
	rows.push(...rowsOf(what, "bare", "ours"));
	rows.push(...rowsOf(`${what}, the same promises by hand`, "byHand", "inFull"));
	const core = `${what}, by withScope() and use() without the adapter`;
	rows.push(...rowsOf(core, "byHand", "core"));
	return rows;
}

/** Real servers in processes of their own, asked in turns. */
export async function measure(short: boolean): Promise<Row[]> {
	return [
		...(await compare("express", 0.95, short)),
		...(await compare("koa", 0.95, short)),
		...(await compare("hono", 0.9, short)),
	];
}
