import { CircularDependencyError } from "./errors.ts";
import type { Instance } from "./instance.ts";
import { isWithin, type Owner } from "./owner.ts";
import { joinPath } from "./path.ts";
import { type Definition, isSame } from "./resource.ts";

/** Finds out whether `target`, which `requester` is about to wait for, waits for `requester`. */
export function refuseCycle(target: Instance, requester: Instance): void {
	const cameFrom = new Map<Instance, Instance | undefined>();
	const stack: { readonly at: Instance; readonly from: Instance | undefined }[] = [
		{ at: target, from: undefined },
	];
	for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
		const { at, from } = step;
		if (cameFrom.has(at)) continue;
		cameFrom.set(at, from);
		if (at === requester) {
			const path: string[] = [];
			for (let back: Instance | undefined = at; back !== undefined; back = cameFrom.get(back)) {
				path.push(back.definition.name);
			}
			throw cycleError([requester.definition.name, ...path.reverse()], requester.owner);
		}
		// in the order of use, so that the path goes by what asked first, not by what a scope's opener waits for besides
		for (const next of [...(at.dependencies ?? [])].reverse()) {
			if (next.pending) stack.push({ at: next, from: at });
		}
	}
}

/**
 * Refuses a setup that asks for its own resource again, by a fresh instance, in a scope opened in it, or after a failure,
 * directly or through others: it would never end.
 */
export function refuseRecursion(
	target: Definition,
	owner: Owner,
	requester: Instance,
	fresh: boolean | undefined,
): void {
	// otherwise one instance is shared, and refuseCycle looks after it
	const inward = owner !== requester.owner && !isWithin(requester.owner, owner);
	if (!fresh && !inward && !owner.hasFailedSetup) return;
	for (let at: Instance | undefined = requester; at !== undefined; at = at.creator) {
		if (!isSame(at.definition, target)) continue;
		// in a scope that encloses the other it is another instance, and the end of it
		if (at.owner !== owner && isWithin(at.owner, owner)) continue;
		const path = [target.name];
		for (let each: Instance | undefined = requester; each !== at; each = each?.creator) {
			path.unshift(each?.definition.name as string); // `at` is among the creators
		}
		throw cycleError([at.definition.name, ...path], owner);
	}
}

export function cycleError(path: readonly string[], scope: Owner): CircularDependencyError {
	const resource = path[path.length - 1] as string; // a path has at least its resource
	return new CircularDependencyError(
		`Circular dependency in scope "${scope.name}": ${joinPath(path)}. Pass what they share through a third resource, or use one of them after its setup.`,
		{ resource, scope: scope.name, path },
	);
}
