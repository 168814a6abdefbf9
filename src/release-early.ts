import { cycleError, locate, requesterOf } from "./acquire.ts";
import { Failure } from "./outcome.ts";
import { Departure, type Entry, type Frame, Instance, isWithin, type Owner } from "./owner.ts";
import { releaseByEdges, releaseInTurn, type Verdict } from "./release.ts";
import type { Definition } from "./resource.ts";

/** Releases what `definition` means in `origin` and all that depends on it, before its scope closes. */
export async function releaseEarly(
	origin: Owner,
	definition: Definition,
	frame: Frame | undefined,
): Promise<void> {
	// a scope that releases gets to it by itself, and its release code must not wait for that
	if (isReleasing(origin)) return;
	const place = locate(origin, definition, undefined, frame);
	const instance = "owner" in place ? place.owner.shared(place.target) : undefined;
	if (instance === undefined || isReleasing(instance.owner)) return;
	const { owner } = instance;
	const departure = new Departure();
	// the close waits from here on: it would release the same
	const busy = [owner];
	owner.begin();
	try {
		await untilReleasable(instance, frame);
		const doomed = dependentsOf(instance).filter((each) => each.state === "ready");
		if (doomed.length > 0) await depart(departure, owner, doomed, busy);
	} finally {
		departure.finish();
		for (const each of busy) each.end();
	}
}

/** Releases `doomed`, and adds to `busy` the scopes whose close is to wait for that. */
async function depart(
	departure: Departure,
	owner: Owner,
	doomed: Instance[],
	busy: Owner[],
): Promise<void> {
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
		else {
			busy.push(each);
			each.begin();
		}
	}
	for (const each of doomed) {
		each.departure = departure;
		each.owner.forget(each);
	}
	const releaseUnit = (unit: Entry[]) => {
		const own = (unit.at(-1) as Instance).owner; // an instance and what its setup registered
		return own.enterContext(departure.frameOf(own), () => releaseInTurn(own, unit, verdict), unit);
	};
	await releaseByEdges([...gone], 1, releaseUnit);
	for (const each of owners) if (!each.sync) drop(each);
	if (verdict.failure?.isNews) throw verdict.failure.combined();
}

function isReleasing(owner: Owner): boolean {
	return owner.state === "releasing" || owner.state === "closed";
}

/**
 * Waits until an instance and those that depend on it, here and in the scopes below, are ready and nobody else
 * releases them. Then they are the caller's, if it takes them at once.
 */
async function untilReleasable(instance: Instance, frame: Frame | undefined): Promise<void> {
	for (;;) {
		const blockers: Promise<unknown>[] = [];
		for (const each of dependentsOf(instance)) {
			const blocker = blockerOf(each);
			if (blocker === undefined) continue;
			if (blocker.isOf(frame)) {
				throw cycleError([each.definition.name, instance.definition.name], each.owner);
			}
			blockers.push(blocker.over);
		}
		if (blockers.length === 0) return;
		await Promise.all(blockers);
	}
}

/** What has to end before `instance` can be released by somebody else, and whether what a frame does is part of it. */
function blockerOf(
	instance: Instance,
):
	| { readonly over: Promise<unknown>; readonly isOf: (frame: Frame | undefined) => boolean }
	| undefined {
	const { owner, departure } = instance;
	if (departure?.pending) {
		return { over: departure.over, isOf: (frame) => departure.includes(frame) };
	}
	if (isReleasing(owner)) {
		return {
			over: Promise.resolve(owner.closing),
			isOf: (frame) => frame !== undefined && isWithin(frame.owner, owner),
		};
	}
	if (!instance.pending) return undefined;
	return { over: instance.ended(), isOf: (frame) => requesterOf(frame) === instance };
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
