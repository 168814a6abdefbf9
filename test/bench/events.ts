import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { bundle } from "../bundle.ts";
import { fastest } from "./rounds.ts";
import type { Row } from "./row.ts";

const run = promisify(execFile);

/** What publishes, as it would be if there were no events. */
const publishing: readonly (readonly [RegExp, string])[] = [
	[/\b\w+Trace\.hasSubscribers\b/g, "false"],
	[/\bthis\.info !== undefined/g, "false"],
	[/\bpublish(?:Error|Wait)\(.+\);/g, ""],
	[/^\tinfo: \w+ \| undefined;/gm, ""],
];
const publishers = /\/src\/(?:acquire|close|instance|owner|release|scope|sync-scope)\.ts$/;

/** The core without its events: what is `if (false)` then is left out. */
const silent = {
	name: "silent",
	enforce: "pre" as const,
	transform(code: string, id: string): string | undefined {
		if (!publishers.test(id)) return undefined;
		const changed = publishing.reduce((text, [site, none]) => text.replace(site, none), code);
		if (changed === code)
			throw new Error(`${id} publishes nothing: is it to be looked for elsewhere?`);
		return changed;
	},
};

type Times = Record<"three" | "empty", number>;

/** Microseconds that each takes with the core at `url`, in this process. */
async function measureHere(url: string, rounds: number): Promise<Times> {
	const { resource, use, withScope }: typeof import("yieldscope") = await import(url);
	const A = resource(async function* () {
		await undefined;
		yield 1;
		await undefined;
	});
	const B = resource(async function* () {
		const a = await use(A);
		yield a + 2;
		await undefined;
	});
	const C = resource(async function* () {
		const b = await use(B);
		yield b + 3;
		await undefined;
	});
	const nothing = async () => {};
	return fastest(
		{ three: () => withScope(() => use(C)), empty: () => withScope(nothing) },
		{ rounds, batch: 1000 },
	);
}

/** Each in processes of its own, by turns: within one, whichever comes second is compiled differently. */
export async function measure(short: boolean): Promise<Row[]> {
	const [turns, rounds] = short ? [2, 40] : [10, 100];
	const directory = await mkdtemp(join(tmpdir(), "yieldscope-"));
	try {
		const source = `export * from "./index.ts";`;
		const variants = { ours: await bundle(source), theirs: await bundle(source, silent) };
		const best = { ours: {} as Times, theirs: {} as Times };
		for (let turn = 0; turn < turns; turn++) {
			for (const name of ["ours", "theirs"] as const) {
				const file = join(directory, `${name}.mjs`);
				await writeFile(file, variants[name].code);
				const args = [import.meta.filename, file, String(rounds)];
				const times: Times = JSON.parse((await run(process.execPath, args)).stdout);
				for (const form of ["three", "empty"] as const)
					best[name][form] = Math.min(best[name][form] ?? Number.POSITIVE_INFINITY, times[form]);
			}
		}
		const row = (form: keyof Times, what: string): Row => ({
			what: `${what}, events compiled in but not listened to`,
			unit: "µs",
			ours: best.ours[form],
			against: "the same without events",
			theirs: best.theirs[form],
			bar: { atMost: 1.02 },
		});
		return [row("three", "scope with three resources"), row("empty", "withScope(async () => {})")];
	} finally {
		await rm(directory, { recursive: true });
	}
}

const [, main, url, rounds] = process.argv;
if (main === import.meta.filename && url !== undefined) {
	console.log(JSON.stringify(await measureHere(url, Number(rounds))));
}
