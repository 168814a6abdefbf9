import type { Bar, Row } from "./row.ts";
import { ratio, verdict } from "./row.ts";

/** One run of the benchmarks. */
export interface Run {
	readonly node: string;
	readonly machine: string;
	/** The machine's load average when the run began. */
	readonly load: number;
	readonly date: string;
	readonly short: boolean;
	readonly rows: readonly Row[];
}

function quantity(value: number | undefined, unit: string): string {
	if (value === undefined) return "";
	const digits =
		Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
	return `${value.toLocaleString("en", { maximumFractionDigits: digits })} ${unit}`;
}

function limit(bar: Bar | undefined, row: Row): string {
	if (bar === undefined) return "";
	const [word, value] = "atMost" in bar ? ["≤", bar.atMost] : ["≥", bar.atLeast];
	return `${word} ${ratio(row) === undefined ? quantity(value, row.unit) : value}`;
}

/** With the lowest and the highest, where there are several. */
function ratioOf(row: Row): string {
	const value = ratio(row)?.toFixed(2) ?? "";
	const range = row.range?.map((each) => each.toFixed(2)).join("–");
	return value === "" || range === undefined ? value : `${value} (${range})`;
}

const header = ["what", "ours", "theirs", "against", "ratio", "bar", "verdict"];

function cells(row: Row): string[] {
	return [
		row.what,
		quantity(row.ours, row.unit),
		quantity(row.theirs, row.unit),
		row.against ?? "",
		ratioOf(row),
		limit(row.bar, row),
		verdict(row),
	];
}

/** A table for a terminal. */
export function text(rows: readonly Row[]): string {
	const table = [header, ...rows.map(cells)];
	const widths = header.map((_, i) => Math.max(...table.map((line) => (line[i] as string).length)));
	return table
		.map((line) =>
			line
				.map((cell, i) => cell.padEnd(widths[i] as number))
				.join("  ")
				.trimEnd(),
		)
		.join("\n");
}

function markdownTable(lines: readonly (readonly string[])[]): string {
	const [head = [], ...body] = lines;
	return [head, head.map(() => "---"), ...body].map((line) => `| ${line.join(" | ")} |`).join("\n");
}

/** The runs on several versions of Node; the first is told in full. */
export function markdown(runs: readonly Run[]): string {
	const [main, ...others] = runs as [Run, ...Run[]];
	const key = ({ what, against = "" }: Row) => `${what}|${against}`;
	const judged = main.rows.filter((row) => row.bar !== undefined);
	const reached = (row: Row | undefined) => {
		if (row === undefined) return "";
		const value = ratio(row);
		const mark = verdict(row) === "ok" ? "" : ` (${verdict(row)})`;
		return (value === undefined ? quantity(row.ours, row.unit) : value.toFixed(2)) + mark;
	};
	return [
		"# Benchmarks",
		"",
		`Made by \`npm run bench\`: Node ${main.node}, ${main.machine}, ${main.date}, load average ${main.load} when it began. Run it on yours.`,
		"",
		"Times are those of the fastest of many rounds, in which the variants take turns; throughput is the median of such",
		"rounds. Read ratios: seconds differ from machine to machine. A row without a bar is there to be read.",
		"",
		markdownTable([header, ...main.rows.map(cells)]),
		...(others.length === 0
			? []
			: [
					"",
					"## Other versions of Node",
					"",
					"By `npm run bench:node22` and `npm run bench:node26`, on the same machine. The bars are meant for Node 24; Node 22 has",
					"no native `AsyncDisposableStack`.",
					"",
					markdownTable([
						["what", "against", "bar", ...runs.map(({ node }) => `Node ${node}`)],
						...judged.map((row) => [
							row.what,
							row.against ?? "",
							limit(row.bar, row),
							...runs.map(({ rows }) => reached(rows.find((each) => key(each) === key(row)))),
						]),
					]),
				]),
		"",
		...misses,
		"",
	].join("\n");
}

/** What the tables don't tell. */
const misses = [
	"## What the time and the size are spent on",
	"",
	"**Three resources.** Of three times the generators alone, one is the generators; an async context for each setup, which",
	"`use()` in a setup needs, is two thirds (its row is in the table); the scope itself, as an empty one shows, less than half. The",
	"rest, about one for all three, is what makes them resources: instances that are shared, promises that an abort can reject,",
	"the order, names and ages. Ranges are those of several processes of the same program.",
	"",
	'**HTTP.** What is compared with keeps a value until the response closes, and no more. The rows "the same promises by hand"',
	"show what the rest takes at least, as far as we could write it: two lifetimes, a release before the first byte, the latest",
	"first, errors told, a context for each setup and for what the socket tells. In November 2026 that was a third to a half of",
	"the difference. What the adapters do beyond it: scopes with signals, names, snapshots and events, replacements, errors with a",
	"path, `use()` anywhere, a response that can still be refused. Time went with allocations: a request took 14 KB by hand, 19 to",
	"20 KB with the same promises, and 22 to 24 KB here; where a change took out a KB, the request took 0.2 to 0.3 µs less.",
	"Leaving out one thing at a time, with connections in memory, where a request on Koa took 10.1 µs: without its context for",
	"listeners of the end 0.7 less (some of that is saved since), without the handler's own scope 0.45, without the provided context,",
	"request and response 0.2, without a response that can be refused while its handler runs 0.2, without ages 0.15.",
	"",
	"**Size.** In November 2026, bundled without one of its modules, the core was smaller by 2.2 KiB for the state of a scope,",
	"1.9 for its methods, 1.7 for the release, 1.6 for `use()`, 1.0 each for definitions, `scope.release()` and events, 0.8 or",
	"less for each of the others; without the texts of errors, by 2.1. Methods can't be shaken off: whoever imports `withScope`",
	"gets nearly all. The programs of the other libraries in test/bench/peers, bundled the same way: awilix 3.4 KiB, effection",
	"4.2, effect 9.6, disposablestack 17.",
];
