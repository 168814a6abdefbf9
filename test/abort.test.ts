import { describe, expect, it, vi } from "vitest";
import {
	AcquireAbortedError,
	openScope,
	resource,
	type Scope,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, ticks, witness } from "./support.ts";

describe("an abort while an enclosing scope's resource is being acquired", () => {
	const opened = () => {
		const open = gate();
		const Pool = resource(() => open.promise, { name: "Pool", lifetime: "app" });
		const app = openScope({ lifetime: "app", name: "app" });
		const requests = ["a", "b"].map((name) => openScope({ parent: app, name }));
		return { open, Pool, app, requests };
	};

	it("is told to each who waits with their own scope's name", async () => {
		const { open, Pool, app, requests } = opened();
		const uses = requests.map((each) => rejection(each.use(Pool)));
		const own = rejection(app.use(resource(() => open.promise, { name: "Own" })));
		app.abort("stop");
		const errors = (await Promise.all([...uses, own])) as AcquireAbortedError[];
		expect(errors.map(({ scope }) => scope)).toEqual(["a", "b", "app"]);
		expect(new Set(errors).size).toBe(3);
		open.open();
		await app.disposeAsync().catch(() => {});
	});

	it("leaves the others waiting, and lets the setup succeed for them", async () => {
		const { open, Pool, app, requests } = opened();
		const [first, second] = requests as [Scope, Scope];
		const [gone, kept] = [rejection(first.use(Pool)), second.use(Pool)];
		first.abort("stop");
		await expect(gone).resolves.toMatchObject({ scope: "a" });
		open.open();
		await expect(kept).resolves.toBeUndefined();
		await app.disposeAsync();
	});
});

describe("rule 22: abort reaches signal", () => {
	it("with its reason", () => {
		const scope = openScope();
		const { signal } = scope;
		const reason = { why: "stop" };
		const seen: unknown[] = [];
		signal.addEventListener("abort", () => seen.push(signal.reason));
		expect(signal.aborted).toBe(false);

		scope.abort(reason);

		expect(signal.aborted).toBe(true);
		expect(signal.reason).toBe(reason);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(reason);
	});

	it("also where nobody had looked at the signal before", () => {
		const scope = openScope();
		scope.abort("stop");
		expect(scope.signal.aborted).toBe(true);
		expect(scope.signal.reason).toBe("stop");
	});

	it("with an AbortError by default", () => {
		const scope = openScope();
		scope.abort();
		expect(scope.signal.reason).toBeInstanceOf(DOMException);
		expect(scope.signal.reason.name).toBe("AbortError");
	});

	it("with the first reason, once", () => {
		const scope = openScope();
		let count = 0;
		scope.signal.addEventListener("abort", () => count++);
		scope.abort("first");
		scope.abort("second");
		expect(scope.signal.reason).toBe("first");
		expect(count).toBe(1);
	});

	it("is always the same signal", () => {
		const scope = openScope();
		const { signal } = scope;
		scope.abort();
		expect(scope.signal).toBe(signal);
	});

	it("is the signal that setups are given: the owner's", async () => {
		const app = openScope({ lifetime: "app" });
		const request = openScope({ parent: app });
		const inApp = await request.use(resource(({ signal }) => ({ signal }), { lifetime: "app" }));
		const inRequest = await request.use(resource(({ signal }) => ({ signal })));
		expect(inApp.signal).toBe(app.signal);
		expect(inRequest.signal).toBe(request.signal);
		await app.disposeAsync();
	});

	it("of the children, whether running, held, below each other or opened later", async () => {
		const reason = new Error("stop");
		const parent = openScope();
		const held = openScope({ parent });
		const grandchild = openScope({ parent: held });
		let running: AbortSignal | undefined;
		const work = withScope({ parent }, (scope) => {
			running = scope.signal;
		});
		parent.abort(reason);
		const late = openScope({ parent });
		for (const signal of [held.signal, grandchild.signal, running, late.signal]) {
			expect(signal?.aborted).toBe(true);
			expect(signal?.reason).toBe(reason);
		}
		await work;
		await parent.disposeAsync();
	});

	it("not of the parent or of siblings", async () => {
		const parent = openScope();
		const [a, b] = [openScope({ parent }), openScope({ parent })];
		a.abort();
		expect(parent.signal.aborted).toBe(false);
		expect(b.signal.aborted).toBe(false);
		await parent.disposeAsync();
	});

	it("not by an abort of a scope that has closed", async () => {
		const scope = openScope();
		await scope.disposeAsync();
		scope.abort();
		expect(scope.signal.aborted).toBe(false);
		expect(scope.outcome).toEqual({ type: "incomplete" });
	});

	it("not of a scope that has closed", async () => {
		const parent = openScope();
		const child = openScope({ parent });
		const { signal } = child;
		await child.disposeAsync();
		parent.abort();
		expect(signal.aborted).toBe(false);
		await parent.disposeAsync();
	});

	it("while the scope waits for tasks", async () => {
		const reason = new Error("stop");
		const scope = openScope();
		const task = scope.spawn(
			() =>
				new Promise((_resolve, reject) => {
					scope.signal.addEventListener("abort", () => reject(scope.signal.reason));
				}),
		);
		const closed = scope.disposeAsync();
		scope.abort(reason);
		expect(await rejection(task)).toBe(reason);
		await expect(closed).resolves.toBeUndefined();
	});
});

describe("rule 22: use on an aborted scope", () => {
	it.each([
		["an error", new Error("stop")],
		["null", null],
		["a string", "stop"],
	])("rejects with the reason itself: %s", async (_kind, reason) => {
		const log: string[] = [];
		const scope = openScope();
		scope.abort(reason);
		expect(await rejection(scope.use(logged(log, "a")))).toBe(reason);
		expect(await rejection(scope.run(() => use(logged(log, "a"))))).toBe(reason);
		expect(await rejection(scope.run(() => useAll({ a: logged(log, "a") })))).toBe(reason);
		expect(await rejection(scope.use(logged(log, "a"), { fresh: true }))).toBe(reason);
		expect(log).toEqual([]);
	});

	it("rejects with the AbortError where there was no reason", async () => {
		const scope = openScope();
		scope.abort();
		expect(await rejection(scope.use(resource(() => 1)))).toBe(scope.signal.reason);
	});

	it("rejects in the scopes below", async () => {
		const reason = new Error("stop");
		const parent = openScope();
		const child = openScope({ parent });
		parent.abort(reason);
		expect(await rejection(child.use(resource(() => 1)))).toBe(reason);
		expect(await rejection(openScope({ parent }).use(resource(() => 1)))).toBe(reason);
		await parent.disposeAsync();
	});

	it("rejects for what is acquired as well, except in release code", async () => {
		const log: string[] = [];
		const reason = new Error("stop");
		const A = logged(log, "a");
		const scope = openScope();
		await scope.use(A);
		scope.defer(async () => void log.push(await use(A)));
		scope.abort(reason);
		expect(await rejection(scope.use(A))).toBe(reason);
		await scope.disposeAsync();
		expect(log).toEqual(["+a", "a", "-a:failure"]);
	});

	it("rejects in setups that are still running", async () => {
		const reason = new Error("stop");
		const until = gate();
		const seen: unknown[] = [];
		const scope = openScope({ onReleaseError: () => {} });
		void scope.use(
			resource(async () => {
				await until.promise;
				seen.push(await rejection(use(resource(() => 1))));
			}),
		);
		scope.abort(reason);
		until.open();
		await scope.disposeAsync();
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(reason);
	});
});

describe("rule 22: a use that waits when its scope aborts", () => {
	it("rejects at once with AcquireAbortedError, its cause the reason", async () => {
		const reason = new Error("stop");
		const until = gate();
		const scope = openScope({ name: "session" });
		const waiting = scope.use(resource(() => until.promise, { name: "Slow" }));
		scope.abort(reason);

		const error = await rejection(waiting);

		expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		expect(error.cause).toBe(reason);
		expect(error).toMatchObject({ resource: "Slow", scope: "session" });
		expect(error.message).toContain("Slow");
		expect(error.message).toContain("session");
		until.open();
		await scope.disposeAsync();
	});

	it("rejects for everybody who waits", async () => {
		const reason = new Error("stop");
		const until = gate();
		const Slow = resource(() => until.promise);
		const scope = openScope();
		const child = openScope({ parent: scope });
		const waiting = [
			scope.use(Slow),
			scope.use(Slow),
			scope.use(resource({ Slow }, () => 1)),
			scope.run(() => useAll({ Slow })),
			child.use(Slow),
		];
		scope.abort(reason);
		for (const each of waiting) {
			const error = await rejection(each);
			expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
			expect(error.cause).toBe(reason);
		}
		until.open();
		await scope.disposeAsync();
	});

	it("leaves the setup to its end, and releases what it acquires", async () => {
		const log: string[] = [];
		const reason = new Error("stop");
		const until = gate();
		const Slow = resource(async function* () {
			await until.promise;
			log.push("+slow");
			try {
				yield 1;
			} catch (error) {
				log.push(error === reason ? "-slow" : "other error");
				throw error;
			}
		});
		const scope = openScope();
		const waiting = scope.use(Slow);
		scope.abort(reason);
		expectError(await rejection(waiting), AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		const closed = scope.disposeAsync();
		await ticks();
		expect(log).toEqual([]);
		until.open();
		await closed;
		expect(log).toEqual(["+slow", "-slow"]);
	});

	it("gives up waiting for an enclosing scope's setup, which others go on waiting for", async () => {
		const reason = new Error("stop");
		const until = gate<string>();
		const Pool = resource(() => until.promise, { lifetime: "app" });
		const app = openScope({ lifetime: "app" });
		const [a, b] = [openScope({ parent: app }), openScope({ parent: app })];
		const [inA, inB, inApp] = [a.use(Pool), b.use(Pool), app.use(Pool)];
		a.abort(reason);

		const error = await rejection(inA);

		expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		expect(error.cause).toBe(reason);
		until.open("pool");
		expect(await inB).toBe("pool");
		expect(await inApp).toBe("pool");
		await app.disposeAsync();
	});

	it("leaves the setup's error to the others, who get it", async () => {
		const reported: unknown[] = [];
		const error = new Error("setup failed");
		const until = gate();
		const Pool = resource(() => until.promise, { lifetime: "app" });
		const app = openScope({ lifetime: "app", onReleaseError: (each) => reported.push(each) });
		const [a, b] = [openScope({ parent: app }), openScope({ parent: app })];
		const both = [rejection(a.use(Pool)), rejection(b.use(Pool))];
		a.abort();
		until.fail(error);
		expect((await Promise.all(both))[1]).toBe(error);
		await app.disposeAsync();
		expect(reported).toEqual([]);
	});

	it("gives up in scopes below as well when the parent aborts", async () => {
		const reason = new Error("stop");
		const until = gate();
		const parent = openScope();
		const child = openScope({ parent });
		const waiting = child.use(resource(() => until.promise));
		parent.abort(reason);
		const error = await rejection(waiting);
		expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		expect(error.cause).toBe(reason);
		until.open();
		await parent.disposeAsync();
	});

	it("makes withScope reject with the reason, though the work fails with AcquireAbortedError", async () => {
		const reason = new Error("stop");
		const until = gate();
		const seen: unknown[] = [];
		const work = withScope(async (scope) => {
			await use(witness(seen));
			const slow = use(resource(() => until.promise));
			scope.abort(reason);
			await slow;
		});
		until.open();
		expect(await rejection(work)).toBe(reason);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(reason);
	});

	it("in a task's scope that the work's failure aborts doesn't hide that failure", async () => {
		const error = new Error("failed");
		const until = gate();
		const work = withScope((scope) => {
			void scope.spawn(() => withScope(() => use(resource(() => until.promise))));
			throw error;
		});
		await ticks();
		until.open();
		expect(await rejection(work)).toBe(error);
	});

	it("doesn't hide another error of the work", async () => {
		const [reason, thrown] = [new Error("stop"), new Error("failed")];
		const work = withScope((scope) => {
			scope.abort(reason);
			throw thrown;
		});
		expect(await rejection(work)).toMatchObject({ error: thrown, suppressed: reason });
	});

	it("loses no error of the setup, which nobody waits for any more", async () => {
		const thrown = new Error("setup failed");
		const reported: unknown[] = [];
		const until = gate();
		const scope = openScope({ onReleaseError: (each) => reported.push(each) });
		const waiting = scope.use(resource(() => until.promise));
		scope.abort();
		expectError(await rejection(waiting), AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		until.fail(thrown);
		await ticks();
		await scope.disposeAsync();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
	});
});

describe("rule 22: cancel", () => {
	it("aborts like abort, here and below, but leaves the outcome to the work", async () => {
		const reason = new Error("cancelled");
		const value = await withScope(async (scope) => {
			const child = openScope({ parent: scope });
			const until = gate();
			const waiting = scope.use(resource(() => until.promise));
			scope.cancel(reason);
			expect(scope.signal.reason).toBe(reason);
			expect(child.signal.reason).toBe(reason);
			expectError(await rejection(waiting), AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
			expect(scope.outcome).toEqual({ type: "incomplete" });
			until.open();
			return "done";
		});
		expect(value).toBe("done");
	});
});

describe("rule 22: options.signal", () => {
	it("aborts the scope with its reason, and makes the outcome failure", async () => {
		const seen: unknown[] = [];
		const reason = new Error("stop");
		const controller = new AbortController();
		const scope = openScope({ signal: controller.signal });
		await scope.use(witness(seen));
		scope.complete();
		expect(scope.signal.aborted).toBe(false);

		controller.abort(reason);

		expect(scope.signal.reason).toBe(reason);
		expect(await rejection(scope.use(resource(() => 1)))).toBe(reason);
		await scope.disposeAsync();
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(reason);
		expect(scope.outcome).toEqual({ type: "failure", error: reason });
	});

	it("may have aborted before", async () => {
		const reason = new Error("stop");
		const scope = openScope({ signal: AbortSignal.abort(reason) });
		expect(scope.signal.reason).toBe(reason);
		expect(await rejection(scope.use(resource(() => 1)))).toBe(reason);
		await scope.disposeAsync();
		expect(scope.outcome).toEqual({ type: "failure", error: reason });
	});

	it("makes withScope reject with the reason", async () => {
		const reason = new Error("stop");
		const controller = new AbortController();
		const work = withScope({ signal: controller.signal }, async () => {
			controller.abort(reason);
			return "value";
		});
		expect(await rejection(work)).toBe(reason);
	});

	it("reaches the scopes below", async () => {
		const controller = new AbortController();
		const scope = openScope({ signal: controller.signal });
		const child = openScope({ parent: scope });
		controller.abort("stop");
		expect(child.signal.reason).toBe("stop");
		await scope.disposeAsync();
	});

	it("isn't the scope's own, and isn't aborted by it", async () => {
		const controller = new AbortController();
		const scope = openScope({ signal: controller.signal });
		expect(scope.signal).not.toBe(controller.signal);
		scope.abort();
		expect(controller.signal.aborted).toBe(false);
		await scope.disposeAsync();
	});

	it("is let go of when the scope closes", async () => {
		const controller = new AbortController();
		const add = vi.spyOn(controller.signal, "addEventListener");
		const remove = vi.spyOn(controller.signal, "removeEventListener");
		const scope: Scope = openScope({ signal: controller.signal });
		scope.complete();
		await scope.disposeAsync();
		expect(add).toHaveBeenCalledTimes(1);
		expect(remove).toHaveBeenCalledTimes(1);
		expect(remove.mock.calls[0]?.[1]).toBe(add.mock.calls[0]?.[1]);
		controller.abort();
		expect(scope.signal.aborted).toBe(false);
		expect(scope.outcome).toEqual({ type: "success" });
	});

	it("goes on to abort a scope that was moved", async () => {
		const reason = new Error("stop");
		const controller = new AbortController();
		const moved = openScope({ signal: controller.signal }).move();
		controller.abort(reason);
		expect(moved.signal.reason).toBe(reason);
		expect(moved.outcome).toEqual({ type: "failure", error: reason });
		await moved.disposeAsync();
	});
});

describe("the signal of a handler's scope", () => {
	it("isn't aborted by a failure of its own, after which the answer may go on, but by the parent's abort", async () => {
		const request = openScope({ lifetime: "request", parent: null });
		const handler = openScope({ lifetime: "handler", parent: request });
		const early = handler.signal;
		handler.fail(new Error("503"));
		await handler.disposeAsync();
		expect([early.aborted, handler.signal.aborted]).toEqual([false, false]);
		request.abort("gone");
		expect([early.reason, handler.signal.reason]).toEqual(["gone", "gone"]);
		await request.disposeAsync();
	});

	it("leaves no listener with the parent's while it is open", async () => {
		const app = openScope({ parent: null });
		let listening = 0;
		const { signal } = app;
		const { addEventListener } = signal;
		signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
			listening++;
			addEventListener.apply(signal, args);
		};
		const handler = openScope({ lifetime: "handler", parent: app });
		expect(handler.signal.aborted).toBe(false);
		expect(listening).toBe(0);
		app.abort("stop");
		expect(handler.signal.reason).toBe("stop");
		await app.disposeAsync();
	});

	it("doesn't reach a scope that a listener has closed meanwhile", async () => {
		const app = openScope({ parent: null });
		const child = openScope({ parent: app });
		const { signal } = child;
		app.signal.addEventListener("abort", () => {
			child.complete();
			void child.disposeAsync();
		});
		app.abort("stop");
		expect(signal.aborted).toBe(false);
		await app.disposeAsync();
	});
});

it("asks again for what an onFirstUse that throws has kept from being acquired", async () => {
	const broken = new Error("broken");
	const A = resource(() => "a");
	const scope = openScope({
		parent: null,
		onFirstUse: () => {
			throw broken;
		},
	});
	await expect(scope.use(A)).rejects.toBe(broken);
	expect(await scope.use(A)).toBe("a");
	await scope.disposeAsync();
});
