import { cycleError, locate, requesterOf } from "./acquire.ts";
import { Failure } from "./outcome.ts";
import { type Entry, type Frame, frames, Instance, type Owner } from "./owner.ts";
import { releaseByEdges, type Verdict } from "./release.ts";
import type { Definition } from "./resource.ts";

/** Releases what `definition` means in `origin` and all that depends on it, before its scope closes. */
export async function releaseEarly(
	origin: Owner,
	definition: Definition,
	frame: Frame | undefined,
): Promise<void> {
	// a scope that releases gets to it by itself, and its release code must not wait for that
	if (origin.state === "releasing" || origin.state === "closed") return;
	const place = locate(origin, definition, undefined, frame);
	const instance = "owner" in place ? place.owner.shared(place.target) : undefined;
	if (instance === undefined) return;
	const { owner } = instance;
	const doomed = await settledDependents(instance, requesterOf(frame));
	if (doomed.length === 0) return;
	const verdict: Verdict = {
		completed: true,
		failure: owner.failure && new Failure(owner.failure.error, true),
		incomplete: undefined,
	};
	const owners = new Set(doomed.map((each) => each.owner));
	const gone = new Set<Entry>(doomed.flatMap((each) => [each, ...(each.registered ?? [])]));
	const drop = (each: Owner) => {
		each.entries = each.entries.filter((entry) => !gone.has(entry));
	};
	for (const each of owners) {
		// a sync scope's close can't wait for this, so it is not to find them
		if (each.sync) drop(each);
		else each.begin();
	}
	for (const each of doomed) each.owner.forget(each);
	await frames.run(owner, () => releaseByEdges(owner, [...gone], verdict, 1));
	for (const each of owners) {
		if (each.sync) continue;
		drop(each);
		each.end();
	}
	if (verdict.failure?.isNews) throw verdict.failure.combined();
}

/** An instance and those that depend on it, here and in the scopes below, once their setups are done. */
async function settledDependents(
	instance: Instance,
	requester: Instance | undefined,
): Promise<Instance[]> {
	for (;;) {
		const found = dependentsOf(instance);
		const pending = found.filter((each) => each.pending);
		if (requester !== undefined && pending.includes(requester)) {
			throw cycleError([requester.definition.name, instance.definition.name], requester.owner);
		}
		if (pending.length === 0) return found.filter((each) => each.state === "ready");
		await Promise.allSettled(pending.map((each) => each.promise));
	}
}

function dependentsOf(instance: Instance): Instance[] {
	const dependents = new Map<Instance, Instance[]>();
	const visit = (owner: Owner) => {
		for (const entry of [...owner.entries, ...owner.setups]) {
			if (!(entry instanceof Instance)) continue;
			for (const dependency of entry.dependencies ?? []) {
				dependents.set(dependency, [...(dependents.get(dependency) ?? []), entry]);
			}
		}
		for (let child = owner.lastChild; child !== undefined; child = child.previousSibling)
			visit(child);
	};
	visit(instance.owner);
	const found = new Set([instance]);
	for (const each of found)
		for (const dependent of dependents.get(each) ?? []) found.add(dependent);
	return [...found];
}
