import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import {
	currentScope,
	NoScopeError,
	openScope,
	type Resource,
	resource,
	Scope,
	tryCurrentScope,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { expectError, gate, rejection, ticks } from "./support.ts";

/** What is ambient here: the scope's name. */
const here = (): string | undefined => tryCurrentScope()?.name;

/** A resource that logs where each of its parts runs. */
function located(log: string[], name: string, lifetime?: string): Resource<string> {
	const at = (part: string) => log.push(`${name} ${part} in ${here()}`);
	return resource(
		async function* ({ scope }) {
			expect(currentScope()).toBe(scope);
			at("setup");
			await ticks(3);
			at("setup after an await");
			scope.defer(async () => {
				at("defer");
				await ticks(3);
				at("defer after an await");
			});
			scope.adopt(1, () => void at("adopt"));
			try {
				yield name;
				at("success");
			} catch (error) {
				at("failure");
				throw error;
			} finally {
				await ticks(3);
				at("finally after an await");
			}
		},
		lifetime === undefined ? {} : { lifetime },
	);
}

const parts = (name: string, outcome: string, scope: string) => [
	`${name} ${outcome} in ${scope}`,
	`${name} finally after an await in ${scope}`,
	`${name} adopt in ${scope}`,
	`${name} defer in ${scope}`,
	`${name} defer after an await in ${scope}`,
];
const setupParts = (name: string, scope: string) => [
	`${name} setup in ${scope}`,
	`${name} setup after an await in ${scope}`,
];

describe("rule 5: the ambient scope in setup and release", () => {
	it("is the owning scope, also where another asks", async () => {
		const log: string[] = [];
		const Pool = located(log, "Pool", "app");
		const Session = located(log, "Session", "request");
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, () =>
				withScope({ lifetime: "handler" }, async () => {
					await use(Pool);
					await use(Session);
					log.push(`work in ${here()}`);
				}),
			),
		);
		expect(log).toEqual([
			...setupParts("Pool", "app"),
			...setupParts("Session", "request"),
			"work in handler",
			...parts("Session", "success", "request"),
			...parts("Pool", "success", "app"),
		]);
	});

	it("is the owning scope when the work failed", async () => {
		const log: string[] = [];
		const failure = new Error("work");
		const error = await rejection(
			withScope({ name: "work" }, async () => {
				await use(located(log, "Tx"));
				log.length = 0;
				throw failure;
			}),
		);
		expect(error).toBe(failure);
		expect(log).toEqual(parts("Tx", "failure", "work"));
	});

	it("is the owning scope where there is none around the caller", async () => {
		const log: string[] = [];
		const scope = openScope({ name: "held" });
		await scope.use(located(log, "Tx"));
		expect(here()).toBe(undefined);
		await scope.disposeAsync();
		expect(here()).toBe(undefined);
		expect(log).toEqual([...setupParts("Tx", "held"), ...parts("Tx", "failure", "held")]);
	});

	it("is the owning scope when another scope's code uses and closes it", async () => {
		const log: string[] = [];
		const scope = openScope({ name: "held" });
		await withScope({ name: "other" }, async () => {
			await scope.use(located(log, "Tx"));
			scope.complete();
			await scope.disposeAsync();
			log.push(`work in ${here()}`);
		});
		expect(log).toEqual([
			...setupParts("Tx", "held"),
			...parts("Tx", "success", "held"),
			"work in other",
		]);
	});

	it("is the owning scope in every kind of setup and disposer", async () => {
		const log: string[] = [];
		const at = (part: string) => void log.push(`${part} in ${here()}`);
		const owned = { lifetime: "app" };
		const Sync = resource(function* () {
			at("generator");
			yield 1;
			at("generator's release");
		}, owned);
		const Plain = resource(() => {
			at("function");
			return { [Symbol.dispose]: () => at("dispose") };
		}, owned);
		const Async = resource(async () => {
			await ticks(3);
			at("async function");
			return {
				async [Symbol.asyncDispose]() {
					await ticks(3);
					at("asyncDispose");
				},
			};
		}, owned);
		class Service {
			constructor() {
				at("class");
			}
		}
		const Class = resource(Service, owned);
		const Dependent = resource({ sync: Sync, async: Async }, () => at("dependent"), owned);
		await withScope({ lifetime: "app" }, (app) => {
			app.use({ [Symbol.dispose]: () => at("used disposable") });
			return withScope({ lifetime: "request" }, async () => {
				await use(Sync);
				await use(Plain);
				await use(Async);
				await use(Class);
				await use(Dependent);
			});
		});
		expect(log).toEqual([
			...["generator in app", "function in app", "async function in app", "class in app"],
			...["dependent in app", "asyncDispose in app", "dispose in app"],
			...["generator's release in app", "used disposable in app"],
		]);
	});

	it("is the owning scope for what a dependency list brings", async () => {
		const log: string[] = [];
		const Inner = resource(async () => {
			await ticks(3);
			log.push(`inner in ${here()}`);
		});
		const Outer = resource({ inner: Inner }, () => void log.push(`outer in ${here()}`), {
			lifetime: "app",
		});
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, () => useAll({ outer: Outer, inner: Inner })),
		);
		expect(log.sort()).toEqual(["inner in app", "inner in request", "outer in app"]);
	});

	it("is the owning scope in what a setup starts, also when it fires later", async () => {
		const log: string[] = [];
		const fired: PromiseLike<void>[] = [];
		const later = (how: string, start: (callback: () => void) => void) => {
			fired.push(
				new Promise((resolve) =>
					start(() => {
						log.push(`${how} in ${here()}`);
						resolve();
					}),
				),
			);
		};
		const Pool = resource(
			async function* () {
				await ticks(3);
				later("setTimeout", (callback) => setTimeout(callback, 0));
				later("setImmediate", (callback) => setImmediate(callback));
				later("queueMicrotask", (callback) => queueMicrotask(callback));
				later("nextTick", (callback) => process.nextTick(callback));
				later("promise", (callback) => void ticks(10).then(callback));
				yield 1;
			},
			{ lifetime: "app" },
		);
		await withScope({ lifetime: "app" }, async () => {
			await withScope({ lifetime: "request" }, () => use(Pool));
			await Promise.all(fired);
		});
		expect(log.sort()).toEqual([
			"nextTick in app",
			"promise in app",
			"queueMicrotask in app",
			"setImmediate in app",
			"setTimeout in app",
		]);
	});

	it("lets a timer of a setup use resources of the owning scope", async () => {
		const Config = resource(({ scope }) => scope.name);
		const Pool = resource(
			() => ({
				config: new Promise<string>((resolve) => {
					setTimeout(() => resolve(use(Config)), 0);
				}),
			}),
			{ lifetime: "app" },
		);
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				expect(await (await use(Pool)).config).toBe("app");
			}),
		);
	});

	it("is the owning scope in an event listener bound in the setup", async () => {
		const log: unknown[] = [];
		const emitter = new EventEmitter();
		const Pool = resource(
			() =>
				void emitter.on(
					"event",
					AsyncResource.bind(() => log.push(here())),
				),
			{
				lifetime: "app",
			},
		);
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				await use(Pool);
				emitter.emit("event");
			}),
		);
		expect(log).toEqual(["app"]);
	});

	it("is the new scope in the release of what was moved", async () => {
		const scope = openScope({ name: "held" });
		let released: Scope | undefined;
		await scope.use(
			resource(async function* () {
				try {
					yield 1;
				} finally {
					released = tryCurrentScope();
				}
			}),
		);
		const moved = scope.move();
		await moved.disposeAsync();
		expect(released).toBe(moved);
	});

	it("is the owning scope in an early release, of dependents in other scopes too", async () => {
		const log: string[] = [];
		const make = (name: string, lifetime: string, dependencies = {}) =>
			resource(
				dependencies,
				async function* () {
					yield name;
					log.push(`${name} released in ${here()}`);
				},
				{ lifetime },
			);
		const Pool = make("Pool", "app");
		const Tx = make("Tx", "request", { pool: Pool });
		await withScope({ lifetime: "app" }, (app) =>
			withScope({ lifetime: "request" }, async () => {
				await use(Tx);
				await app.release(Pool);
			}),
		);
		expect(log).toEqual(["Tx released in request", "Pool released in app"]);
	});
});

describe("the ambient scope in scopes", () => {
	it("is a Scope, and says so", () => {
		expect(Object.prototype.toString.call(openScope())).toBe("[object Scope]");
	});

	it("is none outside", async () => {
		expect(tryCurrentScope()).toBe(undefined);
		expect(() => currentScope()).toThrow(NoScopeError);
		await withScope(() => {});
		expect(tryCurrentScope()).toBe(undefined);
	});

	it("is the scope that withScope hands to its function", async () => {
		await withScope(async (scope) => {
			expect(scope).toBeInstanceOf(Scope);
			expect(currentScope()).toBe(scope);
			await ticks(3);
			expect(currentScope()).toBe(scope);
			expect(tryCurrentScope()).toBe(scope);
		});
	});

	it("is the inner of two, and the outer again after it", async () => {
		const log: unknown[] = [];
		await withScope({ name: "outer" }, async () => {
			log.push(here());
			const inner = withScope({ name: "inner" }, async () => {
				log.push(here());
				await withScope({ name: "innermost" }, async () => {
					await ticks(3);
					log.push(here());
				});
				log.push(here());
			});
			log.push(here());
			await inner;
			log.push(here());
			await rejection(
				withScope({ name: "failing" }, async () => {
					log.push(here());
					throw new Error("failing");
				}),
			);
			log.push(here());
		});
		expect(log).toEqual([
			...["outer", "inner", "outer", "innermost", "inner", "outer"],
			...["failing", "outer"],
		]);
	});

	it("is each scope's own when many run at once", async () => {
		const name = resource(async ({ scope }) => {
			await ticks(scope.name.length);
			return scope.name;
		});
		const work = async (own: string) => {
			for (let i = 0; i < 5; i++) {
				expect(here()).toBe(own);
				await ticks((own.length * 7 + i) % 5);
				expect(await use(name)).toBe(own);
				expect(await withScope({ name: `${own} inner` }, async () => here())).toBe(`${own} inner`);
			}
		};
		const names = Array.from({ length: 20 }, (_, i) => "n".repeat(i + 1));
		await Promise.all(names.map((own) => withScope({ name: own }, () => work(own))));
	});

	it("is the parent of the scopes opened in it", async () => {
		await withScope(async (outer) => {
			expect(openScope().parent).toBe(outer);
			expect(new Scope().parent).toBe(outer);
			expect(openScope({ parent: null }).parent).toBe(undefined);
			const other = openScope({ parent: null });
			expect(openScope({ parent: other }).parent).toBe(other);
			await withScope((inner) => expect(inner.parent).toBe(outer));
			await other.disposeAsync();
		});
		expect(openScope().parent).toBe(undefined);
	});

	it("is the owner of a setup for the scopes opened in there", async () => {
		const Pool = resource(
			() =>
				withScope(async (inner) => {
					expect(currentScope()).toBe(inner);
					return inner.parent?.name;
				}),
			{ lifetime: "app" },
		);
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => expect(await use(Pool)).toBe("app")),
		);
	});

	it("isn't changed by openScope", async () => {
		openScope();
		expect(here()).toBe(undefined);
		await withScope({ name: "outer" }, async () => {
			openScope({ name: "inner" });
			expect(here()).toBe("outer");
		});
	});

	it("is that of run, for as long as it takes", async () => {
		const scope = openScope({ name: "held" });
		expect(scope.run(() => here())).toBe("held");
		expect(
			await scope.run(async () => {
				await ticks(3);
				return here();
			}),
		).toBe("held");
		expect(here()).toBe(undefined);
		const failure = new Error("run");
		expect(() =>
			scope.run(() => {
				throw failure;
			}),
		).toThrow(failure);
		expect(here()).toBe(undefined);
		await withScope({ name: "outer" }, async () => {
			expect(scope.run(() => currentScope())).toBe(scope);
			expect(here()).toBe("outer");
		});
	});

	it("is the request's for what goes on after the handler's scope", async () => {
		const until = gate();
		await withScope({ lifetime: "request" }, async (request) => {
			let later: Promise<unknown> | undefined;
			await withScope({ lifetime: "handler" }, () => {
				later = until.promise.then(() => currentScope());
			});
			until.open();
			expect(await later).toBe(request);
		});
	});

	it("is the scope's own in its release, although its function has entered another", async () => {
		const other = openScope({ name: "other" });
		const seen: unknown[] = [];
		await withScope({ name: "own" }, (scope) => {
			scope.defer(() => void seen.push(here()));
			other.enter();
		});
		expect(seen).toEqual(["own"]);
		await other.disposeAsync();
	});

	it("is that of run on a closed scope, which gives nothing any more", async () => {
		const scope = openScope({ name: "held" });
		await scope.disposeAsync();
		expect(scope.run(() => currentScope())).toBe(scope);
		const error = await rejection(scope.run(() => use(resource(() => 1))));
		expect(error).toMatchObject({ code: "YS_ERR_SCOPE_CLOSED", scope: "held" });
	});

	it("is that of enter, for the rest of the block", async () => {
		const scope = openScope({ name: "held" });
		const inner = openScope({ name: "inner" });
		const block = async () => {
			using _ = scope.enter();
			expect(here()).toBe("held");
			{
				using __ = inner.enter();
				expect(here()).toBe("inner");
			}
			expect(here()).toBe("held");
			await ticks(3);
			expect(here()).toBe("held");
			expect(await use(resource(({ scope: owner }) => owner.name))).toBe("held");
		};
		{
			using _ = scope.enter();
			expect(here()).toBe("held");
		}
		expect(here()).toBe(undefined);
		await scope.run(block);
		await withScope({ name: "outer" }, async () => {
			{
				using _ = scope.enter();
				expect(here()).toBe("held");
			}
			expect(here()).toBe("outer");
		});
	});

	it("makes use in an entered setup a dependency like any other", async () => {
		const log: string[] = [];
		const Db = resource(async function* () {
			yield "db";
			log.push("-db");
		});
		const Repo = resource(async function* ({ scope }) {
			{
				using _ = scope.enter();
				await use(Db);
			}
			yield "repo";
			log.push("-repo");
		});
		await withScope(() => use(Repo));
		expect(log).toEqual(["-repo", "-db"]);
	});

	it("comes back by run where a callback has lost it", async () => {
		await withScope({ name: "work" }, (scope) => {
			expect(outside(() => [here(), scope.run(here)])).toEqual([undefined, "work"]);
		});
	});

	it("is that of the task in spawn, after and detach", async () => {
		const log: string[] = [];
		const at = async (part: string) => {
			log.push(`${part} in ${here()}`);
			await ticks(3);
			log.push(`${part}, later, in ${here()}`);
		};
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async (request) => {
				await request.spawn(() => at("spawned"));
				await request.detach(async (scope) => {
					expect(currentScope()).toBe(scope);
					expect([scope.lifetime, scope.parent?.name]).toEqual(["task", "app"]);
				});
				request.after(() => at("after"));
			}),
		);
		expect(log).toEqual([
			...["spawned in request", "spawned, later, in request"],
			...["after in request", "after, later, in request"],
		]);
	});

	it("stays that of the place for what runs on when the scope is closed", async () => {
		const go = gate();
		let late: Promise<unknown> | undefined;
		await withScope({ name: "work" }, async () => {
			late = go.promise.then(async () => [here(), await rejection(use(resource(() => 1)))]);
		});
		go.open();
		const [scope, error] = (await late) as [string, unknown];
		expect(scope).toBe("work");
		expect(error).toMatchObject({ code: "YS_ERR_SCOPE_CLOSED" });
	});
});

const store = new AsyncLocalStorage<string>();

/** Runs a function in the context of this module, as an event from elsewhere does. */
const outside = AsyncLocalStorage.snapshot();

/** A resource that logs which foreign store each of its parts sees. */
function tracing(
	log: string[],
	name: string,
	lifetime: string,
	dependencies = {},
): Resource<string> {
	const at = (part: string) => log.push(`${name} ${part}: ${store.getStore()}`);
	return resource(
		dependencies,
		async function* (_, { scope }) {
			at("setup");
			await ticks(3);
			at("setup, later");
			await new Promise<void>((resolve) => {
				setTimeout(() => {
					at("timer");
					resolve();
				}, 0);
			});
			scope.defer(() => void at("defer"));
			try {
				yield name;
			} finally {
				at("release");
				await ticks(3);
				at("release, later");
			}
		},
		{ lifetime },
	);
}

const trace = (name: string, seen: string | undefined) =>
	["setup", "setup, later", "timer", "release", "release, later", "defer"].map(
		(part) => `${name} ${part}: ${seen}`,
	);

describe("the owner's async context", () => {
	it("is that of setup, timers and release, not the first caller's", async () => {
		const log: string[] = [];
		const app = openScope({ lifetime: "app" });
		await store.run("request 1", () =>
			withScope({ lifetime: "request", parent: app }, () => use(tracing(log, "Pool", "app"))),
		);
		app.complete();
		await store.run("shutdown", () => app.disposeAsync());
		expect(log).toEqual(trace("Pool", undefined));
	});

	it("is the one in which the scope was opened", async () => {
		const log: string[] = [];
		const app = store.run("start", () => openScope({ lifetime: "app" }));
		await store.run("request 1", () => app.use(tracing(log, "Pool", "app")));
		app.complete();
		await store.run("shutdown", () => app.disposeAsync());
		expect(log).toEqual(trace("Pool", "start"));
	});

	it("is the one in which withScope was called", async () => {
		const log: string[] = [];
		await store.run("start", () =>
			withScope({ lifetime: "app" }, (app) =>
				store.run("request 1", () =>
					withScope({ lifetime: "request" }, async () => {
						await use(tracing(log, "Pool", "app"));
						expect(store.getStore()).toBe("request 1");
						expect(app.run(() => store.getStore())).toBe("request 1");
					}),
				),
			),
		);
		expect(log).toEqual(trace("Pool", "start"));
	});

	it("holds for what the longer-lived resource depends on", async () => {
		const log: string[] = [];
		const app = openScope({ lifetime: "app" });
		const Config = tracing(log, "Config", "app");
		const Pool = tracing(log, "Pool", "app", { config: Config });
		await store.run("request 1", () =>
			withScope({ lifetime: "request", parent: app }, () => use(Pool)),
		);
		app.complete();
		await app.disposeAsync();
		expect(log.filter((line) => !line.endsWith(": undefined"))).toEqual([]);
		expect(log).toHaveLength(12);
	});

	it("holds where a request's resource is what depends on it", async () => {
		const log: string[] = [];
		const app = openScope({ lifetime: "app" });
		const Pool = tracing(log, "Pool", "app");
		const Tx = tracing(log, "Tx", "request", { pool: Pool });
		await store.run("request 1", () =>
			withScope({ lifetime: "request", parent: app }, () => useAll({ tx: Tx })),
		);
		app.complete();
		await app.disposeAsync();
		const of = (name: string) => log.filter((line) => line.startsWith(name));
		expect(of("Tx")).toEqual(trace("Tx", "request 1"));
		expect(of("Pool").sort()).toEqual(trace("Pool", undefined).sort());
	});

	it("holds for fresh instances, chosen lifetimes and retries", async () => {
		const seen: unknown[] = [];
		const app = openScope({ lifetime: "app" });
		const Pool = resource(async () => {
			seen.push(store.getStore());
			if (seen.length === 1) throw new Error("first");
		});
		await store.run("request 1", () =>
			withScope({ parent: app }, async () => {
				await rejection(use(Pool, { lifetime: "app" }));
				await use(Pool, { lifetime: "app" });
				await use(Pool, { lifetime: "app", fresh: true });
				expect(seen).toEqual([undefined, undefined, undefined]);
				await use(Pool);
			}),
		);
		expect(seen).toEqual([undefined, undefined, undefined, "request 1"]);
		await app.disposeAsync();
	});

	it("holds for the links of a long chain", async () => {
		const seen = new Set<unknown>();
		let last: Resource<unknown> = resource(() => 1);
		for (let i = 0; i < 300; i++) {
			last = resource({ next: last }, () => void seen.add(store.getStore()), { lifetime: "app" });
		}
		const app = openScope({ lifetime: "app" });
		const Entry = resource({ last }, () => 1);
		await store.run("request 1", () => withScope({ parent: app }, () => use(Entry)));
		expect([...seen]).toEqual([undefined]);
		await app.disposeAsync();
	});

	it("holds for what a request's own code in a narrower context asks for first", async () => {
		const log: string[] = [];
		await store.run("request 1", () =>
			withScope({ lifetime: "request" }, () =>
				store.run("span", () => use(tracing(log, "Tx", "request"))),
			),
		);
		expect(log).toEqual(trace("Tx", "request 1"));
	});

	it("holds for scopes that their parent closes", async () => {
		const log: string[] = [];
		const app = openScope({ lifetime: "app" });
		const job = store.run("job", () => openScope({ lifetime: "job", parent: app }));
		await store.run("caller", () => job.use(tracing(log, "Tx", "job")));
		await store.run("shutdown", () => app.disposeAsync());
		expect(log).toEqual(trace("Tx", "job"));
	});

	it("holds for an early release", async () => {
		const log: string[] = [];
		const app = openScope({ lifetime: "app" });
		const Pool = tracing(log, "Pool", "app");
		await app.use(Pool);
		await store.run("request 1", () => app.release(Pool));
		expect(log).toEqual(trace("Pool", undefined));
		await app.disposeAsync();
	});

	it("is the caller's own in the functions of withScope, run, spawn and detach", async () => {
		const app = openScope({ lifetime: "app" });
		const seen = await store.run("caller", () =>
			Promise.all([
				withScope({ parent: app }, () => store.getStore()),
				app.run(() => store.getStore()),
				app.spawn(() => store.getStore()),
				app.detach(() => store.getStore()),
			]),
		);
		expect(seen).toEqual(["caller", "caller", "caller", "caller"]);
		await app.disposeAsync();
	});

	it("is the caller's own in work queued by after", async () => {
		const seen: unknown[] = [];
		await withScope(async (scope) => {
			store.run("caller", () => scope.after(() => seen.push(store.getStore(), here())));
		});
		expect(seen).toEqual(["caller", "scope"]);
	});

	it("doesn't leak out of a setup", async () => {
		const Entering = resource(async () => {
			store.enterWith("entered");
			await ticks(3);
			return store.getStore();
		});
		await store.run("caller", () =>
			withScope(async () => {
				expect(await use(Entering)).toBe("entered");
				expect(store.getStore()).toBe("caller");
			}),
		);
	});

	it("has no ambient scope where an event comes from outside", async () => {
		await withScope(async () => {
			const error = await rejection(outside(() => use(resource(() => 1))));
			expectError(error, NoScopeError, "YS_ERR_NO_SCOPE");
		});
	});
});
