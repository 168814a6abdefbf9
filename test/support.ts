import {
	type Dependencies,
	type Resource,
	type ResourceOptions,
	resource,
	ScopeIncompleteError,
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
