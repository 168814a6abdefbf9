import { describe, expect, it } from "vitest";
import {
	currentScope,
	openScope,
	openScopeSync,
	type Resource,
	resource,
	type Scope,
	ScopeClosedError,
	ScopeError,
	ScopeIncompleteError,
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

/** What `fn` throws. */
function thrownBy(fn: () => unknown): unknown {
	try {
		fn();
	} catch (error) {
		return error;
	}
	throw new Error("expected an exception");
}

/** The class of whatever goes wrong in `fn`, or `undefined`. */
const refusal = async (fn: () => unknown): Promise<string | undefined> => {
	try {
		await fn();
		return undefined;
	} catch (error) {
		return (error as Error).name;
	}
};

/** All that a scope can be asked for, and what it says once it no longer gives it. */
const requests: [string, (scope: Scope) => unknown, string][] = [
	["use", (scope) => scope.use(resource(() => 1)), "ScopeClosedError"],
	[
		"a fresh use",
		(scope) =>
			scope.use(
				resource(() => 1),
				{ fresh: true },
			),
		"ScopeClosedError",
	],
	["ambient use", (scope) => scope.run(() => use(resource(() => 1))), "ScopeClosedError"],
	["useAll", (scope) => scope.run(() => useAll({ a: resource(() => 1) })), "ScopeClosedError"],
	["spawn", (scope) => scope.spawn(() => {}), "ScopeClosedError"],
	["after", (scope) => scope.after(() => {}), "ScopeClosedError"],
	["detach", (scope) => scope.detach(() => {}), "ScopeClosedError"],
	["bind", (scope) => scope.bind(), "ScopeClosedError"],
	["openScope", (scope) => openScope({ parent: scope }), "ScopeClosedError"],
	["an ambient openScope", (scope) => scope.run(() => openScope()), "ScopeClosedError"],
	["withScope", (scope) => withScope({ parent: scope }, () => {}), "ScopeClosedError"],
	["defer", (scope) => scope.defer(() => {}), "ReferenceError"],
	["adopt", (scope) => scope.adopt(1, () => {}), "ReferenceError"],
	["use of a disposable", (scope) => scope.use({ [Symbol.dispose]() {} }), "ReferenceError"],
	["use of null", (scope) => scope.use(null), "ReferenceError"],
	["move", (scope) => scope.move(), "ReferenceError"],
];

describe("rule 19: a closed scope", () => {
	it.each(requests)("refuses %s", async (_name, request, expected) => {
		const scope = openScope();
		await scope.disposeAsync();
		expect(await refusal(() => request(scope))).toBe(expected);
	});

	it("says what was asked of whom", async () => {
		const scope = openScope({ name: "session" });
		await scope.disposeAsync();
		const Pool = resource(() => 1, { name: "Pool" });

		const error = await rejection(scope.use(Pool));

		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expect(error).toMatchObject({ resource: "Pool", scope: "session", path: ["Pool"] });
		expect(error.message).toContain("Pool");
		expect(error.message).toContain("session");
		expectError(
			thrownBy(() => openScope({ parent: scope })),
			ScopeClosedError,
			"YS_ERR_SCOPE_CLOSED",
		);
		expectError(await rejection(scope.spawn(() => {})), ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expectError(
			thrownBy(() => scope.after(() => {})),
			ScopeClosedError,
			"YS_ERR_SCOPE_CLOSED",
		);
		expectError(await rejection(scope.detach(() => {})), ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
	});

	it("refuses also what it had acquired", async () => {
		const scope = openScope();
		const A = resource(() => 1);
		await scope.use(A);
		await scope.disposeAsync();
		expectError(await rejection(scope.use(A)), ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
	});

	it("starts nothing", async () => {
		const log: string[] = [];
		const scope = openScope();
		await scope.disposeAsync();
		await refusal(() => scope.use(logged(log, "a")));
		await refusal(() => scope.spawn(() => log.push("spawned")));
		await refusal(() => scope.detach(() => log.push("detached")));
		await refusal(() => scope.after(() => log.push("after")));
		await refusal(() => withScope({ parent: scope }, () => log.push("child")));
		expect(log).toEqual([]);
	});

	it("still runs functions, with itself ambient", async () => {
		const scope = openScope();
		await scope.disposeAsync();
		expect(scope.run(() => currentScope())).toBe(scope);
		expect(scope.run(() => "value")).toBe("value");
	});

	it("is disposed as soon as the close begins", async () => {
		const scope = openScope();
		expect(scope.disposed).toBe(false);
		const closed = scope.disposeAsync();
		expect(scope.disposed).toBe(true);
		await closed;
		expect(scope.disposed).toBe(true);
	});
});

describe("rule 19: closing twice", () => {
	it("releases once; the second close waits for the first", async () => {
		const log: string[] = [];
		const until = gate();
		const scope = openScope();
		scope.defer(async () => {
			log.push("begins");
			await until.promise;
			log.push("ends");
		});

		const first = scope.disposeAsync().then(() => log.push("first"));
		const second = scope.disposeAsync().then(() => log.push("second"));
		const third = scope[Symbol.asyncDispose]();
		await ticks();
		expect(log).toEqual(["begins"]);
		until.open();
		await Promise.all([first, second, third]);

		expect(log.slice(0, 2)).toEqual(["begins", "ends"]);
		expect(log.slice(2).sort()).toEqual(["first", "second"]);
		await scope.disposeAsync();
		expect(log.length).toBe(4);
	});

	it("delivers an error once", async () => {
		const thrown = new Error("release failed");
		const scope = openScope();
		scope.defer(() => {
			throw thrown;
		});
		const [first, second] = await Promise.allSettled([scope.disposeAsync(), scope.disposeAsync()]);
		expect(first).toEqual({ status: "rejected", reason: thrown });
		expect(second).toEqual({ status: "fulfilled", value: undefined });
		await scope.disposeAsync();
	});

	it("closes a child once that closes by itself while its parent does", async () => {
		const log: string[] = [];
		const until = gate();
		const parent = openScope();
		const child = openScope({ parent });
		child.defer(async () => {
			await until.promise;
			log.push("-child");
		});
		parent.defer(() => void log.push("-parent"));

		const first = child.disposeAsync();
		const second = parent.disposeAsync();
		await ticks();
		expect(log).toEqual([]);
		until.open();
		await Promise.all([first, second]);

		expect(log).toEqual(["-child", "-parent"]);
	});
});

describe("rule 19: release code", () => {
	/** Runs `fn` in the release of an instance that depends on `dependency`. */
	const inRelease = (
		dependencies: Record<string, Resource<unknown>>,
		fn: (scope: Scope) => unknown,
	) =>
		withScope(async (scope) => {
			const Last = resource(dependencies, async function* () {
				yield 1;
				await fn(scope);
			});
			await use(Last);
		});

	it("uses what is acquired and not yet released", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		await inRelease({ Pool }, async (scope) => {
			log.push(await use(Pool), await scope.use(Pool), (await useAll({ Pool })).Pool);
		});
		expect(log).toEqual(["+pool", "pool", "pool", "pool", "-pool:success"]);
	});

	it("uses what isn't a dependency of its own, as long as it isn't released", async () => {
		const log: string[] = [];
		const First = logged(log, "first");
		await withScope(async () => {
			await use(First);
			await use(
				resource(async function* () {
					yield 1;
					log.push(await use(First));
				}),
			);
		});
		expect(log).toEqual(["+first", "first", "-first:success"]);
	});

	it("uses what an enclosing scope has acquired", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async () => {
			await use(Pool);
			await withScope((scope) => scope.defer(async () => void log.push(await use(Pool))));
			log.push("work");
		});
		expect(log).toEqual(["+pool", "pool", "work", "-pool:success"]);
	});

	it("is refused what isn't acquired, also where an enclosing scope would own it", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async () => {
			await withScope((scope) =>
				scope.defer(async () => void log.push(String(await refusal(() => use(Pool))))),
			);
		});
		expect(log).toEqual(["ScopeClosedError"]);
	});

	it("is refused what is released already, with the path in the error", async () => {
		const seen: unknown[] = [];
		const First = resource(
			async function* () {
				yield 1;
				seen.push(await rejection(use(Last)));
			},
			{ name: "First" },
		);
		const Last = resource(() => 2, { name: "Last" });
		await withScope({ name: "work" }, async () => {
			await use(First);
			await use(Last);
		});
		expect(seen.length).toBe(1);
		expectError(seen[0], ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expect(seen[0]).toMatchObject({ resource: "Last", scope: "work" });
	});

	it("is refused the instance that is being released", async () => {
		let refused: string | undefined;
		const Self: Resource<number> = resource(async function* () {
			yield 1;
			refused = await refusal(() => use(Self));
		});
		await withScope(() => use(Self));
		expect(refused).toBe("ScopeClosedError");
	});

	it.each(requests)("is refused %s", async (_name, request, expected) => {
		let refused: string | undefined;
		await inRelease({}, async (scope) => {
			refused = await refusal(() => request(scope));
		});
		expect(refused).toBe(expected);
	});

	it("may await the close of its own scope, which resolves at once", async () => {
		const log: string[] = [];
		await inRelease({}, async (scope) => {
			await scope.disposeAsync();
			log.push("goes on");
		});
		expect(log).toEqual(["goes on"]);
	});

	it("may await the close of its scope's parent when that is closing", async () => {
		const log: string[] = [];
		await withScope((parent) => {
			openScope({ parent }).defer(async () => {
				await parent.disposeAsync();
				log.push("goes on");
			});
		});
		expect(log).toEqual(["goes on"]);
	});

	it("may await the close of its scope's parent when that isn't closing yet", async () => {
		const log: string[] = [];
		const parent = openScope();
		parent.defer(() => void log.push("-parent"));
		const child = openScope({ parent });
		child.defer(async () => {
			await parent.disposeAsync().catch(() => {});
			log.push("goes on");
		});
		await child.disposeAsync();
		await parent.disposeAsync();
		expect(log).toEqual(["goes on", "-parent"]);
	});
});

describe("rule 20: close waits for", () => {
	it("setups in flight, and releases what they acquire", async () => {
		const log: string[] = [];
		const until = gate();
		const Slow = resource(async function* () {
			await until.promise;
			log.push("+slow");
			yield 1;
			log.push("-slow");
		});
		const Dependent = logged(log, "dependent", { Slow });

		const closed = withScope((scope) => {
			scope.defer(() => void log.push("-deferred"));
			void use(Dependent);
		});
		await ticks();
		expect(log).toEqual([]);
		until.open();
		await closed;

		expect(log).toEqual(["+slow", "+dependent", "-dependent:success", "-slow", "-deferred"]);
	});

	it("setups in flight whose consumer is a scope below", async () => {
		const log: string[] = [];
		const until = gate();
		const Slow = resource(
			async function* () {
				await until.promise;
				yield 1;
				log.push("-slow");
			},
			{ lifetime: "app" },
		);
		const app = openScope({ lifetime: "app" });
		const child = openScope({ parent: app });
		const value = child.use(Slow);
		app.complete();
		const childClosed = child.disposeAsync().then(() => log.push("child closed"));
		const appClosed = app.disposeAsync();
		await ticks();
		until.open();
		await Promise.all([value, childClosed, appClosed]);
		expect(log).toEqual(["child closed", "-slow"]);
	});

	it("spawned tasks, which start at once", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope(async (scope) => {
			await use(logged(log, "a"));
			void scope.spawn(async () => {
				log.push("task begins");
				await until.promise;
				log.push("task ends");
			});
			log.push("work ends");
		});
		await ticks();
		expect(log).toEqual(["+a", "task begins", "work ends"]);
		until.open();
		await closed;
		expect(log.slice(3)).toEqual(["task ends", "-a:success"]);
	});

	it("running child scopes, also below a child scope", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope(async () => {
			await use(logged(log, "outer"));
			void withScope(async () => {
				await use(logged(log, "middle"));
				void withScope(async () => {
					await until.promise;
					await use(logged(log, "inner"));
				});
			});
		});
		await ticks();
		expect(log).toEqual(["+outer", "+middle"]);
		until.open();
		await closed;
		expect(log.slice(2)).toEqual(["+inner", "-inner:success", "-middle:success", "-outer:success"]);
	});

	it("a task that a task spawned, and a child that a child opened", async () => {
		const log: string[] = [];
		const [a, b] = [gate(), gate()];
		const closed = withScope((scope) => {
			scope.defer(() => void log.push("-deferred"));
			void scope.spawn(async () => {
				await a.promise;
				void scope.spawn(async () => {
					await b.promise;
					log.push("second task");
				});
				log.push("first task");
			});
		});
		await ticks();
		a.open();
		await ticks();
		b.open();
		await closed;
		expect(log).toEqual(["first task", "second task", "-deferred"]);
	});

	it("everything that the work forgot to await", async () => {
		const log: string[] = [];
		const until = gate();
		const Slow = resource(async function* () {
			await until.promise;
			log.push("+slow");
			yield 1;
			log.push("-slow");
		});
		const closed = withScope({ lifetime: "app" }, (scope) => {
			void use(Slow);
			void useAll({ Slow });
			void scope.use(Slow, { fresh: true });
			void scope.spawn(() => until.promise.then(() => log.push("task")));
			void withScope(() => until.promise.then(() => log.push("child")));
			void scope.detach(() => until.promise.then(() => log.push("detached")));
			openScope({ parent: scope }).defer(() => void log.push("-held"));
			scope.defer(() => void log.push("-deferred"));
		}).then(() => log.push("closed"));
		await ticks();
		until.open();
		await closed;
		expect(log[0]).toBe("-held");
		expect(log.slice(1, -4).sort()).toEqual(["+slow", "+slow", "child", "detached", "task"]);
		expect(log.slice(-4)).toEqual(["-deferred", "-slow", "-slow", "closed"]);
	});
});

describe("rule 20: a task", () => {
	it("hands its result to who spawned it", async () => {
		await withScope(async (scope) => {
			expect(await scope.spawn(() => "sync")).toBe("sync");
			expect(await scope.spawn(async () => "async")).toBe("async");
		});
	});

	it("has the scope ambient", async () => {
		const scope = openScope();
		expect(await scope.spawn(() => currentScope())).toBe(scope);
		await scope.disposeAsync();
	});

	it("that fails makes the outcome failure", async () => {
		const error = new Error("task failed");
		const seen: unknown[] = [];
		const work = withScope(async (scope) => {
			await use(witness(seen));
			void scope.spawn(() => Promise.reject(error));
			await ticks();
			return "value";
		});
		expect(await rejection(work)).toBe(error);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});

	it("that fails while the scope closes does so, too", async () => {
		const error = new Error("task failed");
		const seen: unknown[] = [];
		const until = gate();
		const work = withScope(async (scope) => {
			await use(witness(seen));
			void scope.spawn(() => until.promise);
		});
		await ticks();
		until.fail(error);
		expect(await rejection(work)).toBe(error);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});

	it("that throws synchronously does so, too", async () => {
		const error = new Error("task failed");
		const work = withScope(async (scope) => {
			expect(
				await rejection(
					scope.spawn(() => {
						throw error;
					}),
				),
			).toBe(error);
		});
		expect(await rejection(work)).toBe(error);
	});

	it("makes a held scope's close reject", async () => {
		const error = new Error("task failed");
		const scope = openScope();
		scope.complete();
		void scope.spawn(() => Promise.reject(error));
		expect(await rejection(scope.disposeAsync())).toBe(error);
	});

	it("whose error the work hands on counts once", async () => {
		const error = new Error("task failed");
		const work = withScope((scope) => scope.spawn(() => Promise.reject(error)));
		expect(await rejection(work)).toBe(error);
	});

	it("closes what it opens itself, though its scope is closing", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope((scope) => {
			void scope.spawn(async () => {
				await using held = openScope();
				await held.use(logged(log, "a"));
				await until.promise;
				await held.use(logged(log, "b"));
				held.complete();
			});
		});
		await ticks();
		expect(log).toEqual(["+a"]);
		until.open();
		await closed;
		expect(log).toEqual(["+a", "+b", "-b:success", "-a:success"]);
	});

	it("leaves what it opened and didn't close to its scope", async () => {
		const log: string[] = [];
		await withScope(async (scope) => {
			await use(logged(log, "outer"));
			void scope.spawn(async () => {
				await openScope().use(logged(log, "inner"));
			});
		});
		expect(log).toEqual(["+outer", "+inner", "-inner:incomplete", "-outer:success"]);
	});
});

describe("rule 19: release code", () => {
	it.each([1, 3, 20])(
		"uses what is acquired and not yet released, with %i others",
		async (count) => {
			const log: string[] = [];
			const Log = logged(log, "log");
			const Tx = resource(async function* () {
				yield "tx";
				log.push(`tx sees ${await use(Log)}`);
			});
			await withScope(async () => {
				await use(Log);
				await use(Tx);
				for (let i = 0; i < count; i++) await use(logged([], `later ${i}`));
			});
			expect(log).toEqual(["+log", "tx sees log", "-log:success"]);
		},
	);

	it("uses it in a sync scope, too", () => {
		const log: string[] = [];
		const Log = resource(() => "log");
		const Tx = resource(function* (_context) {
			yield "tx";
			log.push("released");
		});
		const scope = openScopeSync();
		scope.use(Log);
		scope.use(Tx);
		scope.use(resource(() => scope.defer(() => void log.push(scope.use(Log)))));
		scope.use(resource(() => "last"));
		scope.complete();
		scope.dispose();
		expect(log).toEqual(["log", "released"]);
	});
});

describe("rule 20: spawned tasks of work that fails", () => {
	const untilAborted = (signal: AbortSignal): Promise<unknown> =>
		new Promise((resolve) => {
			if (signal.aborted) resolve(signal.reason);
			signal.addEventListener("abort", () => resolve(signal.reason));
		});

	it("hear of it by the scope's signal, and may still acquire what they need to stop", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		let heard: unknown;
		const work = withScope((scope) => {
			void scope.spawn(async () => {
				heard = await untilAborted(scope.signal);
				await use(logged(log, "goodbye"));
			});
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(heard).toBe(error);
		expect(log).toEqual(["+goodbye", "-goodbye:failure"]);
	});

	it("hear of it when another task fails, or when they look only then", async () => {
		const error = new Error("failed");
		const until = gate();
		const heard: unknown[] = [];
		const work = withScope((scope) => {
			void scope.spawn(async () => heard.push(await untilAborted(scope.signal)));
			void scope.spawn(async () => {
				await until.promise;
				throw error;
			});
		});
		until.open();
		expect(await rejection(work)).toBe(error);
		expect(heard).toEqual([error]);
		const late = withScope((scope) => {
			void scope.spawn(async () => {
				await ticks(3);
				heard.push(await untilAborted(scope.signal));
			});
			throw error;
		});
		expect(await rejection(late)).toBe(error);
		expect(heard).toEqual([error, error]);
	});

	it("hear nothing of a success, nor of a failure that is only announced", async () => {
		const scope = openScope();
		const { signal } = scope;
		scope.fail(new Error("failed"));
		expect(signal.aborted).toBe(false);
		await scope.disposeAsync();
		expect(signal.aborted).toBe(true);
		let ended: AbortSignal | undefined;
		await withScope((scope) => {
			ended = scope.signal;
		});
		expect(ended?.aborted).toBe(false);
	});
});

describe("rule 20: what another scope's task opened", () => {
	it("is closed without waiting for that task", async () => {
		const log: string[] = [];
		const until = gate();
		const [other, scope] = [openScope(), openScope()];
		void other.spawn(async () => {
			openScope({ parent: scope }).defer(() => void log.push("-child"));
			await until.promise;
		});
		await scope.disposeAsync();
		expect(log).toEqual(["-child"]);
		until.open();
		await other.disposeAsync();
	});
});

describe("rule 20: running child scopes", () => {
	const untilAborted = (signal: AbortSignal): Promise<never> =>
		new Promise((_resolve, reject) => {
			signal.addEventListener("abort", () => reject(signal.reason));
		});

	it("are aborted when the work fails, with its error", async () => {
		const error = new Error("failed");
		const reasons: unknown[] = [];
		const work = withScope(() => {
			void withScope((child) => untilAborted(child.signal).catch((each) => reasons.push(each)));
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(reasons.length).toBe(1);
		expect(reasons[0]).toBe(error);
	});

	it("are aborted below each other", async () => {
		const error = new Error("failed");
		const reasons: unknown[] = [];
		const work = withScope(() => {
			void withScope(() =>
				withScope((inner) => untilAborted(inner.signal).catch((each) => reasons.push(each))),
			);
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(reasons[0]).toBe(error);
	});

	it("are aborted when a task fails while they are waited for", async () => {
		const error = new Error("task failed");
		const until = gate();
		const work = withScope((scope) => {
			void withScope((child) => untilAborted(child.signal));
			void scope.spawn(() => until.promise);
		});
		await ticks();
		until.fail(error);
		expect(await rejection(work)).toBe(error);
	});

	it("aren't aborted when the work succeeds", async () => {
		const until = gate();
		let signal: AbortSignal | undefined;
		const work = withScope(() => {
			void withScope((child) => {
				signal = child.signal;
				return until.promise;
			});
		});
		await ticks();
		expect(signal?.aborted).toBe(false);
		until.open();
		await work;
		expect(signal?.aborted).toBe(false);
	});

	it("aren't aborted while the work may still go on after a fail()", async () => {
		const error = new Error("failed");
		const until = gate();
		let signal: AbortSignal | undefined;
		const scope = openScope();
		void withScope({ parent: scope }, (child) => {
			signal = child.signal;
			return until.promise;
		});
		scope.fail(error);
		expect(signal?.aborted).toBe(false);
		const closed = scope.disposeAsync();
		expect(signal?.reason).toBe(error);
		until.open();
		await closed;
	});

	it("that end because of the abort don't change the error", async () => {
		const error = new Error("failed");
		const reported: unknown[] = [];
		const work = withScope({ onReleaseError: (each) => reported.push(each) }, () => {
			void withScope((child) => untilAborted(child.signal));
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(reported).toEqual([]);
	});

	it("keep an outcome of their own", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		await withScope(async () => {
			await use(logged(log, "outer"));
			const child = withScope(async () => {
				await use(logged(log, "inner"));
				throw error;
			});
			expect(await rejection(child)).toBe(error);
		});
		expect(log).toEqual(["+outer", "+inner", "-inner:failure", "-outer:success"]);
	});

	it("are aborted, but held ones are not: they are closed", async () => {
		const parent = openScope();
		const child = openScope({ parent });
		parent.fail(new Error("failed"));
		await parent.disposeAsync();
		expect(child.signal.aborted).toBe(false);
		expect(child.disposed).toBe(true);
	});

	it("below a held child are aborted as well when the parent's work fails", async () => {
		const error = new Error("failed");
		const parent = openScope();
		const held = openScope({ parent });
		const running = withScope({ parent: held }, (child) => untilAborted(child.signal));
		parent.fail(error);
		await parent.disposeAsync();
		expect(await rejection(running)).toBe(error);
	});
});

describe("rule 20: after", () => {
	it("runs in order, one after the other, once the work is done and before release", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope(async (scope) => {
			await use(logged(log, "a"));
			scope.after(async () => {
				log.push("first begins");
				await until.promise;
				log.push("first ends");
			});
			scope.after(() => log.push("second"));
			void scope.spawn(async () => {
				await ticks();
				log.push("task");
			});
			log.push("work ends");
		});
		await ticks(200);
		expect(log).toEqual(["+a", "work ends", "task", "first begins"]);
		until.open();
		await closed;
		expect(log.slice(4)).toEqual(["first ends", "second", "-a:success"]);
	});

	it("is dropped when the work failed", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		const work = withScope((scope) => {
			scope.after(() => log.push("after"));
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(log).toEqual([]);
	});

	it("is dropped when a task failed", async () => {
		const log: string[] = [];
		const error = new Error("task failed");
		const until = gate();
		const work = withScope((scope) => {
			scope.after(() => log.push("after"));
			void scope.spawn(() => until.promise);
		});
		await ticks();
		until.fail(error);
		expect(await rejection(work)).toBe(error);
		expect(log).toEqual([]);
	});

	it("is dropped after fail() and abort()", async () => {
		const log: string[] = [];
		for (const end of [
			(scope: Scope) => scope.fail(new Error("failed")),
			(scope: Scope) => scope.abort(),
		]) {
			const scope = openScope();
			scope.after(() => log.push("after"));
			end(scope);
			await scope.disposeAsync();
		}
		expect(log).toEqual([]);
	});

	it("that fails makes the outcome failure", async () => {
		const error = new Error("after failed");
		const seen: unknown[] = [];
		const work = withScope(async (scope) => {
			await use(witness(seen));
			scope.after(() => {
				throw error;
			});
		});
		expect(await rejection(work)).toBe(error);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});

	it("sees what the work acquired", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		await withScope(async (scope) => {
			await use(A);
			scope.after(async () => log.push(await use(A)));
		});
		expect(log).toEqual(["+a", "a", "-a:success"]);
	});

	it("runs in the async context of whoever queued it", async () => {
		const scope = openScope();
		const seen: unknown[] = [];
		scope.run(() => scope.after(() => seen.push(currentScope())));
		await scope.disposeAsync();
		expect(seen).toEqual([scope]);
	});

	it("has its scope ambient, whoever queued it", async () => {
		const scope = openScope();
		const seen: unknown[] = [];
		scope.after(() => seen.push(currentScope()));
		await withScope({ parent: scope }, () => {
			scope.after(() => seen.push(currentScope()));
		});
		scope.complete();
		await scope.disposeAsync();
		expect(seen).toEqual([scope, scope]);
	});

	it("of a handler's scope is queued with the enclosing one", async () => {
		const log: string[] = [];
		await withScope({ lifetime: "request" }, async () => {
			await withScope({ lifetime: "handler" }, (handler) => {
				handler.after(() => log.push("after"));
				log.push("handler");
			});
			log.push("response");
		});
		expect(log).toEqual(["handler", "response", "after"]);
	});
});

describe("rules 19 and 20: until release starts", () => {
	/** Acquires, spawns, queues and opens. Logs what it is refused. */
	const askForEverything = async (log: string[], scope: Scope, name: string) => {
		const log1 = async (what: string, request: () => unknown) => {
			const refused = await refusal(request);
			if (refused !== undefined) log.push(`${name} is refused ${what}: ${refused}`);
		};
		await log1("use", () => scope.use(logged(log, `${name}'s`)));
		await log1("ambient use", () => use(resource(() => 1)));
		await log1("spawn", () => scope.spawn(() => log.push(`${name}'s task`)));
		await log1("after", () => scope.after(() => log.push(`${name}'s after`)));
		await log1("defer", () => scope.defer(() => void log.push(`-${name}'s deferred`)));
		await log1("openScope", () => openScope());
		await log1("withScope", () => withScope(() => {}));
	};

	it("a task may still ask for everything", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope((scope) => {
			void scope.spawn(async () => {
				await until.promise;
				await askForEverything(log, scope, "task");
			});
		});
		await ticks();
		until.open();
		await closed;
		expect(log).toEqual([
			"+task's",
			"task's task",
			"task's after",
			"-task's deferred",
			"-task's:success",
		]);
	});

	it("a setup in flight may still ask for everything", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope((scope) => {
			void scope.use(
				resource(async function* () {
					await until.promise;
					await askForEverything(log, scope, "setup");
					yield 1;
					log.push("-setup");
				}),
			);
		});
		await ticks();
		until.open();
		await closed;
		expect(log).toEqual([
			"+setup's",
			"setup's task",
			"setup's after",
			"-setup",
			"-setup's deferred",
			"-setup's:success",
		]);
	});

	it("after work may still ask for everything", async () => {
		const log: string[] = [];
		await withScope((scope) => {
			scope.after(() => askForEverything(log, scope, "after"));
			scope.after(() => log.push("next"));
		});
		expect(log).toEqual([
			"+after's",
			"after's task",
			"next",
			"after's after",
			"-after's deferred",
			"-after's:success",
		]);
	});

	it("after work that a handler's scope queued may still acquire in the request's", async () => {
		const log: string[] = [];
		await withScope({ lifetime: "request" }, async () => {
			await withScope({ lifetime: "handler" }, (handler) => {
				handler.after(async () => void (await use(logged(log, "mail"))));
			});
		});
		expect(log).toEqual(["+mail", "-mail:success"]);
	});

	it("a running child may still ask its parent for everything", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope((scope) => {
			void withScope(async () => {
				await until.promise;
				await askForEverything(log, scope, "child");
			});
		});
		await ticks();
		until.open();
		await closed;
		expect(log).toEqual([
			"+child's",
			"child's task",
			"child's after",
			"-child's deferred",
			"-child's:success",
		]);
	});

	it.each(requests)("everybody else is refused %s once close begins", async (_n, request, name) => {
		const until = gate();
		const scope = openScope();
		void scope.spawn(() => until.promise);
		const closed = scope.disposeAsync();
		expect(await refusal(() => request(scope))).toBe(name);
		await ticks();
		expect(await refusal(() => request(scope))).toBe(name);
		until.open();
		await closed;
	});

	it("everybody else is refused a setup in flight", async () => {
		const until = gate();
		const Slow = resource(() => until.promise);
		const scope = openScope();
		void scope.use(Slow);
		const closed = scope.disposeAsync();
		expectError(await rejection(scope.use(Slow)), ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		until.open();
		await closed;
	});

	it("the withScope function's stray work is refused once the function returned", async () => {
		const [stray, task] = [gate(), gate()];
		const log: string[] = [];
		const closed = withScope((scope) => {
			void scope.spawn(() => task.promise);
			void stray.promise.then(async () => {
				log.push(String(await refusal(() => use(logged(log, "a")))));
				log.push(String(await refusal(() => scope.spawn(() => log.push("spawned")))));
			});
		});
		await ticks();
		stray.open();
		await ticks();
		task.open();
		await closed;
		expect(log).toEqual(["ScopeClosedError", "ScopeClosedError"]);
	});

	it("a task that is done is refused", async () => {
		const [late, other] = [gate(), gate()];
		const log: string[] = [];
		const closed = withScope((scope) => {
			void scope.spawn(() => {
				void late.promise.then(async () => {
					log.push(String(await refusal(() => use(logged(log, "a")))));
				});
			});
			void scope.spawn(() => other.promise);
		});
		await ticks();
		late.open();
		await ticks();
		other.open();
		await closed;
		expect(log).toEqual(["ScopeClosedError"]);
	});

	it("a setup that is done is refused", async () => {
		const [late, other] = [gate(), gate()];
		const log: string[] = [];
		const closed = withScope(async (scope) => {
			await use(
				resource(() => {
					void late.promise.then(async () => {
						log.push(String(await refusal(() => use(logged(log, "a")))));
					});
				}),
			);
			void scope.spawn(() => other.promise);
		});
		await ticks();
		late.open();
		await ticks();
		other.open();
		await closed;
		expect(log).toEqual(["ScopeClosedError"]);
	});

	it("the code of a child that has closed is refused", async () => {
		const until = gate();
		const scope = openScope();
		const child = openScope({ parent: scope });
		await child.disposeAsync();
		void scope.spawn(() => until.promise);
		const closed = scope.disposeAsync();
		const ask = () => scope.use(resource(() => 1));
		expect(await child.run(() => refusal(ask))).toBe("ScopeClosedError");
		until.open();
		await closed;
	});

	it("a task of a child that a setup opened is refused once release has started", async () => {
		const until = gate();
		const log: unknown[] = [];
		const scope = openScope();
		const Session = resource(() => {
			void openScope().spawn(async () => {
				await until.promise;
				log.push(await refusal(() => scope.spawn(() => 1)));
			});
		});
		await scope.use(Session);
		scope.defer(async () => {
			until.open();
			await ticks();
		});
		await scope.disposeAsync();
		expect(log).toEqual(["ScopeClosedError"]);
	});

	it("a task is refused once release has started", async () => {
		const log: string[] = [];
		const until = gate();
		await withScope((scope) => {
			scope.defer(async () => {
				until.open();
				await ticks();
			});
			void scope.spawn(() => {
				void until.promise.then(async () => {
					log.push(String(await refusal(() => use(logged(log, "a")))));
				});
			});
		});
		expect(log).toEqual(["ScopeClosedError"]);
	});
});

describe("rule 20: held children", () => {
	it("are closed before the parent's own release, the latest first", async () => {
		const log: string[] = [];
		await withScope(async (scope) => {
			await use(logged(log, "parent"));
			await openScope().use(logged(log, "first"));
			const second = openScope({ parent: scope });
			await second.use(logged(log, "second"));
			await openScope({ parent: second }).use(logged(log, "grandchild"));
			await use(logged(log, "last"));
		});
		expect(log.slice(5)).toEqual([
			"-grandchild:incomplete",
			"-second:incomplete",
			"-first:incomplete",
			"-last:success",
			"-parent:success",
		]);
	});

	it("are closed before after work runs", async () => {
		const log: string[] = [];
		await withScope((scope) => {
			openScope().defer(() => void log.push("-held"));
			scope.after(() => log.push("after"));
		});
		expect(log).toEqual(["-held", "after"]);
	});

	it("hand their errors to the parent, whose outcome becomes failure", async () => {
		const thrown = new Error("child's release failed");
		const seen: unknown[] = [];
		const work = withScope(async () => {
			await use(witness(seen));
			openScope().defer(() => {
				throw thrown;
			});
		});
		expect(await rejection(work)).toBe(thrown);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(thrown);
	});

	it("hand them on on top of the parent's error", async () => {
		const [error, thrown] = [new Error("failed"), new Error("child's release failed")];
		const seen: unknown[] = [];
		const work = withScope(async () => {
			await use(witness(seen));
			await openScope().use(thrower(thrown));
			throw error;
		});
		expectSuppressed(await rejection(work), thrown, error);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
		expectError(thrown.cause, ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
	});

	it("that were failed with fail() don't fail the parent", async () => {
		const log: string[] = [];
		await withScope(async () => {
			await use(logged(log, "parent"));
			const child = openScope();
			await child.use(logged(log, "child"));
			child.fail(new Error("failed"));
		});
		expect(log.slice(2)).toEqual(["-child:failure", "-parent:success"]);
	});

	it("are all closed, whatever the others' releases do", async () => {
		const log: string[] = [];
		const [first, second] = [new Error("first"), new Error("second")];
		const work = withScope(async () => {
			await use(logged(log, "parent"));
			for (const error of [second, first]) {
				const child = openScope();
				child.defer(() => {
					throw error;
				});
				await child.use(logged(log, error.message));
			}
		});
		expectSuppressed(await rejection(work), second, first);
		expect(log.slice(3)).toEqual(["-first:incomplete", "-second:incomplete", "-parent:failure"]);
	});

	it("may be nested 10,000 deep", async () => {
		const log: string[] = [];
		const root = openScope();
		root.defer(() => void log.push("-root"));
		let innermost = root;
		for (let i = 0; i < 10_000; i++) innermost = openScope({ parent: innermost });
		innermost.defer(() => void log.push("-innermost"));
		await root.disposeAsync();
		expect(log).toEqual(["-innermost", "-root"]);
	});

	it("leave nothing behind when they were closed before", async () => {
		const log: string[] = [];
		await withScope(async () => {
			await using child = openScope();
			await child.use(logged(log, "child"));
			child.complete();
		});
		expect(log).toEqual(["+child", "-child:success"]);
	});

	it("are all closed, also where a sync one was about to close by itself", async () => {
		const log: string[] = [];
		const parent = openScope();
		const first = openScope({ parent });
		first.defer(() => void log.push("-first"));
		const second = openScopeSync({ parent });
		second.defer(() => {
			void parent.disposeAsync();
			log.push("-second");
		});
		second.dispose();
		await parent.disposeAsync();
		expect(log).toEqual(["-second", "-first"]);
	});

	it("may begin tasks of the parent as they close, which it waits for", async () => {
		const log: string[] = [];
		const parent = openScope();
		const task = () => ticks().then(() => log.push("task"));
		void parent.spawn(() => openScope().after(() => void parent.spawn(task)));
		parent.after(() => void log.push("after"));
		parent.defer(() => void log.push("released"));
		await parent.disposeAsync();
		expect(log).toEqual(["task", "after", "released"]);
	});

	it("are waited for while they close by themselves", async () => {
		const log: string[] = [];
		const until = gate();
		const work = withScope(async (scope) => {
			await use(logged(log, "parent"));
			const child = openScope({ parent: scope });
			child.defer(() => until.promise);
			await child.use(logged(log, "child"));
			void child.disposeAsync();
		});
		await ticks();
		expect(log).toEqual(["+parent", "+child", "-child:incomplete"]);
		until.open();
		await work;
		expect(log.slice(3)).toEqual(["-parent:success"]);
	});

	it("hand their error to whoever closes them, and to nobody else", async () => {
		const log: string[] = [];
		const until = gate();
		const thrown = new Error("child's release failed");
		let childClosed: Promise<unknown> | undefined;
		const work = withScope(async (scope) => {
			await use(logged(log, "parent"));
			const child = openScope({ parent: scope });
			child.defer(() => until.promise);
			childClosed = rejection(child.disposeAsync());
		});
		await ticks();
		until.fail(thrown);
		await work;
		expect(await childClosed).toBe(thrown);
		expect(log).toEqual(["+parent", "-parent:success"]);
	});

	it("may be opened by a task while the parent closes", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope(async (scope) => {
			await use(logged(log, "parent"));
			void scope.spawn(async () => {
				await until.promise;
				await openScope().use(logged(log, "late"));
			});
		});
		await ticks();
		until.open();
		await closed;
		expect(log).toEqual(["+parent", "+late", "-late:incomplete", "-parent:success"]);
	});
});

describe("rule 20: a held child opened inside a setup", () => {
	const define = (log: string[], name: string, ...inside: Resource<unknown>[]) =>
		resource(
			async function* () {
				const held = openScope({ name: `${name}'s` });
				for (const each of inside) await held.use(each);
				yield held;
				log.push(`-${name}`);
			},
			{ name },
		);

	it("is closed right after that instance", async () => {
		const log: string[] = [];
		await withScope(async () => {
			await use(logged(log, "first"));
			await use(define(log, "owner", logged(log, "inside")));
			await use(logged(log, "last"));
		});
		expect(log.slice(3)).toEqual([
			"-last:success",
			"-owner",
			"-inside:incomplete",
			"-first:success",
		]);
	});

	it("is closed right after that instance where setups overlap", async () => {
		const log: string[] = [];
		const until = gate();
		const Slow = resource(async function* () {
			await until.promise;
			yield 1;
			log.push("-slow");
		});
		await withScope(async () => {
			const slow = use(Slow);
			await use(define(log, "owner", logged(log, "inside")));
			await use(logged(log, "last"));
			until.open();
			await slow;
		});
		expect(log.slice(2)).toEqual(["-last:success", "-owner", "-inside:incomplete", "-slow"]);
	});

	it("is open in that instance's release", async () => {
		const log: string[] = [];
		const Owner = resource(async function* () {
			const held = openScope();
			yield held;
			log.push(held.disposed ? "closed" : "open", await held.use(resource(() => "value")));
		});
		await withScope(() => use(Owner));
		expect(log).toEqual(["open", "value"]);
	});

	it("hands its error to the enclosing scope", async () => {
		const thrown = new Error("child's release failed");
		const seen: unknown[] = [];
		const Owner = resource(async function* () {
			openScope().defer(() => {
				throw thrown;
			});
			yield 1;
		});
		const work = withScope(async () => {
			await use(witness(seen));
			await use(Owner);
		});
		expect(await rejection(work)).toBe(thrown);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(thrown);
	});

	it("is closed with the rest when the setup fails", async () => {
		const log: string[] = [];
		const error = new Error("setup failed");
		const Broken = resource(async () => {
			await openScope().use(logged(log, "inside"));
			throw error;
		});
		await withScope(async () => {
			expect(await rejection(use(Broken))).toBe(error);
			log.push("work");
		});
		expect(log).toEqual(["+inside", "work", "-inside:incomplete"]);
	});

	it("leaves no callback behind where it is a withScope", async () => {
		const scope = openScope();
		await scope.use(resource(() => withScope(() => 1)));
		expect(scope.inspect().callbacks).toBe(0);
		await scope.disposeAsync();
	});

	it("takes no other callback along where it is a withScope elsewhere", async () => {
		const log: string[] = [];
		const other = openScope();
		const A = resource(async ({ scope }) => {
			scope.defer(() => void log.push("-deferred"));
			await withScope({ parent: other }, () => {});
		});
		await withScope(() => use(A));
		expect(log).toEqual(["-deferred"]);
		await other.disposeAsync();
	});

	it("may be closed by the setup or the release itself", async () => {
		const log: string[] = [];
		const Owner = resource(async function* () {
			await using brief = openScope();
			await brief.use(logged(log, "brief"));
			brief.complete();
			yield 1;
			log.push("-owner");
		});
		await withScope(() => use(Owner));
		expect(log).toEqual(["+brief", "-owner", "-brief:success"]);
	});

	it("counts as such also where a scope within the setup opens it", async () => {
		const log: string[] = [];
		const Owner = resource(async function* ({ scope }) {
			await withScope(async () => {
				await openScope({ parent: scope }).use(logged(log, "inside"));
			});
			yield 1;
			log.push("-owner");
		});
		await withScope(() => use(Owner));
		expect(log).toEqual(["+inside", "-owner", "-inside:incomplete"]);
	});
});

describe("rule 20: detach", () => {
	it("runs in a scope of its own, of lifetime task, under the nearest app scope", async () => {
		await withScope({ lifetime: "app", name: "outer" }, async () => {
			await withScope({ lifetime: "app", name: "inner" }, async (app) => {
				await withScope({ lifetime: "request" }, async (request) => {
					await request.detach((task) => {
						expect(currentScope()).toBe(task);
						expect(task).not.toBe(request);
						expect(task.lifetime).toBe("task");
						expect(task.parent).toBe(app);
					});
				});
			});
		});
	});

	it("runs under the outermost scope where there is no app scope", async () => {
		await withScope({ name: "outer" }, async (outer) => {
			await withScope(async (inner) => {
				await inner.detach((task) => expect(task.parent).toBe(outer));
			});
			await outer.detach((task) => expect(task.parent).toBe(outer));
		});
	});

	it("outlives the scope; the app scope's close waits for it", async () => {
		const log: string[] = [];
		const until = gate();
		const app = openScope({ lifetime: "app" });
		app.defer(() => void log.push("-app"));

		await withScope({ parent: app, lifetime: "request" }, async (request) => {
			await use(logged(log, "request"));
			void request.detach(async () => {
				await until.promise;
				await use(logged(log, "detached"));
			});
		});
		const closed = app.disposeAsync();
		await ticks();
		expect(log).toEqual(["+request", "-request:success"]);
		until.open();
		await closed;

		expect(log.slice(2)).toEqual(["+detached", "-detached:success", "-app"]);
	});

	it("hands its result on, and owns by its own outcome", async () => {
		const log: string[] = [];
		const error = new Error("detached failed");
		await withScope({ lifetime: "app", onReleaseError: () => {} }, async (app) => {
			await app.use(logged(log, "app"));
			expect(await app.detach(() => use(logged(log, "a")))).toBe("a");
			const failed = app.detach(async () => {
				await use(logged(log, "b"));
				throw error;
			});
			expect(await rejection(failed)).toBe(error);
		});
		expect(log).toEqual(["+app", "+a", "-a:success", "+b", "-b:failure", "-app:success"]);
	});

	it("may be asked for by an open scope while the app scope closes", async () => {
		const log: string[] = [];
		const until = gate();
		const closed = withScope({ lifetime: "app" }, () => {
			void withScope({ lifetime: "request" }, async (request) => {
				await until.promise;
				void request.detach(() => log.push("detached"));
			});
		});
		await ticks();
		until.open();
		await closed;
		expect(log).toEqual(["detached"]);
	});

	it("from a setup is no part of it", async () => {
		const log: string[] = [];
		const Poller: Resource<string> = resource(
			async function* ({ scope }) {
				void scope.detach(async () => log.push(`polls ${await use(Poller)}`));
				yield "poller";
			},
			{ lifetime: "app", name: "Poller" },
		);
		const reported: unknown[] = [];
		await withScope({ lifetime: "app", onReleaseError: (each) => reported.push(each) }, () =>
			use(Poller),
		);
		expect(reported).toEqual([]);
		expect(log).toEqual(["polls poller"]);
	});
});

describe("onFirstUse", () => {
	it.each<[string, (scope: Scope) => unknown]>([
		["use", (scope) => scope.use(resource(() => 1))],
		["defer", (scope) => scope.defer(() => {})],
		["spawn", (scope) => scope.spawn(() => {})],
		["a held child", (parent) => openScope({ parent })],
		["a running child", (parent) => withScope({ parent }, () => {})],
	])("is called once, by %s", async (_what, act) => {
		let called = 0;
		const scope = openScope({ onFirstUse: () => ++called });
		scope.complete();
		scope.inspect();
		expect(called).toBe(0);
		await act(scope);
		await act(scope);
		expect(called).toBe(1);
		await scope.disposeAsync();
	});
});

describe("rule 20: where there is nothing to wait for", () => {
	const Sync = resource(function* () {
		yield 1;
	});
	it.each<[string, (scope: Scope) => unknown]>([
		["nothing", () => {}],
		["a sync generator", (scope) => scope.use(Sync)],
		["a value", (scope) => scope.use(resource(() => 1))],
	])("a scope of %s is closed at once", async (_what, act) => {
		const scope = openScope();
		await act(scope);
		const closing = scope.disposeAsync();
		expect(scope.inspect().state).toBe("closed");
		await closing;
	});
});

describe("rule 20: closing from the inside", () => {
	/** Expects `awaited`, the close of a scope by something that it waits for, to reject at once. */
	const expectGuard = async (awaited: Promise<void>) => {
		const error = await rejection(awaited);
		expectError(error, ScopeError, "YS_ERR_SCOPE");
		expect(error.message).toContain("session");
		expect(error.scope).toBe("session");
	};
	const session = () => openScope({ name: "session" });

	it("doesn't hang in a setup", async () => {
		const scope = session();
		const Closing = resource(() => expectGuard(scope.disposeAsync()));
		await scope.use(Closing);
		await scope.disposeAsync();
	});

	it("doesn't hang in a task", async () => {
		const scope = session();
		await scope.spawn(() => expectGuard(scope.disposeAsync()));
		await scope.disposeAsync();
	});

	it("doesn't hang in a running child, nor in one of its tasks or setups", async () => {
		for (const close of [
			(scope: Scope, _child: Scope) => expectGuard(scope.disposeAsync()),
			(scope: Scope, child: Scope) => child.spawn(() => expectGuard(scope.disposeAsync())),
			(scope: Scope, child: Scope) => child.use(resource(() => expectGuard(scope.disposeAsync()))),
		]) {
			const scope = session();
			await withScope({ parent: scope }, (child) => close(scope, child));
			await scope.disposeAsync();
		}
	});

	it("doesn't hang in a task or a setup of a held child", async () => {
		for (const close of [
			(scope: Scope, child: Scope) => child.spawn(() => expectGuard(scope.disposeAsync())),
			(scope: Scope, child: Scope) => child.use(resource(() => expectGuard(scope.disposeAsync()))),
		]) {
			const scope = session();
			await close(scope, openScope({ parent: scope }));
			await scope.disposeAsync();
		}
	});

	it("doesn't hang in a scope that a setup has opened and handed out", async () => {
		const scope = session();
		const [handed, until] = [gate<Scope>(), gate()];
		const Opening = resource(async () => {
			handed.open(openScope());
			await until.promise;
		});
		const opening = scope.use(Opening);
		await (await handed.promise).run(() => expectGuard(scope.disposeAsync()));
		until.open();
		await opening;
		await scope.disposeAsync();
	});

	it("works where that setup is another scope's", async () => {
		const [app, scope] = [openScope(), session()];
		const [handed, until] = [gate<Scope>(), gate()];
		const Opening = resource(async () => {
			handed.open(openScope({ parent: scope }));
			await until.promise;
		});
		const opening = app.use(Opening);
		await (await handed.promise).run(() => scope.disposeAsync());
		expect(scope.inspect().state).toBe("closed");
		until.open();
		await opening;
		await app.disposeAsync();
	});

	it("works in what runs in a held child with run()", async () => {
		const log: string[] = [];
		const scope = session();
		const child = openScope({ parent: scope });
		child.defer(() => void log.push("-child"));
		await child.run(() => scope.disposeAsync());
		expect(log).toEqual(["-child"]);
	});

	it("begins the close all the same, whose error is reported", async () => {
		const reported: unknown[] = [];
		const thrown = new Error("release failed");
		const scope = openScope({ name: "session", onReleaseError: (each) => reported.push(each) });
		scope.defer(() => {
			throw thrown;
		});
		await scope.spawn(() => expectGuard(scope.disposeAsync()));
		await scope.disposeAsync();
		await ticks();
		expect(reported.length).toBe(1);
		expect(reported[0]).toBe(thrown);
	});

	it("works in what runs in the scope with run()", async () => {
		const log: string[] = [];
		const scope = session();
		scope.defer(() => void log.push("-deferred"));
		await scope.run(() => scope.disposeAsync());
		expect(log).toEqual(["-deferred"]);
	});

	it.each([
		[
			"a held scope in a running child",
			(scope: Scope) =>
				withScope({ parent: scope }, () =>
					openScope().run(() => expectGuard(scope.disposeAsync())),
				),
		],
		[
			"a held scope in a task",
			(scope: Scope) => scope.spawn(() => openScope().run(() => expectGuard(scope.disposeAsync()))),
		],
		[
			"a held scope in a setup",
			(scope: Scope) =>
				scope.use(resource(() => openScope().run(() => expectGuard(scope.disposeAsync())))),
		],
		[
			"a task that entered the scope",
			(scope: Scope) =>
				scope.spawn(async () => {
					using _entered = scope.enter();
					await expectGuard(scope.disposeAsync());
				}),
		],
		[
			"a setup that entered the scope",
			(scope: Scope) =>
				scope.use(
					resource(async () => {
						using _entered = scope.enter();
						await expectGuard(scope.disposeAsync());
					}),
				),
		],
	])("doesn't hang in %s", async (_where, close) => {
		const scope = session();
		await close(scope);
		await scope.disposeAsync();
	});

	it("doesn't hang in the release code of an early release", async () => {
		const log: string[] = [];
		const scope = session();
		const A = resource(async function* () {
			yield 1;
			await scope.disposeAsync().catch(() => {});
			log.push("goes on");
		});
		await scope.use(A);
		await scope.release(A);
		await scope.disposeAsync();
		expect(log).toEqual(["goes on"]);
	});

	it("ends withScope's scope early, with everything released once", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		await withScope(async (scope) => {
			await use(A);
			await scope.disposeAsync();
			expectError(await rejection(use(A)), ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		});
		expect(log).toEqual(["+a", "-a:incomplete"]);
	});
});
