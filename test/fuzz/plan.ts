import fc from "fast-check";

/** What a setup is, which is decided by what it returns. */
type Kind =
	| "async generator"
	| "generator"
	| "returned generator"
	| "async function"
	| "function"
	| "class";

/** How a generator answers what its release is told; the other kinds throw on success, or pass. */
export type Reply =
	| "pass"
	| "translate"
	| "swallow"
	| "throw on success"
	| "throw always"
	| "yield twice";

type LifetimePlan = "app" | "request" | "handler" | undefined;

/** A resource of a scenario. Resources are numbers; out of range ones are brought into it. */
export interface ResourcePlan {
	readonly kind: Kind;
	readonly lifetime: LifetimePlan;
	/** Its dependencies object. */
	readonly injected: readonly number[];
	/** What its setup does. Setups that can't wait leave out what takes time. */
	readonly setup: readonly Step[];
	readonly dispose: "sync" | "async" | "none";
	readonly reply: Reply;
	readonly releaseTicks: number;
	/** What its release code tries to use. */
	readonly releaseUses: number | undefined;
}

/** A scope's options. */
export interface ScopePlan {
	readonly lifetime: LifetimePlan | "task";
	readonly concurrent: boolean;
	/** `by: undefined` provides a value. */
	readonly bindings: readonly { readonly replaced: number; readonly by: number | undefined }[];
}

/** Something that code in a scope does. What takes time is awaited, awaited with its errors caught, or forgotten. */
export type Step =
	| { readonly do: "tick"; readonly ticks: number }
	| {
			readonly do: "use";
			readonly resource: number;
			readonly fresh: boolean;
			readonly lifetime: LifetimePlan;
			readonly ambient: boolean;
			readonly wait: Wait;
	  }
	| { readonly do: "use all"; readonly resources: readonly number[]; readonly wait: Wait }
	| {
			readonly do: "register";
			readonly how: "defer" | "adopt" | "use";
			readonly ticks: number;
			readonly fails: boolean;
	  }
	| { readonly do: "after"; readonly steps: readonly Step[] }
	| { readonly do: "spawn" | "detach"; readonly steps: readonly Step[]; readonly wait: Wait }
	| {
			readonly do: "scope";
			readonly options: ScopePlan;
			readonly steps: readonly Step[];
			readonly wait: Wait;
	  }
	| {
			readonly do: "open";
			readonly options: ScopePlan;
			readonly steps: readonly Step[];
			readonly ending: Ending;
			readonly closes: number;
			readonly wait: Wait;
	  }
	| { readonly do: "release"; readonly resource: number; readonly wait: Wait }
	| { readonly do: "abort" | "signal" | "cancel" | "complete" | "fail" | "throw" }
	/** The steps go on in the scope to which everything is moved. */
	| { readonly do: "move"; readonly steps: readonly Step[] }
	/** Bindings for as long as the steps take. */
	| {
			readonly do: "bind";
			readonly bindings: ScopePlan["bindings"];
			readonly steps: readonly Step[];
	  }
	/** A generator, which is read to its end, stopped or thrown into before its second part, or left to whoever closes it. */
	| {
			readonly do: "iterate";
			readonly options: ScopePlan;
			readonly steps: readonly Step[];
			readonly rest: readonly Step[];
			readonly reader: "reads" | "stops" | "throws" | "leaves";
			readonly wait: Wait;
	  }
	| { readonly do: "close"; readonly which: "own" | "app"; readonly wait: Wait }
	| { readonly do: "float"; readonly steps: readonly Step[] };

export type Wait = "await" | "catch" | "forget";
type Ending = "complete" | "fail" | "nothing";

/** A whole scenario: an app scope, and code that runs in it on several tracks at once. */
export interface Plan {
	/** Whether a resource can reach itself; otherwise resources use only those of a lower number. */
	readonly cyclic: boolean;
	/** Whether anything waits for several setups at once: it gets the error of the first that fails, and no other. */
	readonly wide: boolean;
	readonly resources: readonly ResourcePlan[];
	readonly app: ScopePlan;
	readonly tracks: readonly (readonly Step[])[];
	readonly ending: Ending;
	/** After how many ticks the app is closed, whatever runs; `undefined`: when the tracks are done. */
	readonly closesAfter: number | undefined;
	/** How many callers close it at once. */
	readonly closes: number;
}

const number = fc.nat({ max: 11 });
const ticks = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 6 }));
const rarely = fc.nat({ max: 5 }).map((n) => n === 5);
const wait = fc.constantFrom<Wait>("await", "await", "catch", "forget");
const patient = fc.constantFrom<Wait>("await", "catch");
const ending = fc.constantFrom<Ending>("complete", "complete", "fail", "nothing");
const lifetime = fc.constantFrom<LifetimePlan>(undefined, undefined, "app", "request", "handler");
const noLifetime = fc.constantFrom<LifetimePlan>(undefined, undefined, undefined, "request", "app");

const bindings = fc.array(
	fc.record({ replaced: number, by: fc.option(number, { nil: undefined }) }),
	{ maxLength: 2 },
);

const scopePlan: fc.Arbitrary<ScopePlan> = fc.record({
	lifetime: fc.constantFrom<ScopePlan["lifetime"]>(
		undefined,
		"request",
		"request",
		"handler",
		"task",
	),
	concurrent: rarely,
	bindings: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, bindings),
});

const tick = fc.record({ do: fc.constant("tick" as const), ticks });
const use = fc.record({
	do: fc.constant("use" as const),
	resource: number,
	fresh: rarely,
	lifetime: noLifetime,
	ambient: fc.boolean(),
	wait,
});
const useAll = (wide: boolean) =>
	fc.record({
		do: fc.constant("use all" as const),
		resources: fc.array(number, { maxLength: wide ? 4 : 1 }),
		wait,
	});
const register = fc.record({
	do: fc.constant("register" as const),
	how: fc.constantFrom("defer" as const, "adopt" as const, "use" as const),
	ticks,
	fails: rarely,
});
const fail = fc.record({ do: fc.constant("throw" as const) });

/** Lists of steps, nested `depth` deep. `inSetup`: without what makes a setup wait for itself. */
function steps(depth: number, wide: boolean, inSetup: boolean, tame = false): fc.Arbitrary<Step[]> {
	const simple: fc.WeightedArbitrary<Step>[] = [
		{ weight: 3, arbitrary: tick },
		{ weight: 6, arbitrary: use },
		{ weight: 2, arbitrary: useAll(wide) },
		{ weight: 2, arbitrary: register },
		{ weight: 1, arbitrary: fail },
	];
	const nested: fc.WeightedArbitrary<Step>[] = [];
	if (depth > 0) {
		// a scope that a setup leaves running, and which uses the same again, would never end
		const nestedWait = tame ? patient : wait;
		const inner = steps(depth - 1, wide, inSetup, tame);
		nested.push(
			{
				weight: 3,
				arbitrary: fc.record({
					do: fc.constant("scope" as const),
					options: scopePlan,
					steps: inner,
					wait: nestedWait,
				}),
			},
			{
				weight: 1,
				arbitrary: fc.record({
					do: fc.constant("open" as const),
					options: scopePlan,
					steps: inner,
					ending,
					closes: fc.nat({ max: 2 }),
					wait: nestedWait,
				}),
			},
		);
		if (!tame) {
			nested.push(
				{ weight: 1, arbitrary: fc.record({ do: fc.constant("after" as const), steps: inner }) },
				{
					weight: 2,
					arbitrary: fc.record({
						do: fc.constantFrom("spawn" as const, "spawn" as const, "detach" as const),
						steps: inner,
						wait,
					}),
				},
				{ weight: 1, arbitrary: fc.record({ do: fc.constant("float" as const), steps: inner }) },
				{
					weight: 1,
					arbitrary: fc.record({ do: fc.constant("bind" as const), bindings, steps: inner }),
				},
			);
		}
		if (!inSetup) {
			nested.push(
				{ weight: 1, arbitrary: fc.record({ do: fc.constant("move" as const), steps: inner }) },
				{
					weight: 2,
					arbitrary: fc.record({
						do: fc.constant("iterate" as const),
						options: scopePlan,
						steps: inner,
						rest: inner,
						reader: fc.constantFrom(
							"reads" as const,
							"reads" as const,
							"stops" as const,
							"throws" as const,
							"leaves" as const,
						),
						wait,
					}),
				},
			);
		}
	}
	const control: fc.WeightedArbitrary<Step>[] = inSetup
		? []
		: [
				{
					weight: 2,
					arbitrary: fc.record({ do: fc.constant("release" as const), resource: number, wait }),
				},
				{
					weight: 1,
					arbitrary: fc.record({
						do: fc.constantFrom(
							"abort" as const,
							"signal" as const,
							"cancel" as const,
							"complete" as const,
							"fail" as const,
						),
					}),
				},
				{
					weight: 1,
					arbitrary: fc.record({
						do: fc.constant("close" as const),
						which: fc.constantFrom("own" as const, "app" as const),
						wait,
					}),
				},
			];
	return fc.array(fc.oneof(...simple, ...nested, ...control) as fc.Arbitrary<Step>, {
		maxLength: 4,
	});
}

function resourcePlan(cyclic: boolean, wide: boolean): fc.Arbitrary<ResourcePlan> {
	return fc.record({
		kind: fc.constantFrom<Kind>(
			"async generator",
			"async generator",
			"async generator",
			"generator",
			"returned generator",
			"async function",
			"function",
			"class",
		),
		lifetime,
		injected: fc.array(number, { maxLength: wide ? 3 : 1 }),
		setup: steps(1, wide, true, cyclic),
		dispose: fc.constantFrom("sync" as const, "async" as const, "none" as const),
		reply: fc.constantFrom<Reply>(
			"pass",
			"pass",
			"pass",
			"pass",
			"translate",
			"swallow",
			"throw on success",
			"throw always",
			"yield twice",
		),
		releaseTicks: ticks,
		releaseUses: fc.option(number, { nil: undefined, freq: 3 }),
	});
}

/** Scenarios. In cyclic ones setups wait for each other by `use` alone, which is what the library can know of. */
export function plans(cyclic: boolean): fc.Arbitrary<Plan> {
	return fc.oneof(plansOf(cyclic, true), plansOf(cyclic, false));
}

function plansOf(cyclic: boolean, wide: boolean): fc.Arbitrary<Plan> {
	return fc.record({
		cyclic: fc.constant(cyclic),
		wide: fc.constant(wide),
		resources: fc.array(resourcePlan(cyclic, wide), { minLength: 1, maxLength: 6 }),
		app: scopePlan.map((plan) => ({ ...plan, lifetime: "app" as LifetimePlan })),
		tracks: fc.array(steps(2, wide, false), { minLength: 1, maxLength: 3 }),
		ending,
		closesAfter: fc.option(fc.nat({ max: 20 }), { nil: undefined, freq: 3 }),
		closes: fc.integer({ min: 1, max: 3 }),
	});
}
