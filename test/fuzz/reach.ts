import type { Plan, ScopePlan, Step } from "./plan.ts";

/** The resource that `wanted` means for code that may use those below `limit`. */
export function pick(wanted: number, limit: number): number | undefined {
	return limit === 0 ? undefined : wanted % limit;
}

/** Setups of a scenario without cycles may use resources of a lower number. */
export function limitOf(plan: Plan, index: number): number {
	return plan.cyclic ? plan.resources.length : index;
}

/** For each resource those that it may depend on, itself among them: whatever is in its place, and whether it waits. */
export function reachOf(plan: Plan): ReadonlySet<number>[] {
	const count = plan.resources.length;
	const direct = plan.resources.map(({ injected, setup }, index) => {
		const found = injected.map((each) => pick(each, index));
		found.push(...usedBy(setup).map((each) => pick(each, limitOf(plan, index))));
		return new Set(found.filter((each) => each !== undefined));
	});
	for (const { replaced, by } of bindingsIn(plan)) {
		const index = replaced % count;
		const other = by === undefined ? undefined : pick(by, limitOf(plan, index));
		// who asks for the one gets the other, and so does an early release
		if (other !== undefined) direct[index]?.add(other);
		if (other !== undefined) direct[other]?.add(index);
	}
	return direct.map((_, index) => {
		const reach = new Set([index]);
		for (const each of reach) for (const next of direct[each] ?? []) reach.add(next);
		return reach;
	});
}

function usedBy(steps: readonly Step[]): number[] {
	return steps.flatMap((step) => {
		if (step.do === "use") return [step.resource];
		if (step.do === "use all") return [...step.resources];
		if (step.do === "iterate") return usedBy([...step.steps, ...step.rest]);
		return "steps" in step ? usedBy(step.steps) : [];
	});
}

function bindingsIn(node: unknown): ScopePlan["bindings"] {
	if (typeof node !== "object" || node === null) return [];
	return Object.entries(node).flatMap(([key, value]) =>
		key === "bindings" ? (value as ScopePlan["bindings"]) : bindingsIn(value),
	);
}
