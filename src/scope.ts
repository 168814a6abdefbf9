/// <reference lib="esnext.disposable" preserve="true" />
import { acquire, type UseOptions } from "./acquire.ts";
import { addBindings } from "./bindings.ts";
import { bracket } from "./bracket.ts";
import { queueAfter, runTask } from "./close.ts";
import { ambientOwner, enterOwner, runIn } from "./context.ts";
import { disposeHeld } from "./dispose.ts";
import { disposerOf, requireDisposer } from "./disposer.ts";
import { InvalidArgumentError, ScopeClosedError } from "./errors.ts";
import { announce, publishMark, scopeTrace } from "./events.ts";
import { frames } from "./frame.ts";
import { customInspect, inspectScope } from "./inspect.ts";
import { ignore } from "./instance.ts";
import { noteOpening, type Opener } from "./leaks.ts";
import { defaultOwner, detachTarget } from "./locate.ts";
import { checkCallback, checkMovable, closedError, openFrame, openOwner } from "./open.ts";
import { kindOf } from "./options.ts";
import type { Outcome } from "./outcome.ts";
import { admits, type Owner } from "./owner.ts";
import { releaseEarly } from "./release-early.ts";
import {
	type Binding,
	Definition,
	definitionOf,
	type Lifetime,
	type Resource,
} from "./resource.ts";
import { type ScopeSnapshot, snapshotOf } from "./snapshot.ts";

/** The options of a scope. */
export interface ScopeOptions {
	/** The kind of scope: resources of that lifetime are owned by it. */
	readonly lifetime?: Lifetime | undefined;
	/**
	 * What errors and {@link Scope.inspect} call it; with control characters escaped, and cut at 200.
	 *
	 * @defaultValue the lifetime, or `"scope"`
	 */
	readonly name?: string | undefined;
	/**
	 * The enclosing scope; `null` for none.
	 *
	 * @defaultValue the ambient scope
	 */
	readonly parent?: Scope | null | undefined;
	/** Values and replacements for lookups from this scope and below. */
	readonly bindings?: readonly Binding[] | undefined;
	/** Aborts the scope when it aborts. */
	readonly signal?: AbortSignal | undefined;
	/**
	 * How long each release may take here and below, in milliseconds.
	 *
	 * @defaultValue the enclosing scope's; outermost, as long as it takes
	 */
	readonly releaseTimeout?: number | undefined;
	/**
	 * Whether resources that don't depend on each other are released one after the other or all at once.
	 *
	 * @defaultValue `"sequential"`
	 */
	readonly release?: "sequential" | "concurrent" | undefined;
	/**
	 * Receives the errors that can't reach a caller.
	 *
	 * @defaultValue the enclosing scope's; outermost, `console.error`
	 */
	readonly onReleaseError?: ((error: unknown) => void) | undefined;
	/** Called once, when the scope first gets something to release or to wait for: adapters need to do nothing before. */
	readonly onFirstUse?: (() => void) | undefined;
}

/** The engine's view of a public {@link Scope}. */
export let ownerOf: (scope: Scope) => Owner;

/**
 * Owns instances of resources and releases all of them when it closes.
 *
 * It is a superset of TC39's `AsyncDisposableStack`: `await using scope = openScope()`, or `new Scope()`, which is the
 * same. What a disposer can't know, it asks for: unless {@link Scope.complete} is called, closing is a rollback.
 * {@link withScope} knows by itself.
 *
 * @example Holding a scope
 * ```ts
 * import assert from "node:assert/strict";
 * import { openScope, resource } from "yieldscope";
 *
 * const log: string[] = [];
 * const Tx = resource(async function* Tx() {
 * 	try {
 * 		yield "tx";
 * 		log.push("COMMIT");
 * 	} catch (error) {
 * 		log.push("ROLLBACK");
 * 		throw error;
 * 	}
 * });
 *
 * {
 * 	await using scope = openScope();
 * 	await scope.use(Tx);
 * 	scope.complete();
 * }
 * {
 * 	await using scope = openScope();
 * 	await scope.use(Tx);
 * }
 * assert.deepEqual(log, ["COMMIT", "ROLLBACK"]);
 * ```
 */
export class Scope implements AsyncDisposable {
	static {
		ownerOf = (scope) => scope.#owner;
	}

	readonly #owner: Owner;

	/**
	 * Opens a scope, which the caller must close. The same as {@link openScope}.
	 *
	 * @throws {@link ScopeClosedError} If the parent is closing or closed.
	 * @throws {@link InvalidArgumentError} If an option is of the wrong kind.
	 */
	constructor(options?: ScopeOptions);
	/**
	 * @internal
	 * @param held - `false`: the parent's close waits for it, instead of closing it. Whoever opens it closes it.
	 */
	constructor(options: ScopeOptions | undefined, opener: Opener, held: boolean);
	constructor(options: ScopeOptions = {}, opener: Opener = Scope, held = true) {
		const parent = parentOwner(options.parent, ambientOwner(frames.getStore()));
		this.#owner = openOwner(this, false, parent, options);
		noteOpening(this.#owner, opener, held);
		// a scope that is moved goes on as another
		if (scopeTrace.hasSubscribers && opener !== Scope.prototype.move) announce(this.#owner);
		if (options.signal !== undefined) this.#owner.listen(options.signal);
		if (!held) this.#owner.letParentWait();
	}

	/** What errors and {@link Scope.inspect} call it. */
	get name(): string {
		return this.#owner.name;
	}

	/** The kind of scope. */
	get lifetime(): Lifetime | undefined {
		return this.#owner.lifetime;
	}

	/** The enclosing scope. */
	get parent(): Scope | undefined {
		return this.#owner.parent?.scope as Scope | undefined; // only sync scopes have sync parents
	}

	/**
	 * Aborted by {@link Scope.abort}, by the enclosing scope's abort, and, when the scope closes with a failure, by that:
	 * tasks that still run, for which the close waits, are to stop.
	 */
	get signal(): AbortSignal {
		return this.#owner.signal;
	}

	/** How the work ended, as far as it is known: while the scope is open, success is what was said, not yet done. */
	get outcome(): Outcome {
		return this.#owner.outcome;
	}

	/** Whether the scope is closing or closed. */
	get disposed(): boolean {
		return this.#owner.state !== "open";
	}

	/** Says what it is to `Object.prototype.toString`. */
	get [Symbol.toStringTag](): string {
		return "Scope";
	}

	/**
	 * Acquires a resource in this scope, or returns the instance that its owner has already.
	 *
	 * Concurrent calls share one setup. A failed setup is not cached: the next call tries again. In a resource's setup
	 * it counts as a dependency. A disposable is returned as it is, and disposed in its turn, as by TC39's stack.
	 *
	 * @throws {@link ScopeClosedError} If the scope has closed; as a rejection, like those that follow.
	 * @throws {@link LifetimeError} If no enclosing scope has the resource's lifetime, or the user would outlive it.
	 * @throws {@link CircularDependencyError} If the resource waits for the one that asks.
	 * @throws {@link NotProvidedError} If it is a token, and nobody provides it.
	 * @throws {@link AcquireAbortedError} If the scope is aborted meanwhile. On an aborted scope: the reason itself.
	 * @throws Whatever the setup throws, unchanged.
	 *
	 * @example Sharing one connection
	 * ```ts
	 * import assert from "node:assert/strict";
	 * import { resource, withScope } from "yieldscope";
	 *
	 * const Db = resource(async function* Db() {
	 * 	yield { id: 1 };
	 * });
	 * await withScope(async (scope) => assert.equal(await scope.use(Db), await scope.use(Db)));
	 * ```
	 */
	use<T>(resource: Resource<T>, options?: UseOptions): Promise<T>;
	use<D extends AsyncDisposable | Disposable | null | undefined>(disposable: D): D;
	use(target: unknown, options?: UseOptions): unknown {
		const owner = this.#owner;
		if (target instanceof Definition) return acquire(owner, target, options, frames.getStore());
		const frame = openFrame(owner, "use");
		if (target === null || target === undefined) owner.register(undefined, frame);
		else owner.register(requireDisposer(target, disposerOf), frame);
		return target;
	}

	/**
	 * Takes charge of a value that has no disposer of its own.
	 *
	 * @throws `ReferenceError` If the scope has closed, as TC39 says.
	 * @throws {@link InvalidArgumentError} If `onDispose` is no function.
	 */
	adopt<T>(value: T, onDispose: (value: T) => PromiseLike<void> | void): T {
		const frame = openFrame(this.#owner, "adopt");
		checkCallback(onDispose, "adopt");
		this.#owner.register(() => onDispose(value), frame);
		return value;
	}

	/**
	 * Calls `onDispose` when the scope closes, in turn with everything else.
	 *
	 * @throws `ReferenceError` If the scope has closed, as TC39 says.
	 * @throws {@link InvalidArgumentError} If `onDispose` is no function.
	 */
	defer(onDispose: () => PromiseLike<void> | void): void {
		const frame = openFrame(this.#owner, "defer");
		checkCallback(onDispose, "defer");
		this.#owner.register(() => onDispose(), frame);
	}

	/**
	 * Hands everything over to a new scope of the same kind, and closes this one without releasing anything.
	 *
	 * @throws `ReferenceError` If the scope has closed, as TC39 says.
	 * @throws {@link ScopeError} If setups, tasks or child scopes still run in it.
	 */
	move(): Scope {
		const owner = this.#owner;
		checkMovable(owner);
		const moved = new Scope(
			{
				parent: this.parent ?? null,
				lifetime: owner.lifetime,
				name: owner.name,
				releaseTimeout: owner.releaseTimeout,
				release: owner.concurrent ? "concurrent" : "sequential",
				onReleaseError: owner.reporter,
			},
			Scope.prototype.move,
			true,
		);
		owner.moveTo(moved.#owner);
		return moved;
	}

	/**
	 * Closes the scope: waits for setups in flight, tasks and running child scopes, does the `after` work, then releases.
	 *
	 * A second call waits for the first. Releases see `success` if {@link Scope.complete} was called and nothing
	 * failed, the failure if there is one, else a {@link ScopeIncompleteError}.
	 *
	 * @throws What a release threw, and what a task failed with: several as TC39's `SuppressedError`. Not the error
	 *   that was passed to {@link Scope.fail} or {@link Scope.abort}: whoever called that has it.
	 */
	disposeAsync(): Promise<void> {
		try {
			return disposeHeld(this.#owner);
		} catch (error) {
			return Promise.reject(error); // a wrong `this`
		}
	}

	/** {@link Scope.disposeAsync}, for `await using`. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.disposeAsync();
	}

	/**
	 * Says that the work has succeeded, so that resources commit when the scope closes. {@link Scope.fail} wins over it.
	 *
	 * @returns `value`, so that the last line can be `return scope.complete(result)`.
	 */
	complete(): void;
	complete<T>(value: T): T;
	complete(value?: unknown): unknown {
		this.#owner.complete();
		return value;
	}

	/** Says that the work has failed, so that every resource sees `error` when the scope closes. The first call counts. */
	fail(error: unknown): void {
		this.#owner.fail(error, true);
	}

	/**
	 * Aborts {@link Scope.signal} here and below, and whoever waits in a `use`. The outcome becomes failure.
	 *
	 * @param reason - What `signal.reason` will be.
	 * @defaultValue `reason`: an `AbortError`
	 */
	abort(reason?: unknown): void {
		const owner = this.#owner;
		owner.abort(reason);
		owner.fail(owner.aborted?.reason, true);
	}

	/**
	 * Aborts {@link Scope.signal} like {@link Scope.abort}, but leaves the outcome to the work: what completes all the
	 * same has succeeded.
	 *
	 * @defaultValue `reason`: an `AbortError`
	 */
	cancel(reason?: unknown): void {
		this.#owner.abort(reason);
	}

	/**
	 * Releases one resource now, and whatever depends on it, as after success: a connection need not be pinned while a
	 * response streams. The next `use` sets it up anew. Does nothing if it isn't acquired.
	 *
	 * Release code that it runs must not wait for another early release that waits for it, nor for a setup that waits for
	 * one of the scopes concerned to close: that would never end.
	 *
	 * @throws What the releases threw. The scope's outcome stays as it is.
	 */
	release(resource: Resource<unknown>): Promise<void> {
		return releaseEarly(this.#owner, definitionOf(resource), frames.getStore());
	}

	/** Runs `fn` with this scope ambient. */
	run<R>(fn: () => R): R {
		return runIn(this.#owner, fn);
	}

	/**
	 * Makes this scope ambient until the handle is disposed, for the rest of a block: `using _ = scope.enter()`.
	 *
	 * It changes the context of the running function and of all that it calls later, which is why {@link Scope.run} is
	 * to be preferred. Cloudflare Workers don't have it.
	 */
	enter(): Disposable {
		return enterOwner(this.#owner);
	}

	/**
	 * Starts `fn` now, as a part of the scope's work: it is waited for before anything is released, and its failure is
	 * the work's.
	 *
	 * In a setup, don't await a task that uses what the setup is to provide: unlike a circle of `use`, it isn't found out.
	 *
	 * @returns What `fn` returns. Nobody has to await it.
	 * @throws {@link ScopeClosedError} If the scope has closed.
	 */
	spawn<R>(fn: () => R): Promise<Awaited<R>> {
		checkCallback(fn, "spawn");
		const owner = this.#owner;
		const result = admits(owner, frames.getStore())
			? runTask(owner, fn, "spawn")
			: Promise.reject(closedError(owner, "spawn a task in"));
		result.catch(ignore);
		return result;
	}

	/**
	 * Queues `fn` for when the work is done: one after the other, before anything is released, and not if the work
	 * failed. In a handler's scope it is for after the response: it is queued with the request's.
	 *
	 * @throws {@link ScopeClosedError} If the scope has closed.
	 */
	after(fn: () => unknown): void {
		checkCallback(fn, "after");
		const owner = defaultOwner(this.#owner);
		if (!admits(owner, frames.getStore())) throw closedError(owner, "queue work in");
		queueAfter(owner, fn);
	}

	/**
	 * Starts `fn` in a scope of its own, of lifetime `"task"`, under the nearest `"app"` scope, or else the outermost
	 * one, which waits for it. It may outlive this scope. A failure is reported, too.
	 *
	 * @throws {@link ScopeClosedError} If this scope, or that one, has closed.
	 */
	detach<R>(fn: (scope: Scope) => R): Promise<Awaited<R>> {
		const owner = this.#owner;
		const target = detachTarget(owner);
		const result = admits(owner, frames.getStore())
			? runInScope(
					{ lifetime: "task", parent: target.scope as Scope },
					fn,
					Scope.prototype.detach,
					true,
				)
			: Promise.reject(closedError(owner, "detach work from"));
		result.catch(ignore);
		return result;
	}

	/**
	 * Adds bindings for as long as the handle lives. Instances that exist already are not affected.
	 *
	 * @throws {@link ScopeClosedError} If the scope has closed.
	 */
	bind(...bindings: readonly Binding[]): Disposable {
		return addBindings(this.#owner, bindings);
	}

	/** Gives an error that can't reach a caller to the nearest `onReleaseError`, as the scope itself does. */
	report(error: unknown): void {
		this.#owner.report(error);
	}

	/**
	 * Tells whoever listens on the diagnostics channel `yieldscope:mark` that something happens now. The adapters mark
	 * `"handler:start"`, `"handler:end"`, `"response:start"` and `"response:end"` on request scopes.
	 *
	 * @param detail - What there is to say about it.
	 */
	mark(name: string, detail?: unknown): void {
		publishMark(this.#owner, name, detail);
	}

	/**
	 * Tells what is open here and below, for logs and debugging. Values are never part of it. `console.log(scope)` prints it
	 * as a tree.
	 */
	inspect(): ScopeSnapshot {
		return snapshotOf(this.#owner);
	}

	/**
	 * What `console.log` prints.
	 *
	 * @internal
	 */
	[customInspect](depth: number | null): string {
		return inspectScope(this.inspect(), depth);
	}
}

/** Runs `fn` in a scope of its own, which closes when `fn` is done. `detached`: nobody has to await it. */
export function runInScope<R>(
	options: ScopeOptions,
	fn: (scope: Scope) => R,
	opener: Opener,
	detached = false,
): Promise<Awaited<R>> {
	let owner: Owner;
	try {
		checkCallback(fn, "withScope");
		owner = ownerOf(new Scope(options, opener, false));
	} catch (error) {
		const refused = Promise.reject(error);
		// only a child is refused by a scope that closes
		if (error instanceof ScopeClosedError) refused.catch(ignore);
		return refused;
	}
	return bracket(owner, fn, detached);
}

/** The parent that the options name, or the ambient scope. */
export function parentOwner(parent: unknown, ambient: Owner | undefined): Owner | undefined {
	if (parent === undefined) return ambient;
	if (parent === null) return undefined;
	if (parent instanceof Scope) return ownerOf(parent);
	throw new InvalidArgumentError(
		`Expected \`parent\` to be a Scope or null, got ${kindOf(parent)}.`,
	);
}
