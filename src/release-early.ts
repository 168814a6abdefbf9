import { cycleError } from "./cycle.ts";
import { type Frame, requesterOf, setupIn, Task } from "./frame.ts";
import { type Entry, Instance, ignore } from "./instance.ts";
import { List } from "./list.ts";
import { findBinding, findOwner, notProvided } from "./locate.ts";
import { Failure } from "./outcome.ts";
import { isReleasing, isWithin, Owner, scopesFrom } from "./owner.ts";
import { releaseByEdges, releaseInTurn, type Unit, type Verdict } from "./release.ts";
import { type Definition, isSame } from "./resource.ts";

/** An early release under way. */
export class Departure {
	pending = true;
	/** What it took out of sync scopes, whose close can't wait, and isn't to find it. */
	readonly entries: List<Entry> = new List();
	/** Resolves when it has ended. */
	readonly over: Promise<void>;
	readonly #frames: Task[] = [];
	#resolve: () => void = ignore;

	constructor() {
		this.over = new Promise((resolve) => {
			this.#resolve = resolve;
		});
	}

	/** The frame of the release code of what `owner` owns. */
	frameOf(owner: Owner): Task {
		let task = this.#frames.find((each) => each.owner === owner);
		if (task === undefined) {
			task = new Task(owner);
			this.#frames.push(task);
		}
		return task;
	}

	/** Whether what happens in `frame` is a part of it. */
	includes(frame: Frame | undefined): boolean {
		const task = frame instanceof Owner ? frame.task : frame;
		return task instanceof Task && this.#frames.includes(task);
	}

	finish(): void {
		this.pending = false;
		for (const task of this.#frames) task.pending = false;
		this.#resolve();
	}
}

/** Releases what `definition` means in `origin` and all that depends on it, before its scope closes. */
export async function releaseEarly(
	origin: Owner,
	definition: Definition,
	frame: Frame | undefined,
): Promise<void> {
	// a scope that releases gets to it by itself, and its release code must not wait for that
	if (isReleasing(origin)) return;
	const consumer = setupIn(frame);
	const bound = findBinding(origin, definition, consumer);
	const target = bound === undefined ? definition : bound.binding.definition;
	if (target === undefined) return;
	if (target.setup === undefined) throw notProvided(origin, target, frame);
	const place = findOwner(origin, definition, target, undefined, consumer, bound);
	if (isReleasing(place)) return;
	const instance = place.shared(target);
	if (instance === undefined) {
		const { departure } = instancesOf(place).find((each) => isLeaving(each, target)) ?? {};
		if (!departure?.includes(frame)) await departure?.over;
		return;
	}
	const departure = new Departure();
	const { owner } = instance;
	const owners = new Set([owner]);
	const letGo = (each: Owner) => {
		if (owners.delete(each) && !each.sync) each.end();
	};
	owner.begin();
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
			if (each.owner.sync) takeOut(each, departure);
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
	const leaving = taken.filter(isListed);
	const left = new Map<Owner, number>();
	for (const { owner } of leaving) left.set(owner, (left.get(owner) ?? 0) + 1);
	const releaseUnit = async (unit: Unit) => {
		const { owner } = unit.last as Instance; // after what its setup registered
		const list = owner.sync ? departure.entries : owner.entries;
		const verdict = failed.get(owner) ?? succeeded;
		await owner.enterContext(
			departure.frameOf(owner),
			() => releaseInTurn(owner, unit, list, verdict, false),
			unit,
		);
		const rest = (left.get(owner) as number) - 1; // each unit has been counted
		left.set(owner, rest);
		if (rest === 0) letGo(owner);
	};
	await releaseByEdges(leaving.flatMap(entriesOf), 1, releaseUnit);
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

/** Whether its scope has it to release: a setup that failed may have left something, too. */
function isListed({ state, registered }: Instance): boolean {
	return state === "ready" || (state === "failed" && registered !== undefined);
}

function takeOut(instance: Instance, departure: Departure): void {
	if (!isListed(instance)) return;
	for (const entry of entriesOf(instance)) {
		instance.owner.entries.remove(entry);
		departure.entries.push(entry);
	}
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
	return [...owner.entries.toArray(), ...(owner.setups?.toArray() ?? [])].filter(
		(entry) => entry instanceof Instance,
	);
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
