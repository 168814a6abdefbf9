import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Row } from "./row.ts";

const run = promisify(execFile);

/** Milliseconds that a fresh process takes to import `specifier`. */
async function importTime(specifier: string): Promise<number> {
	const program = `
		const start = performance.now();
		await import(${JSON.stringify(specifier)});
		console.log(performance.now() - start);
	`;
	const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program]);
	return Number(stdout);
}

export async function measure(short: boolean): Promise<Row[]> {
	const core = import.meta.resolve("yieldscope");
	const none = "data:text/javascript,";
	let [ours, theirs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
	for (let round = 0; round < (short ? 10 : 40); round++) {
		ours = Math.min(ours, await importTime(core));
		theirs = Math.min(theirs, await importTime(none));
	}
	return [
		{ what: "import of the core", unit: "ms", ours, bar: { atMost: 5 } },
		{ what: "import of an empty module", unit: "ms", ours: theirs },
	];
}
