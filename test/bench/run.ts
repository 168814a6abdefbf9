import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { markdown, type Run, text } from "./report.ts";
import { type Row, reached, verdict } from "./row.ts";
import { long, processes, sections } from "./sections.ts";

const { values: options } = parseArgs({
	options: {
		/** For CI: less than half a minute. */
		short: { type: "boolean", default: false },
		/** Names of sections, separated by commas. */
		only: { type: "string" },
		/** Where the results go as JSON. */
		json: { type: "string" },
		/** Where all full runs' results go as Markdown, one for each version of Node. */
		write: { type: "string" },
		/** Internal: measures one section in this process. */
		section: { type: "string" },
	},
});

async function measureHere(name: string, short: boolean): Promise<void> {
	const section = sections[name];
	if (section === undefined) throw new Error(`There is no section ${name}`);
	const { measure } = await section();
	console.log(JSON.stringify(await measure(short)));
}

async function measureApart(name: string): Promise<Row[]> {
	const args = ["--expose-gc", fileURLToPath(import.meta.url), "--section", name];
	if (options.short) args.push("--short");
	const { stdout } = await promisify(execFile)(process.execPath, args, {
		env: { ...process.env, NODE_ENV: "production" },
	});
	return JSON.parse(stdout);
}

/** In several processes: of each row, the one in the middle. */
async function measureOften(name: string): Promise<Row[]> {
	const runs: Row[][] = [];
	const often = options.short ? 1 : (processes[name] ?? 1);
	for (let i = 0; i < often; i++) runs.push(await measureApart(name));
	const [first = []] = runs;
	if (often === 1) return first;
	return first.map((_, i) => {
		const rows = runs.map((run) => run[i] as Row).sort((a, b) => reached(a) - reached(b));
		const [least, most] = [rows[0] as Row, rows.at(-1) as Row];
		return { ...(rows[often >> 1] as Row), range: [reached(least), reached(most)] };
	});
}

async function runAll(): Promise<void> {
	const [load = 0] = loadavg();
	const names = options.only?.split(",") ?? Object.keys(sections);
	const rows: Row[] = [];
	for (const name of names) {
		if (options.short && options.only === undefined && long.has(name)) continue;
		const start = performance.now();
		rows.push(...(await measureOften(name)));
		console.error(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
	}
	const { short } = options;
	const [cpu] = cpus();
	const run: Run = {
		node: process.versions.node,
		machine: `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}`,
		load: Math.round(load * 10) / 10,
		date: new Date().toISOString().slice(0, 10),
		short,
		rows,
	};
	console.log(text(rows));
	save(run);
	const gross = rows.filter((row) => verdict(row) === "missed by twice");
	if (short && gross.length > 0) process.exitCode = 1;
}

const results = new URL("results/", import.meta.url);

function save(run: Run): void {
	const isComplete = !options.short && options.only === undefined;
	mkdirSync(results, { recursive: true });
	const file = isComplete ? `node-${run.node}.json` : "last.json";
	writeFileSync(options.json ?? new URL(file, results), JSON.stringify(run, undefined, "\t"));
	if (options.write === undefined) return;
	const runs = readdirSync(results)
		.filter((name) => name.startsWith("node-"))
		.map((name): Run => JSON.parse(readFileSync(new URL(name, results), "utf8")));
	const isPinned = ({ node }: Run) => node.startsWith("24.");
	runs.sort((a, b) => Number(isPinned(b)) - Number(isPinned(a)));
	writeFileSync(options.write, markdown(runs));
}

if (options.section === undefined) await runAll();
else await measureHere(options.section, options.short);
