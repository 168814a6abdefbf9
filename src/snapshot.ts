import { Instance } from "./instance.ts";
import { traceOf } from "./leaks.ts";
import type { Outcome } from "./outcome.ts";
import { type Owner, scopesFrom } from "./owner.ts";
import type { Lifetime } from "./resource.ts";

/** What {@link Scope.inspect} tells of one instance. It never holds the value. */
export interface ResourceSnapshot {
	/** The resource's name. */
	readonly name: string;
	/** `pending`: its setup runs. `ready`: it is in use. `releasing`: its release runs. */
	readonly state: "pending" | "ready" | "releasing";
	/** How long ago its setup began, in milliseconds; while it is pending, how long that has taken so far. */
	readonly age: number;
	/** The names of the resources that its setup used. */
	readonly dependencies: readonly string[];
	/** Those of them that its own setup waits for, as far as they are not there yet. */
	readonly waitsFor: readonly string[];
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
	/** The stack of where it was opened; only if {@link detectLeaks} watched all scopes then. */
	readonly openedAt?: string;
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
	const root = describeScope(owner);
	const snapshots = new Map([[owner, root]]);
	// a parent comes before its children, and the latest child last
	for (const each of scopesFrom(owner)) {
		if (each === owner) continue;
		const snapshot = describeScope(each);
		snapshots.set(each, snapshot);
		snapshots.get(each.parent as Owner)?.children.push(snapshot);
	}
	return root;
}

/** Describes a scope alone; its children are to be added. */
function describeScope(owner: Owner) {
	const entries = owner.entries.toArray();
	const settled = entries.filter((entry) => entry instanceof Instance);
	// a setup that failed may still have something to release
	const kept = settled.filter(({ state }) => state !== "failed");
	const live = [...kept, ...(owner.setups?.toArray() ?? [])];
	const openedAt = traceOf(owner);
	return {
		name: owner.name,
		lifetime: owner.lifetime,
		state: owner.state,
		outcome: owner.outcome.type,
		...(openedAt !== undefined && { openedAt }),
		resources: live.sort((a, b) => a.sequence - b.sequence).map(describe),
		callbacks: entries.length - settled.length,
		running: owner.busy,
		children: [] as ScopeSnapshot[],
	};
}

function describe(instance: Instance): ResourceSnapshot {
	const dependencies = instance.dependencies ?? [];
	const isAwaited = (each: Instance) => instance.pending && each.pending;
	return {
		name: instance.definition.name,
		state: instance.state as ResourceSnapshot["state"], // the others are over
		age: performance.now() - instance.startedAt,
		dependencies: namesOf(dependencies),
		waitsFor: namesOf(dependencies.filter(isAwaited)),
	};
}

function namesOf(instances: readonly Instance[]): string[] {
	return [...new Set(instances.map(({ definition }) => definition.name))];
}
