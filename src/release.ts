import {
	ErrorSwallowedError,
	isObject,
	isThenable,
	ReleaseTimeoutError,
	ScopeIncompleteError,
	YieldedTwiceError,
} from "./errors.ts";
import { type ReleaseEvent, releaseTrace, TracedRelease } from "./events.ts";
import { Callback, type Entry, Instance } from "./instance.ts";
import type { List } from "./list.ts";
import { attachCause, Failure } from "./outcome.ts";
import type { Owner } from "./owner.ts";
import { detailsOf, placeText } from "./path.ts";

/** The outcome that a release goes by, and that it may worsen: the owner's own, or an early release's. */
export interface Verdict {
	readonly completed: boolean;
	failure: Failure | undefined;
	incomplete: ScopeIncompleteError | undefined;
}

/** What a generator is told of anything but success. */
interface Sent {
	readonly error: unknown;
	/** Nobody's failure, only the lack of a success. */
	readonly incomplete: boolean;
}

/**
 * Releases all that `owner` has, dependents first, then latest use first.
 *
 * closing -> releasing -> closed
 *
 * @returns `undefined` if there was nothing to wait for.
 */
export function release(owner: Owner): Promise<void> | undefined {
	owner.state = "releasing";
	const { entries } = owner;
	if (entries.last === undefined) {
		owner.finish();
		return undefined;
	}
	if (owner.ordered && !owner.concurrent)
		return releaseInTurn(owner, { last: entries.last }, entries, owner, true);
	return releaseUnordered(owner);
}

async function releaseUnordered(owner: Owner): Promise<void> {
	const { entries } = owner;
	const limit = owner.concurrent ? Number.POSITIVE_INFINITY : 1;
	const releaseUnit = (unit: Unit) => releaseInTurn(owner, unit, entries, owner, false);
	await releaseByEdges(entries.toArray(), limit, releaseUnit);
	owner.finish();
}

/** What is released in one go. */
export interface Unit {
	readonly last: Entry;
	/** How many, with those before it in the list; all, if undefined. */
	readonly count?: number;
}

/** An instance and what its setup registered, which its scope lists just before it. */
function unitOf(last: Entry): Unit {
	return { last, count: 1 + ((last instanceof Instance && last.registered?.length) || 0) };
}

/**
 * Releases from the last to the first; every one, whatever the others do.
 *
 * @param finishes - Whether the owner is then closed, without another tick.
 */
export async function releaseInTurn(
	owner: Owner,
	{ last, count = Number.POSITIVE_INFINITY }: Unit,
	list: List<Entry>,
	verdict: Verdict,
	finishes: boolean,
): Promise<void> {
	let owesAwait = false;
	let awaited = false;
	let at: number | undefined;
	let entry: Entry | undefined = last;
	for (let left = count; entry !== undefined && left > 0; left--) {
		const { previous }: Entry = entry;
		if (isPlain(owner, entry, verdict)) {
			try {
				let result = begin(entry, undefined);
				if (isThenable(result)) {
					awaited = true;
					result = await result;
				}
				const ending = end(owner, entry, result, undefined);
				if (ending !== undefined) await ending;
			} catch (thrown) {
				answer(entry, thrown, undefined, verdict, undefined);
			}
			list.remove(entry);
			entry.finish();
			at = undefined;
			entry = previous;
			continue;
		}
		const isEmpty = entry instanceof Callback && entry.run === undefined;
		if (isEmpty) owesAwait = true;
		const sent = sentBy(owner, verdict);
		const event = eventOf(owner, entry, sent, verdict);
		try {
			let result =
				event === undefined ? begin(entry, sent) : releaseTrace.run(event, begin, entry, sent);
			if (!isEmpty && (entry instanceof Callback || isThenable(result))) {
				awaited = true;
				const limit = limitOf(owner, entry);
				result = limit === undefined ? await result : await within(result, limit);
			}
			const ending = entry instanceof Instance ? end(owner, entry, result, sent) : undefined;
			if (ending !== undefined) {
				const limit = limitOf(owner, entry);
				await (limit === undefined ? ending : within(ending, limit));
			}
		} catch (thrown) {
			if (Overrun.is(thrown)) overrun(owner, entry, thrown, sent, verdict, event);
			else answer(entry, thrown, sent, verdict, event);
		}
		// not before: inspect() shows what takes its time
		list.remove(entry);
		if (entry instanceof Instance) entry.finish();
		if (event !== undefined) releaseTrace.finish(event);
		at = event?.endedAt;
		entry = previous;
	}
	// https://tc39.es/proposal-explicit-resource-management/#sec-disposeresources, step 4
	if (owesAwait && !awaited) await undefined;
	if (finishes) owner.finish(at);
}

/** {@link releaseInTurn} for a scope that can't wait: nothing in it is asynchronous. */
export function releaseSync(owner: Owner): void {
	for (let entry = owner.entries.last; entry !== undefined; entry = owner.entries.last) {
		owner.entries.remove(entry);
		const sent = sentBy(owner, owner);
		const event = eventOf(owner, entry, sent, owner);
		try {
			const result =
				event === undefined ? begin(entry, sent) : releaseTrace.run(event, begin, entry, sent);
			if (entry instanceof Instance)
				end(owner, entry, result, sent)?.catch((error) => owner.report(error));
		} catch (thrown) {
			answer(entry, thrown, sent, owner, event);
		}
		if (entry instanceof Instance) entry.finish();
		if (event !== undefined) releaseTrace.finish(event);
	}
}

/**
 * Releases each entry as soon as its dependents have been, at most `limit` at a time: those first whose use came
 * last. What a setup registered goes right after its instance, as one unit.
 */
export function releaseByEdges(
	entries: readonly Entry[],
	limit: number,
	releaseUnit: (unit: Unit) => Promise<void>,
): Promise<void> {
	const members = new Set<Entry>(entries);
	const grouped = new Set<Entry>();
	for (const entry of entries) {
		if (!(entry instanceof Instance)) continue;
		for (const callback of entry.registered ?? []) grouped.add(callback);
		for (const dependency of entry.dependencies ?? [])
			if (members.has(dependency)) dependency.dependents++;
	}
	/** Those without dependents, latest use last. */
	const ready = entries.filter(
		(entry) => !grouped.has(entry) && !(entry instanceof Instance && entry.dependents > 0),
	);
	ready.sort((a, b) => a.sequence - b.sequence);
	let running = 0;
	return new Promise((resolve) => {
		const proceed = () => {
			while (running < limit) {
				const entry = ready.pop() ?? (running === 0 ? firstOfCircle(entries) : undefined);
				if (entry === undefined) break;
				running++;
				const freed =
					entry instanceof Instance
						? (entry.dependencies ?? []).filter((each) => members.has(each))
						: [];
				void releaseUnit(unitOf(entry)).then(() => {
					running--;
					for (const dependency of freed)
						if (--dependency.dependents === 0) insert(ready, dependency);
					proceed();
				});
			}
			if (running === 0) resolve();
		};
		proceed();
	});
}

/**
 * Whom to begin with where only circles are left: what a setup uses without waiting may come to depend on its instance.
 * It is the latest that a setup didn't wait for.
 */
function firstOfCircle(entries: readonly Entry[]): Instance | undefined {
	const held: Instance[] = [];
	for (const entry of entries)
		if (entry instanceof Instance && entry.dependents > 0) held.push(entry);
	const dependentOf = new Map<Instance, Instance>();
	for (const each of held)
		for (const dependency of each.dependencies ?? []) dependentOf.set(dependency, each);
	// from dependent to dependent, one gets into a circle
	let at: Instance | undefined = held[0];
	const seen = new Set<Instance>();
	for (; at !== undefined && !seen.has(at); at = dependentOf.get(at)) seen.add(at);
	if (at === undefined) return undefined;
	let first: Instance | undefined;
	let dependency = at;
	do {
		const dependent = dependentOf.get(dependency) as Instance; // it's a circle
		const unawaited = dependency.readySequence > dependent.readySequence;
		if (unawaited && (first === undefined || dependency.sequence > first.sequence))
			first = dependency;
		dependency = dependent;
	} while (dependency !== at);
	first ??= at;
	first.dependents = 0;
	return first;
}

/** Keeps `ready` sorted. What becomes ready belongs near the end, as a rule. */
function insert(ready: Entry[], entry: Entry): void {
	let at = ready.length;
	while (at > 0 && (ready[at - 1] as Entry).sequence > entry.sequence) at--;
	ready.splice(at, 0, entry);
}

/** Whether `entry` is what most are: a generator to be told of success, that may take its time, and nobody listens. */
function isPlain(owner: Owner, entry: Entry, verdict: Verdict): entry is Instance {
	if (!(entry instanceof Instance) || entry.generator === undefined) return false;
	const isSuccess = verdict.completed && verdict.failure === undefined;
	return isSuccess && limitOf(owner, entry) === undefined && !releaseTrace.hasSubscribers;
}

/** What the next generator is told; undefined is success. */
function sentBy(owner: Owner, verdict: Verdict): Sent | undefined {
	if (verdict.failure !== undefined) return { error: verdict.failure.error, incomplete: false };
	if (verdict.completed) return undefined;
	verdict.incomplete ??= new ScopeIncompleteError(
		`Scope "${owner.name}" closed and nobody said whether its work succeeded. Call complete() when it has, or use withScope().`,
		{ scope: owner.name },
	);
	return { error: verdict.incomplete, incomplete: true };
}

function begin(entry: Entry, sent: Sent | undefined): unknown {
	if (entry instanceof Callback) return entry.run?.();
	entry.state = "releasing";
	if (entry.generator === undefined) return entry.dispose?.();
	return sent === undefined ? entry.generator.next() : entry.generator.throw(sent.error);
}

/** What is left to say of an instance once its release has begun. */
type Released = Pick<Instance, "definition" | "creator" | "generator">;

/** Looks at how a generator ended. Throws what it then did wrong; a promise if that takes time. */
function end(
	owner: Owner,
	{ definition, creator, generator }: Released,
	result: unknown,
	sent: Sent | undefined,
): Promise<void> | undefined {
	if (generator === undefined) return undefined;
	if (!(result as IteratorResult<unknown>).done) {
		const twice = new YieldedTwiceError(
			`${definition.name} yielded twice in ${placeText(definition, owner, creator)}. A resource yields once: end the generator after its cleanup, and end its catch with \`throw error\`.`,
			detailsOf(definition, owner, creator),
		);
		return closeGenerator(owner, generator, twice);
	}
	if (sent !== undefined && !sent.incomplete) {
		owner.report(
			new ErrorSwallowedError(
				`${definition.name} caught the work's error in ${placeText(definition, owner, creator)} and didn't throw it on. The work has failed all the same: end the catch with \`throw error\`.`,
				{ cause: sent.error, ...detailsOf(definition, owner, creator) },
			),
		);
	}
	return undefined;
}

/** Closes a generator that yielded what or when it may not, and throws the error for it: later, if closing takes time. */
export function closeGenerator(
	owner: Owner,
	generator: NonNullable<Instance["generator"]>,
	refusal: unknown,
): Promise<never> {
	let closing: unknown;
	try {
		closing = generator.return(undefined);
	} catch (error) {
		owner.report(error);
	}
	if (!isThenable(closing)) throw refusal;
	return Promise.resolve(closing)
		.catch((error) => owner.report(error))
		.then(() => {
			throw refusal;
		});
}

/** Whether somebody is to be told of the release of `entry`, and what. */
function eventOf(
	owner: Owner,
	entry: Entry,
	sent: Sent | undefined,
	verdict: Verdict,
): ReleaseEvent | undefined {
	if (!releaseTrace.hasSubscribers) return undefined;
	if (entry instanceof Callback && entry.run === undefined) return undefined;
	const instance = entry instanceof Instance ? entry : undefined;
	return new TracedRelease(owner, instance, sent, verdict !== owner);
}

/** Takes in what a release threw. */
function answer(
	entry: Entry,
	thrown: unknown,
	sent: Sent | undefined,
	verdict: Verdict,
	event: ReleaseEvent | undefined,
): void {
	const { failure } = verdict;
	const isReply = sent !== undefined && entry instanceof Instance && entry.generator !== undefined;
	if (isReply && Object.is(thrown, sent.error)) return;
	if (event !== undefined) event.error = thrown;
	if (isReply) {
		// unless a concurrent release has changed the error meanwhile, this is its translation
		if (failure !== undefined && Object.is(failure.error, sent.error)) {
			failure.translate(thrown);
			return;
		}
		attachCause(thrown, sent.error);
	}
	if (failure === undefined) verdict.failure = new Failure(thrown);
	else failure.suppressed.push(thrown);
}

/** The longest that a timer can wait, in ms; longer is for ever. */
const longest = 2 ** 31 - 1;

/** How long `entry` may take, in ms. */
function limitOf(owner: Owner, entry: Entry): number | undefined {
	const own = entry instanceof Instance ? entry.definition.releaseTimeout : undefined;
	const limit = own ?? owner.releaseTimeout;
	return limit === undefined || limit > longest ? undefined : limit;
}

/** Says that a release took too long; it may still end. */
class Overrun {
	readonly #brand = true;
	readonly limit: number;
	readonly late: unknown;

	/** `instanceof` asks what was thrown for its prototype, and a revoked proxy throws at that. */
	static is(value: unknown): value is Overrun {
		return isObject(value) && #brand in value;
	}

	constructor(limit: number, late: unknown) {
		this.limit = limit;
		this.late = late;
	}
}

async function within(result: unknown, limit: number): Promise<unknown> {
	let timer: ReturnType<typeof setTimeout> | undefined;
	// not unref'd: it must go on to the next release even where nothing else keeps the process alive
	const expired = new Promise((_resolve, reject) => {
		timer = setTimeout(() => reject(new Overrun(limit, result)), limit);
	});
	try {
		return await Promise.race([result, expired]);
	} finally {
		clearTimeout(timer);
	}
}

/** Counts a release that nobody has seen finish as failed, and reports what it does later. */
function overrun(
	owner: Owner,
	entry: Entry,
	{ limit, late }: Overrun,
	sent: Sent | undefined,
	verdict: Verdict,
	event: ReleaseEvent | undefined,
): void {
	const instance = entry instanceof Instance ? entry : undefined;
	const place = instance
		? `${instance.definition.name} in ${placeText(instance.definition, owner, instance.creator)}`
		: `a callback in scope "${owner.name}"`;
	const error = new ReleaseTimeoutError(
		`Releasing ${place} took longer than ${limit} ms. The others are released all the same; find out what it waits for, or raise releaseTimeout.`,
		instance
			? detailsOf(instance.definition, owner, instance.creator)
			: { resource: "a callback", scope: owner.name, path: ["a callback"] },
	);
	if (event !== undefined) event.error = error;
	if (verdict.failure === undefined) verdict.failure = new Failure(error);
	else owner.report(error);
	// the instance forgets its generator as soon as the others go on
	const released: Released | undefined = instance && {
		definition: instance.definition,
		creator: instance.creator,
		generator: instance.generator,
	};
	Promise.resolve(late)
		.then((result) => released && end(owner, released, result, sent))
		.catch((lateError) => {
			if (!Object.is(lateError, sent?.error)) owner.report(lateError);
		});
}
