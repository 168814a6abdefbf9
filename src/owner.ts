import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { AcquireAbortedError, type ScopeIncompleteError } from "./errors.ts";
import { Failure, type Outcome } from "./outcome.ts";
import { detailsOf, placeText } from "./path.ts";
import { type Definition, isSame, type Lifetime, type Replacement } from "./resource.ts";
import type { Scope } from "./scope.ts";
import type { SyncScope } from "./sync-scope.ts";

/** Who is running: the ambient scope, or a setup or a task on behalf of one. */
export type Frame = Owner | Instance | Task | Visit;

/** The ambient frame. The one piece of module state there is. */
export const frames: AsyncLocalStorage<Frame> = new AsyncLocalStorage();

/** Anything that a scope releases. */
export type Entry = Instance | Callback;

/** Receives the errors that can't reach a caller. */
export type ErrorReporter = (error: unknown) => void;

/** What `use` found: an instance, or a provided value. */
export type Acquisition = Instance | Replacement;

/** Work that its scope waits for: a spawned task, or `after` work. */
export class Task {
	readonly owner: Owner;
	pending = true;

	constructor(owner: Owner) {
		this.owner = owner;
	}
}

/** Somebody at work in another scope than their own, by `run` or `enter`: what they use there, they use all the same. */
export class Visit {
	/** The scope that is ambient. */
	readonly owner: Owner;
	readonly visitor: Exclude<Frame, Visit>;

	constructor(owner: Owner, visitor: Exclude<Frame, Visit>) {
		this.owner = owner;
		this.visitor = visitor;
	}

	get pending(): boolean {
		return this.visitor.pending;
	}
}

/** Who is running in `frame`, wherever they are. */
export function visitorIn(frame: Frame | undefined): Exclude<Frame, Visit> | undefined {
	return frame instanceof Visit ? frame.visitor : frame;
}

/** The setup whose own code runs in `frame`. */
export function setupIn(frame: Frame | undefined): Instance | undefined {
	const visitor = visitorIn(frame);
	return visitor instanceof Instance && visitor.pending ? visitor : undefined;
}

/** An early release under way. */
export class Departure {
	pending = true;
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

/** What `defer`, `adopt` or `use(disposable)` registered. */
export class Callback {
	readonly sequence: number;
	/** Disposes; `undefined` for `use(null)`, which counts as an await and no more. */
	readonly run: (() => unknown) | undefined;

	constructor(sequence: number, run: (() => unknown) | undefined) {
		this.sequence = sequence;
		this.run = run;
	}
}

/**
 * One acquisition of a resource. It serves as the ambient frame of its own setup.
 *
 * pending -> ready -> releasing -> released, or pending -> failed
 */
export class Instance {
	readonly definition: Definition;
	/** The order of the uses that made instances. */
	readonly sequence: number;
	/** The instance whose setup asked first; undefined where no setup did. */
	creator: Instance | undefined;
	/** The binding that put this instance in another's place. */
	readonly binding: Replacement | undefined;
	/** How many setups wait for this one synchronously: long chains are cut, or they overflow the stack. */
	readonly depth: number;
	owner: Owner;
	state: "pending" | "ready" | "failed" | "releasing" | "released" = "pending";
	/** Settles with the value; rejects early when the owner is aborted. */
	promise: Promise<unknown>;
	value: unknown;
	/** Why the setup failed. */
	error: unknown;
	/** What its setup used, twice if used twice. */
	dependencies: Instance[] | undefined;
	/** What its setup registered with its owner, released right after it. */
	registered: Callback[] | undefined;
	generator:
		| Generator<unknown, unknown, undefined>
		| AsyncGenerator<unknown, unknown, undefined>
		| undefined;
	/** Disposes a returned value. */
	dispose: (() => unknown) | undefined;
	/** The same clock, when its setup had come to its end. */
	readySequence = 0;
	/** How many wait for its setup. */
	waiting = 0;
	/** Whether one of those was aborted. */
	deserted = false;
	/** Whether the error, which reaches no caller, has been reported. */
	reported = false;
	/** The early release that took it, which is in charge of it from then on. */
	departure: Departure | undefined;
	/** Its place in the owner's `setups`. */
	slot = 0;
	/** While an order is made: how many of its dependents are still to be released. */
	dependents = 0;
	readonly startedAt: number = performance.now();
	readyAt = 0;
	#resolve: (value: unknown) => void = ignore;
	#reject: (error: unknown) => void = ignore;
	#onEnd: (() => void) | undefined;
	#ended: Promise<void> | undefined;

	constructor(
		owner: Owner,
		definition: Definition,
		creator: Instance | undefined,
		binding: Replacement | undefined,
	) {
		this.owner = owner;
		this.definition = definition;
		this.sequence = owner.nextSequence();
		this.creator = creator;
		this.binding = binding;
		this.depth = creator === undefined ? 0 : creator.depth + 1;
		this.promise = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
	}

	get pending(): boolean {
		return this.state === "pending";
	}

	/** Its setup uses `dependency`. */
	dependOn(dependency: Instance): void {
		this.dependencies ??= [];
		this.dependencies.push(dependency);
	}

	/** pending -> ready */
	succeed(value: unknown): void {
		this.state = "ready";
		this.readySequence = this.owner.nextSequence();
		this.value = value;
		this.readyAt = performance.now();
		this.owner.endSetup(this);
		// a long-lived instance doesn't hang on to the request that asked first
		if (this.creator?.owner !== this.owner) this.creator = undefined;
		if (this.registered !== undefined) this.owner.addEntries(this.registered);
		this.owner.entries.push(this);
		this.#resolve(value);
		// the first one was made in the context of whoever asked, and Node 22 would keep that alive
		this.promise = Promise.resolve(value);
		this.#resolve = ignore;
		this.#reject = ignore;
		this.#onEnd?.();
		this.owner.wake();
	}

	/** pending -> failed */
	fail(error: unknown): void {
		this.state = "failed";
		this.error = error;
		this.generator = undefined;
		this.owner.hasFailedSetup = true;
		this.owner.endSetup(this);
		this.owner.forget(this);
		// what it registered is released before what it had used, like an instance's
		if (this.registered !== undefined) {
			this.owner.addEntries(this.registered);
			this.owner.entries.push(this);
		}
		this.abandon(error);
		this.#onEnd?.();
		const { owner } = this;
		// an abort has sent away who waited, here or in the scopes below
		const deserted = owner.aborted !== undefined || (this.deserted && this.waiting === 0);
		if ((deserted || owner.state !== "open") && !owner.followsFromAbort(error)) {
			if (!this.#passesOn(error)) owner.report(error);
			this.reported = true;
		}
		owner.wake();
	}

	/** releasing -> released. A timer made in the setup may hold on to this for ever: nothing else may come with it. */
	finish(): void {
		this.state = "released";
		this.value = undefined;
		this.promise = never;
		this.#resolve = ignore;
		this.#reject = ignore;
		this.dependencies = undefined;
		this.registered = undefined;
		this.generator = undefined;
		this.dispose = undefined;
		this.departure = undefined;
	}

	/** Whether the error is a dependency's, which has been reported there. */
	#passesOn(error: unknown): boolean {
		return (
			this.dependencies?.some((each) => each.reported && Object.is(each.error, error)) ?? false
		);
	}

	/** When a pending setup has come to its end, which it may do long after an abort sent those away who waited. */
	ended(): Promise<void> {
		this.#ended ??= new Promise((resolve) => {
			this.#onEnd = resolve;
		});
		return this.#ended;
	}

	/** Rejects whoever waits; the setup goes on. */
	abandon(error: unknown): void {
		this.#reject(error);
		this.promise.catch(ignore);
	}
}

/** A rejection that is delivered elsewhere, or that nobody needs to await. */
export function ignore(): void {}

/** Stands for the promise of a released instance, which nobody is given. */
const never: Promise<never> = new Promise(ignore);

/** A linear search is faster than a Map up to about this size. */
const SMALL = 8;

/**
 * A scope as the engine sees it.
 *
 * open -> closing (waits for what still runs) -> releasing -> closed
 */
export class Owner {
	/** The public face. */
	readonly scope: Scope | SyncScope;
	readonly sync: boolean;
	parent: Owner | undefined;
	readonly lifetime: Lifetime | undefined;
	readonly name: string;
	readonly releaseTimeout: number | undefined;
	readonly concurrent: boolean;
	readonly reporter: ErrorReporter | undefined;
	/** The setup inside which the scope was opened: what happens in here, that setup waits for. */
	opener: Instance | undefined;
	/** The task inside which the scope was opened, and which is to close it. */
	readonly task: Task | undefined;
	/** Whether somebody holds the scope; otherwise it closes by itself, and its parent waits for that. */
	held = true;
	/** The setup that detached it: nobody waits for that, but it may not start itself again for ever. */
	detachedBy: Instance | undefined;
	/** Whether its failure is to be reported, since nobody has to await it. */
	detached = false;

	state: "open" | "closing" | "releasing" | "closed" = "open";
	completed = false;
	failure: Failure | undefined;
	/** Told once, when there first is something to release or to wait for. */
	onFirstUse: (() => void) | undefined;
	/** What the resources of an incomplete scope see, once it is needed. */
	incomplete: ScopeIncompleteError | undefined;
	aborted: { readonly reason: unknown } | undefined;

	bindings: Replacement[] | undefined;
	/** Callbacks and ready instances, in the order in which they became so. */
	entries: Entry[] = [];
	/** Setups in flight. */
	readonly setups: Instance[] = [];
	/** Whether a setup has failed: others may try it again. */
	hasFailedSetup = false;
	/** Whether setups were strictly nested: then reversed completion is the release order. */
	ordered = true;
	/** How many tasks, early releases and running children close waits for, besides `setups`. */
	busy = 0;
	/** Work for when the work is done. */
	afterWork: (() => unknown)[] | undefined;

	lastChild: Owner | undefined;
	previousSibling: Owner | undefined;
	nextSibling: Owner | undefined;

	/** The close under way. */
	closing: Promise<void> | undefined;
	/** Tells whoever closes the scope that it is closed. */
	onFinish: (() => void) | undefined;
	#idle: (() => void) | undefined;
	#shared: Instance[] | Map<unknown, Instance | Map<unknown, Instance>> = [];
	/** Counts uses, for all scopes that one root encloses. */
	clock: { now: number };
	#controller: AbortController | undefined;
	#waiters: Set<(aborted: Owner) => void> | undefined;
	#context: AsyncResource | undefined = new AsyncResource("yieldscope");
	#listened: AbortSignal | undefined;
	#unlisten: (() => void) | undefined;

	constructor(
		scope: Scope | SyncScope,
		sync: boolean,
		parent: Owner | undefined,
		options: OwnerOptions,
	) {
		this.clock = parent?.clock ?? { now: 0 };
		this.scope = scope;
		this.sync = sync;
		this.opener = options.opener;
		this.task = options.task;
		this.lifetime = options.lifetime;
		this.name = options.name ?? options.lifetime ?? "scope";
		this.releaseTimeout = options.releaseTimeout ?? parent?.releaseTimeout;
		this.concurrent = options.release === "concurrent";
		this.reporter = options.onReleaseError;
		this.bindings = options.bindings;
		this.onFirstUse = options.onFirstUse;
		if (parent !== undefined) this.#joinParent(parent);
	}

	/** Becomes the last child of `parent`. */
	#joinParent(parent: Owner): void {
		this.parent = parent;
		this.previousSibling = parent.lastChild;
		this.nextSibling = undefined;
		if (parent.lastChild !== undefined) parent.lastChild.nextSibling = this;
		parent.lastChild = this;
		if (this.held) parent.#touch();
		else parent.begin();
		if (parent.aborted !== undefined) this.abort(parent.aborted.reason);
	}

	#leaveParent(): void {
		const { parent, previousSibling, nextSibling } = this;
		if (parent === undefined) return;
		if (previousSibling !== undefined) previousSibling.nextSibling = nextSibling;
		if (nextSibling !== undefined) nextSibling.previousSibling = previousSibling;
		else parent.lastChild = previousSibling;
		this.previousSibling = undefined;
		this.nextSibling = undefined;
		if (!this.held) parent.end();
	}

	/** Nobody holds the scope: it closes when its work is done, and its parent waits for that. */
	closesItself(detached: boolean): void {
		this.held = false;
		this.detached = detached;
		// what was registered just now for a held scope that a setup opens
		if (this.opener !== undefined && this.opener.owner === this.parent)
			this.opener.registered?.pop();
		if (detached) {
			this.detachedBy = this.opener;
			this.opener = undefined;
		}
		this.parent?.begin();
	}

	/** Gives everything to `next`, and is closed. */
	moveTo(next: Owner): void {
		next.entries = this.entries;
		for (const entry of next.entries) if (entry instanceof Instance) entry.owner = next;
		next.#shared = this.#shared;
		next.clock = this.clock;
		next.ordered = this.ordered;
		next.completed = this.completed;
		next.failure = this.failure;
		next.aborted = this.aborted;
		next.bindings = this.bindings;
		next.afterWork = this.afterWork;
		next.#controller = this.#controller;
		next.#context = this.#context;
		next.#waiters = this.#waiters;
		if (this.#listened !== undefined) next.listen(this.#listened);
		// nothing runs: all of them are held, and nobody counts them
		for (let child = this.lastChild; child !== undefined; child = child.previousSibling)
			child.parent = next;
		next.lastChild = this.lastChild;
		this.lastChild = undefined;
		this.finish();
	}

	/** A scope is its own frame. */
	get owner(): Owner {
		return this;
	}

	/** A scope's own frame is nothing that close waits for. */
	get pending(): boolean {
		return false;
	}

	get signal(): AbortSignal {
		if (this.#controller === undefined) {
			this.#controller = new AbortController();
			if (this.aborted !== undefined) this.#controller.abort(this.aborted.reason);
		}
		return this.#controller.signal;
	}

	get outcome(): Outcome {
		if (this.failure !== undefined) return { type: "failure", error: this.failure.error };
		return { type: this.completed ? "success" : "incomplete" };
	}

	nextSequence(): number {
		return this.clock.now++;
	}

	/** Runs `fn` in the async context in which the scope was opened, with `frame` ambient. */
	enterContext<A, R>(frame: Frame, fn: (argument: A) => R, argument: A): R {
		if (this.#context === undefined) return frames.run(frame, fn, argument);
		return this.#context.runInAsyncScope(runFrame<A, R>, undefined, frame, fn, argument);
	}

	/** The work failed with `error`; what fails first decides. `known`: the caller has the error anyhow. */
	fail(error: unknown, known = false): void {
		if (this.state === "closed") return;
		if (this.failure === undefined) this.failure = new Failure(error, known);
		else if (!known && !Object.is(this.failure.error, error) && !this.followsFromAbort(error)) {
			this.failure.suppressed.push(error);
		}
		if (this.state !== "open") this.abortChildren(error);
	}

	/** The work has failed: what still runs below is to stop. Held scopes are closed anyhow, and have no say in it. */
	abortChildren(reason: unknown): void {
		const running: Owner[] = [];
		const scopes: Owner[] = [this];
		for (let scope = scopes.pop(); scope !== undefined; scope = scopes.pop()) {
			for (let child = scope.lastChild; child !== undefined; child = child.previousSibling) {
				if (child.held) scopes.push(child);
				else running.push(child);
			}
		}
		// only now: who is told may close a scope, and take it out of the list
		for (const child of running) child.abort(reason);
	}

	/** Work that was cut short by an abort, and says so, says nothing new. */
	followsFromAbort(error: unknown): boolean {
		const { aborted, failure } = this;
		if (
			aborted !== undefined &&
			(Object.is(error, aborted.reason) || causeOf(error) === aborted.reason)
		)
			return true;
		// a child of a scope that fails while it closes is aborted with that failure
		return (
			failure !== undefined && error instanceof AcquireAbortedError && error.cause === failure.error
		);
	}

	/** The work has succeeded, unless it fails. Once resources are being released, it is too late to say so. */
	complete(): void {
		if (this.state === "open" || this.state === "closing") this.completed = true;
	}

	/** Aborts the signals of this scope and those below, and whatever waits. */
	abort(reason: unknown): void {
		if (this.aborted !== undefined || this.state === "closed") return;
		const why =
			reason === undefined ? new DOMException("The scope was aborted.", "AbortError") : reason;
		const scopes: Owner[] = [this];
		for (let scope = scopes.pop(); scope !== undefined; scope = scopes.pop()) {
			if (scope.aborted !== undefined) continue;
			scope.#abortOne(why);
			for (let child = scope.lastChild; child !== undefined; child = child.previousSibling)
				scopes.push(child);
		}
	}

	#abortOne(reason: unknown): void {
		this.aborted = { reason };
		this.#controller?.abort(reason);
		for (const instance of this.setups) instance.abandon(this.acquireAborted(instance));
		for (const giveUp of this.#waiters ?? []) giveUp(this);
	}

	acquireAborted({ definition, creator }: Instance): AcquireAbortedError {
		return new AcquireAbortedError(
			`Cannot use ${definition.name}: it was being acquired when ${placeText(definition, this, creator)} was aborted. The cause is the reason.`,
			{ cause: this.aborted?.reason, ...detailsOf(definition, this, creator) },
		);
	}

	/** Waits for an instance, but no longer than this scope, which may not be its owner, wants to. */
	waitFor(instance: Instance): Promise<unknown> {
		instance.waiting++;
		if (instance.owner === this) return instance.promise;
		this.#waiters ??= new Set();
		const waiters = this.#waiters;
		let giveUp: (aborted: Owner) => void = ignore;
		const aborted = new Promise((_resolve, reject) => {
			// another scope, if this one has been moved
			giveUp = (by) => {
				instance.waiting--;
				instance.deserted = true;
				reject(by.acquireAborted(instance));
			};
		});
		waiters.add(giveUp);
		const first = Promise.race([instance.promise, aborted]).finally(() => waiters.delete(giveUp));
		first.catch(ignore);
		return first;
	}

	/** Fails and aborts with `signal`. */
	listen(signal: AbortSignal): void {
		const onAbort = () => {
			this.abort(signal.reason);
			this.fail(signal.reason, true);
		};
		if (signal.aborted) {
			onAbort();
			return;
		}
		signal.addEventListener("abort", onAbort, { once: true });
		this.#listened = signal;
		this.#unlisten = () => signal.removeEventListener("abort", onAbort);
	}

	/** The instance that everybody in this scope shares. */
	shared(definition: Definition): Instance | undefined {
		const shared = this.#shared;
		if (Array.isArray(shared)) {
			for (const instance of shared) if (isSame(instance.definition, definition)) return instance;
			return undefined;
		}
		if (definition.family === undefined) return shared.get(definition) as Instance | undefined;
		return (shared.get(definition.family) as Map<unknown, Instance> | undefined)?.get(
			definition.key,
		);
	}

	share(instance: Instance): void {
		const shared = this.#shared;
		if (Array.isArray(shared)) {
			shared.push(instance);
			if (shared.length <= SMALL) return;
			this.#shared = new Map();
			for (const each of shared) this.share(each);
			return;
		}
		const { definition } = instance;
		if (definition.family === undefined) {
			shared.set(definition, instance);
			return;
		}
		const members = shared.get(definition.family) as Map<unknown, Instance> | undefined;
		if (members !== undefined) members.set(definition.key, instance);
		else shared.set(definition.family, new Map([[definition.key, instance]]));
	}

	/** The next `use` is to make an instance of its own. */
	forget(instance: Instance): void {
		const { definition } = instance;
		if (this.shared(definition) !== instance) return;
		const shared = this.#shared;
		if (Array.isArray(shared)) shared.splice(shared.indexOf(instance), 1);
		else if (definition.family === undefined) shared.delete(definition);
		else (shared.get(definition.family) as Map<unknown, Instance>).delete(definition.key);
	}

	beginSetup(instance: Instance): void {
		this.#touch();
		const { setups } = this;
		const innermost = setups[setups.length - 1];
		const { creator } = instance;
		if (innermost !== (creator?.owner === this && creator.pending ? creator : undefined))
			this.ordered = false;
		instance.slot = setups.length;
		setups.push(instance);
	}

	endSetup(instance: Instance): void {
		const last = this.setups.pop() as Instance; // the instance is in there
		if (last === instance) return;
		this.ordered = false;
		this.setups[instance.slot] = last;
		last.slot = instance.slot;
	}

	/** Registers a callback: with the setup that does so, if it is one of this scope's. */
	register(run: (() => unknown) | undefined, frame: Frame | undefined): void {
		this.#touch();
		const callback = new Callback(this.nextSequence(), run);
		if (frame instanceof Instance && frame.pending && frame.owner === this) {
			frame.registered ??= [];
			frame.registered.push(callback);
			return;
		}
		if (this.setups.length > 0) this.ordered = false;
		this.entries.push(callback);
	}

	/** Adds what may be too much for the arguments of one call. */
	addEntries(entries: readonly Entry[]): void {
		for (const entry of entries) this.entries.push(entry);
	}

	#touch(): void {
		const { onFirstUse } = this;
		if (onFirstUse === undefined) return;
		this.onFirstUse = undefined;
		onFirstUse();
	}

	/** Counts something that close waits for. */
	begin(): void {
		this.#touch();
		this.busy++;
	}

	end(): void {
		this.busy--;
		this.wake();
	}

	/** Whether something runs that close waits for. */
	get waiting(): boolean {
		return this.busy > 0 || this.setups.length > 0;
	}

	/** Resolves when nothing runs any more. */
	idle(): Promise<void> {
		return new Promise((resolve) => {
			this.#idle = resolve;
		});
	}

	wake(): void {
		if (this.waiting || this.#idle === undefined) return;
		this.#idle();
		this.#idle = undefined;
	}

	/** Gives an error that can't reach a caller to somebody. */
	report(error: unknown): void {
		let at: Owner | undefined = this;
		while (at !== undefined && at.reporter === undefined) at = at.parent;
		if (at?.reporter === undefined) {
			logError(error);
			return;
		}
		const { reporter } = at;
		new Promise((resolve) => resolve(reporter(error))).catch((failed) => {
			logError(error);
			logError(failed);
		});
	}

	/** releasing -> closed. A timer's context may point here for ever: nothing may hang on to it. */
	finish(): void {
		this.state = "closed";
		this.#unlisten?.();
		this.#unlisten = undefined;
		this.#listened = undefined;
		this.#shared = [];
		this.#context = undefined;
		this.#waiters = undefined;
		this.entries = [];
		this.bindings = undefined;
		this.#leaveParent();
		this.onFinish?.();
		this.onFinish = undefined;
	}
}

/** What {@link Owner} is made of: what the user said, and where it was opened. */
interface OwnerOptions {
	readonly opener?: Instance | undefined;
	readonly task?: Task | undefined;
	readonly lifetime?: Lifetime | undefined;
	readonly name?: string | undefined;
	readonly releaseTimeout?: number | undefined;
	readonly release?: "sequential" | "concurrent" | undefined;
	readonly onReleaseError?: ErrorReporter | undefined;
	readonly bindings?: Replacement[] | undefined;
	readonly onFirstUse?: (() => void) | undefined;
}

/** The cause of an error, if it lets itself be read. */
function causeOf(error: unknown): unknown {
	try {
		return error instanceof Error ? error.cause : undefined;
	} catch {
		return undefined;
	}
}

function runFrame<A, R>(frame: Frame, fn: (argument: A) => R, argument: A): R {
	return frames.run(frame, fn, argument);
}

function logError(error: unknown): void {
	// biome-ignore lint/suspicious/noConsole: the default of onReleaseError
	console.error(error);
}

/** `owner` and all scopes below it. Deep nests overflow no stack. */
export function* scopesFrom(owner: Owner): Generator<Owner, undefined, undefined> {
	const scopes = [owner];
	for (let scope = scopes.pop(); scope !== undefined; scope = scopes.pop()) {
		yield scope;
		for (let child = scope.lastChild; child !== undefined; child = child.previousSibling)
			scopes.push(child);
	}
}

/** Whether an owner's release has begun. */
export function isReleasing({ state }: Owner): boolean {
	return state === "releasing" || state === "closed";
}

/** Whether `inner` is `outer` or somewhere below it. */
export function isWithin(inner: Owner, outer: Owner): boolean {
	for (let at: Owner | undefined = inner; at !== undefined; at = at.parent)
		if (at === outer) return true;
	return false;
}
