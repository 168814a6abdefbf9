import { expect } from "vitest";
import {
	type Dependencies,
	type Resource,
	type ResourceOptions,
	resource,
	ScopeError,
	ScopeIncompleteError,
	SuppressedError,
} from "../src/index.ts";

/** A resource whose value is its name. It logs `+a`, then `-a:success`, `-a:failure` or `-a:incomplete`. */
export function logged(
	log: string[],
	name: string,
	dependencies: Dependencies = {},
	options: ResourceOptions = {},
): Resource<string> {
	return resource(
		dependencies,
		async function* () {
			log.push(`+${name}`);
			let outcome = "success";
			try {
				yield name;
			} catch (error) {
				outcome = error instanceof ScopeIncompleteError ? "incomplete" : "failure";
				throw error;
			} finally {
				log.push(`-${name}:${outcome}`);
			}
		},
		{ name, ...options },
	);
}

/** A promise that the test settles. */
export function gate<T = void>(): {
	readonly promise: Promise<T>;
	readonly open: (value: T) => void;
	readonly fail: (error: unknown) => void;
} {
	let open: (value: T) => void = () => {};
	let fail: (error: unknown) => void = () => {};
	const promise = new Promise<T>((resolve, reject) => {
		open = resolve;
		fail = reject;
	});
	return { promise, open, fail };
}

/** Lets everything that waits for nothing but microtasks go on. */
export async function ticks(count = 50): Promise<void> {
	for (let i = 0; i < count; i++) await undefined;
}

/** What `promise` rejects with. */
export async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
	let value: unknown;
	try {
		value = await promise;
	} catch (error) {
		return error;
	}
	throw new Error(`expected a rejection, got ${String(value)}`);
}

/** A resource that adds what its release is told to `seen`, `"success"` or the error, and throws the error on. */
export function witness(
	seen: unknown[],
	name = "witness",
	dependencies: Dependencies = {},
): Resource<string> {
	return resource(
		dependencies,
		async function* () {
			try {
				yield name;
			} catch (error) {
				seen.push(error);
				throw error;
			}
			seen.push("success");
		},
		{ name },
	);
}

/** A resource whose release answers whatever it is told with `thrown`. */
export function thrower(
	thrown: unknown,
	name = "thrower",
	dependencies: Dependencies = {},
): Resource<string> {
	return resource(
		dependencies,
		async function* () {
			try {
				yield name;
			} finally {
				// biome-ignore lint/correctness/noUnsafeFinally: replacing the error is the point
				throw thrown;
			}
		},
		{ name },
	);
}

/** Checks the class and the code of one of yieldscope's errors. */
export function expectError<E extends ScopeError>(
	error: unknown,
	type: new (...args: never[]) => E,
	code: string,
): asserts error is E {
	expect(error).toBeInstanceOf(type);
	expect(error).toBeInstanceOf(ScopeError);
	expect(error).toMatchObject({ name: type.name, code });
}

/** Checks that `error` is TC39's `SuppressedError(newest, older)`, by identity. */
export function expectSuppressed(error: unknown, newest: unknown, older: unknown): void {
	expect(error).toBeInstanceOf(SuppressedError);
	const both = error as InstanceType<typeof SuppressedError>;
	expect(both.name).toBe("SuppressedError");
	expect(both.error).toBe(newest);
	expect(both.suppressed).toBe(older);
}
