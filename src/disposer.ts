import { InvalidArgumentError, isObject } from "./errors.ts";
import { kindOf } from "./options.ts";

/**
 * How to dispose a value asynchronously, if it says so itself. The result of a `Symbol.dispose` isn't awaited.
 *
 * {@link https://tc39.es/proposal-explicit-resource-management/#sec-getdisposemethod | GetDisposeMethod}
 */
export function disposerOf(value: object): (() => unknown) | undefined {
	const dispose = methodOf(value, Symbol.asyncDispose);
	if (dispose !== undefined) return () => dispose.call(value);
	const disposeSync = syncDisposerOf(value);
	return disposeSync && (async () => void disposeSync());
}

/** How to dispose a value synchronously, if it says so itself. */
export function syncDisposerOf(value: object): (() => unknown) | undefined {
	const dispose = methodOf(value, Symbol.dispose);
	return dispose && (() => dispose.call(value));
}

/** The disposer of a value that must have one. */
export function requireDisposer(value: unknown, find: typeof disposerOf): () => unknown {
	const disposer = isObject(value) ? find(value) : undefined;
	if (disposer !== undefined) return disposer;
	throw new InvalidArgumentError(
		`Expected a resource, or an object with a ${find === disposerOf ? "Symbol.asyncDispose or " : ""}Symbol.dispose method, got ${kindOf(value)}.`,
	);
}

/** {@link https://tc39.es/ecma262/#sec-getmethod | GetMethod} */
function methodOf(value: object, key: symbol): (() => unknown) | undefined {
	const method = (value as Record<symbol, unknown>)[key];
	if (method === undefined || method === null) return undefined;
	if (typeof method === "function") return method as () => unknown;
	throw new InvalidArgumentError(
		`Expected ${String(key)} to be a function, got ${kindOf(method)}.`,
	);
}
