import { acquire, type UseOptions } from "./acquire.ts";
import { ambientOwner } from "./context.ts";
import { NoScopeError, type ScopeErrorDetails } from "./errors.ts";
import { frames } from "./frame.ts";
import { ignore } from "./instance.ts";
import type { Owner } from "./owner.ts";
import {
	checkNamed,
	type Dependencies,
	definitionOf,
	type Resource,
	type Values,
	valuesByName,
} from "./resource.ts";
import { runInScope, Scope, type ScopeOptions } from "./scope.ts";
import { runInSyncScope, SyncScope, type SyncScopeOptions } from "./sync-scope.ts";

/**
 * Runs `fn` in a scope of its own, and closes the scope when `fn` is done, whatever happens.
 *
 * Resources see the outcome: success when `fn` returns, its error when it throws. The scope is ambient in `fn` and all
 * that it calls.
 *
 * @returns What `fn` returns, once everything is released.
 * @throws What `fn` throws, or what a resource made of it.
 * @throws What a release throws, if `fn` succeeded; several errors as TC39's `SuppressedError`.
 *
 * @example Committing and rolling back
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, use, withScope } from "yieldscope";
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
 * await withScope(async () => use(Tx));
 * await assert.rejects(
 * 	withScope(async () => {
 * 		await use(Tx);
 * 		throw new Error("out of stock");
 * 	}),
 * 	/out of stock/,
 * );
 * assert.deepEqual(log, ["COMMIT", "ROLLBACK"]);
 * ```
 */
export function withScope<R>(fn: (scope: Scope) => R): Promise<Awaited<R>>;
export function withScope<R>(options: ScopeOptions, fn: (scope: Scope) => R): Promise<Awaited<R>>;
export function withScope<R>(
	first: ScopeOptions | ((scope: Scope) => R),
	second?: (scope: Scope) => R,
): Promise<Awaited<R>> {
	const result =
		typeof first === "function" && second === undefined
			? runInScope({}, first, withScope)
			: runInScope(first as ScopeOptions, second as (scope: Scope) => R, withScope); // it checks
	return result; // JavaScriptCore makes no frame for what ends in `return` and a call: detectLeaks() looks for it
}

/**
 * Runs `fn` in a sync scope of its own, and closes the scope when `fn` returns or throws.
 *
 * It is {@link withScope} for resources that are acquired and released synchronously. The scope is the default parent of
 * those opened in `fn`; {@link use} and {@link currentScope} look through it to the nearest asynchronous one.
 *
 * @returns What `fn` returns, once everything is released.
 * @throws What `fn` throws, or what a resource made of it.
 * @throws What a release throws, if `fn` succeeded; several errors as TC39's `SuppressedError`.
 * @throws {@link InvalidArgumentError} If `fn` returns a promise: the scope would close under it.
 *
 * @example Undoing changes
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, withScopeSync } from "yieldscope";
 *
 * const account = { balance: 10 };
 * const Account = resource(function* Account() {
 * 	const { balance } = account;
 * 	try {
 * 		yield account;
 * 	} catch (error) {
 * 		account.balance = balance;
 * 		throw error;
 * 	}
 * });
 * const withdraw = (amount: number) =>
 * 	withScopeSync((scope) => {
 * 		const left = (scope.use(Account).balance -= amount);
 * 		if (left < 0) throw new Error("overdrawn");
 * 		return left;
 * 	});
 *
 * assert.equal(withdraw(3), 7);
 * assert.throws(() => withdraw(8), /overdrawn/);
 * assert.equal(account.balance, 7);
 * ```
 */
export function withScopeSync<R>(fn: (scope: SyncScope) => R): R;
export function withScopeSync<R>(options: SyncScopeOptions, fn: (scope: SyncScope) => R): R;
export function withScopeSync<R>(
	first: SyncScopeOptions | ((scope: SyncScope) => R),
	second?: (scope: SyncScope) => R,
): R {
	const result =
		typeof first === "function" && second === undefined
			? runInSyncScope({}, first, withScopeSync)
			: runInSyncScope(first as SyncScopeOptions, second as (scope: SyncScope) => R, withScopeSync); // it checks
	return result; // as in withScope
}

/**
 * Opens a scope that the caller must close: `await using scope = openScope()`.
 *
 * It isn't ambient; {@link Scope.run} makes it so. Unless {@link Scope.complete} is called, closing it is a rollback.
 *
 * @throws {@link ScopeClosedError} If the parent is closing or closed.
 *
 * @example A scope for the life of the application
 * ```ts
 * import assert from "node:assert/strict";
 * import { openScope, resource, use, withScope } from "yieldscope";
 *
 * let opened = 0;
 * const Pool = resource(() => ++opened, { name: "Pool", lifetime: "app" });
 *
 * const app = openScope({ lifetime: "app" });
 * await withScope({ parent: app }, async () => use(Pool));
 * await withScope({ parent: app }, async () => use(Pool));
 * await app.disposeAsync();
 * assert.equal(opened, 1);
 * ```
 */
export function openScope(options?: ScopeOptions): Scope {
	return new Scope(options, openScope, true);
}

/**
 * Opens a sync scope that the caller must close: `using scope = openScopeSync()`.
 *
 * It isn't ambient; {@link SyncScope.run} makes it so. Unless {@link SyncScope.complete} is called, closing it is a
 * rollback.
 *
 * @throws {@link ScopeClosedError} If the parent is closing or closed.
 *
 * @example Releasing at the end of a block
 * ```ts
 * import assert from "node:assert/strict";
 * import { openScopeSync } from "yieldscope";
 *
 * const log: string[] = [];
 * {
 * 	using scope = openScopeSync();
 * 	scope.defer(() => log.push("released"));
 * 	log.push("used");
 * }
 * assert.deepEqual(log, ["used", "released"]);
 * ```
 */
export function openScopeSync(options?: SyncScopeOptions): SyncScope {
	return new SyncScope(options, openScopeSync, true);
}

/**
 * Acquires a resource in the ambient scope. {@link Scope.use} tells the rules.
 *
 * @throws {@link NoScopeError} If there is no ambient scope; as a rejection.
 *
 * @example Using a resource deep down
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, use, withScope } from "yieldscope";
 *
 * const Greeting = resource(() => "hello");
 * const greet = async (name: string) => `${await use(Greeting)} ${name}`;
 *
 * assert.equal(await withScope(() => greet("world")), "hello world");
 * ```
 */
export function use<T>(resource: Resource<T>, options?: UseOptions): Promise<T> {
	const frame = frames.getStore();
	const owner = ambientOwner(frame);
	const result =
		owner === undefined
			? rejectNoScope(definitionOf(resource).name)
			: acquire(owner, definitionOf(resource), options, frame);
	return result as Promise<T>; // a definition acquires what its type says
}

function rejectNoScope(name: string): Promise<never> {
	const rejected = Promise.reject(noScopeError(`use ${name}`, { resource: name, path: [name] }));
	rejected.catch(ignore);
	return rejected;
}

/**
 * Acquires several resources in the ambient scope, concurrently where they don't depend on each other.
 *
 * The order of release doesn't depend on which was ready first.
 *
 * @throws {@link NoScopeError} If there is no ambient scope; as a rejection.
 * @throws Whatever {@link use} rejects with, the first of it.
 *
 * @example Two at once
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, useAll, withScope } from "yieldscope";
 *
 * const A = resource(async () => 1);
 * const B = resource(async () => "b");
 *
 * await withScope(async () => {
 * 	const { a, b } = await useAll({ a: A, b: B });
 * 	assert.deepEqual([a, b], [1, "b"]);
 * });
 * ```
 */
export function useAll<const D extends Dependencies>(resources: D): Promise<Values<D>> {
	checkNamed(resources);
	const names = Object.keys(resources);
	const uses = names.map((name) => use(resources[name] as Resource<unknown>));
	// alone, it takes less time
	const [first] = uses;
	const all =
		uses.length === 1
			? (first as Promise<unknown>).then((value) => valuesByName(names, [value]))
			: Promise.all(uses).then((values) => valuesByName(names, values));
	all.catch(ignore);
	return all as Promise<Values<D>>; // the values have the names' types by the definition of Values
}

/**
 * The ambient scope.
 *
 * @throws {@link NoScopeError} If there is none.
 */
export function currentScope(): Scope {
	const owner = ambientOwner(frames.getStore());
	if (owner === undefined) throw noScopeError("find the current scope");
	return scopeOf(owner);
}

/** The ambient scope, if there is one. */
export function tryCurrentScope(): Scope | undefined {
	const owner = ambientOwner(frames.getStore());
	return owner && scopeOf(owner);
}

function scopeOf(owner: Owner): Scope {
	return owner.scope as Scope; // ambientOwner gives no sync scopes
}

function noScopeError(action: string, details?: ScopeErrorDetails): NoScopeError {
	return new NoScopeError(
		`Cannot ${action}: there is no ambient scope here. Wrap the work in withScope(), mount the adapter's requestScope() before this, or call scope.use(): a scope of openScope() isn't ambient by itself. In a callback that lost its async context, use scope.run().`,
		details,
	);
}
