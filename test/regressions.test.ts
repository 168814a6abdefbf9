import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import {
	AcquireAbortedError,
	currentScope,
	openScope,
	provide,
	type Resource,
	resource,
	Scope,
	ScopeError,
	scoped,
	use,
	withScope,
} from "../src/index.ts";
import { expectError, expectSuppressed, gate, logged, rejection, ticks } from "./support.ts";

/** A root scope that collects what can't reach a caller. */
function reporting(reported: unknown[]): Scope {
	return openScope({ parent: null, onReleaseError: (error) => reported.push(error) });
}

/** A resource that logs its release, and whose setup opens a scope that is left to close with it. */
function opening(log: string[], name: string, inside: (scope: Scope) => unknown): Resource<string> {
	return resource(
		async function* () {
			const scope = openScope();
			await scope.run(() => inside(scope));
			yield name;
			log.push(`-${name}`);
		},
		{ name },
	);
}

describe("found by the property tests", () => {
	it("releases an instance once when its scope closes while an early release waits", async () => {
		const log: string[] = [];
		const ready = gate();
		const Slow = resource(async function* () {
			await ready.promise;
			yield "slow";
			log.push("-slow");
		});
		const scope = openScope();
		void scope.use(Slow);
		const early = scope.release(Slow);
		const closed = scope.disposeAsync();
		ready.open();
		await Promise.all([early, closed]);
		expect(log).toEqual(["-slow"]);
	});

	it("releases nothing before a dependent that another early release is releasing", async () => {
		const log: string[] = [];
		const going = gate();
		const Pool = logged(log, "pool");
		const Tx = resource({ Pool }, async function* () {
			yield "tx";
			await going.promise;
			log.push("-tx");
		});
		await withScope(async (scope) => {
			await scope.use(Tx);
			const both = [scope.release(Tx), scope.release(Pool)];
			await ticks();
			expect(log).toEqual(["+pool"]);
			going.open();
			await Promise.all(both);
		});
		expect(log).toEqual(["+pool", "-tx", "-pool:success"]);
	});

	it("comes to an end when a setup's child scope holds a dependent of what is released early", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const ready = gate();
		const Inner = resource({ Pool }, async function* () {
			await ready.promise;
			yield "inner";
			log.push("-inner");
		});
		const Outer = resource(async function* () {
			await withScope(() => use(Inner));
			yield "outer";
			log.push("-outer");
		});
		await withScope({ lifetime: "app" }, async (scope) => {
			const outer = scope.use(Outer);
			await ticks();
			const early = scope.release(Pool);
			ready.open();
			await Promise.all([outer, early]);
			expect(log).toEqual(["+pool", "-inner", "-outer", "-pool:success"]);
		});
	});

	it("leaves what lives in a scope that a setup opened to that scope in an early release", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Inner = logged(log, "inner", { Pool });
		const Outer = opening(log, "outer", async (scope) => {
			await scope.use(Inner);
			scope.complete();
		});
		await withScope({ lifetime: "app" }, async (scope) => {
			await scope.use(Outer);
			await scope.release(Pool);
			expect(log).toEqual(["+pool", "+inner", "-outer", "-inner:success", "-pool:success"]);
		});
	});

	it("lets a scope close in an early release whose other releases wait for that", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		await withScope({ lifetime: "app" }, async (app) => {
			const Session = resource({ Pool }, async function* () {
				yield "session";
				log.push("-session waits");
				await task;
				log.push("-session");
			});
			await app.use(Session);
			const task = withScope(async (scope) => {
				await scope.use(Tx);
				void app.release(Pool);
			});
			await task;
		});
		expect(log).toEqual([
			...["+pool", "+tx", "-tx:success", "-session waits", "-session", "-pool:success"],
		]);
	});

	it("comes to an end when a setup waits for detached work that holds a dependent of what is released early", async () => {
		const Pool = resource(() => ({}), { name: "Pool", lifetime: "app" });
		const Inner = resource({ Pool }, async () => {
			await ticks(5);
			return "inner";
		});
		const Outer = resource({ Pool }, async (_, { scope }) =>
			scope.detach((task) => task.use(Inner)),
		);
		await withScope({ lifetime: "app" }, async (app) => {
			await app.use(Pool);
			const outer = app.use(Outer);
			await app.release(Pool);
			expect(await outer).toBe("inner");
		});
	});

	it("takes no early release for a part of a scope's release that begins after it", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = resource({ Pool }, async function* () {
			await ticks(5);
			yield "tx";
			log.push("-tx");
		});
		await withScope({ lifetime: "app" }, async (app) => {
			const early = await withScope(async (scope) => {
				void scope.use(Tx);
				await ticks(2);
				return { released: app.release(Pool) };
			});
			await early.released;
			expect(log).toEqual(["+pool", "-tx", "-pool:success"]);
		});
	});

	it("reports a setup's error when an abort has sent away who waited", async () => {
		const thrown = new Error("setup");
		const going = gate();
		const Failing = resource(() => going.promise);
		const reported: unknown[] = [];
		const scope = reporting(reported);
		const waiting = rejection(scope.use(Failing));
		scope.abort();
		going.fail(thrown);
		await waiting;
		await ticks();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
		await scope.disposeAsync();
	});

	it("reports a setup's error when an abort further down has sent away the only one who waited", async () => {
		const thrown = new Error("setup");
		const going = gate();
		const Failing = resource(() => going.promise, { lifetime: "app" });
		const reported: unknown[] = [];
		const app = openScope({
			parent: null,
			lifetime: "app",
			onReleaseError: (error) => reported.push(error),
		});
		const request = openScope({ parent: app });
		const waiting = rejection(request.use(Failing));
		request.abort();
		await waiting;
		going.fail(thrown);
		await ticks();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
		await app.disposeAsync();
	});

	it("reports an error that a consumer hands on, if nobody had it before the abort", async () => {
		const thrown = new Error("setup");
		const Failing = resource(() => {
			throw thrown;
		});
		const Consumer = resource({ Failing }, () => 1);
		const reported: unknown[] = [];
		const scope = reporting(reported);
		const waiting = rejection(scope.use(Consumer));
		scope.abort();
		await waiting;
		await ticks();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
		await scope.disposeAsync();
	});

	it("reports the translation of an abort's reason in detached work", async () => {
		const reason = new Error("gone");
		const thrown = new Error("rollback failed");
		const Tx = resource(async function* () {
			try {
				yield "tx";
			} finally {
				// biome-ignore lint/correctness/noUnsafeFinally: replacing the error is the point
				throw thrown;
			}
		});
		const reported: unknown[] = [];
		const scope = reporting(reported);
		const detached = rejection(
			scope.detach(async (task) => {
				await task.use(Tx);
				task.abort(reason);
				throw reason;
			}),
		);
		await detached;
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
		expect(thrown.cause).toBe(reason);
		await scope.disposeAsync();
	});

	it("reports what detached work throws after it has closed its own scope", async () => {
		const thrown = new Error("late");
		const reported: unknown[] = [];
		const scope = reporting(reported);
		void scope.detach(async (task) => {
			await task.disposeAsync();
			throw thrown;
		});
		await scope.disposeAsync();
		await ticks();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
	});

	it("refuses, when release has begun, what a scope that a setup opened asks of the closing one", async () => {
		const log: string[] = [];
		const Late = logged(log, "late", {}, { lifetime: "app" });
		const inner: Scope[] = [];
		const Outer = resource(async function* () {
			inner.push(openScope());
			yield "outer";
			const error = await rejection((inner[0] as Scope).use(Late));
			log.push((error as Error).name);
		});
		await withScope({ lifetime: "app" }, () => use(Outer));
		expect(log).toEqual(["ScopeClosedError"]);
	});

	it("rejects when a held scope in a task waits for the close of the scope around it", async () => {
		const scope = openScope();
		const task = scope.spawn(() => openScope().run(() => rejection(scope.disposeAsync())));
		expect(await task).toMatchObject({ code: "YS_ERR_SCOPE" });
		await scope.disposeAsync();
	});

	it("releases all of a circle that a use without await makes, and what was awaited last", async () => {
		const log: string[] = [];
		const all: Resource<unknown>[] = [];
		const make = (name: string, setup: () => unknown) =>
			resource(
				async function* () {
					await setup();
					yield name;
					log.push(`-${name}`);
				},
				{ name },
			);
		const First = make("first", () => void use(all[1] as Resource<unknown>));
		const Second = make("second", async () => {
			await ticks(5);
			await use(First);
		});
		all.push(First, Second);
		await withScope(() => use(First));
		expect(log).toEqual(["-second", "-first"]);
	});

	it("rejects a child scope that a closed one refuses, and nobody needs to await that", async () => {
		const scope = openScope();
		await scope.disposeAsync();
		const refused = withScope({ parent: scope }, () => 1);
		// a macrotask, by which an unhandled rejection would have failed the run
		await new Promise((resolve) => setImmediate(resolve));
		expect(await rejection(refused)).toMatchObject({ code: "YS_ERR_SCOPE_CLOSED" });
	});

	it("ends a binding with its handle, though the scope has been moved meanwhile", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const first = openScope();
		const handle = first.bind(provide(A, "provided"));
		const second = first.move();
		expect(await second.use(A)).toBe("provided");
		handle[Symbol.dispose]();
		expect(await second.use(A)).toBe("a");
		await second.disposeAsync();
	});

	it("closes the held children of a moved scope latest first", async () => {
		const log: string[] = [];
		const first = openScope();
		for (const name of ["a", "b", "c"]) await openScope({ parent: first }).use(logged(log, name));
		await first.move().disposeAsync();
		expect(log.slice(3)).toEqual(["-c:incomplete", "-b:incomplete", "-a:incomplete"]);
	});

	it("rejects with all that went wrong when an aborted scoped generator throws something else", async () => {
		const reason = new Error("enough");
		const thrown = new Error("work");
		const numbers = scoped({}, async function* () {
			yield 1;
			currentScope().abort(reason);
			throw thrown;
		});
		const iterator = numbers();
		await iterator.next();
		expectSuppressed(await rejection(iterator.next()), thrown, reason);
	});

	it("rejects with an aborted scoped generator's own reason when it hands on an outer abort's", async () => {
		const outer = new Error("outer");
		const own = new Error("own");
		const controller = new AbortController();
		await withScope(async (scope) => {
			scope.cancel(outer);
			const numbers = scoped(
				{},
				async function* () {
					yield 1;
					controller.abort(own);
					throw outer;
				},
				{ signal: controller.signal },
			);
			const iterator = numbers();
			await iterator.next();
			expect(await rejection(iterator.next())).toBe(own);
		});
	});

	it("sends away who waits in an aborted scope that was moved meanwhile", async () => {
		const app = openScope({ lifetime: "app" });
		const started = gate();
		const Slow = resource(() => started.promise, { lifetime: "app" });
		const scope = openScope({ parent: app });
		const waiting = scope.use(Slow);
		const reason = new Error("enough");
		const moved = scope.move();
		moved.abort(reason);
		const error = await rejection(waiting);
		expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		expect(error.cause).toBe(reason);
		started.open();
		await moved.disposeAsync();
		await app.disposeAsync();
	});

	it.each(["its own scope", "the scope around"])(
		"refuses to let a scoped generator wait for the close of %s",
		async (which) => {
			const log: string[] = [];
			const outer = openScope();
			const numbers = scoped(
				{ a: logged(log, "a") },
				async function* () {
					yield 1;
					const own = currentScope();
					const error = await rejection((which === "its own scope" ? own : outer).disposeAsync());
					expectError(error, ScopeError, "YS_ERR_SCOPE");
					yield 2;
				},
				{ parent: outer },
			);
			const iterator = numbers();
			await iterator.next();
			expect(await iterator.next()).toEqual({ value: 2, done: false });
			await outer.disposeAsync();
			expect(log).toEqual(["+a", "-a:incomplete"]);
		},
	);

	it("keeps what the release of a held scope makes of the abort of both", async () => {
		const controller = new AbortController();
		const translation = new Error("translated");
		const { signal } = controller;
		const app = openScope({ parent: null, signal });
		await openScope({ parent: app, signal }).use(
			resource(async function* () {
				try {
					yield 1;
				} catch {
					throw translation;
				}
			}),
		);
		controller.abort();
		const error = await rejection(app.disposeAsync());
		expectSuppressed(error, translation, signal.reason);
		expect(translation.cause).toBe(signal.reason);
	});

	it("keeps a task's own error that an abort caused, and only that", async () => {
		const reason = new Error("stop");
		const own = new Error("upload broken off", { cause: reason });
		const scope = openScope({ parent: null });
		void scope.spawn(async () => {
			await ticks(3);
			throw own;
		});
		void scope.spawn(() => setTimeout(60_000, undefined, { signal: scope.signal }));
		scope.abort(reason);
		expectSuppressed(await rejection(scope.disposeAsync()), own, reason);
	});

	it("closes a scope of a class of one's own, which has a dispose() for something else", async () => {
		const log: string[] = [];
		class Unit extends Scope {
			dispose(): void {
				log.push("its own");
			}
		}
		const Held = logged(log, "held");
		const Outer = resource(async function* ({ scope }) {
			const unit = new Unit({ parent: scope });
			await unit.use(Held);
			unit.complete();
			yield unit;
		});
		await withScope(() => use(Outer));
		expect(log).toEqual(["+held", "-held:success"]);
	});
});
