import { createRequire } from "node:module";
import { fastest } from "./rounds.ts";
import type { Bar, Measurements, Row } from "./row.ts";
import { nested } from "./three-resources.ts";

interface Peer {
	threeResources(): Promise<number>;
}

const { devDependencies } = createRequire(import.meta.url)("../../package.json");

/** Measures a peer's nearest equivalent of three nested resources, in a process that has no other peer in it. */
export function against(
	name: string,
	load: () => Promise<Peer>,
	bar?: Bar,
	lacks = "",
): () => Promise<Measurements> {
	return async () => ({
		async measure(): Promise<Row[]> {
			const { threeResources } = await load();
			if ((await threeResources()) !== (await nested()))
				throw new Error(`${name} gives another sum`);
			const times = await fastest(
				{ ours: nested, theirs: threeResources },
				{ rounds: 60, batch: 300 },
			);
			return [
				{
					what: "scope with three resources, by use()",
					unit: "µs",
					...times,
					against: `${name} ${devDependencies[name]}${lacks}`,
					...(bar && { bar }),
				},
			];
		},
	});
}
