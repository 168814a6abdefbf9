/** What an error says about where it happened, as data: nobody needs to parse a message. */
export interface ScopeErrorDetails {
	/** The error that this one answers. */
	readonly cause?: unknown;
	/** The name of the resource. */
	readonly resource?: string | undefined;
	/** The name of the scope. */
	readonly scope?: string | undefined;
	/** Who asked for the resource, outermost first, as in `["Orders", "Tx", "Pool"]`. */
	readonly path?: readonly string[] | undefined;
}

/**
 * Base of the errors that yieldscope makes, so that one `instanceof` catches them all. Only for bad arguments, and where
 * TC39 demands it, there is a `TypeError` or a `ReferenceError`.
 *
 * Classes, {@link ScopeError.code | codes} and fields are API; messages are not.
 *
 * @example Telling them apart
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, ScopeError, use } from "yieldscope";
 *
 * const Db = resource(() => ({ id: 1 }), { name: "Db" });
 * await assert.rejects(use(Db), (error) => error instanceof ScopeError && error.code === "YS_ERR_NO_SCOPE");
 * ```
 */
export class ScopeError extends Error {
	/** The class's name; it survives minification. */
	override readonly name: string = "ScopeError";
	/** Stable identifier, for handlers that can't use `instanceof`. */
	readonly code: string = "YS_ERR_SCOPE";
	/** The name of the resource concerned, if there is one. */
	readonly resource: string | undefined;
	/** The name of the scope concerned, if there is one. */
	readonly scope: string | undefined;
	/** Who asked for the resource, outermost first; empty where nobody did. */
	readonly path: readonly string[];

	/**
	 * @param message - What failed, where, and what to do.
	 * @param details - The same as data.
	 */
	constructor(message: string, details: ScopeErrorDetails = {}) {
		super(message, "cause" in details ? { cause: details.cause } : undefined);
		showCode(this);
		this.resource = details.resource;
		this.scope = details.scope;
		this.path = details.path ?? [];
	}
}

/** Thrown when the ambient scope is asked for where there is none. */
export class NoScopeError extends ScopeError {
	override readonly name = "NoScopeError";
	override readonly code = "YS_ERR_NO_SCOPE";
}

/** Thrown when a scope that is closing or closed is asked for something that it no longer gives. */
export class ScopeClosedError extends ScopeError {
	override readonly name = "ScopeClosedError";
	override readonly code = "YS_ERR_SCOPE_CLOSED";
}

/** Thrown when no scope can own a resource: none of its lifetime is open, or its user would outlive it. */
export class LifetimeError extends ScopeError {
	override readonly name = "LifetimeError";
	override readonly code = "YS_ERR_LIFETIME";
}

/** Thrown when resources wait for each other; {@link ScopeError.path | path} is the circle. */
export class CircularDependencyError extends ScopeError {
	override readonly name = "CircularDependencyError";
	override readonly code = "YS_ERR_CIRCULAR_DEPENDENCY";
}

/** Thrown when a token is used that nobody provides. */
export class NotProvidedError extends ScopeError {
	override readonly name = "NotProvidedError";
	override readonly code = "YS_ERR_NOT_PROVIDED";
}

/** Thrown when a resource's generator ends without a `yield`. */
export class DidNotYieldError extends ScopeError {
	override readonly name = "DidNotYieldError";
	override readonly code = "YS_ERR_DID_NOT_YIELD";
}

/** Thrown when a resource's generator yields again instead of ending; the generator has been closed. */
export class YieldedTwiceError extends ScopeError {
	override readonly name = "YieldedTwiceError";
	override readonly code = "YS_ERR_YIELDED_TWICE";
}

/** Reported when a resource catches the work's error and doesn't throw it on; `cause` is that error. */
export class ErrorSwallowedError extends ScopeError {
	override readonly name = "ErrorSwallowedError";
	override readonly code = "YS_ERR_ERROR_SWALLOWED";
}

/** Thrown into resources when their scope closes and nobody said whether the work succeeded. */
export class ScopeIncompleteError extends ScopeError {
	override readonly name = "ScopeIncompleteError";
	override readonly code = "YS_ERR_SCOPE_INCOMPLETE";
}

/**
 * Reported when a scope that somebody holds is garbage-collected, or the process exits, before it is closed. Its stack is
 * that of where the scope was opened.
 */
export class ScopeNotClosedError extends ScopeError {
	override readonly name = "ScopeNotClosedError";
	override readonly code = "YS_ERR_SCOPE_NOT_CLOSED";
}

/** Thrown when a release doesn't end within its `releaseTimeout`. */
export class ReleaseTimeoutError extends ScopeError {
	override readonly name = "ReleaseTimeoutError";
	override readonly code = "YS_ERR_RELEASE_TIMEOUT";
}

/** Thrown by a `use` that waits when its scope is aborted; `cause` is the abort's reason. */
export class AcquireAbortedError extends ScopeError {
	override readonly name = "AcquireAbortedError";
	override readonly code = "YS_ERR_ACQUIRE_ABORTED";
}

/** Thrown, before anything happens, for an argument that can't be right. */
export class InvalidArgumentError extends TypeError {
	/** The class's name; it survives minification. */
	override readonly name = "InvalidArgumentError";
	/** Stable identifier, for handlers that can't use `instanceof`. */
	readonly code = "YS_ERR_INVALID_ARGUMENT";

	/** @param message - What is wrong, and what to do. */
	constructor(message: string) {
		super(message);
		showCode(this);
	}
}

/** Has the stack begin `Name [CODE]:`, as those of Node's own errors do. It is made when it is read, which few are. */
function showCode(error: Error & { readonly code: string }): void {
	const { get, value } = Object.getOwnPropertyDescriptor(error, "stack") ?? {};
	Object.defineProperty(error, "stack", {
		configurable: true,
		get: () => (get?.call(error) ?? value)?.replace(/^[^:\n]*/, `${error.name} [${error.code}]`),
		set: (stack) => Object.defineProperty(error, "stack", { value: stack, writable: true }),
	});
}

/** Two errors as one. */
export interface SuppressedError extends Error {
	/** The newer error. */
	error: unknown;
	/** The older one, which was on its way when the newer one happened. */
	suppressed: unknown;
}

/** The class of {@link SuppressedError}. */
export interface SuppressedErrorConstructor {
	/** Makes one error of two. */
	new (error: unknown, suppressed: unknown, message?: string): SuppressedError;
}

/**
 * TC39's `SuppressedError`: the platform's own, or on Node 22, which has none, one that is alike.
 *
 * {@link https://tc39.es/proposal-explicit-resource-management/#sec-suppressederror-objects}
 */
export const SuppressedError: SuppressedErrorConstructor =
	(globalThis as { SuppressedError?: SuppressedErrorConstructor }).SuppressedError ??
	class SuppressedError extends Error {
		declare error: unknown;
		declare suppressed: unknown;

		constructor(error: unknown, suppressed: unknown, message?: string) {
			super(message);
			const hidden = { writable: true, configurable: true, enumerable: false };
			Object.defineProperty(this, "name", { ...hidden, value: "SuppressedError" });
			Object.defineProperty(this, "error", { ...hidden, value: error });
			Object.defineProperty(this, "suppressed", { ...hidden, value: suppressed });
		}
	};

/** Whether `value` can have properties of its own. */
export function isObject(value: unknown): value is object {
	return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** Whether `await` would unwrap `value`. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
	return isObject(value) && typeof (value as { then?: unknown }).then === "function";
}
