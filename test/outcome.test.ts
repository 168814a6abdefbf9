import { describe, expect, it } from "vitest";
import {
	openScope,
	resource,
	type Scope,
	ScopeIncompleteError,
	use,
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

/** Logs which parts of its generator run. */
const parts = (log: string[]) =>
	resource(async function* () {
		try {
			yield 1;
			log.push("after yield");
		} catch (error) {
			log.push("catch");
			throw error;
		} finally {
			log.push("finally");
		}
	});

const partsSync = (log: string[]) =>
	resource(function* () {
		try {
			yield 1;
			log.push("after yield");
		} catch (error) {
			log.push("catch");
			throw error;
		} finally {
			log.push("finally");
		}
	});

describe.each([
	["an async generator", parts],
	["a sync generator", partsSync],
])("rule 12: what %s sees", (_kind, define) => {
	it("goes on after the yield on success, and never to the catch", async () => {
		const log: string[] = [];
		await withScope(() => use(define(log)));
		expect(log).toEqual(["after yield", "finally"]);
	});

	it("goes to the catch on failure, and never on after the yield", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		const work = withScope(async () => {
			await use(define(log));
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(log).toEqual(["catch", "finally"]);
	});

	it("goes to the catch where nobody said how the work ended", async () => {
		const log: string[] = [];
		const scope = openScope();
		await scope.use(define(log));
		await scope.disposeAsync();
		expect(log).toEqual(["catch", "finally"]);
	});
});

describe("rule 12: success, failure, incomplete", () => {
	it.each([
		["an error", new Error("failed")],
		["a frozen error", Object.freeze(new Error("frozen"))],
		["undefined", undefined],
		["null", null],
		["false", false],
		["zero", 0],
		["an empty string", ""],
		["NaN", Number.NaN],
		["a symbol", Symbol("thrown")],
		["a function", () => {}],
	])("throws %s into every resource as it is", async (_kind, thrown) => {
		const seen: unknown[] = [];
		const A = witness(seen, "a");
		const B = witness(seen, "b", { A });

		const work = withScope(async () => {
			await use(B);
			throw thrown;
		});

		expect(await rejection(work)).toBe(thrown);
		expect(seen.length).toBe(2);
		expect(seen[0]).toBe(thrown);
		expect(seen[1]).toBe(thrown);
	});

	it("throws one ScopeIncompleteError into all resources of an incomplete scope", async () => {
		const seen: unknown[] = [];
		const A = witness(seen, "a");
		const B = witness(seen, "b", { A });
		const scope = openScope({ name: "session" });
		await scope.use(B);

		await expect(scope.disposeAsync()).resolves.toBeUndefined();

		expect(seen.length).toBe(2);
		expect(seen[0]).toBe(seen[1]);
		expectError(seen[0], ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
		expect(seen[0].scope).toBe("session");
		expect(seen[0].message).toContain("session");
	});

	it("hands what a resource makes of a ScopeIncompleteError to the caller", async () => {
		const seen: unknown[] = [];
		const translated = new Error("translated");
		const A = witness(seen, "a");
		const scope = openScope();
		await scope.use(thrower(translated, "b", { A }));

		expect(await rejection(scope.disposeAsync())).toBe(translated);

		expectError(translated.cause, ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
		expect(seen).toEqual([translated]);
		expect(seen[0]).toBe(translated);
	});

	it("releases what is no generator whatever the outcome", async () => {
		const log: string[] = [];
		const Disposable = resource(() => ({ [Symbol.dispose]: () => void log.push("disposed") }));
		for (const finish of [
			(scope: Scope) => scope.complete(),
			(scope: Scope) => scope.fail(new Error("failed")),
			() => {},
		]) {
			const scope = openScope();
			await scope.use(Disposable);
			scope.defer(() => void log.push("deferred"));
			finish(scope);
			await scope.disposeAsync();
		}
		expect(log).toEqual(Array(3).fill(["deferred", "disposed"]).flat());
	});
});

describe("rule 13: withScope knows the outcome", () => {
	it("succeeds when the function returns", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		expect(await withScope(() => use(A))).toBe("a");
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("succeeds when a plain function returns", async () => {
		const log: string[] = [];
		await withScope((scope) => void scope.use(logged(log, "a")));
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("fails when the function rejects", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const work = withScope(async () => {
			await use(witness(seen));
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(seen[0]).toBe(error);
	});

	it("fails when the function throws synchronously", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const work = withScope((scope) => {
			void scope.use(witness(seen));
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(seen[0]).toBe(error);
	});

	it("doesn't need complete()", async () => {
		const log: string[] = [];
		await withScope(async (scope) => {
			await use(logged(log, "a"));
			expect(scope.complete("value")).toBe("value");
		});
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("fails all the same when complete() was called before the error", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		const work = withScope(async (scope) => {
			await use(logged(log, "a"));
			scope.complete();
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(log).toEqual(["+a", "-a:failure"]);
	});

	it("rejects with what was passed to fail(), though the function returns", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const work = withScope(async (scope) => {
			await use(witness(seen));
			scope.fail(error);
			scope.complete();
			return "value";
		});
		expect(await rejection(work)).toBe(error);
		expect(seen[0]).toBe(error);
	});

	it("rejects with fail(undefined), too", async () => {
		const seen: unknown[] = [];
		const work = withScope(async (scope) => {
			await use(witness(seen));
			scope.fail(undefined);
		});
		expect(await rejection(work)).toBeUndefined();
		expect(seen).toEqual([undefined]);
	});

	it("rejects with the error itself that was both passed to fail() and thrown", async () => {
		const error = new Error("failed");
		const work = withScope((scope) => {
			scope.fail(error);
			throw error;
		});
		expect(await rejection(work)).toBe(error);
	});

	it("rejects with NaN itself that was both passed to fail() and thrown", async () => {
		const work = withScope((scope) => {
			scope.fail(Number.NaN);
			throw Number.NaN;
		});
		expect(await rejection(work)).toBeNaN();
	});

	it("combines what was passed to fail() with another error thrown after it", async () => {
		const seen: unknown[] = [];
		const [first, second] = [new Error("first"), new Error("second")];
		const work = withScope(async (scope) => {
			await use(witness(seen));
			scope.fail(first);
			throw second;
		});
		expectSuppressed(await rejection(work), second, first);
		expect(seen[0]).toBe(first);
	});

	it("treats an early close as incomplete, unless complete() was called", async () => {
		const log: string[] = [];
		await withScope(async (scope) => {
			await use(logged(log, "a"));
			await scope.disposeAsync();
		});
		await withScope(async (scope) => {
			await use(logged(log, "b"));
			scope.complete();
			await scope.disposeAsync();
		});
		expect(log).toEqual(["+a", "-a:incomplete", "+b", "-b:success"]);
	});
});

describe("rule 13: a scope held by await using", () => {
	it("is incomplete unless somebody says otherwise", async () => {
		const log: string[] = [];
		{
			await using scope = openScope();
			await scope.use(logged(log, "a"));
		}
		expect(log).toEqual(["+a", "-a:incomplete"]);
	});

	it("succeeds once complete() was called", async () => {
		const log: string[] = [];
		const work = async () => {
			await using scope = openScope();
			await scope.use(logged(log, "a"));
			return scope.complete("value");
		};
		expect(await work()).toBe("value");
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("commits nothing when the block throws before complete(), whose error comes out as it is", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const work = async () => {
			await using scope = openScope();
			await scope.use(witness(seen));
			if (seen.length === 0) throw error;
			scope.complete();
		};
		expect(await rejection(work())).toBe(error);
		expect(seen.length).toBe(1);
		expectError(seen[0], ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
	});

	it("delivers the error where fail() was called before the throw, once", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const work = async () => {
			await using scope = openScope();
			await scope.use(witness(seen));
			scope.fail(error);
			throw error;
		};
		expect(await rejection(work())).toBe(error);
		expect(seen[0]).toBe(error);
	});

	it("returns what complete() is given, and nothing without", () => {
		const scope = openScope();
		const value = {};
		expect(scope.complete(value)).toBe(value);
		expect(scope.complete()).toBeUndefined();
	});
});

describe("rule 13: fail", () => {
	it.each(["before", "after"])("wins over complete, also when called %s it", async (order) => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const scope = openScope();
		await scope.use(witness(seen));

		if (order === "after") scope.complete();
		scope.fail(error);
		if (order === "before") scope.complete();
		await scope.disposeAsync();

		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});

	it("counts the first time", async () => {
		const seen: unknown[] = [];
		const [first, second] = [new Error("first"), new Error("second")];
		const scope = openScope();
		await scope.use(witness(seen));

		scope.fail(first);
		scope.fail(second);
		await expect(scope.disposeAsync()).resolves.toBeUndefined();

		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(first);
	});

	it("doesn't make the close reject with that error", async () => {
		const scope = openScope();
		scope.fail(new Error("failed"));
		await expect(scope.disposeAsync()).resolves.toBeUndefined();
	});

	it("lets the close reject with a translation of the error, as it is", async () => {
		const [error, translated] = [new Error("failed"), new Error("translated")];
		const scope = openScope();
		await scope.use(thrower(translated));
		scope.fail(error);

		expect(await rejection(scope.disposeAsync())).toBe(translated);

		expect(translated.cause).toBe(error);
	});

	it("lets the close reject with a callback's error as a SuppressedError", async () => {
		const [error, thrown] = [new Error("failed"), new Error("deferred")];
		const scope = openScope();
		scope.defer(() => {
			throw thrown;
		});
		scope.fail(error);

		expectSuppressed(await rejection(scope.disposeAsync()), thrown, error);
	});

	it("lets the close reject with a task's error as a SuppressedError", async () => {
		const [error, thrown] = [new Error("failed"), new Error("task")];
		const until = gate();
		const scope = openScope();
		void scope.spawn(() => until.promise);
		scope.fail(error);
		until.fail(thrown);

		expectSuppressed(await rejection(scope.disposeAsync()), thrown, error);
	});

	it("doesn't hide a task's error that came first", async () => {
		const [error, thrown] = [new Error("failed"), new Error("task")];
		const seen: unknown[] = [];
		const scope = openScope();
		await scope.use(witness(seen));
		await rejection(scope.spawn(() => Promise.reject(thrown)));
		scope.fail(error);

		expect(await rejection(scope.disposeAsync())).toBe(thrown);
		expect(seen[0]).toBe(thrown);
	});

	it("works while the close waits for tasks", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const until = gate();
		const scope = openScope();
		await scope.use(witness(seen));
		void scope.spawn(() => until.promise);
		scope.complete();
		const closed = scope.disposeAsync();
		scope.fail(error);
		until.open();
		await closed;
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});
});

describe("rule 13: complete", () => {
	it("may be called by a task while the scope closes", async () => {
		const seen: unknown[] = [];
		const scope = openScope();
		await scope.use(witness(seen));
		void scope.spawn(async () => {
			await ticks();
			scope.complete();
		});
		await scope.disposeAsync();
		expect(seen).toEqual(["success"]);
	});
});

describe("rule 13: a held scope that its parent closes", () => {
	it.each([
		["success", async () => {}],
		["failure", () => Promise.reject(new Error("failed"))],
	])("stays incomplete on the parent's %s", async (_outcome, work) => {
		const seen: unknown[] = [];

		await withScope(async (scope) => {
			await openScope({ parent: scope }).use(witness(seen));
			await work();
		}).catch(() => {});

		expect(seen.length).toBe(1);
		expectError(seen[0], ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
	});

	it("keeps what complete() and fail() said", async () => {
		const seen: unknown[] = [];
		const error = new Error("child failed");

		await withScope(async (scope) => {
			const failed = openScope({ parent: scope });
			await failed.use(witness(seen));
			failed.fail(error);
			const completed = openScope({ parent: scope });
			await completed.use(witness(seen));
			completed.complete();
		});

		expect(seen).toEqual(["success", error]);
		expect(seen[1]).toBe(error);
	});
});

describe("rule 13: abort", () => {
	it("makes the outcome failure, with the reason", async () => {
		const seen: unknown[] = [];
		const reason = new Error("stop");
		const scope = openScope();
		await scope.use(witness(seen));
		scope.complete();
		scope.abort(reason);
		await expect(scope.disposeAsync()).resolves.toBeUndefined();
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(reason);
		expect(scope.outcome).toEqual({ type: "failure", error: reason });
	});

	it("makes withScope reject with the reason", async () => {
		const reason = new Error("stop");
		const work = withScope((scope) => scope.abort(reason));
		expect(await rejection(work)).toBe(reason);
	});

	it("doesn't replace an error that came first", async () => {
		const [error, reason] = [new Error("failed"), new Error("stop")];
		const seen: unknown[] = [];
		const scope = openScope();
		await scope.use(witness(seen));
		scope.fail(error);
		scope.abort(reason);
		await scope.disposeAsync();
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});
});

describe("rule 13: outcome", () => {
	it("tells what is known so far", () => {
		const error = new Error("failed");
		const scope = openScope();
		expect(scope.outcome).toEqual({ type: "incomplete" });
		scope.complete();
		expect(scope.outcome).toEqual({ type: "success" });
		scope.fail(error);
		expect(scope.outcome).toEqual({ type: "failure", error });
	});

	it("is incomplete while withScope's function runs", async () => {
		let held: Scope | undefined;
		await withScope((scope) => {
			held = scope;
			expect(scope.outcome).toEqual({ type: "incomplete" });
		});
		expect(held?.outcome).toEqual({ type: "success" });
	});

	it("is the failure of a release after the close", async () => {
		const thrown = new Error("release failed");
		const scope = openScope();
		await scope.use(thrower(thrown));
		scope.complete();
		await rejection(scope.disposeAsync());
		expect(scope.outcome).toEqual({ type: "failure", error: thrown });
	});

	it("stays as it was once the scope is closed", async () => {
		const scope = openScope();
		scope.complete();
		await scope.disposeAsync();
		scope.fail(new Error("too late"));
		scope.abort(new Error("too late"));
		expect(scope.outcome).toEqual({ type: "success" });
		const other = openScope();
		await other.disposeAsync();
		other.complete();
		expect(other.outcome).toEqual({ type: "incomplete" });
	});

	it("doesn't become success in the middle of a release", async () => {
		const log: string[] = [];
		const until = gate();
		const scope = openScope();
		await scope.use(logged(log, "a"));
		scope.defer(() => until.promise);
		await scope.use(logged(log, "b"));
		const closed = scope.disposeAsync();
		await ticks();
		scope.complete();
		until.open();
		await closed;
		expect(log).toEqual(["+a", "+b", "-b:incomplete", "-a:incomplete"]);
	});

	it("doesn't become success in the middle of a release that withScope's function began", async () => {
		const log: string[] = [];
		const until = gate();
		const work = withScope(async (scope) => {
			await scope.use(logged(log, "a"));
			scope.defer(() => until.promise);
			await scope.use(logged(log, "b"));
			void scope.disposeAsync();
		});
		await ticks();
		until.open();
		await work;
		expect(log).toEqual(["+a", "+b", "-b:incomplete", "-a:incomplete"]);
	});
});
