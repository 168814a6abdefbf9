import { AsyncResource } from "node:async_hooks";
import { describe, expect, it } from "vitest";
import {
	CircularDependencyError,
	currentScope,
	DidNotYieldError,
	ErrorSwallowedError,
	InvalidArgumentError,
	LifetimeError,
	NoScopeError,
	NotProvidedError,
	openScope,
	openScopeSync,
	override,
	provide,
	type Resource,
	resource,
	type Scope,
	ScopeClosedError,
	ScopeError,
	ScopeIncompleteError,
	type SetupContext,
	SyncScope,
	token,
	tryCurrentScope,
	use,
	withScope,
	withScopeSync,
	YieldedTwiceError,
} from "../src/index.ts";
import { expectError, expectSuppressed, gate, rejection, ticks } from "./support.ts";

/** A sync resource that logs like `logged` does. */
function loggedSync(
	log: string[],
	name: string,
	dependencies: Record<string, Resource<unknown>> = {},
	options: { lifetime?: string } = {},
): Resource<string> {
	return resource(
		dependencies,
		function* () {
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

/** What `fn` throws. */
function thrown(fn: () => unknown): unknown {
	try {
		fn();
	} catch (error) {
		return error;
	}
	throw new Error("expected an error");
}

/** A context's scope as it is in a sync scope. */
const syncOf = (context: SetupContext) => context.scope as unknown as SyncScope;

describe("withScopeSync", () => {
	it("acquires synchronously and releases dependents before what they depend on", () => {
		const log: string[] = [];
		const A = loggedSync(log, "a");
		const B = loggedSync(log, "b", { a: A });
		const result = withScopeSync((scope) => {
			expect(scope.use(B)).toBe("b");
			expect(scope.use(A)).toBe("a");
			log.push("work");
			return 1;
		});
		expect(result).toBe(1);
		expect(log).toEqual(["+a", "+b", "work", "-b:success", "-a:success"]);
	});

	it("throws the work's error into the resources and out again", () => {
		const log: string[] = [];
		const error = new Error("work");
		const A = loggedSync(log, "a");
		expect(
			thrown(() =>
				withScopeSync((scope) => {
					scope.use(A);
					throw error;
				}),
			),
		).toBe(error);
		expect(log).toEqual(["+a", "-a:failure"]);
	});

	it("takes options, and names the scope", () => {
		withScopeSync({ lifetime: "task", name: "job" }, (scope) => {
			expect([scope.name, scope.lifetime, scope.parent]).toEqual(["job", "task", undefined]);
			expect(String(scope)).toBe("[object SyncScope]");
			expect(scope.inspect()).toMatchObject({ name: "job", state: "open", resources: [] });
		});
	});

	it("rejects with the error that was passed to fail()", () => {
		const error = new Error("said");
		expect(thrown(() => withScopeSync((scope) => scope.fail(error)))).toBe(error);
	});

	it("can throw undefined", () => {
		const seen: unknown[] = [];
		const A = resource(function* () {
			try {
				yield 1;
			} catch (error) {
				seen.push(error);
				throw error;
			}
		});
		expect(
			thrown(() =>
				withScopeSync((scope) => {
					scope.use(A);
					throw undefined;
				}),
			),
		).toBe(undefined);
		expect(seen).toEqual([undefined]);
	});

	it("refuses a function that returns a promise, and reports what that rejects with", async () => {
		const log: string[] = [];
		const reported: unknown[] = [];
		const late = new Error("late");
		const A = loggedSync(log, "a");
		const error = thrown(() =>
			withScopeSync({ onReleaseError: (each) => reported.push(each) }, async (scope) => {
				scope.use(A);
				await undefined;
				throw late;
			}),
		);
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect((error as Error).message).toMatch(/returns a promise.*withScope\(\)/);
		expect(log).toEqual(["+a", "-a:failure"]);
		await ticks();
		expect(reported).toEqual([late]);
	});

	it.each([[undefined], [{}], ["fn"]])("refuses %o in the function's place", (fn) => {
		expect(() => withScopeSync({}, fn as never)).toThrow(InvalidArgumentError);
	});

	it("closes in its own context although fn has entered another", async () => {
		const seen: unknown[] = [];
		const other = openScopeSync({ parent: null });
		await withScope((outer) => {
			withScopeSync((scope) => {
				other.enter();
				scope.defer(() => seen.push(tryCurrentScope() === outer));
			});
			seen.push(tryCurrentScope() === outer);
		});
		expect(seen).toEqual([true, true]);
	});
});

describe("openScopeSync", () => {
	it("rolls back unless complete() is called", () => {
		const log: string[] = [];
		const A = loggedSync(log, "a");
		{
			using scope = openScopeSync();
			scope.use(A);
			expect(scope.outcome).toEqual({ type: "incomplete" });
		}
		{
			using scope = new SyncScope();
			scope.use(A);
			expect(scope.complete(7)).toBe(7);
			expect(scope.outcome).toEqual({ type: "success" });
		}
		expect(log).toEqual(["+a", "-a:incomplete", "+a", "-a:success"]);
	});

	it("rolls back after fail(), and doesn't throw that error itself", () => {
		const log: string[] = [];
		const error = new Error("said");
		const scope = openScopeSync();
		scope.use(loggedSync(log, "a"));
		scope.complete();
		scope.fail(error);
		scope.fail(new Error("later"));
		scope.dispose();
		expect(scope.outcome).toEqual({ type: "failure", error });
		expect(log).toEqual(["+a", "-a:failure"]);
	});

	it("refuses options of the wrong kind", () => {
		expect(() => openScopeSync({ parent: {} as never })).toThrow(InvalidArgumentError);
		expect(() => openScopeSync({ bindings: [{}] as never })).toThrow(InvalidArgumentError);
	});

	it("refuses a closed parent", () => {
		const parent = openScopeSync();
		parent.dispose();
		const error = thrown(() => openScopeSync({ parent }));
		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
	});

	it("is no parent for an asynchronous scope", () => {
		using parent = openScopeSync();
		expect(() => openScope({ parent: parent as never })).toThrow(InvalidArgumentError);
	});

	it("isn't ambient, but run() and enter() make it so", () => {
		const root = openScopeSync({ parent: null });
		expect(openScopeSync().parent).toBe(undefined);
		expect(root.run(() => openScopeSync().parent)).toBe(root);
		{
			using _ = root.enter();
			expect(openScopeSync().parent).toBe(root);
		}
		expect(openScopeSync().parent).toBe(undefined);
		root.dispose();
	});

	it("is shown by inspect(), with its instances and children", () => {
		using scope = openScopeSync({ name: "outer" });
		const A = loggedSync([], "a");
		scope.use(loggedSync([], "b", { a: A }));
		scope.defer(() => {});
		using inner = openScopeSync({ name: "inner", parent: scope });
		expect(inner.parent).toBe(scope);
		expect(scope.inspect()).toMatchObject({
			name: "outer",
			state: "open",
			outcome: "incomplete",
			callbacks: 1,
			resources: [
				{ name: "b", state: "ready", dependencies: ["a"] },
				{ name: "a", state: "ready", dependencies: [] },
			],
			children: [{ name: "inner" }],
		});
	});
});

describe("use in a sync scope", () => {
	it("shares one instance, and makes another with fresh", () => {
		let made = 0;
		const A = resource(() => ({ id: ++made }));
		withScopeSync((scope) => {
			expect(scope.use(A)).toBe(scope.use(A));
			expect(scope.use(A, { fresh: true })).not.toBe(scope.use(A));
		});
		expect(made).toBe(2);
	});

	it("takes generators, functions and classes, with falsy values", () => {
		class Config {
			readonly port = 1;
		}
		withScopeSync((scope) => {
			expect(scope.use(resource(Config)).port).toBe(1);
			expect(scope.use(resource(() => 0))).toBe(0);
			expect(
				scope.use(
					resource(function* () {
						yield undefined;
					}),
				),
			).toBe(undefined);
		});
	});

	it("disposes a returned disposable", () => {
		const log: string[] = [];
		const A = resource(() => ({ [Symbol.dispose]: () => log.push("disposed") }));
		withScopeSync((scope) => {
			scope.use(A);
			log.push("work");
		});
		expect(log).toEqual(["work", "disposed"]);
	});

	it("throws a setup's own error, and tries again at the next use", () => {
		const error = new Error("setup");
		let attempts = 0;
		const A = resource(() => {
			if (++attempts === 1) throw error;
			return attempts;
		});
		const B = resource({ a: A }, ({ a }) => a);
		withScopeSync((scope) => {
			expect(thrown(() => scope.use(B))).toBe(error);
			expect(scope.use(B)).toBe(2);
		});
	});

	it("releases what a failed setup had acquired", () => {
		const log: string[] = [];
		const A = loggedSync(log, "a");
		const B = resource(
			(context) => {
				syncOf(context).defer(() => log.push("deferred"));
				syncOf(context).use(A);
				throw new Error("b");
			},
			{ name: "b" },
		);
		withScopeSync((scope) => {
			expect(() => scope.use(B)).toThrow("b");
			log.push("work");
		});
		expect(log).toEqual(["+a", "work", "deferred", "-a:success"]);
	});

	it("gives setups their scope, whose use is a dependency", () => {
		const log: string[] = [];
		const A = loggedSync(log, "a");
		const B = resource(
			function* (context) {
				yield syncOf(context).use(A);
				log.push("-b");
			},
			{ name: "b" },
		);
		withScopeSync((scope) => {
			expect(scope.use(B)).toBe("a");
			expect(scope.inspect().resources[0]).toMatchObject({ name: "b", dependencies: ["a"] });
		});
		expect(log).toEqual(["+a", "-b", "-a:success"]);
	});

	it("counts what a setup uses in a withScopeSync as that setup's dependency", async () => {
		const log: string[] = [];
		const setup = gate();
		const Pool = loggedSync(log, "pool");
		const Tx = resource(async function* () {
			await setup.promise;
			withScopeSync((scope) => scope.use(Pool, { lifetime: "app" }));
			yield 1;
			log.push("-tx");
		});
		await withScope({ lifetime: "app" }, async (scope) => {
			const tx = scope.use(Tx);
			await scope.use(Pool);
			setup.open();
			await tx;
		});
		expect(log).toEqual(["+pool", "-tx", "-pool:success"]);
	});

	it("runs what a setup registers right after its instance", () => {
		const log: string[] = [];
		const A = resource(
			function* (context) {
				syncOf(context).defer(() => log.push("deferred"));
				yield "a";
				log.push("-a");
			},
			{ name: "a" },
		);
		withScopeSync((scope) => {
			scope.use(A);
			scope.defer(() => log.push("later"));
		});
		expect(log).toEqual(["later", "-a", "deferred"]);
	});

	it("finds cycles", () => {
		const A: Resource<string> = resource((context) => syncOf(context).use(B), { name: "A" });
		const B: Resource<string> = resource((context) => syncOf(context).use(A), { name: "B" });
		withScopeSync({ name: "s" }, (scope) => {
			const error = thrown(() => scope.use(A));
			expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
			expect(error.path).toEqual(["B", "A", "B"]);
		});
	});

	it("finds a cycle though the setup has lost its context", () => {
		const outside = new AsyncResource("outside");
		const scope = openScopeSync();
		const A: Resource<unknown> = resource(() => outside.runInAsyncScope(() => scope.use(A)), {
			name: "A",
		});
		const error = thrown(() => scope.use(A));
		expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
		expect(error.path).toEqual(["A", "A"]);
		scope.dispose();
	});

	it("finds a cycle through another scope's context", () => {
		const other = openScopeSync({ parent: null });
		const A: Resource<unknown> = resource((context) => other.run(() => syncOf(context).use(A)), {
			name: "A",
		});
		withScopeSync((scope) => {
			const error = thrown(() => scope.use(A));
			expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
		});
		other.dispose();
	});

	it("refuses a generator that doesn't yield, or yields a promise, which it closes", () => {
		const log: string[] = [];
		const None = resource(function* (): Generator<string> {}, { name: "None" });
		const Yields = resource(
			function* () {
				try {
					yield Promise.resolve();
				} finally {
					log.push("closed");
				}
			},
			{ name: "Yields" },
		);
		withScopeSync((scope) => {
			expectError(
				thrown(() => scope.use(None)),
				DidNotYieldError,
				"YS_ERR_DID_NOT_YIELD",
			);
			expect(thrown(() => scope.use(Yields))).toBeInstanceOf(InvalidArgumentError);
			expect(log).toEqual(["closed"]);
		});
	});

	it("refuses tokens that nobody provides, and lifetimes that nothing has", () => {
		const Name = token<string>("Name");
		const App = resource(() => 1, { name: "App", lifetime: "app" });
		withScopeSync((scope) => {
			expectError(
				thrown(() => scope.use(Name)),
				NotProvidedError,
				"YS_ERR_NOT_PROVIDED",
			);
			expectError(
				thrown(() => scope.use(App)),
				LifetimeError,
				"YS_ERR_LIFETIME",
			);
		});
	});

	it("takes provided values and overrides, from options and bind()", () => {
		const Name = token<string>("Name");
		const Greeting = resource({ name: Name }, ({ name }) => `hello ${name}`);
		const Loud = resource({ greeting: Greeting }, ({ greeting }) => greeting.toUpperCase());
		withScopeSync({ bindings: [provide(Name, "ada")] }, (scope) => {
			expect(scope.use(Greeting)).toBe("hello ada");
			withScopeSync((inner) => {
				using _ = inner.bind(override(Greeting, Loud));
				expect(inner.use(Greeting)).toBe("HELLO ADA");
			});
		});
	});

	it("is refused once the scope has closed", () => {
		const A = resource(() => 1);
		const scope = openScopeSync();
		scope.dispose();
		expectError(
			thrown(() => scope.use(A)),
			ScopeClosedError,
			"YS_ERR_SCOPE_CLOSED",
		);
		expectError(
			thrown(() => scope.bind()),
			ScopeClosedError,
			"YS_ERR_SCOPE_CLOSED",
		);
	});

	it("still gives release code what isn't released yet, and nothing else", () => {
		const seen: unknown[] = [];
		const A = resource(() => "a", { name: "A" });
		const New = resource(() => "new", { name: "New" });
		withScopeSync((scope) => {
			scope.use(A);
			scope.defer(() => {
				seen.push(scope.use(A));
				seen.push(thrown(() => scope.use(New)));
			});
		});
		expect(seen).toEqual(["a", expect.any(ScopeClosedError)]);
	});
});

describe("asynchronous resources in a sync scope", () => {
	const Slow = resource(async () => "slow", { name: "Slow" });

	it("doesn't begin an async generator", () => {
		let begun = false;
		const A = resource(
			async function* () {
				begun = true;
				yield 1;
			},
			{ name: "A" },
		);
		const B = resource({ a: A }, ({ a }) => a, { name: "B" });
		withScopeSync((scope) => {
			const error = thrown(() => scope.use(B));
			expect(error).toBeInstanceOf(InvalidArgumentError);
			expect((error as Error).message).toMatch(
				/Cannot use A in a sync scope.*B > A.*withScope\(\)/,
			);
			expect(thrown(() => scope.use(B))).toBeInstanceOf(InvalidArgumentError);
		});
		expect(begun).toBe(false);
	});

	it("doesn't run a setup whose dependency is asynchronous", async () => {
		let run = false;
		const A = resource({ slow: Slow }, () => {
			run = true;
		});
		withScopeSync((scope) => {
			expect(() => scope.use(A)).toThrow("Cannot use Slow");
		});
		await ticks();
		expect(run).toBe(false);
	});

	it("disposes what a late setup returns", async () => {
		const log: string[] = [];
		const door = gate();
		const A = resource(async () => {
			await door.promise;
			return { [Symbol.asyncDispose]: async () => log.push("disposed") };
		});
		withScopeSync((scope) => {
			expect(() => scope.use(A)).toThrow(InvalidArgumentError);
		});
		expect(log).toEqual([]);
		door.open();
		await ticks();
		expect(log).toEqual(["disposed"]);
	});

	it("throws the error into a generator that comes late, with what it acquires meanwhile", async () => {
		const log: unknown[] = [];
		const reported: unknown[] = [];
		const door = gate();
		const Other = resource(
			async function* () {
				log.push("+other");
				try {
					yield "other";
				} finally {
					log.push("-other");
				}
			},
			{ name: "Other" },
		);
		const A = resource(
			async () => {
				await door.promise;
				await use(Other);
				return (function* () {
					try {
						yield 1;
					} catch (error) {
						log.push(error);
						throw error;
					}
				})();
			},
			{ name: "A" },
		);
		const error = withScopeSync({ onReleaseError: (each) => reported.push(each) }, (scope) =>
			thrown(() => scope.use(A)),
		);
		door.open();
		await ticks();
		expect(log).toEqual(["+other", error, "-other"]);
		expect(reported).toEqual([]);
	});

	it("reports what a late setup throws, and what its release throws", async () => {
		const reported: unknown[] = [];
		const errors = [new Error("setup"), new Error("release")];
		const Failing = resource(async () => {
			throw errors[0];
		});
		const Releasing = resource(async () => ({
			[Symbol.asyncDispose]: async () => {
				throw errors[1];
			},
		}));
		withScopeSync({ onReleaseError: (error) => reported.push(error) }, (scope) => {
			expect(() => scope.use(Failing)).toThrow(InvalidArgumentError);
			expect(() => scope.use(Releasing)).toThrow(InvalidArgumentError);
		});
		await ticks();
		expect(reported).toEqual([errors[0], expect.objectContaining({ error: errors[1] })]);
	});

	it("refuses and disposes a value that only await can dispose", async () => {
		const log: string[] = [];
		const A = resource(() => ({ [Symbol.asyncDispose]: async () => log.push("disposed") }));
		withScopeSync((scope) => {
			expect(() => scope.use(A)).toThrow(InvalidArgumentError);
		});
		await ticks();
		expect(log).toEqual(["disposed"]);
	});

	it("makes the enclosing scope's close wait", async () => {
		const log: string[] = [];
		const door = gate();
		const A = resource(async () => {
			await door.promise;
			return { [Symbol.dispose]: () => log.push("disposed") };
		});
		const closed = withScope(() => {
			withScopeSync((scope) => {
				expect(() => scope.use(A)).toThrow(InvalidArgumentError);
			});
		}).then(() => log.push("closed"));
		await ticks();
		expect(log).toEqual([]);
		door.open();
		await closed;
		expect(log).toEqual(["disposed", "closed"]);
	});

	it("makes the nearest scope that can wait do so", async () => {
		const log: string[] = [];
		const door = gate();
		const A = resource(() => door.promise.then(() => log.push("late")));
		const closed = withScope(() => {
			withScopeSync(() => {
				withScopeSync((scope) => {
					expect(() => scope.use(A)).toThrow(InvalidArgumentError);
				});
			});
		}).then(() => log.push("closed"));
		await ticks();
		expect(log).toEqual([]);
		door.open();
		await closed;
		expect(log).toEqual(["late", "closed"]);
	});

	it("says so again at the next use, and can be closed", async () => {
		const door = gate();
		const A = resource(() => door.promise);
		const scope = openScopeSync();
		expect(() => scope.use(A)).toThrow(InvalidArgumentError);
		expect(() => scope.use(A)).toThrow(InvalidArgumentError);
		scope.dispose();
		door.open();
	});

	it("leaves an enclosing scope's setup, which it can't wait for, to that scope", async () => {
		let made = 0;
		const A = resource(async () => ++made, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async () => {
			withScopeSync((scope) => {
				expect(() => scope.use(A)).toThrow(InvalidArgumentError);
			});
			expect(await use(A)).toBe(1);
			withScopeSync((scope) => expect(scope.use(A)).toBe(1));
		});
	});

	it("uses what an enclosing scope has ready", async () => {
		const log: string[] = [];
		const Db = resource(
			async function* () {
				yield "db";
				log.push("-db");
			},
			{ name: "Db", lifetime: "app" },
		);
		const Query = resource({ db: Db }, ({ db }) => `query ${db}`);
		await withScope({ lifetime: "app" }, async (app) => {
			withScopeSync((scope) => {
				expect(() => scope.use(Query)).toThrow(/await use\(Db\)` before, in scope "app"/);
			});
			await app.use(Db);
			withScopeSync((scope) => {
				expect(scope.use(Query)).toBe("query db");
			});
		});
		expect(log).toEqual(["-db"]);
	});

	it("sets up an enclosing scope's resource that is synchronous", async () => {
		const log: string[] = [];
		const Pool = loggedSync(log, "pool", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, () => {
			withScopeSync((scope) => expect(scope.use(Pool)).toBe("pool"));
			log.push("work");
		});
		expect(log).toEqual(["+pool", "work", "-pool:success"]);
	});

	it("refuses to use anything of an aborted scope", async () => {
		const reason = new Error("stop");
		const error = await rejection(
			withScope((scope) => {
				scope.abort(reason);
				withScopeSync((inner) => inner.use(loggedSync([], "a")));
			}),
		);
		expect(error).toBe(reason);
	});
});

describe("the ambient sync scope", () => {
	it("is the default parent of withScopeSync only", async () => {
		await withScope((outer) => {
			withScopeSync((first) => {
				expect(first.parent).toBe(outer);
				withScopeSync((second) => expect(second.parent).toBe(first));
				expect(currentScope()).toBe(outer);
				expect(openScope().parent).toBe(outer);
			});
		});
	});

	it("is looked through by use()", async () => {
		const log: string[] = [];
		const A = loggedSync(log, "a");
		await withScope(async () => {
			const value = withScopeSync(() => [use(A)]);
			log.push("closed");
			expect(await value[0]).toBe("a");
		});
		expect(log).toEqual(["+a", "closed", "-a:success"]);
	});

	it("is no scope for use() by itself", async () => {
		const error = await withScopeSync(() => [rejection(use(loggedSync([], "a")))])[0];
		expectError(error, NoScopeError, "YS_ERR_NO_SCOPE");
		expect(withScopeSync(() => tryCurrentScope())).toBe(undefined);
	});

	it("is there in setups and releases", () => {
		const seen: unknown[] = [];
		const A = resource(function* () {
			seen.push(openScopeSync().parent);
			yield 1;
		});
		const scope = openScopeSync();
		scope.use(A);
		expect(seen).toEqual([scope]);
		scope.dispose();
	});
});

describe("errors of a sync scope's release", () => {
	it("lets a resource translate the error for the others and the caller", () => {
		const log: unknown[] = [];
		const error = new Error("work");
		const translated = new Error("translated");
		const Outer = resource(
			function* () {
				try {
					yield "outer";
				} catch (seen) {
					log.push(seen);
					throw seen;
				}
			},
			{ name: "Outer" },
		);
		const Inner = resource({ outer: Outer }, function* () {
			try {
				yield "inner";
			} catch {
				throw translated;
			}
		});
		const caught = thrown(() =>
			withScopeSync((scope) => {
				scope.use(Inner);
				throw error;
			}),
		);
		expect(caught).toBe(translated);
		expect(translated.cause).toBe(error);
		expect(log).toEqual([translated]);
	});

	it("turns success into failure for the others when a release fails", () => {
		const log: string[] = [];
		const error = new Error("commit");
		const A = loggedSync(log, "a");
		const B = resource({ a: A }, function* () {
			yield "b";
			throw error;
		});
		expect(thrown(() => withScopeSync((scope) => void scope.use(B)))).toBe(error);
		expect(log).toEqual(["+a", "-a:failure"]);
	});

	it("combines a callback's error with the work's, which resources go on seeing", () => {
		const log: unknown[] = [];
		const work = new Error("work");
		const callback = new Error("callback");
		const A = resource(function* () {
			try {
				yield 1;
			} catch (error) {
				log.push(error);
				throw error;
			}
		});
		const error = thrown(() =>
			withScopeSync((scope) => {
				scope.use(A);
				scope.defer(() => {
					throw callback;
				});
				throw work;
			}),
		);
		expectSuppressed(error, callback, work);
		expect(log).toEqual([work]);
	});

	it("reports an error that a resource swallows, and throws it all the same", () => {
		const reported: unknown[] = [];
		const work = new Error("work");
		const A = resource(
			function* () {
				try {
					yield 1;
				} catch {}
			},
			{ name: "A" },
		);
		const error = thrown(() =>
			withScopeSync({ onReleaseError: (each) => reported.push(each) }, (scope) => {
				scope.use(A);
				throw work;
			}),
		);
		expect(error).toBe(work);
		expectError(reported[0], ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
		expect((reported[0] as Error).cause).toBe(work);
	});

	it("refuses a second yield, and closes the generator", () => {
		const log: string[] = [];
		const A = resource(
			function* () {
				try {
					yield 1;
					yield 2;
				} finally {
					log.push("closed");
				}
			},
			{ name: "A" },
		);
		const error = thrown(() => withScopeSync((scope) => void scope.use(A)));
		expectError(error, YieldedTwiceError, "YS_ERR_YIELDED_TWICE");
		expect(log).toEqual(["closed"]);
	});

	it("reports a second yield of a generator whose closing takes time", async () => {
		const reported: unknown[] = [];
		const closing = gate();
		const late = new Error("late");
		const handmade = {
			next: () => ({ value: 1, done: false }),
			return: () => closing.promise,
			throw() {},
			[Symbol.iterator]: () => handmade,
		} as unknown as Generator<number>;
		withScopeSync({ onReleaseError: (error) => reported.push(error) }, (scope) =>
			scope.use(resource(() => handmade)),
		);
		closing.fail(late);
		await ticks();
		expect(reported.length).toBe(2);
		expect(reported[0]).toBe(late);
		expectError(reported[1], YieldedTwiceError, "YS_ERR_YIELDED_TWICE");
	});

	it("gives a failure that was said to resources, and only news to the caller", () => {
		const said = new Error("said");
		const release = new Error("release");
		const scope = openScopeSync();
		scope.defer(() => {
			throw release;
		});
		scope.fail(said);
		expectSuppressed(
			thrown(() => scope.dispose()),
			release,
			said,
		);
		scope.dispose();
	});

	it("releases 100,000 instances", () => {
		let released = 0;
		const A = resource(function* () {
			yield 1;
			released++;
		});
		withScopeSync((scope) => {
			for (let i = 0; i < 100_000; i++) scope.use(A, { fresh: true });
		});
		expect(released).toBe(100_000);
	});
});

describe("closing a sync scope", () => {
	it("closes held children first, in their own context", () => {
		const log: unknown[] = [];
		const scope = openScopeSync();
		scope.use(loggedSync(log as string[], "a"));
		const child = openScopeSync({ parent: scope });
		child.use(loggedSync(log as string[], "b"));
		scope.complete();
		scope.dispose();
		expect(child.disposed).toBe(true);
		expect(log).toEqual(["+a", "+b", "-b:incomplete", "-a:success"]);
	});

	it("makes a child's errors its own", () => {
		const log: string[] = [];
		const error = new Error("child");
		const scope = openScopeSync();
		scope.use(loggedSync(log, "a"));
		scope.complete();
		openScopeSync({ parent: scope }).defer(() => {
			throw error;
		});
		expect(thrown(() => scope.dispose())).toBe(error);
		expect(log).toEqual(["+a", "-a:failure"]);
	});

	it("leaves a scope that a setup opened to that instance", () => {
		const log: string[] = [];
		const A = resource(
			function* () {
				const own = openScopeSync();
				own.defer(() => log.push("own"));
				yield own;
				log.push(`-a with own ${own.disposed ? "closed" : "open"}`);
			},
			{ name: "a" },
		);
		withScopeSync((scope) => scope.use(A));
		expect(log).toEqual(["-a with own open", "own"]);
	});

	it("is done by an asynchronous parent", async () => {
		const log: string[] = [];
		let child: SyncScope | undefined;
		await withScope((scope) => {
			child = openScopeSync({ parent: scope });
			child.use(loggedSync(log, "a"));
			log.push("work");
		});
		expect(child?.disposed).toBe(true);
		expect(log).toEqual(["+a", "work", "-a:incomplete"]);
	});

	it("is left to the task that opened the scope", async () => {
		const log: string[] = [];
		const door = gate();
		const closed = withScope((scope) => {
			void scope.spawn(async () => {
				using inner = openScopeSync();
				await door.promise;
				inner.use(loggedSync(log, "a"));
				inner.complete();
			});
		});
		door.open();
		await closed;
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("is refused to its own setups, which would come back to a closed scope", () => {
		const log: string[] = [];
		const A = resource(
			function* (context) {
				syncOf(context).dispose();
				yield 1;
			},
			{ name: "A" },
		);
		withScopeSync((scope) => {
			const error = thrown(() => scope.use(A));
			expectError(error, ScopeError, "YS_ERR_SCOPE");
			expect(error.scope).toBe(scope.name);
			scope.use(loggedSync(log, "b"));
		});
		expect(log).toEqual(["+b", "-b:success"]);
	});

	it("is refused to a withScopeSync, a setup and a release below", () => {
		const errors: unknown[] = [];
		const outer = openScopeSync();
		const inner = openScopeSync({ parent: outer });
		withScopeSync({ parent: outer }, () => errors.push(thrown(() => outer.dispose())));
		inner.use(resource(() => errors.push(thrown(() => outer.dispose()))));
		inner.defer(() => errors.push(thrown(() => outer.dispose())));
		inner.dispose();
		expect(errors.map((error) => (error as ScopeError).code)).toEqual(
			Array(3).fill("YS_ERR_SCOPE"),
		);
		expect(outer.disposed).toBe(false);
		outer.dispose();
	});

	it("waits for code of its own when an asynchronous parent closes", async () => {
		const log: string[] = [];
		const parent = openScope();
		const child = openScopeSync({ parent });
		const A = resource(
			function* () {
				void parent.disposeAsync().catch(() => {});
				log.push("+a");
				yield 1;
				log.push("-a");
			},
			{ name: "A" },
		);
		child.complete();
		expect(child.use(A)).toBe(1);
		await ticks();
		expect(log).toEqual(["+a", "-a"]);
		expect(child.disposed).toBe(true);
	});

	it("makes a parent that closes meanwhile wait for withScopeSync", async () => {
		const log: string[] = [];
		const parent = openScope();
		let closed: Promise<void> | undefined;
		withScopeSync({ parent }, (scope) => {
			closed = parent.run(() => withScope({ parent: null }, () => parent.disposeAsync()));
			scope.use(loggedSync(log, "a"));
			log.push("work");
		});
		await closed;
		expect(log).toEqual(["+a", "work", "-a:success"]);
	});

	it("isn't confused by the early release of what its instances depend on", async () => {
		const log: string[] = [];
		const Db = resource(
			async function* () {
				yield "db";
				log.push("-db");
			},
			{ name: "Db", lifetime: "app" },
		);
		const Query = resource(
			{ db: Db },
			function* ({ db }, context) {
				syncOf(context).defer(() => log.push("deferred"));
				yield db;
				log.push("-query");
			},
			{ name: "Query" },
		);
		await withScope({ lifetime: "app" }, async (app) => {
			await app.use(Db);
			const scope = openScopeSync();
			scope.use(Query);
			const released = app.release(Db);
			await undefined;
			scope.dispose();
			await released;
			expect(scope.disposed).toBe(true);
		});
		expect(log).toEqual(["-query", "deferred", "-db"]);
	});
});

describe("move of a sync scope", () => {
	it("hands over instances, bindings, children and what was said", () => {
		const log: string[] = [];
		const Name = token<string>("Name");
		const first = openScopeSync({ name: "s", lifetime: "task", bindings: [provide(Name, "n")] });
		const A = loggedSync(log, "a");
		first.use(A);
		const child = openScopeSync({ parent: first });
		first.complete();
		const second = first.move();
		expect([first.disposed, second.disposed]).toEqual([true, false]);
		expect([second.name, second.lifetime, child.parent]).toEqual(["s", "task", second]);
		expect(second.use(Name)).toBe("n");
		second.use(A);
		second.dispose();
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("carries resources out of withScopeSync", () => {
		const log: string[] = [];
		const scope = withScopeSync((inner) => {
			inner.use(loggedSync(log, "a"));
			return inner.move();
		});
		log.push("moved");
		scope.dispose();
		expect(log).toEqual(["+a", "moved", "-a:incomplete"]);
	});

	it("is refused in a setup", () => {
		const A = resource((context) => syncOf(context).move());
		withScopeSync((scope) => {
			expectError(
				thrown(() => scope.use(A)),
				ScopeError,
				"YS_ERR_SCOPE",
			);
		});
	});
});

describe("move of a scope", () => {
	it("goes on listening to its signal", async () => {
		const controller = new AbortController();
		const moved: Scope = openScope({ signal: controller.signal }).move();
		const reason = new Error("stop");
		controller.abort(reason);
		expect(moved.signal.reason).toBe(reason);
		expect(moved.outcome).toEqual({ type: "failure", error: reason });
		await moved.disposeAsync();
	});
});
