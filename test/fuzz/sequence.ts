import fc from "fast-check";
import type { Act, Body, CallbackEnding, End, Ending, Ingredient, Sequence } from "./model.ts";

/**
 * How a sequence is performed, which must not matter: how long things take, how resources are defined and asked for, what
 * opens the scopes, and when held ones are moved. Lists are gone through again and again.
 */
export interface Manner {
	readonly ticks: readonly number[];
	/** Whether setups have a dependencies object. */
	readonly injects: readonly boolean[];
	/** Whether resources are members of families. */
	readonly keyed: readonly boolean[];
	readonly asks: readonly ("scope.use" | "use" | "useAll")[];
	readonly hosts: readonly ("scope" | "function" | "generator")[];
	readonly moves: readonly boolean[];
}

const small = fc.nat({ max: 7 });
const rarely = fc.nat({ max: 5 }).map((n) => n === 5);

const pass: Ending[] = ["pass", "pass", "pass", "pass"];
const replies: Ending[] = [
	...pass,
	"translate",
	"swallow",
	"throw on success",
	"throw always",
	"yield twice",
];
const lateReplies: Ending[] = ["late", "late throw", "late swallow"];

function callbackEndings(limited: boolean): fc.Arbitrary<CallbackEnding> {
	return fc.constantFrom<CallbackEnding>(
		...["pass" as const, "pass" as const, "pass" as const, "throw always" as const],
		...(limited ? ["late" as const, "late throw" as const] : []),
	);
}

function ingredients(sync: boolean, limited: boolean): fc.Arbitrary<Ingredient> {
	return fc.record({
		kind: fc.constantFrom<Ingredient["kind"]>(
			sync ? "generator" : "async generator",
			sync ? "generator" : "async generator",
			"generator",
			"disposable",
		),
		isApp: rarely,
		needs: fc.array(small, { maxLength: 2 }),
		fails: rarely,
		registers: fc.array(callbackEndings(limited), { maxLength: 2 }),
		reply: fc.constantFrom<Ending>(...replies, ...(limited ? lateReplies : [])),
	});
}

const ends = {
	outermost: fc.constantFrom<End>("return", "return", "throw", "complete", "fail", "nothing"),
	closed: fc.constantFrom<End>("return", "return", "throw", "complete", "fail", "nothing"),
	left: fc.constantFrom<End>("complete", "fail", "nothing"),
};

function acts(sync: boolean, limited: boolean, depth: number): fc.Arbitrary<Act[]> {
	const simple: fc.WeightedArbitrary<Act>[] = [
		{
			weight: 8,
			arbitrary: fc.record({ do: fc.constant("use" as const), resource: small, fresh: rarely }),
		},
		{
			weight: 2,
			arbitrary: fc.record({
				do: fc.constant("register" as const),
				ending: callbackEndings(limited),
			}),
		},
	];
	if (!sync)
		simple.push(
			{
				weight: 1,
				arbitrary: fc.record({ do: fc.constant("release" as const), resource: small }),
			},
			{
				weight: 1,
				arbitrary: fc.record({ do: fc.constantFrom("abort" as const, "signal" as const) }),
			},
		);
	if (depth === 0) return fc.array(fc.oneof(...simple), { maxLength: 4 });
	const inner = acts(sync, limited, depth - 1);
	const nested: fc.WeightedArbitrary<Act>[] = [
		{
			weight: 1,
			arbitrary: fc.record({
				do: fc.constant("bind" as const),
				replaced: small,
				by: fc.option(small, { nil: undefined }),
				acts: inner,
			}),
		},
		{
			weight: 2,
			arbitrary: fc
				.record({
					do: fc.constant("scope" as const),
					acts: inner,
					end: ends.closed,
					left: ends.left,
					leaves: rarely,
					catches: fc.boolean(),
				})
				.map(({ acts, end, left, leaves, catches }) => ({
					do: "scope" as const,
					body: { acts, end: leaves ? left : end },
					leaves,
					catches,
				})),
		},
	];
	return fc.array(fc.oneof(...simple, ...nested), { maxLength: 6 });
}

/** Strictly sequential scenarios; `sync`: such as a sync scope can do. */
export function sequences(sync: boolean): fc.Arbitrary<Sequence> {
	return fc.oneof(
		{ weight: sync ? 1 : 4, arbitrary: sequencesOf(sync, false) },
		{ weight: sync ? 0 : 1, arbitrary: sequencesOf(false, true) },
	);
}

function sequencesOf(sync: boolean, limited: boolean): fc.Arbitrary<Sequence> {
	return fc
		.record({
			ingredients: fc.array(ingredients(sync, limited), { minLength: 1, maxLength: 6 }),
			body: fc.record({ acts: acts(sync, limited, 2), end: ends.outermost }),
		})
		.map(({ ingredients, body }) => ({
			limited,
			ingredients: ingredients.map((each, index) => ({
				...each,
				needs: needsOf(each, index, sync),
				reply: each.kind === "generator" && each.reply.startsWith("late") ? "pass" : each.reply,
			})),
			body: inRange(body, ingredients.length),
		}));
}

/** What can't wait in a scope that can can't use one thing after the other; at most one, in its dependencies object. */
function needsOf({ kind, needs }: Ingredient, index: number, sync: boolean): number[] {
	if (index === 0) return [];
	const lower = needs.map((need) => need % index);
	return kind === "generator" && !sync ? lower.slice(0, 1) : lower;
}

/** Brings the numbers of resources into range. */
function inRange({ acts, end }: Body, count: number): Body {
	const fit = (act: Act): Act => {
		if (act.do === "use" || act.do === "release") return { ...act, resource: act.resource % count };
		if (act.do === "scope") return { ...act, body: inRange(act.body, count) };
		if (act.do !== "bind") return act;
		const replaced = act.replaced % count;
		// only a lower one: otherwise there would be cycles
		const by = act.by === undefined || replaced === 0 ? undefined : act.by % replaced;
		return { ...act, replaced, by, acts: act.acts.map(fit) };
	};
	return { acts: acts.map(fit), end };
}

function list<T>(each: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
	return fc.array(each, { minLength: 8, maxLength: 8 });
}

export const manners: fc.Arbitrary<Manner> = fc.record({
	ticks: list(fc.nat({ max: 5 })),
	injects: list(fc.boolean()),
	keyed: list(fc.boolean()),
	asks: list(fc.constantFrom("scope.use" as const, "use" as const, "useAll" as const)),
	hosts: list(fc.constantFrom("scope" as const, "function" as const, "generator" as const)),
	moves: list(rarely),
});
