import { describe, expect, it } from "vitest";
import {
	ErrorSwallowedError,
	openScope,
	resource,
	type Scope,
	ScopeIncompleteError,
	SuppressedError,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import {
	expectError,
	expectSuppressed,
	gate,
	logged,
	rejection,
	thrower,
	ticks,
	witness,
} from "./support.ts";

/** Fails `work` after acquiring all of `resources`, the last one to be released first. */
const failing = (error: unknown, ...setUp: ((scope: Scope) => unknown)[]) =>
	withScope(async (scope) => {
		for (const each of setUp) await each(scope);
		throw error;
	});

/** Succeeds after acquiring all of `resources`, the last one to be released first. */
const succeeding = (...setUp: ((scope: Scope) => unknown)[]) =>
	withScope(async (scope) => {
		for (const each of setUp) await each(scope);
	});

const fails =
	(thrown: unknown): (() => never) =>
	() => {
		throw thrown;
	};

/** A resource that catches everything. */
const Swallower = resource(
	async function* () {
		try {
			yield 1;
		} catch {
			// that is the point
		}
	},
	{ name: "Swallower" },
);

describe("rule 14: every release is attempted", () => {
	it("goes on after every kind of failing release", async () => {
		const log: string[] = [];
		const fail = (name: string) => () => {
			log.push(name);
			throw new Error(name);
		};
		const Returned = resource(() => ({ [Symbol.dispose]: fail("returned disposable") }));
		const ReturnedAsync = resource(() => ({
			[Symbol.asyncDispose]: () => Promise.reject(fail("returned async disposable")()),
		}));
		const Generator = resource(async function* () {
			try {
				yield 1;
			} finally {
				fail("async generator")();
			}
		});
		const SyncGenerator = resource(function* () {
			try {
				yield 1;
			} finally {
				fail("sync generator")();
			}
		});

		const work = succeeding(
			(scope) => scope.use(logged(log, "a")),
			(scope) => scope.defer(fail("deferred")),
			(scope) => scope.defer(async () => fail("deferred async")()),
			(scope) => scope.adopt(1, fail("adopted")),
			(scope) => scope.use({ [Symbol.dispose]: fail("disposable") }),
			(scope) => scope.use(Returned),
			(scope) => scope.use(ReturnedAsync).catch(() => {}),
			(scope) => scope.use(Generator),
			(scope) => scope.use(SyncGenerator),
			(scope) => scope.use(logged(log, "b")),
		);

		expect(await rejection(work)).toBeInstanceOf(SuppressedError);
		expect(log).toEqual([
			"+a",
			"+b",
			"-b:success",
			"sync generator",
			"async generator",
			"returned async disposable",
			"returned disposable",
			"disposable",
			"adopted",
			"deferred async",
			"deferred",
			"-a:failure",
		]);
	});

	it("goes on after a failing dependent to what it depends on", async () => {
		const log: string[] = [];
		const thrown = new Error("tx");
		const Pool = logged(log, "pool");
		const Tx = thrower(thrown, "tx", { Pool });

		expect(await rejection(succeeding(() => use(Tx)))).toBe(thrown);

		expect(log).toEqual(["+pool", "-pool:failure"]);
	});

	it("attempts 100,000 releases that all fail", async () => {
		let attempts = 0;
		const Failing = resource(function* () {
			try {
				yield 1;
			} finally {
				attempts++;
				// biome-ignore lint/correctness/noUnsafeFinally: a failing release
				throw attempts;
			}
		});
		const work = withScope(async (scope) => {
			for (let i = 0; i < 100_000; i++) await scope.use(Failing, { fresh: true });
		});
		expect(await rejection(work)).toBe(100_000);
		expect(attempts).toBe(100_000);
	});

	it("attempts 100,000 releases that all translate the error", async () => {
		let attempts = 0;
		const Translating = resource(function* () {
			try {
				yield 1;
			} catch (error) {
				throw new Error(`translation ${++attempts}`, { cause: error });
			}
		});
		const Answering = resource(function* () {
			try {
				yield 1;
			} finally {
				// biome-ignore lint/correctness/noUnsafeFinally: it is given its cause
				throw new Error(`answer ${++attempts}`);
			}
		});
		const work = withScope(async (scope) => {
			for (let i = 0; i < 50_000; i++) {
				await scope.use(Translating, { fresh: true });
				await scope.use(Answering, { fresh: true });
			}
			throw new Error("failed");
		});
		let error = (await rejection(work)) as Error;
		let causes = 0;
		for (; error.cause !== undefined; error = error.cause as Error) causes++;
		expect([attempts, causes]).toEqual([100_000, 100_000]);
		expect(error.message).toBe("failed");
	});

	it("combines the errors of 100,000 callbacks", async () => {
		const work = withScope((scope) => {
			for (let i = 0; i < 100_000; i++) scope.defer(fails(i));
		});
		let error = await rejection(work);
		for (let i = 0; i < 99_999; i++) {
			expectEqual((error as InstanceType<typeof SuppressedError>).error, i);
			error = (error as InstanceType<typeof SuppressedError>).suppressed;
		}
		expect(error).toBe(99_999);
	});
});

/** `expect` is too slow for 100,000 calls. */
function expectEqual(actual: unknown, expected: unknown): void {
	if (actual !== expected) expect(actual).toBe(expected);
}

describe("rule 15: propagation", () => {
	it("keeps the error's identity, class, stack and cause through many resources", async () => {
		class AppError extends RangeError {}
		const cause = new Error("cause");
		const error = new AppError("failed", { cause });
		const { stack } = error;
		const keys = Reflect.ownKeys(error);
		const seen: unknown[] = [];
		const A = witness(seen, "a");
		const B = witness(seen, "b", { A });
		const C = witness(seen, "c", { B });

		const thrown = await rejection(failing(error, () => use(C)));

		expect(thrown).toBe(error);
		expect(thrown).toBeInstanceOf(AppError);
		expect(error.stack).toBe(stack);
		expect(error.cause).toBe(cause);
		expect(Reflect.ownKeys(error)).toEqual(keys);
		expect(seen.length).toBe(3);
		for (const each of seen) expect(each).toBe(error);
	});

	it("is what a resource without a catch does", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		const Plain = resource(async function* () {
			yield 1;
			log.push("unreachable");
		});
		const PlainSync = resource(function* () {
			yield 1;
			log.push("unreachable");
		});

		const work = failing(
			error,
			() => use(Plain),
			() => use(PlainSync),
		);

		expect(await rejection(work)).toBe(error);
		expect(log).toEqual([]);
	});

	it("holds for an incomplete scope, which then closes without an error", async () => {
		const scope = openScope();
		await scope.use(
			resource(() =>
				(function* () {
					yield 1;
				})(),
			),
		);
		await expect(scope.disposeAsync()).resolves.toBeUndefined();
	});
});

describe("rule 15: translation", () => {
	it("replaces the error for the resources still to be released and for the caller", async () => {
		const [error, translated] = [new Error("failed"), new Error("translated")];
		const seen: unknown[] = [];

		const work = failing(
			error,
			() => use(witness(seen, "later")),
			() => use(thrower(translated)),
			() => use(witness(seen, "earlier")),
		);

		expect(await rejection(work)).toBe(translated);
		expect(seen).toEqual([error, translated]);
		expect(seen[0]).toBe(error);
		expect(seen[1]).toBe(translated);
		expect(translated.cause).toBe(error);
		expect(Object.keys(translated)).toEqual([]);
	});

	it("works in sync generators", async () => {
		const [error, translated] = [new Error("failed"), new Error("translated")];
		const Sync = resource(function* () {
			try {
				yield 1;
			} catch {
				throw translated;
			}
		});
		expect(await rejection(failing(error, () => use(Sync)))).toBe(translated);
		expect(translated.cause).toBe(error);
	});

	it("leaves a cause that is there", async () => {
		const cause = new Error("cause");
		const translated = new Error("translated", { cause });
		expect(await rejection(failing(new Error("failed"), () => use(thrower(translated))))).toBe(
			translated,
		);
		expect(translated.cause).toBe(cause);
	});

	it("leaves a cause of null", async () => {
		const translated = new Error("translated", { cause: null });
		await rejection(failing(new Error("failed"), () => use(thrower(translated))));
		expect(translated.cause).toBeNull();
	});

	it("chains", async () => {
		const [error, first, second] = [new Error("failed"), new Error("first"), new Error("second")];
		const work = failing(
			error,
			() => use(thrower(second)),
			() => use(thrower(first)),
		);
		expect(await rejection(work)).toBe(second);
		expect(second.cause).toBe(first);
		expect(first.cause).toBe(error);
		expect(error.cause).toBeUndefined();
	});

	it.each([
		["undefined", undefined],
		["null", null],
		["a string", "translated"],
		["a symbol", Symbol("translated")],
		["a frozen error", Object.freeze(new Error("frozen"))],
		["a sealed error", Object.seal(new Error("sealed"))],
		["an object without a prototype", Object.create(null)],
		[
			"an error whose cause can't be read",
			Object.defineProperty(new Error("getter"), "cause", { get: fails(new Error("getter")) }),
		],
		[
			"a proxy that refuses everything",
			new Proxy(
				{},
				{
					get: fails(new Error("get")),
					has: fails(new Error("has")),
					defineProperty: fails(new Error("defineProperty")),
				},
			),
		],
	])("may be to %s", async (_kind, translated) => {
		const log: string[] = [];
		const seen: unknown[] = [];
		const work = failing(
			new Error("failed"),
			() => use(logged(log, "last")),
			() => use(witness(seen)),
			() => use(thrower(translated)),
		);
		const outcome = await work.then(
			() => "fulfilled",
			(error) => error === translated,
		);
		expect(outcome).toBe(true);
		expect(seen.length).toBe(1);
		expect(seen[0] === translated).toBe(true);
		expect(log).toEqual(["+last", "-last:failure"]);
	});

	it("may be of undefined", async () => {
		const translated = new Error("translated");
		expect(await rejection(failing(undefined, () => use(thrower(translated))))).toBe(translated);
		expect(translated.cause).toBeUndefined();
	});

	it("may be of a primitive, which becomes the cause", async () => {
		const translated = new Error("translated");
		expect(await rejection(failing("failed", () => use(thrower(translated))))).toBe(translated);
		expect(translated.cause).toBe("failed");
	});

	it("makes no circle of an error that was the cause already", async () => {
		const inner = new Error("inner");
		const outer = new Error("outer", { cause: inner });
		expect(await rejection(failing(outer, () => use(thrower(inner))))).toBe(inner);
		expect(inner.cause).toBeUndefined();
		expect(outer.cause).toBe(inner);
	});

	it("makes no circle of an error that comes back after a translation", async () => {
		const [error, translated] = [new Error("failed"), new Error("translated")];
		const work = failing(
			error,
			() => use(thrower(error)),
			() => use(thrower(translated)),
		);
		expect(await rejection(work)).toBe(error);
		expect(translated.cause).toBe(error);
		expect(error.cause).toBeUndefined();
	});

	it("ends also where causes go round in a circle already", async () => {
		const [a, b] = [new Error("a"), new Error("b")];
		a.cause = b;
		b.cause = a;
		const translated = new Error("translated");
		expect(await rejection(failing(a, () => use(thrower(translated))))).toBe(translated);
		expect(translated.cause).toBe(a);
	});

	it("adds a cause that is as hidden as the standard one", async () => {
		const translated = new Error("translated");
		await rejection(failing(new Error("failed"), () => use(thrower(translated))));
		expect(Object.getOwnPropertyDescriptor(translated, "cause")).toMatchObject({
			enumerable: false,
			writable: true,
			configurable: true,
		});
	});
});

describe("rule 16: a release that fails after successful work", () => {
	it("makes the outcome failure for those still to be released, and rejects the scope", async () => {
		const thrown = new Error("release failed");
		const seen: unknown[] = [];

		const work = succeeding(
			() => use(witness(seen, "later")),
			() => use(thrower(thrown)),
			() => use(witness(seen, "earlier")),
		);

		expect(await rejection(work)).toBe(thrown);
		expect(seen).toEqual(["success", thrown]);
		expect(seen[1]).toBe(thrown);
		expect(thrown.cause).toBeUndefined();
	});

	it.each([
		["defer", (scope: Scope, thrown: unknown) => scope.defer(fails(thrown))],
		["adopt", (scope: Scope, thrown: unknown) => void scope.adopt(1, fails(thrown))],
		[
			"a disposable",
			(scope: Scope, thrown: unknown) => void scope.use({ [Symbol.dispose]: fails(thrown) }),
		],
		[
			"an async disposable",
			(scope: Scope, thrown: unknown) =>
				void scope.use({ [Symbol.asyncDispose]: async () => fails(thrown)() }),
		],
		[
			"a returned disposable",
			(scope: Scope, thrown: unknown) =>
				scope.use(resource(() => ({ [Symbol.dispose]: fails(thrown) }))),
		],
		[
			"a returned async disposable",
			(scope: Scope, thrown: unknown) =>
				scope.use(resource(() => ({ [Symbol.asyncDispose]: async () => fails(thrown)() }))),
		],
	])("counts %s as well", async (_kind, register) => {
		const thrown = new Error("release failed");
		const seen: unknown[] = [];
		const work = succeeding(
			() => use(witness(seen)),
			(scope) => register(scope, thrown),
		);
		expect(await rejection(work)).toBe(thrown);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(thrown);
	});

	it("rejects the close of a held scope", async () => {
		const thrown = new Error("release failed");
		const seen: unknown[] = [];
		const scope = openScope();
		await scope.use(witness(seen));
		await scope.use(thrower(thrown));
		scope.complete();
		expect(await rejection(scope.disposeAsync())).toBe(thrown);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(thrown);
	});

	it("tells the rest of an incomplete scope about the failure", async () => {
		const thrown = new Error("release failed");
		const seen: unknown[] = [];
		const scope = openScope();
		await scope.use(witness(seen));
		scope.defer(fails(thrown));
		expect(await rejection(scope.disposeAsync())).toBe(thrown);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(thrown);
	});

	it("takes undefined for a failure", async () => {
		const seen: unknown[] = [];
		const work = succeeding(
			() => use(witness(seen)),
			() => use(thrower(undefined)),
		);
		expect(await rejection(work)).toBeUndefined();
		expect(seen).toEqual([undefined]);
	});

	it("lets the others translate it", async () => {
		const [thrown, translated] = [new Error("release failed"), new Error("translated")];
		const work = succeeding(
			() => use(thrower(translated)),
			() => use(thrower(thrown)),
		);
		expect(await rejection(work)).toBe(translated);
		expect(translated.cause).toBe(thrown);
	});
});

describe("rule 17: a resource that swallows the error", () => {
	it("doesn't turn failure into success for the others and the caller", async () => {
		const reported: unknown[] = [];
		const seen: unknown[] = [];
		const error = new Error("failed");

		const work = withScope(
			{ name: "work", onReleaseError: (each) => reported.push(each) },
			async () => {
				await use(witness(seen));
				await use(Swallower);
				throw error;
			},
		);

		expect(await rejection(work)).toBe(error);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
		expect(reported.length).toBe(1);
		const [swallowed] = reported;
		expectError(swallowed, ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
		expect(swallowed.cause).toBe(error);
		expect(swallowed.resource).toBe("Swallower");
		expect(swallowed.scope).toBe("work");
		expect(swallowed.message).toContain("Swallower");
		expect(swallowed.message).toContain("work");
	});

	it("is reported in a sync generator, and with undefined as the cause", async () => {
		const reported: unknown[] = [];
		const Sync = resource(function* () {
			try {
				yield 1;
			} catch {
				// that is the point
			}
		});
		const work = withScope({ onReleaseError: (each) => reported.push(each) }, async () => {
			await use(Sync);
			throw undefined;
		});
		expect(await rejection(work)).toBeUndefined();
		expect(reported.length).toBe(1);
		expectError(reported[0], ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
		expect("cause" in reported[0]).toBe(true);
		expect(reported[0].cause).toBeUndefined();
	});

	it("is reported when it returns from a finally", async () => {
		const reported: unknown[] = [];
		const error = new Error("failed");
		const Returning = resource(async function* () {
			try {
				yield 1;
			} finally {
				// biome-ignore lint/correctness/noUnsafeFinally: swallowing is the point
				return;
			}
		});
		const work = withScope({ onReleaseError: (each) => reported.push(each) }, async () => {
			await use(Returning);
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(reported.length).toBe(1);
		expectError(reported[0], ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
		expect(reported[0].cause).toBe(error);
	});

	it("is reported for a failed release of another (rule 16), and for fail()", async () => {
		const reported: unknown[] = [];
		const thrown = new Error("release failed");
		const work = withScope({ onReleaseError: (each) => reported.push(each) }, async () => {
			await use(Swallower);
			await use(thrower(thrown));
		});
		expect(await rejection(work)).toBe(thrown);

		const failed = new Error("failed");
		const scope = openScope({ onReleaseError: (each) => reported.push(each) });
		await scope.use(Swallower);
		scope.fail(failed);
		await scope.disposeAsync();

		expect(reported.map((each) => (each as Error).cause)).toEqual([thrown, failed]);
	});

	it("is reported once for each that does", async () => {
		const reported: unknown[] = [];
		const error = new Error("failed");
		const work = withScope({ onReleaseError: (each) => reported.push(each) }, async () => {
			await use(Swallower);
			await use(Swallower, { fresh: true });
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(reported.length).toBe(2);
	});

	it("may swallow a ScopeIncompleteError, and nothing is reported", async () => {
		const reported: unknown[] = [];
		const seen: unknown[] = [];
		const scope = openScope({ onReleaseError: (each) => reported.push(each) });
		await scope.use(witness(seen));
		await scope.use(Swallower);
		await expect(scope.disposeAsync()).resolves.toBeUndefined();
		expect(reported).toEqual([]);
		expect(seen.length).toBe(1);
		expectError(seen[0], ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
	});

	it("may swallow on success: there is nothing to swallow", async () => {
		const reported: unknown[] = [];
		await withScope({ onReleaseError: (each) => reported.push(each) }, () => use(Swallower));
		expect(reported).toEqual([]);
	});
});

describe("rule 18: errors combine as TC39 says", () => {
	it.each([
		["defer", (scope: Scope, thrown: unknown) => scope.defer(fails(thrown))],
		["adopt", (scope: Scope, thrown: unknown) => void scope.adopt(1, fails(thrown))],
		[
			"a disposable",
			(scope: Scope, thrown: unknown) => void scope.use({ [Symbol.dispose]: fails(thrown) }),
		],
		[
			"an async disposable",
			(scope: Scope, thrown: unknown) =>
				void scope.use({ [Symbol.asyncDispose]: async () => fails(thrown)() }),
		],
		[
			"a returned disposable",
			(scope: Scope, thrown: unknown) =>
				scope.use(resource(() => ({ [Symbol.dispose]: fails(thrown) }))),
		],
	])("puts an error of %s before the work's", async (_kind, register) => {
		const [error, thrown] = [new Error("failed"), new Error("release failed")];
		const caught = await rejection(failing(error, (scope) => register(scope, thrown)));
		expectSuppressed(caught, thrown, error);
		expect((caught as Error).message).not.toBe("");
		expect(thrown.cause).toBeUndefined();
	});

	it("nests several, the newest outermost", async () => {
		const [error, first, second, third] = ["work", "first", "second", "third"].map(
			(each) => new Error(each),
		);
		const caught = await rejection(
			failing(
				error,
				(scope) => scope.defer(fails(third)),
				(scope) => scope.adopt(1, fails(second)),
				(scope) => scope.use({ [Symbol.dispose]: fails(first) }),
			),
		);
		const outer = caught as InstanceType<typeof SuppressedError>;
		const middle = outer.suppressed as InstanceType<typeof SuppressedError>;
		expectSuppressed(outer, third, middle);
		expectSuppressed(middle, second, middle.suppressed);
		expectSuppressed(middle.suppressed, first, error);
	});

	it("combines callbacks after successful work", async () => {
		const [older, newer] = [new Error("older"), new Error("newer")];
		const work = succeeding(
			(scope) => scope.defer(fails(newer)),
			(scope) => scope.defer(fails(older)),
		);
		expectSuppressed(await rejection(work), newer, older);
	});

	it("combines several independent failures", async () => {
		const [a, b] = [gate(), gate()];
		const [older, newer] = [new Error("older"), new Error("newer")];
		const define = (until: Promise<void>) =>
			resource(async function* () {
				yield 1;
				await until;
			});

		const work = withScope({ release: "concurrent" }, () =>
			useAll({ a: define(a.promise), b: define(b.promise) }),
		);
		await ticks();
		a.fail(older);
		await ticks();
		b.fail(newer);

		expectSuppressed(await rejection(work), newer, older);
	});

	it("combines what two tasks and the work failed with", async () => {
		const [work, first, second] = [new Error("work"), new Error("first"), new Error("second")];
		const [a, b] = [gate(), gate()];
		const result = withScope((scope) => {
			void scope.spawn(() => a.promise);
			void scope.spawn(() => b.promise);
			throw work;
		});
		await ticks();
		a.fail(first);
		await ticks();
		b.fail(second);
		const caught = (await rejection(result)) as InstanceType<typeof SuppressedError>;
		expectSuppressed(caught, second, caught.suppressed);
		expectSuppressed(caught.suppressed, first, work);
	});

	it("goes on telling the resources the work's error, never a SuppressedError", async () => {
		const error = new TypeError("failed");
		const seen: unknown[] = [];
		const caught = await rejection(
			failing(
				error,
				() => use(witness(seen, "later")),
				(scope) => scope.defer(fails(new Error("second"))),
				() => use(witness(seen, "earlier")),
				(scope) => scope.defer(fails(new Error("first"))),
			),
		);
		expect(caught).toBeInstanceOf(SuppressedError);
		expect(seen.length).toBe(2);
		for (const each of seen) expect(each).toBe(error);
	});

	it("goes on telling them the last translation, which combines with the callback's error", async () => {
		const [error, thrown, translated] = [new Error("a"), new Error("b"), new Error("c")];
		const seen: unknown[] = [];
		const caught = await rejection(
			failing(
				error,
				() => use(witness(seen)),
				() => use(thrower(translated)),
				(scope) => scope.defer(fails(thrown)),
			),
		);
		expectSuppressed(caught, thrown, translated);
		expect(translated.cause).toBe(error);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(translated);
	});

	it("goes on telling them the failed release's error (rule 16)", async () => {
		const [first, second] = [new Error("first"), new Error("second")];
		const seen: unknown[] = [];
		const work = succeeding(
			() => use(witness(seen)),
			(scope) => scope.defer(fails(second)),
			(scope) => scope.defer(fails(first)),
		);
		expectSuppressed(await rejection(work), second, first);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(first);
	});

	it.each([
		["undefined", undefined],
		["null", null],
		["zero", 0],
		["a symbol", Symbol("thrown")],
		["a frozen error", Object.freeze(new Error("frozen"))],
	])("takes %s as an error like any other", async (_kind, thrown) => {
		const error = new Error("failed");
		expectSuppressed(
			await rejection(failing(error, (scope) => scope.defer(fails(thrown)))),
			thrown,
			error,
		);
		expectSuppressed(
			await rejection(failing(thrown, (scope) => scope.defer(fails(error)))),
			error,
			thrown,
		);
		expectSuppressed(
			await rejection(failing(thrown, (scope) => scope.defer(fails(thrown)))),
			thrown,
			thrown,
		);
		expect(await rejection(succeeding((scope) => scope.defer(fails(thrown))))).toBe(thrown);
	});

	it("combines what a callback throws even if it is the work's error again", async () => {
		const error = new Error("failed");
		// as TC39's DisposeResources does; only a generator is told the error, and can throw it on
		expectSuppressed(
			await rejection(failing(error, (scope) => scope.defer(fails(error)))),
			error,
			error,
		);
	});

	it("releases everything, whatever an error's cause does when it is read", async () => {
		const log: string[] = [];
		const error = Object.defineProperty(new Error("failed"), "cause", {
			get: fails(new Error("getter")),
		});
		const reason = new Error("stop");
		const work = failing(
			error,
			() => use(logged(log, "a")),
			(scope) => scope.abort(reason),
		);
		expect(await rejection(work)).not.toMatchObject({ message: "getter" });
		expect(log).toEqual(["+a", "-a:failure"]);
	});
});
