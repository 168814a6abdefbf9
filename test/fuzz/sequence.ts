import fc from "fast-check";
import {
	ErrorSwallowedError,
	openScope,
	type Resource,
	resource,
	type Scope,
	ScopeIncompleteError,
	type SetupResult,
	SuppressedError,
	use,
	withScope,
	YieldedTwiceError,
} from "../../src/index.ts";
import type { Act, End, Ingredient, Outcome, Sequence } from "./model.ts";
import type { Reply } from "./plan.ts";
import { pause } from "./world.ts";

/** How long things take in a run of a sequence, which must not matter; and whether setups have a dependencies object. */
export interface Manner {
	readonly injects: readonly boolean[];
	readonly ticks: readonly number[];
}

const small = fc.nat({ max: 7 });
const rarely = fc.nat({ max: 5 }).map((n) => n === 5);

/** Strictly sequential scenarios. */
export const sequences: fc.Arbitrary<Sequence> = fc
	.record({
		ingredients: fc.array(
			fc.record({
				kind: fc.constantFrom<Ingredient["kind"]>(
					"async generator",
					"async generator",
					"generator",
					"disposable",
				),
				needs: fc.array(small, { maxLength: 3 }),
				fails: rarely,
				registers: fc.array(rarely, { maxLength: 2 }),
				reply: fc.constantFrom<Reply>(
					"pass",
					"pass",
					"pass",
					"translate",
					"swallow",
					"throw on success",
					"throw always",
					"yield twice",
				),
			}),
			{ minLength: 1, maxLength: 8 },
		),
		acts: fc.array(
			fc.oneof(
				{ weight: 6, arbitrary: fc.record({ do: fc.constant("use" as const), resource: small }) },
				{
					weight: 1,
					arbitrary: fc.record({ do: fc.constant("release" as const), resource: small }),
				},
				{
					weight: 2,
					arbitrary: fc.record({ do: fc.constant("register" as const), fails: rarely }),
				},
			) as fc.Arbitrary<Act>,
			{ maxLength: 8 },
		),
		end: fc.constantFrom<End>("return", "return", "throw", "complete", "fail", "nothing"),
	})
	.map(({ ingredients, acts, end }) => ({
		ingredients: ingredients.map((each, index) => ({
			...each,
			// what can't wait can't use one thing after the other; at most one, in its dependencies object
			needs: needsOf(each, index),
		})),
		acts: acts.map((act) =>
			act.do === "register" ? act : { ...act, resource: act.resource % ingredients.length },
		),
		end,
	}));

function needsOf({ kind, needs }: Ingredient, index: number): number[] {
	if (index === 0) return [];
	const lower = needs.map((need) => need % index);
	return kind === "generator" ? lower.slice(0, 1) : lower;
}

export const manners: fc.Arbitrary<Manner> = fc.record({
	injects: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
	ticks: fc.array(fc.nat({ max: 5 }), { minLength: 8, maxLength: 8 }),
});

function describe(error: unknown): string {
	if (error instanceof SuppressedError)
		return `(${describe(error.error)} over ${describe(error.suppressed)})`;
	const { cause, message } = error as Error;
	const label =
		error instanceof YieldedTwiceError
			? "yielded twice"
			: error instanceof ErrorSwallowedError
				? "swallowed"
				: error instanceof ScopeIncompleteError
					? "incomplete"
					: message;
	return cause === undefined ? label : `${label} < ${describe(cause)}`;
}

/** Runs a sequence with the library. */
export async function perform(
	{ ingredients, acts, end }: Sequence,
	{ injects, ticks }: Manner,
): Promise<Outcome> {
	const trace: string[] = [];
	const reports: string[] = [];
	let names = 0;
	/** How often each resource has been acquired. */
	const acquired = new Map<number, number>();

	const register = (scope: Scope, fails: boolean): void => {
		const name = `C${names++}`;
		scope.defer(async () => {
			trace.push(`-${name}`);
			await pause(ticks[names % 8] as number);
			if (fails) throw new Error(`callback ${name}`);
		});
	};
	const resources: Resource<unknown>[] = [];
	for (const [index, ingredient] of ingredients.entries()) {
		const { kind, needs, reply } = ingredient;
		const wait = ticks[index] as number;
		// a dependencies object asks for all at once
		const injected = needs.length === 1 && (kind === "generator" || injects[index]);
		const rest = injected ? [] : needs;
		const finish = (scope: Scope, name: string) => {
			for (const fails of ingredient.registers) register(scope, fails);
			if (ingredient.fails) throw new Error(`setup ${name}`);
			acquired.set(index, (acquired.get(index) ?? 0) + 1);
		};
		const reply_ = (name: string, sent: unknown, told: boolean) => {
			if (reply === "throw always" || reply === (told ? "translate" : "throw on success"))
				throw new Error(`release ${name}`);
			if (told && reply !== "swallow") throw sent;
		};
		const log = (name: string, sent: unknown, told: boolean) =>
			trace.push(`-${name} ${told ? describe(sent) : "success"}`);
		const setups = {
			"async generator": async function* (name: string, scope: Scope) {
				await pause(wait);
				for (const need of rest) await use(resources[need] as Resource<unknown>);
				finish(scope, name);
				let sent: unknown;
				let told = false;
				try {
					yield name;
				} catch (error) {
					told = true;
					sent = error;
				}
				log(name, sent, told);
				await pause(wait);
				if (reply === "yield twice") yield name;
				else reply_(name, sent, told);
			},
			generator: function* (name: string, scope: Scope) {
				finish(scope, name);
				let sent: unknown;
				let told = false;
				try {
					yield name;
				} catch (error) {
					told = true;
					sent = error;
				}
				log(name, sent, told);
				if (reply === "yield twice") yield name;
				else reply_(name, sent, told);
			},
			disposable: async (name: string, scope: Scope) => {
				await pause(wait);
				for (const need of rest) await use(resources[need] as Resource<unknown>);
				finish(scope, name);
				return {
					async [Symbol.asyncDispose]() {
						trace.push(`-${name}`);
						await pause(wait);
						if (reply.startsWith("throw")) throw new Error(`release ${name}`);
					},
				};
			},
		};
		const begin = (scope: Scope): SetupResult<unknown> =>
			setups[kind](`R${index}.${(acquired.get(index) ?? 0) + 1}`, scope);
		const options = { name: `R${index}` };
		resources.push(
			injected
				? resource(
						{ need: resources[needs[0] as number] as Resource<unknown> },
						(_, { scope }) => begin(scope),
						options,
					)
				: resource(({ scope }) => begin(scope), options),
		);
	}
	const work = async (scope: Scope) => {
		for (const act of acts) {
			try {
				if (act.do === "register") register(scope, act.fails);
				else await scope[act.do](resources[act.resource] as Resource<unknown>);
			} catch (error) {
				trace.push(`caught ${describe(error)}`);
			}
		}
		if (end === "throw" || end === "fail") throw new Error("work");
	};
	const onReleaseError = (error: unknown) => void reports.push(describe(error));
	let rejection: string | undefined;
	try {
		if (end === "return" || end === "throw") await withScope({ onReleaseError }, work);
		else {
			const scope = openScope({ onReleaseError });
			await work(scope).catch((error) => scope.fail(error));
			if (end === "complete") scope.complete();
			await scope.disposeAsync();
		}
	} catch (error) {
		rejection = describe(error);
	}
	return { trace, rejection, reports };
}
