import type { Outcome } from "./outcome.ts";
import { Instance, type Owner } from "./owner.ts";
import type { Lifetime } from "./resource.ts";

/** What {@link Scope.inspect} tells of one instance. It never holds the value. */
export interface ResourceSnapshot {
	/** The resource's name. */
	readonly name: string;
	/** `pending`: its setup runs. `ready`: it is in use. `releasing`: its release runs. */
	readonly state: "pending" | "ready" | "releasing";
	/** How long its setup took, or has taken so far, in milliseconds. */
	readonly setupDuration: number;
	/** How long ago its setup began, in milliseconds. */
	readonly age: number;
	/** The names of the resources that its setup used. */
	readonly dependencies: readonly string[];
}

/** What {@link Scope.inspect} tells of a scope, at that moment. */
export interface ScopeSnapshot {
	/** The scope's name. */
	readonly name: string;
	/** The scope's lifetime, if it has one. */
	readonly lifetime: Lifetime | undefined;
	/** `closing`: it waits for what still runs. `releasing`: nothing can be acquired any more. */
	readonly state: "open" | "closing" | "releasing" | "closed";
	/** How its work ended, as far as it is known. */
	readonly outcome: Outcome["type"];
	/** The live instances, in the order of the uses that made them. */
	readonly resources: readonly ResourceSnapshot[];
	/** How many callbacks are registered with `defer`, `adopt` and `use(disposable)`. */
	readonly callbacks: number;
	/** How many tasks, early releases and child scopes its close waits for. */
	readonly running: number;
	/** The open scopes below, in the order in which they were opened. */
	readonly children: readonly ScopeSnapshot[];
}

/** Describes a scope and those below. */
export function snapshotOf(owner: Owner): ScopeSnapshot {
	const settled = owner.entries.filter((entry) => entry instanceof Instance);
	const kept = settled.filter(({ state }) => state === "ready" || state === "releasing");
	const live = [...kept, ...owner.setups];
	const children: ScopeSnapshot[] = [];
	for (let child = owner.lastChild; child !== undefined; child = child.previousSibling) {
		children.push(snapshotOf(child));
	}
	return {
		name: owner.name,
		lifetime: owner.lifetime,
		state: owner.state,
		outcome: owner.outcome.type,
		resources: live.sort((a, b) => a.sequence - b.sequence).map(describe),
		callbacks: owner.entries.length - settled.length,
		running: owner.busy,
		children: children.reverse(),
	};
}

function describe(instance: Instance): ResourceSnapshot {
	const now = performance.now();
	return {
		name: instance.definition.name,
		state: instance.state as ResourceSnapshot["state"], // the others are over
		setupDuration: (instance.pending ? now : instance.readyAt) - instance.startedAt,
		age: now - instance.startedAt,
		dependencies: [...new Set(instance.dependencies?.map((each) => each.definition.name))],
	};
}
