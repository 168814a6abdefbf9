import { AsyncResource } from "node:async_hooks";
import { AcquireAbortedError, type ScopeIncompleteError } from "./errors.ts";
import { type KnownScope, publishClosing, publishError } from "./events.ts";
import { type Frame, frames, runInFrame, type Task, type Visitor, visitorIn } from "./frame.ts";
import { Callback, type Entry, Instance, Waiter } from "./instance.ts";
import { type Linked, List } from "./list.ts";
import { printable } from "./options.ts";
import { Failure, type Outcome } from "./outcome.ts";
import { detailsOf, placeText } from "./path.ts";
import type { Definition, Lifetime, Replacement, SetupContext } from "./resource.ts";
import type { Scope, ScopeOptions } from "./scope.ts";
import { Shared } from "./shared.ts";
import type { SyncScope, SyncScopeOptions } from "./sync-scope.ts";

/** Receives the errors that can't reach a caller. */
export type ErrorReporter = (error: unknown) => void;

/**
 * A scope as the engine sees it.
 *
 * open -> closing (waits for what still runs) -> releasing -> closed
 */
export class Owner implements Linked {
	/** The public face. */
	readonly scope: Scope | SyncScope;
	readonly sync: boolean;
	parent: Owner | undefined;
	readonly lifetime: Lifetime | undefined;
	readonly #name: string | undefined;
	readonly releaseTimeout: number | undefined;
	readonly concurrent: boolean;
	readonly reporter: ErrorReporter | undefined;
	/** The setup inside which the scope was opened: what happens in here, that setup waits for. */
	opener: Instance | undefined;
	/** The task inside which the scope was opened, and which is to close it. */
	task: Task | undefined;
	/** Whether its parent closes it, if nobody else does; or else the parent's close waits until somebody does. */
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
	entries: List<Entry> = new List();
	/** Setups in flight. Like the next, it is made when there is one: most scopes are without, most of the time. */
	setups: List<Instance> | undefined;
	/** The scopes below that are still open. */
	children: List<Owner> | undefined;
	previous: Owner | undefined;
	next: Owner | undefined;
	/** Whether a setup has failed: others may try it again. */
	hasFailedSetup = false;
	/** Whether setups were strictly nested: then reversed completion is the release order. */
	ordered = true;
	/** How many tasks, early releases and running children close waits for, besides `setups`. */
	busy = 0;
	/** What its setups are given. */
	setupContext: SetupContext | undefined;
	/** What listeners know it by. */
	info: KnownScope | undefined;
	/** Work for when the work is done. */
	afterWork: (() => unknown)[] | undefined;

	/** The close under way. */
	closing: Promise<void> | undefined;
	/** Tells whoever closes the scope that it is closed. */
	onFinish: (() => void) | undefined;
	#idle: (() => void) | undefined;
	#shared: Shared | undefined;
	/** Counts uses, for all scopes that one root encloses. */
	clock: { now: number };
	#controller: AbortController | undefined;
	#waiters: List<Waiter> | undefined;
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
		this.lifetime = options.lifetime;
		this.#name = options.name;
		this.releaseTimeout = options.releaseTimeout ?? parent?.releaseTimeout;
		this.concurrent = options.release === "concurrent";
		this.reporter = options.onReleaseError;
		this.onFirstUse = options.onFirstUse;
		if (parent !== undefined) this.#joinParent(parent);
	}

	/** Becomes the last child of `parent`. */
	#joinParent(parent: Owner): void {
		this.parent = parent;
		parent.children ??= new List();
		parent.children.push(this);
		parent.#touch();
		if (parent.aborted !== undefined) this.abort(parent.aborted.reason);
	}

	#leaveParent(): void {
		const { parent } = this;
		if (parent === undefined) return;
		parent.children?.remove(this);
		if (!this.held) parent.end();
	}

	/** From now on its parent's close waits for it, instead of closing it. */
	letParentWait(): void {
		this.held = false;
		// what was registered just now for a held scope that a setup opens
		if (this.opener !== undefined && this.opener.owner === this.parent)
			this.opener.registered?.pop();
		this.parent?.begin();
	}

	/** Nobody has to await it, and no setup waits for it. */
	detach(): void {
		this.detached = true;
		this.detachedBy = this.opener;
		this.opener = undefined;
	}

	/** Gives everything to `next`, and is closed. */
	moveTo(next: Owner): void {
		next.entries = this.entries;
		this.entries = new List();
		for (let entry = next.entries.last; entry !== undefined; entry = entry.previous)
			if (entry instanceof Instance) entry.owner = next;
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
		next.children = this.children;
		this.children = undefined;
		for (const child of next.children?.toArray() ?? []) child.parent = next;
		if (next.entries.last !== undefined || next.children?.last !== undefined) next.#touch();
		// for listeners it is the same scope, and goes on
		next.info = this.info;
		this.info = undefined;
		this.finish();
		this.info = next.info;
	}

	/** Made when it is asked for: adapters name scopes by what clients send. */
	get name(): string {
		return printable(this.#name ?? this.lifetime ?? "scope");
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
			else if (this.#isOutlived) {
				if (this.state === "closed") this.#followParent(this.#controller);
			} else if (this.failure !== undefined && this.state !== "open")
				this.#controller.abort(this.failure.error);
		}
		return this.#controller.signal;
	}

	/** A handler's scope closes before the first byte of the response, of which the handler may then give the rest. */
	get #isOutlived(): boolean {
		return this.lifetime === "handler" && this.parent !== undefined;
	}

	/** Once closed, a scope isn't reached by its parent's abort. */
	#followParent(controller: AbortController): void {
		const { signal } = this.parent as Owner; // only what has a parent is outlived
		const follow = () => controller.abort(signal.reason);
		if (signal.aborted) follow();
		else signal.addEventListener("abort", follow, { once: true });
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
		return this.#context.runInAsyncScope(runInFrame<A, R>, undefined, frame, fn, argument);
	}

	/** The work failed with `error`; what fails first decides. `known`: the caller has the error anyhow. */
	fail(error: unknown, known = false): void {
		if (this.state === "closed") return;
		if (this.failure === undefined) this.failure = new Failure(error, known);
		else if (!known && !Object.is(this.failure.error, error) && !this.followsFromAbort(error)) {
			this.failure.suppressed.push(error);
		}
		if (this.state !== "open") this.stop(error);
	}

	/**
	 * The work has failed: what still runs is to stop. Tasks hear it by the signal, and may still acquire what they need
	 * for that; child scopes are aborted. Held ones are closed anyhow, and have no say in it.
	 */
	stop(reason: unknown): void {
		if (!this.#isOutlived) this.#controller?.abort(reason);
		const running: Owner[] = [];
		const scopes: Owner[] = [this];
		for (let scope = scopes.pop(); scope !== undefined; scope = scopes.pop()) {
			for (let child = scope.children?.last; child !== undefined; child = child.previous) {
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
		if (aborted !== undefined)
			if (Object.is(error, aborted.reason) || isAbort(error, aborted.reason)) return true;
		// a child of a scope that fails while it closes is aborted with that failure
		return failure !== undefined && isAbort(error, failure.error);
	}

	/** The work has succeeded, unless it fails. Once resources are being released, it is too late to say so. */
	complete(): void {
		if (this.state === "open" || this.state === "closing") this.completed = true;
		// closed by its own work, before anybody could say that: what was rolled back must not go unnoticed
		else if (!this.held && !this.completed && this.incomplete !== undefined) {
			if (!reported.has(this.incomplete)) this.report(this.incomplete);
			reported.add(this.incomplete);
		}
	}

	/** Aborts the signals of this scope and those below, and whatever waits. */
	abort(reason: unknown): void {
		if (this.state === "closed") return;
		const why =
			reason === undefined ? new DOMException("The scope was aborted.", "AbortError") : reason;
		const scopes: Owner[] = [this];
		for (let scope = scopes.pop(); scope !== undefined; scope = scopes.pop()) {
			if (scope.aborted !== undefined || scope.state === "closed") continue;
			scope.#abortOne(why);
			for (let child = scope.children?.last; child !== undefined; child = child.previous)
				scopes.push(child);
		}
	}

	#abortOne(reason: unknown): void {
		this.aborted = { reason };
		this.#controller?.abort(reason);
		for (const instance of this.setups?.toArray() ?? [])
			instance.abandon(this.acquireAborted(instance));
		for (const waiter of this.#waiters?.toArray() ?? [])
			waiter.giveUp(this.acquireAborted(waiter.instance));
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
		this.#waiters ??= new List();
		return new Waiter(instance, this.#waiters).wait();
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
		const unlisten = () => signal.removeEventListener("abort", onAbort);
		this.#listened = signal;
		this.#unlisten = unlisten; // see setMethod()
	}

	/** The instance that everybody in this scope shares. */
	shared(definition: Definition): Instance | undefined {
		return this.#shared?.find(definition);
	}

	share(instance: Instance): void {
		this.#shared ??= new Shared();
		this.#shared.add(instance);
	}

	/** The next `use` is to make an instance of its own. */
	forget(instance: Instance): void {
		this.#shared?.delete(instance);
	}

	beginSetup(instance: Instance): void {
		this.#touch();
		this.setups ??= new List();
		const { last } = this.setups;
		const { creator } = instance;
		if (last !== (creator?.owner === this && creator.pending ? creator : undefined))
			this.ordered = false;
		this.setups.push(instance);
	}

	endSetup(instance: Instance): void {
		if (this.setups?.last !== instance) this.ordered = false;
		this.setups?.remove(instance);
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
		if (this.setups?.last !== undefined) this.ordered = false;
		this.entries.push(callback);
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
		return this.busy > 0 || this.setups?.last !== undefined;
	}

	/** Whether its close has nothing to wait for, to release or to tell. */
	get isEmpty(): boolean {
		const { entries, children, afterWork, failure } = this;
		if (entries.last !== undefined || children?.last !== undefined || this.waiting) return false;
		return afterWork === undefined && failure === undefined;
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
		publishError(this, error);
		let at: Owner | undefined = this;
		while (at !== undefined && at.reporter === undefined) at = at.parent;
		reportTo(at?.reporter, error);
	}

	/**
	 * releasing -> closed. A timer's context may point here for ever: nothing may hang on to it.
	 *
	 * @param at - When, if the clock has been read for listeners.
	 */
	finish(at?: number): void {
		this.state = "closed";
		this.#unlisten?.();
		this.#unlisten = undefined;
		this.#listened = undefined;
		this.#shared = undefined;
		this.#context = undefined;
		this.#waiters = undefined;
		this.bindings = undefined;
		this.#leaveParent();
		if (this.#controller !== undefined && this.#isOutlived) this.#followParent(this.#controller);
		this.onFinish?.();
		this.onFinish = undefined;
		if (this.info !== undefined) publishClosing(this, this.info, at);
	}
}

/** What {@link Owner.complete} has told of: work may say twice that it has succeeded. */
const reported = new WeakSet<ScopeIncompleteError>();

/** What the user said about a scope. */
type OwnerOptions = Pick<
	ScopeOptions & SyncScopeOptions,
	"lifetime" | "name" | "releaseTimeout" | "release" | "onReleaseError" | "onFirstUse"
>;

/** Whether `error` says no more than that work was cut short for `reason`, as ours and Node's own do. */
function isAbort(error: unknown, reason: unknown): boolean {
	try {
		const isNamed = error instanceof AcquireAbortedError || (error as Error).name === "AbortError";
		return isNamed && Object.is((error as Error).cause, reason);
	} catch {
		return false; // nothing with a name, or it doesn't let itself be read
	}
}

/** Gives an error to whoever is there to receive it. */
export function reportTo(reporter: ErrorReporter | undefined, error: unknown): void {
	if (reporter === undefined) {
		logError(error);
		return;
	}
	new Promise((resolve) => resolve(reporter(error))).catch((failed) => {
		logError(error);
		logError(failed);
	});
}

function logError(error: unknown): void {
	for (const printed of [error, "An error that can't be printed: reading it throws."]) {
		try {
			// biome-ignore lint/suspicious/noConsole: the default of onReleaseError
			console.error(printed);
			return;
		} catch {} // whoever reports has releases to go on with
	}
}

/** `owner` and all scopes below it. Deep nests overflow no stack. */
export function* scopesFrom(owner: Owner): Generator<Owner, undefined, undefined> {
	const scopes = [owner];
	for (let scope = scopes.pop(); scope !== undefined; scope = scopes.pop()) {
		yield scope;
		for (let child = scope.children?.last; child !== undefined; child = child.previous)
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

/** Whether `scope` still takes orders from `frame`: while it closes, from what the close waits for. */
export function admits(scope: Owner, frame: Frame | undefined): boolean {
	if (scope.state === "open") return true;
	if (scope.state !== "closing" || frame === undefined) return false;
	const { owner, pending } = visitorIn(frame) as Visitor; // there is a frame
	return isWithin(owner, scope) && (pending || owner.state === "open");
}
