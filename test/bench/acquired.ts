import { resource, use, withScope } from "yieldscope";
import { fastest } from "./rounds.ts";
import type { Row } from "./row.ts";

/** `use` of what is acquired. */
export function measure(short: boolean): Promise<Row[]> {
	const Config = resource(async () => ({}));
	const map = new Map([[Config, Promise.resolve({})]]);
	return withScope(async (scope) => {
		await use(Config);
		const times = await fastest(
			{
				theirs: () => map.get(Config),
				scope: () => scope.use(Config),
				ambient: () => use(Config),
			},
			{ rounds: short ? 60 : 300, batch: 3000 },
		);
		const against = "a resolved promise out of a Map";
		const { theirs } = times;
		return [
			{
				what: "use() of what is acquired",
				unit: "µs",
				ours: times.ambient,
				against,
				theirs,
				bar: { atMost: 1.5 },
			},
			{
				what: "scope.use() of what is acquired",
				unit: "µs",
				ours: times.scope,
				against,
				theirs,
				bar: { atMost: 1.5 },
			},
		];
	});
}
