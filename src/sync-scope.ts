import { findSync, type UseOptions } from "./acquire.ts";
import { addBindings } from "./bindings.ts";
import { closeSync } from "./close.ts";
import { ambientOwner, enterOwner, runIn } from "./context.ts";
import { requireDisposer, syncDisposerOf } from "./disposer.ts";
import { InvalidArgumentError, isThenable, ScopeError } from "./errors.ts";
import { publishOpening, scopeTrace } from "./events.ts";
import { frames } from "./frame.ts";
import { customInspect, inspectScope } from "./inspect.ts";
import { noteOpening, type Opener } from "./leaks.ts";
import { checkCallback, checkMovable, openFrame, openOwner } from "./open.ts";
import type { Outcome } from "./outcome.ts";
import { type Owner, scopesFrom } from "./owner.ts";
import { type Binding, Definition, type Lifetime, type Resource } from "./resource.ts";
import { parentOwner, type Scope, type ScopeOptions } from "./scope.ts";
import { type ScopeSnapshot, snapshotOf } from "./snapshot.ts";

/** The options of a sync scope. */
export interface SyncScopeOptions
	extends Pick<ScopeOptions, "lifetime" | "name" | "bindings" | "onReleaseError"> {
	/**
	 * The enclosing scope, sync or not; `null` for none.
	 *
	 * @defaultValue the ambient scope
	 */
	readonly parent?: Scope | SyncScope | null | undefined;
}

/** The engine's view of a public {@link SyncScope}. */
let ownerOf: (scope: SyncScope) => Owner;

/**
 * A {@link Scope} for code that can't wait: its resources are acquired and released synchronously.
 *
 * It is a superset of TC39's `DisposableStack`: `using scope = openScopeSync()`, or `new SyncScope()`, which is the same.
 * Setups may be sync generators and plain functions. What an enclosing scope has ready may be asynchronous.
 * Unless {@link SyncScope.complete} is called, closing is a rollback; {@link withScopeSync} knows by itself.
 * A release can't be bounded by a `releaseTimeout`.
 *
 * @example Holding a sync scope
 * ```ts
 * import assert from "node:assert/strict";
 * import { openScopeSync, resource } from "yieldscope";
 *
 * const log: string[] = [];
 * const Lock = resource(function* Lock() {
 * 	log.push("lock");
 * 	try {
 * 		yield "lock";
 * 	} finally {
 * 		log.push("unlock");
 * 	}
 * });
 *
 * {
 * 	using scope = openScopeSync();
 * 	assert.equal(scope.use(Lock), "lock");
 * }
 * assert.deepEqual(log, ["lock", "unlock"]);
 * ```
 */
export class SyncScope implements Disposable {
	static {
		ownerOf = (scope) => scope.#owner;
	}

	readonly #owner: Owner;

	/**
	 * Opens a sync scope, which the caller must close. The same as {@link openScopeSync}.
	 *
	 * @throws {@link ScopeClosedError} If the parent is closing or closed.
	 * @throws {@link InvalidArgumentError} If an option is of the wrong kind.
	 */
	constructor(options?: SyncScopeOptions);
	/** @internal */
	constructor(options: SyncScopeOptions | undefined, opener: Opener, held: boolean);
	constructor(options: SyncScopeOptions = {}, opener: Opener = SyncScope, held = true) {
		const { parent } = options;
		const frame = frames.getStore();
		const ambient = frame?.owner.sync ? frame.owner : ambientOwner(frame);
		this.#owner = openOwner(
			this,
			true,
			parent instanceof SyncScope ? parent.#owner : parentOwner(parent, ambient),
			options,
		);
		noteOpening(this.#owner, opener, held);
		// a scope that is moved goes on as another
		if (scopeTrace.hasSubscribers && opener !== SyncScope.prototype.move)
			publishOpening(this.#owner);
		if (!held) this.#owner.letParentWait();
	}

	/** {@inheritDoc Scope.name} */
	get name(): string {
		return this.#owner.name;
	}

	/** {@inheritDoc Scope.lifetime} */
	get lifetime(): Lifetime | undefined {
		return this.#owner.lifetime;
	}

	/** The enclosing scope. */
	get parent(): Scope | SyncScope | undefined {
		return this.#owner.parent?.scope;
	}

	/** {@inheritDoc Scope.outcome} */
	get outcome(): Outcome {
		return this.#owner.outcome;
	}

	/** Whether the scope is closing or closed. */
	get disposed(): boolean {
		return this.#owner.state !== "open";
	}

	/** Says what it is to `Object.prototype.toString`. */
	get [Symbol.toStringTag](): string {
		return "SyncScope";
	}

	/**
	 * Acquires a resource in this scope, or returns the instance that its owner has already.
	 *
	 * A disposable is returned as it is, and disposed in its turn, as by TC39's stack.
	 *
	 * @throws {@link InvalidArgumentError} If the resource is asynchronous, and no enclosing scope has it ready. What its
	 *   setup goes on to acquire is released; the nearest enclosing {@link Scope} waits for that.
	 * @throws {@link ScopeClosedError} If the scope has closed.
	 * @throws {@link LifetimeError} If no enclosing scope has the resource's lifetime, or the user would outlive it.
	 * @throws {@link CircularDependencyError} If the resource waits for the one that asks.
	 * @throws {@link NotProvidedError} If it is a token, and nobody provides it.
	 * @throws Whatever the setup throws, unchanged; on an aborted scope the abort's reason.
	 */
	use<T>(resource: Resource<T>, options?: UseOptions): T;
	use<D extends Disposable | null | undefined>(disposable: D): D;
	use(target: unknown, options?: UseOptions): unknown {
		const owner = this.#owner;
		if (target instanceof Definition)
			return findSync(owner, target, options, frames.getStore()).value;
		const frame = openFrame(owner, "use");
		if (target !== null && target !== undefined)
			owner.register(requireDisposer(target, syncDisposerOf), frame);
		return target;
	}

	/** {@inheritDoc Scope.adopt} */
	adopt<T>(value: T, onDispose: (value: T) => void): T {
		const frame = openFrame(this.#owner, "adopt");
		checkCallback(onDispose, "adopt");
		this.#owner.register(() => onDispose(value), frame);
		return value;
	}

	/** {@inheritDoc Scope.defer} */
	defer(onDispose: () => void): void {
		const frame = openFrame(this.#owner, "defer");
		checkCallback(onDispose, "defer");
		this.#owner.register(() => onDispose(), frame);
	}

	/** {@inheritDoc Scope.move} */
	move(): SyncScope {
		const owner = this.#owner;
		checkMovable(owner);
		const moved = new SyncScope(
			{
				parent: this.parent ?? null,
				lifetime: owner.lifetime,
				name: owner.name,
				onReleaseError: owner.reporter,
			},
			SyncScope.prototype.move,
			true,
		);
		owner.moveTo(moved.#owner);
		return moved;
	}

	/**
	 * Closes the scope: closes the sync scopes below that are still open, then releases. A second call does nothing.
	 *
	 * Releases see `success` if {@link SyncScope.complete} was called and nothing failed, the failure if there is one,
	 * else a {@link ScopeIncompleteError}.
	 *
	 * @throws What a release threw: several as TC39's `SuppressedError`. Not the error that was passed to
	 *   {@link SyncScope.fail}: whoever called that has it.
	 * @throws {@link ScopeError} If it is called by a setup in this scope, or by the function of a
	 *   {@link withScopeSync} below it: closing would have to wait for its own caller.
	 */
	dispose(): void {
		const owner = this.#owner;
		if (owner.state !== "open") return;
		if (isRunning(owner)) {
			throw new ScopeError(
				`Cannot close scope "${owner.name}" in a setup, a release or a withScopeSync() of its own. Let that return first.`,
				{ scope: owner.name },
			);
		}
		owner.enterContext(owner, closeSync, owner);
		if (owner.failure?.isNews) throw owner.failure.combined();
	}

	/** {@link SyncScope.dispose}, for `using`. */
	[Symbol.dispose](): void {
		this.dispose();
	}

	/** {@inheritDoc Scope.complete} */
	complete(): void;
	complete<T>(value: T): T;
	complete(value?: unknown): unknown {
		this.#owner.complete();
		return value;
	}

	/** {@inheritDoc Scope.fail} */
	fail(error: unknown): void {
		this.#owner.fail(error, true);
	}

	/** {@inheritDoc Scope.run} */
	run<R>(fn: () => R): R {
		return runIn(this.#owner, fn);
	}

	/** {@inheritDoc Scope.enter} */
	enter(): Disposable {
		return enterOwner(this.#owner);
	}

	/** {@inheritDoc Scope.bind} */
	bind(...bindings: readonly Binding[]): Disposable {
		return addBindings(this.#owner, bindings);
	}

	/** {@inheritDoc Scope.inspect} */
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

/** Runs `fn` in a sync scope of its own, which closes when `fn` returns. */
export function runInSyncScope<R>(
	options: SyncScopeOptions,
	fn: (scope: SyncScope) => R,
	opener: Opener,
): R {
	checkCallback(fn, "withScopeSync");
	const owner = ownerOf(new SyncScope(options, opener, false));
	return frames.run(owner, bracket<R>, owner, fn);
}

function bracket<R>(owner: Owner, fn: (scope: SyncScope) => R): R {
	let value: R | undefined;
	try {
		value = fn(owner.scope as SyncScope); // it was made by runInSyncScope
		if (isThenable(value)) {
			Promise.resolve(value).catch((error) => owner.report(error));
			throw new InvalidArgumentError(
				`Expected a synchronous function for withScopeSync(), got one that returns a promise: scope "${owner.name}" closes under it. Use withScope().`,
			);
		}
		owner.complete();
	} catch (error) {
		owner.fail(error);
	}
	// an enter() in `fn` leaks to here
	frames.run(owner, closeSync, owner);
	if (owner.failure !== undefined) throw owner.failure.combined();
	return value as R;
}

/** Whether code of this scope, or of one below, is on the stack. */
function isRunning(owner: Owner): boolean {
	for (const each of scopesFrom(owner)) if (each.waiting || each.state === "releasing") return true;
	return false;
}
