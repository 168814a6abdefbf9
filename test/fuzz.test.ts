import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { predict } from "./fuzz/model.ts";
import { perform, performSync } from "./fuzz/perform.ts";
import { type Plan, plans } from "./fuzz/plan.ts";
import { paces, races, releaseOrder } from "./fuzz/race.ts";
import { manners, sequences } from "./fuzz/sequence.ts";
import { World } from "./fuzz/world.ts";

/**
 * `FUZZ_RUNS` is the measure of how many runs there are; `FUZZ_SEED` the seed that a failure printed, or a new one to look further:
 * without it the runs are always the same, so that a change is not blamed for what it didn't do.
 */
const RUNS = Number(process.env.FUZZ_RUNS ?? 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? 2026);

/** The options of a property that gets `share` of the runs. */
function parameters<T>(share: number): fc.Parameters<T> {
	return {
		numRuns: Math.ceil(RUNS * share),
		seed: SEED,
	};
}

/** Nothing in a scenario waits for anything but microtasks: what isn't over by then never will be. */
const PATIENCE = 20_000;

const strays: unknown[] = [];
process.on("unhandledRejection", (error) => strays.push(error));

/** Runs a scenario and fails with its trace if it breaks a rule. */
async function check(plan: Plan): Promise<void> {
	const world = new World(plan);
	let over = false;
	let failed: unknown;
	world.run().then(
		() => {
			over = true;
		},
		(error) => {
			over = true;
			failed = error;
		},
	);
	for (let i = 0; i < PATIENCE && !over; i++) await undefined;
	const problems = world.violations;
	if (failed !== undefined) problems.push(`the scenario itself failed: ${String(failed)}`);
	if (!over) problems.push(`it hangs: ${JSON.stringify(world.app.inspect())}`);
	await new Promise((resolve) => setImmediate(resolve));
	for (const error of strays.splice(0)) problems.push(`unhandled rejection: ${String(error)}`);
	if (over) await world.verify();
	if (problems.length > 0) throw new Error([...problems, "Trace:", ...world.trace].join("\n\t"));
}

describe("any scenario", () => {
	it(
		"keeps the rules without cycles",
		() => fc.assert(fc.asyncProperty(plans(false), check), parameters(0.3)),
		600_000,
	);
	it(
		"keeps the rules with cycles",
		() => fc.assert(fc.asyncProperty(plans(true), check), parameters(0.2)),
		600_000,
	);
});

describe("one thing after the other", () => {
	beforeAll(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
	afterAll(() => void vi.useRealTimers());

	/** Lets time pass whenever nothing else happens. */
	async function played<T>(performed: Promise<T>): Promise<T> {
		let over = false;
		const done = () => {
			over = true;
		};
		performed.then(done, done);
		for (;;) {
			await new Promise((resolve) => setImmediate(resolve));
			if (vi.getTimerCount() > 0) vi.advanceTimersToNextTimer();
			else if (over) break;
			else throw new Error("it hangs");
		}
		for (const error of strays.splice(0)) throw new Error("unhandled rejection", { cause: error });
		return performed;
	}

	it(
		"is released in the order of rule 11, and everybody is told what rules 12 to 22 say",
		() =>
			fc.assert(
				fc.asyncProperty(sequences(false), manners, async (sequence, manner) => {
					expect(await played(perform(sequence, manner))).toEqual(predict(sequence));
				}),
				parameters(0.5),
			),
		600_000,
	);
	it(
		"is the same in a sync scope",
		() =>
			fc.assert(
				fc.property(sequences(true), manners, (sequence, manner) => {
					expect(performSync(sequence, manner)).toEqual(predict(sequence));
				}),
				parameters(0.5),
			),
		600_000,
	);
});

describe("what is asked for at once", () => {
	it(
		"is released in the same order, however long anything takes",
		() =>
			fc.assert(
				fc.asyncProperty(races, paces, paces, async (race, one, other) => {
					expect(await releaseOrder(race, one)).toEqual(await releaseOrder(race, other));
				}),
				parameters(0.1),
			),
		600_000,
	);
});
