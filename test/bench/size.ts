import { bundle } from "../bundle.ts";
import type { Row } from "./row.ts";

const core = `export * from "./index.ts";`;

/** Minified and gzipped. */
export async function measure(): Promise<Row[]> {
	const kibibytes = async (source: string) => (await bundle(source)).gzip / 1024;
	const whole = await kibibytes(core);
	const rows: Row[] = [
		{ what: "size of the whole core", unit: "KiB", ours: whole, bar: { atMost: 7 } },
		{
			what: "size of what resource, withScope and use pull in",
			unit: "KiB",
			ours: await kibibytes(`export { resource, use, withScope } from "./index.ts";`),
			bar: { atMost: 4.5 },
		},
	];
	const adapters = [
		["express", 3],
		["koa", 2],
		["hono", 2.5],
	] as const;
	for (const [name, atMost] of adapters) {
		rows.push({
			what: `size of the ${name} adapter on top of the core`,
			unit: "KiB",
			ours: (await kibibytes(`${core} export * from "./${name}.ts";`)) - whole,
			bar: { atMost },
		});
	}
	return rows;
}
