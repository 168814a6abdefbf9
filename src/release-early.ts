import { cycleError, locate, requesterOf } from "./acquire.ts";
import { Failure } from "./outcome.ts";
import {
	Departure,
	type Entry,
	type Frame,
	Instance,
	isReleasing,
	isWithin,
	type Owner,
	scopesFrom,
} from "./owner.ts";
import { releaseByEdges, releaseInTurn, type Verdict } from "./release.ts";
import { type Definition, isSame } from "./resource.ts";

/** Releases what `definition` means in `origin` and all that depends on it, before its scope closes. */
export async function releaseEarly(
	origin: Owner,
	definition: Definition,
	frame: Frame | undefined,
): Promise<void> {
	// a scope that releases gets to it by itself, and its release code must not wait for that
	if (isReleasing(origin)) return;
	const place = locate(origin, definition, undefined, frame);
	if (!("owner" in place) || isReleasing(place.owner)) return;
	const instance = place.owner.shared(place.target);
	if (instance === undefined) {
		const { departure } =
			instancesOf(place.owner).find((each) => isLeaving(each, place.target)) ?? {};
		if (!departure?.includes(frame)) await departure?.over;
		return;
	}
	const departure = new Departure();
	const { owner } = instance;
	const owners = new Set([owner]);
	const letGo = (each: Owner) => {
		if (owners.delete(each) && !each.sync) each.end();
	};
	if (!owner.sync) owner.begin();
	try {
		let taken: Instance[];
		for (let asking = true; ; asking = false) {
			const all = dependentsOf(instance);
			const blockers = all
				.map((each) => blockerOf(each, departure))
				.filter((each) => each !== undefined);
			for (const { isOf, of } of blockers) {
				// a scope that begins to release later doesn't do so in the code that asks
				if (isOf(frame) && (asking || of.pending))
					throw cycleError([of.definition.name, instance.definition.name], of.owner);
			}
			for (const each of all) {
				const free = !each.departure?.pending && !isReleasing(each.owner) && !goesWith(each, all);
				if (free) take(each, departure);
			}
			// what a blocker leaves behind may be for this to release after all
			taken = all.filter((each) => each.departure === departure && !goesWith(each, all));
			if (blockers.length === 0) break;
			await Promise.all(blockers.map(({ over }) => over));
		}
		// not before: what is waited for may itself wait for a scope below to close, which then releases its part
		for (const each of taken) {
			// a sync scope's close can't wait, and isn't to find it
			if (each.owner.sync) drop(each.owner, new Set(entriesOf(each)));
			else if (!owners.has(each.owner)) each.owner.begin();
			owners.add(each.owner);
		}
		await depart(departure, taken, letGo);
	} finally {
		departure.finish();
		for (const each of owners) letGo(each);
	}
}

/** Puts an instance in the charge of an early release: the next `use` makes another. */
function take(instance: Instance, departure: Departure): void {
	instance.departure = departure;
	instance.owner.forget(instance);
}

/**
 * Releases what a departure has taken, each by the outcome of its own scope's work, and lets go of a scope as soon as
 * nothing in it is left to release: what is still to be released may wait for its close.
 */
async function depart(
	departure: Departure,
	taken: readonly Instance[],
	letGo: (owner: Owner) => void,
): Promise<void> {
	const succeeded: Verdict = { completed: true, failure: undefined, incomplete: undefined };
	const failed = new Map<Owner, Verdict>();
	for (const { owner } of taken) {
		if (owner.failure === undefined) continue;
		failed.set(owner, { ...succeeded, failure: new Failure(owner.failure.error, true) });
	}
	// a setup that failed may have left something to release, too
	const leaving = taken.filter(
		(each) => each.state === "ready" || (each.state === "failed" && each.registered),
	);
	const entries = leaving.flatMap(entriesOf);
	const gone = new Set(entries);
	const left = new Map<Owner, number>();
	for (const { owner } of leaving) left.set(owner, (left.get(owner) ?? 0) + 1);
	const releaseUnit = async (unit: Entry[]) => {
		const { owner } = unit.at(-1) as Instance; // an instance, after what its setup registered
		const verdict = failed.get(owner) ?? succeeded;
		await owner.enterContext(
			departure.frameOf(owner),
			() => releaseInTurn(owner, unit, verdict),
			unit,
		);
		const rest = (left.get(owner) as number) - 1; // each unit has been counted
		left.set(owner, rest);
		if (rest > 0) return;
		drop(owner, gone);
		letGo(owner);
	};
	await releaseByEdges(entries, 1, releaseUnit);
	const news = [succeeded, ...failed.values()].flatMap(({ failure }) =>
		failure?.isNews ? [failure.combined()] : [],
	);
	if (news.length === 0) return;
	const all = new Failure(news[0]);
	all.suppressed.push(...news.slice(1));
	throw all.combined();
}

/** An instance and what its setup registered, as its scope lists them. */
function entriesOf(instance: Instance): Entry[] {
	return [...(instance.registered ?? []), instance];
}

function drop(owner: Owner, gone: ReadonlySet<Entry>): void {
	owner.entries = owner.entries.filter((entry) => !gone.has(entry));
}

/** Whether an instance lives in a scope that the setup of one of `openers` opened, and which ends with that. */
function goesWith({ owner }: Instance, openers: readonly Instance[]): boolean {
	for (let at: Owner | undefined = owner; at !== undefined; at = at.parent) {
		const { opener, held } = at;
		if (opener !== undefined && (held || opener.pending) && openers.includes(opener)) return true;
	}
	return false;
}

function instancesOf(owner: Owner): Instance[] {
	return [...owner.entries, ...owner.setups].filter((entry) => entry instanceof Instance);
}

function isLeaving(instance: Instance, definition: Definition): boolean {
	return instance.departure?.pending === true && isSame(instance.definition, definition);
}

/** What has to end before `instance` can be released by somebody else, and whether what a frame does is part of it. */
function blockerOf(
	instance: Instance,
	own: Departure,
):
	| {
			readonly of: Instance;
			readonly over: Promise<unknown>;
			readonly isOf: (frame: Frame | undefined) => boolean;
	  }
	| undefined {
	const { owner, departure } = instance;
	if (departure?.pending && departure !== own) {
		return { of: instance, over: departure.over, isOf: (frame) => departure.includes(frame) };
	}
	if (isReleasing(owner)) {
		return {
			of: instance,
			over: Promise.resolve(owner.closing),
			isOf: (frame) => frame !== undefined && isWithin(frame.owner, owner),
		};
	}
	if (!instance.pending) return undefined;
	return { of: instance, over: instance.ended(), isOf: (frame) => requesterOf(frame) === instance };
}

function dependentsOf(instance: Instance): Instance[] {
	const dependents = new Map<Instance, Instance[]>();
	for (const owner of scopesFrom(instance.owner)) {
		for (const entry of instancesOf(owner)) {
			for (const dependency of entry.dependencies ?? []) {
				const known = dependents.get(dependency);
				if (known === undefined) dependents.set(dependency, [entry]);
				else known.push(entry);
			}
		}
	}
	const found = new Set([instance]);
	for (const each of found)
		for (const dependent of dependents.get(each) ?? []) found.add(dependent);
	return [...found];
}
