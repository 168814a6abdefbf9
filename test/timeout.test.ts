import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
	ErrorSwallowedError,
	InvalidArgumentError,
	openScope,
	ReleaseTimeoutError,
	type Resource,
	resource,
	type Scope,
	use,
	useAll,
	withScope,
	YieldedTwiceError,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, thrower, ticks, witness } from "./support.ts";

beforeEach(() => {
	vi.useFakeTimers();
});

afterEach(() => {
	expect(vi.getTimerCount()).toBe(0);
	vi.useRealTimers();
});

const never = new Promise<never>(() => {});

/** A resource whose release waits for `until`. */
const slow = (
	until: PromiseLike<unknown>,
	options: { name?: string; releaseTimeout?: number } = {},
	dependencies: Record<string, Resource<unknown>> = {},
) =>
	resource(
		dependencies,
		async function* () {
			try {
				yield 1;
			} finally {
				await until;
			}
		},
		{ name: "Slow", ...options },
	);

/** Passes `ms` of fake time, and asserts that `promise` settles only then. */
async function settlesAfter(ms: number, promise: Promise<unknown>): Promise<void> {
	let settled = false;
	const settle = () => {
		settled = true;
	};
	promise.then(settle, settle);
	await vi.advanceTimersByTimeAsync(ms - 1);
	expect(settled).toBe(false);
	await vi.advanceTimersByTimeAsync(1);
	expect(settled).toBe(true);
}

describe("rule 21: releaseTimeout", () => {
	it("bounds a release; one that runs over rejects the scope", async () => {
		const work = withScope({ name: "work", releaseTimeout: 100 }, () => use(slow(never)));

		await settlesAfter(100, work);

		const error = await rejection(work);
		expectError(error, ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		expect(error).toMatchObject({ resource: "Slow", scope: "work" });
		expect(error.message).toContain("Slow");
		expect(error.message).toContain("work");
		expect(error.message).toContain("100");
	});

	it("may be the resource's own", async () => {
		const work = withScope(() => use(slow(never, { releaseTimeout: 100 })));
		await settlesAfter(100, work);
		expectError(await rejection(work), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
	});

	it.each([
		["shorter", 50],
		["longer", 200],
	])("of the resource beats the scope's where it is %s", async (_kind, releaseTimeout) => {
		const work = withScope({ releaseTimeout: 100 }, () => use(slow(never, { releaseTimeout })));
		await settlesAfter(releaseTimeout, work);
		expectError(await rejection(work), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
	});

	it.each([
		["a generator", (_scope: Scope) => use(slow(never))],
		["a returned disposable", () => use(resource(() => ({ [Symbol.asyncDispose]: () => never })))],
		["defer", (scope: Scope) => scope.defer(() => never)],
		["adopt", (scope: Scope) => scope.adopt(1, () => never)],
		["a disposable", (scope: Scope) => void scope.use({ [Symbol.asyncDispose]: () => never })],
	])("bounds %s", async (_kind, register) => {
		const work = withScope({ releaseTimeout: 100 }, (scope) => register(scope));
		await settlesAfter(100, work);
		expectError(await rejection(work), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
	});

	it("bounds each release, not their sum", async () => {
		const log: string[] = [];
		const brief = () =>
			resource(async function* () {
				yield 1;
				await new Promise((resolve) => setTimeout(resolve, 80));
				log.push("released");
			});
		const work = withScope({ releaseTimeout: 100 }, () =>
			useAll({ a: brief(), b: brief(), c: brief() }),
		);
		await settlesAfter(240, work);
		await work;
		expect(log).toEqual(["released", "released", "released"]);
	});

	it("doesn't bound the work, setups, tasks or after work", async () => {
		const wait = () => new Promise((resolve) => setTimeout(resolve, 200));
		const work = withScope({ releaseTimeout: 100 }, async (scope) => {
			scope.after(wait);
			await use(resource(wait));
			void scope.spawn(() => wait().then(wait));
			await wait();
		});
		await settlesAfter(800, work);
		await work;
	});

	it("starts no timer where there is nothing to bound", async () => {
		await withScope({ releaseTimeout: 100 }, async (scope) => {
			await use(logged([], "a"));
			scope.defer(async () => {});
			await use(resource(() => 1));
		});
		expect(vi.getTimerCount()).toBe(0);
	});

	it("lets a release take its time by default", async () => {
		const until = gate();
		let closed = false;
		const work = withScope(() => use(slow(until.promise))).then(() => {
			closed = true;
		});
		await vi.advanceTimersByTimeAsync(1e9);
		expect(closed).toBe(false);
		until.open();
		await work;
	});

	it("may be Infinity, and lets a release take its time then", async () => {
		const until = gate();
		let closed = false;
		const work = withScope({ releaseTimeout: 100 }, () =>
			use(slow(until.promise, { releaseTimeout: Number.POSITIVE_INFINITY })),
		).finally(() => {
			closed = true;
		});
		await vi.advanceTimersByTimeAsync(1e9);
		expect(closed).toBe(false);
		until.open();
		await work;
	});

	it.each([
		["the longest that a timer can wait", 2 ** 31 - 1, 1],
		["more, which is for ever", 2 ** 31, 0],
	])("may be %s", async (_kind, releaseTimeout, timers) => {
		const until = gate();
		const work = withScope({ releaseTimeout }, () => use(slow(until.promise)));
		await ticks();
		expect(vi.getTimerCount()).toBe(timers);
		until.open();
		await work;
	});

	it.each([
		["zero", 0],
		["a negative number", -1],
		["NaN", Number.NaN],
		["a string", "100"],
		["null", null],
	])("refuses %s before anything happens", async (_kind, releaseTimeout) => {
		const options = { releaseTimeout } as { releaseTimeout: number };
		await withScope(async (scope) => {
			for (const attempt of [() => openScope(options), () => resource(() => 1, options)]) {
				expect(attempt).toThrow(InvalidArgumentError);
				expect(attempt).toThrow(
					expect.objectContaining({
						code: "YS_ERR_INVALID_ARGUMENT",
						message: expect.stringContaining("`releaseTimeout`"),
					}),
				);
			}
			expect(scope.inspect().children).toEqual([]);
		});
	});
});

describe("rule 21: a release that runs over", () => {
	it("counts as failed, and the rest goes on", async () => {
		const log: string[] = [];
		const seen: unknown[] = [];
		const work = withScope({ releaseTimeout: 100 }, async (scope) => {
			await use(witness(seen));
			scope.defer(() => void log.push("-deferred"));
			await use(slow(never));
			await use(logged(log, "a"));
		});

		await settlesAfter(100, work);

		const error = await rejection(work);
		expectError(error, ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		expect(log).toEqual(["+a", "-a:success", "-deferred"]);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});

	it("doesn't keep its dependencies from being released", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const work = withScope({ releaseTimeout: 100 }, () => use(slow(never, {}, { Pool })));
		await settlesAfter(100, work);
		expectError(await rejection(work), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		expect(log).toEqual(["+pool", "-pool:failure"]);
	});

	it("makes a held scope's close reject, complete or not", async () => {
		for (const completed of [true, false]) {
			const scope = openScope({ releaseTimeout: 100 });
			const seen: unknown[] = [];
			await scope.use(witness(seen));
			await scope.use(slow(never));
			if (completed) scope.complete();
			const closed = scope.disposeAsync();
			await settlesAfter(100, closed);
			const error = await rejection(closed);
			expectError(error, ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
			expect(seen[0]).toBe(error);
		}
	});

	it("lets the others translate it", async () => {
		const translated = new Error("translated");
		const work = withScope({ releaseTimeout: 100 }, async () => {
			await use(thrower(translated));
			await use(slow(never));
		});
		await settlesAfter(100, work);
		expect(await rejection(work)).toBe(translated);
		expectError(translated.cause, ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
	});

	it("leaves the work's error in place, and is reported", async () => {
		const error = new Error("failed");
		const reported: unknown[] = [];
		const seen: unknown[] = [];
		const work = withScope(
			{ releaseTimeout: 100, onReleaseError: (each) => reported.push(each) },
			async () => {
				await use(witness(seen));
				await use(slow(never));
				throw error;
			},
		);
		await settlesAfter(100, work);
		expect(await rejection(work)).toBe(error);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
		expect(reported.length).toBe(1);
		expectError(reported[0], ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		expect(error.cause).toBeUndefined();
	});

	it("is bounded by itself among concurrent ones", async () => {
		const log: string[] = [];
		const until = gate();
		const work = withScope({ releaseTimeout: 100, release: "concurrent" }, async () => {
			const Pool = logged(log, "pool");
			await use(slow(never, {}, { Pool }));
			await use(slow(until.promise, { releaseTimeout: 1000 }));
			await use(logged(log, "a"));
		});
		await vi.advanceTimersByTimeAsync(100);
		expect(log).toEqual(["+pool", "+a", "-a:success", "-pool:failure"]);
		until.open();
		expectError(await rejection(work), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
	});

	it("may be the closing of a generator that yielded twice", async () => {
		const log: string[] = [];
		const Twice = resource(async function* () {
			try {
				yield 1;
				yield 2;
			} finally {
				await never;
			}
		});
		const work = withScope({ releaseTimeout: 100, onReleaseError: () => {} }, async () => {
			await use(logged(log, "a"));
			await use(Twice);
		});
		await settlesAfter(100, work);
		await rejection(work);
		expect(log).toEqual(["+a", "-a:failure"]);
	});

	it("is not the closing of a generator that yielded twice, by default", async () => {
		const until = gate();
		let closed = false;
		const Twice = resource(async function* () {
			try {
				yield 1;
				yield 2;
			} finally {
				await until.promise;
			}
		});
		const work = withScope(() => use(Twice)).finally(() => {
			closed = true;
		});
		work.catch(() => {});
		await vi.advanceTimersByTimeAsync(1e9);
		expect(closed).toBe(false);
		until.open();
		expectError(await rejection(work), YieldedTwiceError, "YS_ERR_YIELDED_TWICE");
	});

	it("says so of callbacks, too", async () => {
		const work = withScope({ name: "work", releaseTimeout: 100 }, (scope) =>
			scope.defer(() => never),
		);
		await settlesAfter(100, work);
		expect(await rejection(work)).toMatchObject({
			resource: "a callback",
			scope: "work",
			path: ["a callback"],
		});
	});

	it("bounds an early release as well", async () => {
		const scope = openScope({ releaseTimeout: 100 });
		const Slow = slow(never);
		await scope.use(Slow);
		const released = scope.release(Slow);
		await settlesAfter(100, released);
		expectError(await rejection(released), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		await scope.disposeAsync();
	});
});

describe("rule 21: what a late release does afterwards", () => {
	/** Closes a scope over a resource whose release runs over, then lets that release go on. */
	const late = async (
		outcome: { error: unknown } | undefined,
		release: (until: Promise<void>) => AsyncGenerator<number>,
	) => {
		const reported: unknown[] = [];
		const until = gate();
		const work = withScope(
			{ releaseTimeout: 100, onReleaseError: (each) => reported.push(each) },
			async () => {
				await use(resource(() => release(until.promise), { name: "Late" }));
				if (outcome !== undefined) throw outcome.error;
			},
		);
		await settlesAfter(100, work);
		const error = await rejection(work);
		const before = reported.length;
		until.open();
		await ticks();
		return { error, before, reported: reported.slice(before) };
	};

	it("is reported when it fails", async () => {
		const thrown = new Error("too late");
		const { error, before, reported } = await late(undefined, async function* (until) {
			yield 1;
			await until;
			throw thrown;
		});
		expectError(error, ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		expect(before).toBe(0);
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
	});

	it("is reported when it swallows the work's error", async () => {
		const failed = new Error("failed");
		const { error, before, reported } = await late({ error: failed }, async function* (until) {
			try {
				yield 1;
			} catch {
				await until;
			}
		});
		expect(error).toBe(failed);
		expect(before).toBe(1);
		expect(reported.length).toBe(1);
		expectError(reported[0], ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
		expect(reported[0].cause).toBe(failed);
	});

	it("is reported when it yields again", async () => {
		const log: string[] = [];
		const { before, reported } = await late(undefined, async function* (until) {
			try {
				yield 1;
				await until;
				yield 2;
			} finally {
				log.push("finally");
			}
		});
		expect(before).toBe(0);
		expect(reported.length).toBe(1);
		expectError(reported[0], YieldedTwiceError, "YS_ERR_YIELDED_TWICE");
		expect(log).toEqual(["finally"]);
	});

	it("is nothing to report when it ends well", async () => {
		const { before, reported } = await late(undefined, async function* (until) {
			yield 1;
			await until;
		});
		expect(before).toBe(0);
		expect(reported).toEqual([]);
	});

	it("is nothing to report when it throws the work's error on", async () => {
		const failed = new Error("failed");
		const { before, reported } = await late({ error: failed }, async function* (until) {
			try {
				yield 1;
			} finally {
				await until;
			}
		});
		expect(before).toBe(1);
		expect(reported).toEqual([]);
	});

	it("is reported for callbacks", async () => {
		const reported: unknown[] = [];
		const thrown = new Error("too late");
		const until = gate();
		const scope = openScope({ releaseTimeout: 100, onReleaseError: (each) => reported.push(each) });
		scope.defer(() => until.promise);
		const closed = scope.disposeAsync();
		await settlesAfter(100, closed);
		expectError(await rejection(closed), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		until.fail(thrown);
		await ticks();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
	});

	it("is reported to an enclosing scope, though its own is closed", async () => {
		const reported: unknown[] = [];
		const thrown = new Error("too late");
		const until = gate();
		const app = openScope({ onReleaseError: (each) => reported.push(each) });
		const work = withScope({ parent: app, releaseTimeout: 100 }, (scope) =>
			scope.defer(() => until.promise),
		);
		await settlesAfter(100, work);
		expectError(await rejection(work), ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		await app.disposeAsync();
		until.fail(thrown);
		await ticks();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
	});
});
