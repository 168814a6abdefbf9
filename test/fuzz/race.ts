import fc from "fast-check";
import { type Resource, resource, use, useAll, withScope } from "../../src/index.ts";
import { pause } from "./world.ts";

/** Resources that are all asked for in one go, before anything has had time to happen. */
export interface Race {
	readonly runners: readonly {
		/** Resources of lower numbers. */
		readonly needs: readonly number[];
		readonly injects: boolean;
		readonly fails: boolean;
		/** How many callbacks its setup registers. */
		readonly registers: number;
	}[];
	readonly asked: readonly number[];
}

export const races: fc.Arbitrary<Race> = fc.record({
	runners: fc
		.array(
			fc.record({
				needs: fc.array(fc.nat({ max: 7 }), { maxLength: 3 }),
				injects: fc.boolean(),
				fails: fc.nat({ max: 7 }).map((n) => n === 7),
				registers: fc.nat({ max: 2 }),
			}),
			{ minLength: 1, maxLength: 8 },
		)
		.map((runners) =>
			runners.map((each, index) => ({
				...each,
				needs: index === 0 ? [] : [...new Set(each.needs.map((need) => need % index))],
			})),
		),
	asked: fc.array(fc.nat({ max: 7 }), { minLength: 1, maxLength: 6 }),
});

/** How many ticks each setup and each release takes. */
export const paces: fc.Arbitrary<readonly number[]> = fc.array(fc.nat({ max: 9 }), {
	minLength: 16,
	maxLength: 16,
});

/** Runs a race, and tells in which order everything is released. */
export async function releaseOrder(
	{ runners, asked }: Race,
	pace: readonly number[],
): Promise<string[]> {
	const order: string[] = [];
	const resources: Resource<unknown>[] = [];
	for (const [index, { needs, injects, fails, registers }] of runners.entries()) {
		const dependencies = Object.fromEntries(
			needs.map((need) => [`r${need}`, resources[need] as Resource<unknown>]),
		);
		resources.push(
			resource(
				injects ? dependencies : {},
				async function* (_, { scope }) {
					if (!injects) await useAll(dependencies);
					await pause(pace[index] as number);
					for (let i = 0; i < registers; i++)
						scope.defer(() => void order.push(`R${index} callback ${i}`));
					if (fails) throw new Error("setup");
					yield index;
					await pause(pace[8 + index] as number);
					order.push(`R${index}`);
				},
				{ name: `R${index}` },
			),
		);
	}
	// a setup may fail when nobody waits for it any more
	await withScope({ onReleaseError: () => {} }, async (scope) => {
		await Promise.allSettled(
			asked.map((each) => use(resources[each % resources.length] as Resource<unknown>)),
		);
		scope.defer(() => void order.push("callback"));
	});
	return order;
}
