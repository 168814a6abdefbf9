import { openScope, tryCurrentScope, useAll, withScope } from "./ambient.ts";
import { frames, Task } from "./frame.ts";
import { ignore } from "./instance.ts";
import { checkCallback, closedError } from "./open.ts";
import { type Dependencies, dependenciesOf, type Values } from "./resource.ts";
import { ownerOf, type Scope, type ScopeOptions } from "./scope.ts";
import { isGenerator } from "./setup.ts";

/** What a function returns that {@link scoped} wraps, where the function itself returns `R`. */
export type ScopedResult<R> = [R] extends [
	AsyncGenerator<infer Y, infer T, infer N> | Generator<infer Y, infer T, infer N>,
]
	? AsyncGenerator<Y, T, N>
	: Promise<Awaited<R>>;

/**
 * Wraps a function so that each call runs in a scope of its own, with `dependencies` acquired and passed first.
 *
 * The scope is ambient in `fn` and closes when `fn` is done, as by {@link withScope}.
 *
 * A generator function becomes an asynchronous one. Nothing happens before its first `next()`, and the scope stays open
 * until it ends: success when it returns, failure when it throws. When its consumer stops early, with `break` or
 * `return()`, the outcome is incomplete, and nothing is committed. So it is when the consumer abandons it: it is closed
 * together with the scope in which it was called, its `finally` blocks before anything is released, and going on with it
 * rejects with {@link ScopeClosedError}. A function that isn't declared as a generator but returns one is called at once;
 * its result can be iterated, or awaited for the generator.
 *
 * @param dependencies - What to acquire, by the names under which `fn` gets the values.
 * @param fn - Gets the values, then the arguments of the call, and its `this`.
 * @param options - The options of each scope; its parent is by default the scope that is ambient at the call.
 *
 * @example A job
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, scoped } from "yieldscope";
 *
 * const sent: string[] = [];
 * const Mailer = resource(() => ({ send: (to: string) => sent.push(to) }));
 * const welcome = scoped({ mailer: Mailer }, async ({ mailer }, user: string) => mailer.send(user));
 *
 * assert.equal(await welcome("ada@example.com"), 1);
 * assert.deepEqual(sent, ["ada@example.com"]);
 * ```
 *
 * @example Streaming rows
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, scoped } from "yieldscope";
 *
 * const log: string[] = [];
 * const Db = resource(async function* Db() {
 * 	yield { rows: ["a", "b"] };
 * 	log.push("released");
 * });
 * const rows = scoped({ db: Db }, async function* ({ db }) {
 * 	yield* db.rows;
 * });
 *
 * for await (const row of rows()) log.push(row);
 * assert.deepEqual(log, ["a", "b", "released"]);
 * ```
 */
export function scoped<const D extends Dependencies, A extends readonly unknown[], R, T = unknown>(
	dependencies: D,
	fn: (this: T, dependencies: Values<D>, ...args: A) => R,
	options: ScopeOptions = {},
): (this: T, ...args: A) => ScopedResult<R> {
	dependenciesOf(dependencies);
	checkCallback(fn, "scoped");
	// bound functions have the tag, too
	const isDeclared = /GeneratorFunction]$/.test(Object.prototype.toString.call(fn));
	const wrapper = function (this: T, ...args: A): unknown {
		const { parent = tryCurrentScope() ?? null } = options;
		const call = () =>
			withScope({ ...options, parent }, async (scope) => {
				const result = await fn.call(this, await useAll(dependencies), ...args);
				if (!isGenerator(result)) return result;
				// the scope closes here, and says why
				if (scope.outcome.type === "failure") await result.return(undefined);
				return scope.outcome.type === "failure" ? result : drive(scope.move(), result, options);
			});
		return isDeclared ? lazily(call) : iterable(call());
	};
	Object.defineProperty(wrapper, "name", { value: fn.name });
	return wrapper as (this: T, ...args: A) => ScopedResult<R>; // ScopedResult says what it just did
}

type AnyGenerator = AsyncGenerator<unknown, unknown, unknown>;

/** Iterates `inner` with `scope` ambient; they end together. */
function drive(
	scope: Scope,
	inner: Generator | AsyncGenerator,
	{ releaseTimeout }: ScopeOptions,
): AnyGenerator {
	const owner = ownerOf(scope);
	let step: Promise<IteratorResult<unknown>> | undefined;
	const go = (method: "next" | "return" | "throw") => (value: unknown) => {
		if (method === "next" && scope.disposed) throw closedError(owner, "iterate in");
		// the scope's close waits for it, so that it must not wait for that
		const task = new Task(owner);
		step = frames.run(task, async () => {
			try {
				return await inner[method](value);
			} finally {
				task.pending = false;
			}
		});
		return step;
	};
	const steps = { next: go("next"), return: go("return"), throw: go("throw") };
	const outer = (async function* (): AnyGenerator {
		try {
			// begun below, so that return() closes the scope even if it comes first
			yield;
			const result = yield* { [Symbol.asyncIterator]: () => steps };
			const { outcome } = scope;
			if (outcome.type === "failure") throw outcome.error; // said by fail() or abort()
			scope.complete();
			return result;
		} catch (error) {
			// known to the consumer, if it isn't the one that closes the scope
			owner.fail(error, scope.disposed);
			const { outcome } = scope;
			throw scope.disposed || outcome.type !== "failure" ? error : outcome.error;
		} finally {
			// if the parent closes the scope, that waits for this
			if (!scope.disposed) await scope.disposeAsync();
		}
	})();
	void outer.next();
	// a child is closed before anything is released
	openScope({ parent: scope, releaseTimeout }).defer(async () => {
		await step?.catch(ignore);
		await scope.run(() => inner.return(undefined));
	});
	return outer;
}

async function* lazily(call: () => Promise<unknown>): AnyGenerator {
	return yield* (await call()) as AnyGenerator; // a generator function returns nothing else
}

/** A promise that can be iterated as well, should it be of a generator. */
function iterable(promise: Promise<unknown>): Promise<unknown> {
	const go = (method: "next" | "return" | "throw") => ({
		value: (value: unknown) =>
			promise.then((generator) => (generator as AnyGenerator)[method](value)),
	});
	return Object.defineProperties(promise, {
		next: go("next"),
		return: go("return"),
		throw: go("throw"),
		[Symbol.asyncIterator]: { value: () => promise },
	});
}
