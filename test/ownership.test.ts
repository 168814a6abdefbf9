import { describe, expect, it } from "vitest";
import {
	currentScope,
	type Dependencies,
	type Lifetime,
	LifetimeError,
	openScope,
	override,
	provide,
	type Resource,
	resource,
	type Scope,
	type ScopeOptions,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, ticks } from "./support.ts";

/** A resource whose value is the name of the scope that owns it, and which logs its release. */
function owned(
	log: string[],
	name: string,
	lifetime?: Lifetime,
	dependencies: Dependencies = {},
): Resource<string> {
	return resource(
		dependencies,
		async function* (_, { scope }) {
			expect(currentScope()).toBe(scope);
			yield scope.name;
			log.push(`-${name}@${scope.name}`);
		},
		{ name, ...(lifetime === undefined ? {} : { lifetime }) },
	);
}

/** Opens scopes of these lifetimes inside each other, outermost first, runs `fn` in the innermost, and logs each close. */
async function within<R>(
	log: string[],
	lifetimes: readonly (string | ScopeOptions)[],
	fn: (...scopes: Scope[]) => R,
	scopes: Scope[] = [],
): Promise<Awaited<R>> {
	const [first, ...rest] = lifetimes;
	if (first === undefined) return await fn(...scopes);
	const options = typeof first === "string" ? { lifetime: first } : first;
	const value = await withScope<Promise<Awaited<R>>>(options, (scope) =>
		within(log, rest, fn, [...scopes, scope]),
	);
	log.push(`closed ${options.name ?? options.lifetime ?? "scope"}`);
	return value as Awaited<R>;
}

describe("rule 7: the owner", () => {
	it("is the nearest enclosing scope of the resource's lifetime", async () => {
		const log: string[] = [];
		const Pool = owned(log, "Pool", "app");
		const Session = owned(log, "Session", "request");
		const Custom = owned(log, "Custom", "tenant");
		await within(log, ["app", "tenant", "request", "task"], async () => {
			expect(await useAll({ pool: Pool, session: Session, custom: Custom })).toEqual({
				pool: "app",
				session: "request",
				custom: "tenant",
			});
		});
		expect(log).toEqual([
			"closed task",
			...["-Session@request", "closed request"],
			...["-Custom@tenant", "closed tenant"],
			...["-Pool@app", "closed app"],
		]);
	});

	it("is the nearest of several of that lifetime", async () => {
		const log: string[] = [];
		const Session = owned(log, "Session", "request");
		const outer = { lifetime: "request", name: "outer" };
		const inner = { lifetime: "request", name: "inner" };
		await within(log, [outer, inner, "task"], async (scope) => {
			expect(await use(Session)).toBe("inner");
			expect(await scope?.use(Session)).toBe("outer");
		});
		expect(log).toEqual([
			...["closed task", "-Session@inner", "closed inner"],
			...["-Session@outer", "closed outer"],
		]);
	});

	it("is the scope itself where that has the lifetime", async () => {
		const log: string[] = [];
		await within(log, ["app"], async () => {
			expect(await use(owned(log, "Pool", "app"))).toBe("app");
		});
		expect(log).toEqual(["-Pool@app", "closed app"]);
	});

	it("is shared by all scopes below", async () => {
		let made = 0;
		const Pool = resource(async () => ({ id: ++made }), { lifetime: "app" });
		await withScope({ lifetime: "app" }, async () => {
			const request = () =>
				withScope({ lifetime: "request" }, () =>
					withScope({ lifetime: "handler" }, () => use(Pool)),
				);
			const [one, two] = await Promise.all([request(), request()]);
			expect(one).toBe(two);
			expect(await request()).toBe(one);
		});
		expect(made).toBe(1);
	});

	it("is the scope that was asked, however that was reached", async () => {
		const log: string[] = [];
		const Plain = owned(log, "Plain");
		await within(log, ["app", "request"], async (app, request) => {
			expect(await app?.use(Plain)).toBe("app");
			expect(await use(Plain)).toBe("request");
			expect(await request?.use(Plain)).toBe("request");
			expect(await app?.run(() => use(Plain))).toBe("app");
		});
		expect(log).toEqual([...["-Plain@request", "closed request"], ...["-Plain@app", "closed app"]]);
	});

	it("is the nearest scope where the resource has no lifetime", async () => {
		const log: string[] = [];
		const Plain = owned(log, "Plain");
		await within(log, ["app", { name: "inner" }], async () => {
			expect(await use(Plain)).toBe("inner");
		});
		expect(log).toEqual(["-Plain@inner", "closed inner", "closed app"]);
	});

	it("rejects with LifetimeError where no open scope has the lifetime, and names those open", async () => {
		const Pool = resource(() => 1, { name: "Pool", lifetime: "app" });
		const error = await within([], ["request", { name: "inner" }], (_request, inner) => {
			expect(inner?.name).toBe("inner");
			return rejection(use(Pool));
		});
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error).toMatchObject({ resource: "Pool", scope: "inner", path: ["Pool"] });
		expect(error.message).toMatch(/Pool.*"app".*"inner" < "request"/);
		expect(error.message).toContain('withScope({ lifetime: "app" }');
	});

	it("doesn't look into scopes that aren't enclosing", async () => {
		const Pool = resource(() => 1, { name: "Pool", lifetime: "app" });
		await withScope(async (scope) => {
			const sibling = openScope({ lifetime: "app", parent: scope });
			const root = openScope({ parent: null });
			expectError(await rejection(use(Pool)), LifetimeError, "YS_ERR_LIFETIME");
			expectError(await rejection(root.use(Pool)), LifetimeError, "YS_ERR_LIFETIME");
			expect(await sibling.use(Pool)).toBe(1);
			await root.disposeAsync();
		});
	});

	it("runs no setup where no scope can own the resource", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Config = logged(log, "config");
		const Repo = logged(log, "repo", { pool: Pool, config: Config });
		await withScope(() => rejection(use(Pool)));
		await withScope(() => rejection(use(Repo)));
		expect(log).toEqual([]);
	});

	it("can be tried again once there is such a scope", async () => {
		const Pool = resource(() => "pool", { lifetime: "app" });
		await rejection(withScope(() => use(Pool)));
		expect(await withScope({ lifetime: "app" }, () => use(Pool))).toBe("pool");
	});

	it("advises to open a scope where a setup asks for a lifetime that nobody opened", async () => {
		const Pool = resource(() => 1, { name: "Pool", lifetime: "app" });
		const Repo = resource({ pool: Pool }, () => 2, { name: "Repo" });
		const error = await withScope({ name: "work" }, () => rejection(use(Repo)));
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error.path).toEqual(["Repo", "Pool"]);
		expect(error.message).toContain('withScope({ lifetime: "app" }');
		expect(error.message).not.toContain("outlive");
	});
});

describe("rule 7: what a setup asks for", () => {
	it("belongs to the owner of the resource whose setup asks", async () => {
		const log: string[] = [];
		const Config = owned(log, "Config");
		const asks = {
			dependencies: resource({ config: Config }, ({ config }) => config, { lifetime: "app" }),
			use: resource(() => use(Config), { lifetime: "app" }),
			"context.scope.use": resource(({ scope }) => scope.use(Config), { lifetime: "app" }),
			"use after an await": resource(
				async function* () {
					await ticks();
					yield await use(Config);
				},
				{ lifetime: "app" },
			),
			useAll: resource(() => useAll({ config: Config }).then((all) => all.config), {
				lifetime: "app",
			}),
		};
		await within(log, ["app", "request", "handler"], async () => {
			for (const [how, Asking] of Object.entries(asks)) {
				expect([how, await use(Asking)]).toEqual([how, "app"]);
			}
		});
		expect(log).toEqual(["closed handler", "closed request", "-Config@app", "closed app"]);
	});

	it("is another instance than the one of the scope below", async () => {
		const log: string[] = [];
		const Config = owned(log, "Config");
		const Pool = owned(log, "Pool", "app", { config: Config });
		await within(log, ["app", "request"], async () => {
			expect(await use(Config)).toBe("request");
			expect(await use(Pool)).toBe("app");
			expect(await use(Config)).toBe("request");
		});
		expect(log).toEqual([
			...["-Config@request", "closed request"],
			...["-Pool@app", "-Config@app", "closed app"],
		]);
	});

	it("belongs to that owner through any number of setups", async () => {
		const log: string[] = [];
		const A = owned(log, "A");
		const B = owned(log, "B", undefined, { a: A });
		const C = owned(log, "C", undefined, { b: B });
		const D = owned(log, "D", "app", { c: C });
		await within(log, ["app", "request"], async () => {
			expect(await use(D)).toBe("app");
		});
		expect(log).toEqual(["closed request", "-D@app", "-C@app", "-B@app", "-A@app", "closed app"]);
	});

	it("belongs to the asking setup's owner, not to that of who is first to wait for it", async () => {
		const log: string[] = [];
		const ready = gate();
		const Config = owned(log, "Config");
		const Pool = resource(
			async () => {
				await ready.promise;
				return use(Config);
			},
			{ lifetime: "app" },
		);
		await within(log, ["app"], async () => {
			const requests = [1, 2].map((id) =>
				withScope({ lifetime: "request", name: `request ${id}` }, () => use(Pool)),
			);
			await ticks();
			ready.open();
			expect(await Promise.all(requests)).toEqual(["app", "app"]);
		});
		expect(log).toEqual(["-Config@app", "closed app"]);
	});

	it("keeps its own lifetime", async () => {
		const log: string[] = [];
		const Pool = owned(log, "Pool", "app");
		const Tx = owned(log, "Tx", "request", { pool: Pool });
		await within(log, ["app", "request"], async () => {
			expect(await use(Tx)).toBe("request");
		});
		expect(log).toEqual(["-Tx@request", "closed request", "-Pool@app", "closed app"]);
	});

	it("belongs to the nearest scope once the setup is over", async () => {
		const log: string[] = [];
		const Config = owned(log, "Config");
		const Pool = resource(({ scope }) => ({ scope, load: () => use(Config) }), { lifetime: "app" });
		await within(log, ["app", "request"], async () => {
			const pool = await use(Pool);
			expect(await pool.load()).toBe("request");
			expect(await pool.scope.use(Config)).toBe("app");
		});
		expect(log).toEqual(["-Config@request", "closed request", "-Config@app", "closed app"]);
	});

	it("belongs to a scope that the setup opened, in there", async () => {
		const log: string[] = [];
		const Config = owned(log, "Config");
		const Probe = resource(
			async () => {
				const nested = await withScope({ name: "probe" }, () => use(Config));
				await using held = openScope({ name: "held" });
				held.complete();
				return [
					nested,
					await held.use(Config),
					await held.run(() => use(Config)),
					await use(Config),
				];
			},
			{ lifetime: "app" },
		);
		await within(log, ["app", "request"], async () => {
			expect(await use(Probe)).toEqual(["probe", "held", "held", "app"]);
		});
		expect(log).toEqual([
			...["-Config@probe", "-Config@held"],
			...["closed request", "-Config@app", "closed app"],
		]);
	});
});

describe("rule 7: the handler lifetime", () => {
	it("owns only what asks for it", async () => {
		const log: string[] = [];
		const Plain = owned(log, "Plain");
		const Tx = owned(log, "Tx", "handler");
		await within(log, ["request", "handler"], async (_request, handler) => {
			expect(await use(Plain)).toBe("request");
			expect(await handler?.use(Plain)).toBe("request");
			expect(await use(Tx)).toBe("handler");
		});
		expect(log).toEqual([
			...["-Tx@handler", "closed handler"],
			...["-Plain@request", "closed request"],
		]);
	});

	it("leaves to the nearest scope that isn't a handler's, through several", async () => {
		const log: string[] = [];
		const outer = { lifetime: "handler", name: "outer" };
		const inner = { lifetime: "handler", name: "inner" };
		await within(log, ["app", "request", outer, inner], async () => {
			expect(await use(owned(log, "Plain"))).toBe("request");
			expect(await use(owned(log, "Tx", "handler"))).toBe("inner");
		});
		expect(log).toEqual([
			...["-Tx@inner", "closed inner", "closed outer"],
			...["-Plain@request", "closed request", "closed app"],
		]);
	});

	it("owns what a handler-owned resource's setup asks for without a lifetime", async () => {
		const log: string[] = [];
		const Plain = owned(log, "Plain");
		const Tx = owned(log, "Tx", "handler", { plain: Plain });
		const Asking = resource(({ scope }) => scope.use(Plain), { lifetime: "handler" });
		const Ambient = resource(
			async () => {
				await ticks();
				return use(Plain);
			},
			{ lifetime: "handler" },
		);
		await within(log, ["request", "handler"], async () => {
			await use(Tx);
			expect(await use(Asking)).toBe("handler");
			expect(await use(Ambient)).toBe("handler");
			expect(await use(Plain)).toBe("request");
		});
		expect(log).toEqual([
			...["-Tx@handler", "-Plain@handler", "closed handler"],
			...["-Plain@request", "closed request"],
		]);
	});

	it("owns everything, in the outermost scope, with nothing but handler scopes around", async () => {
		const log: string[] = [];
		const outer = { lifetime: "handler", name: "outer" };
		const inner = { lifetime: "handler", name: "inner" };
		await within(log, [outer, inner], async () => {
			expect(await use(owned(log, "Plain"))).toBe("outer");
		});
		expect(log).toEqual(["closed inner", "-Plain@outer", "closed outer"]);
	});

	it("owns what a single handler scope is asked for", async () => {
		const log: string[] = [];
		const scope = openScope({ lifetime: "handler" });
		expect(await scope.use(owned(log, "Plain"))).toBe("handler");
		scope.complete();
		await scope.disposeAsync();
		expect(log).toEqual(["-Plain@handler"]);
	});

	it("can't be captured by what a request owns", async () => {
		const Tx = resource(() => 1, { name: "Tx", lifetime: "handler" });
		const Repo = resource({ tx: Tx }, () => 2, { name: "Repo" });
		const error = await within([], ["request", "handler"], () => rejection(use(Repo)));
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error.message).toMatch(/Tx.*Repo/);
	});
});

describe("rule 8: no capture of the shorter-lived", () => {
	const Session = resource(() => "session", { name: "Session", lifetime: "request" });
	const capturing: Record<string, Resource<unknown>> = {
		"by its dependencies": resource({ session: Session }, () => 1, {
			name: "Cache",
			lifetime: "app",
		}),
		"by use": resource(() => use(Session), { name: "Cache", lifetime: "app" }),
		"by use after an await": resource(
			async function* () {
				await ticks();
				yield await use(Session);
			},
			{ name: "Cache", lifetime: "app" },
		),
		"by useAll": resource(() => useAll({ session: Session }), { name: "Cache", lifetime: "app" }),
		"by its scope": resource(({ scope }) => scope.use(Session), { name: "Cache", lifetime: "app" }),
		"by a fresh use": resource(() => use(Session, { fresh: true }), {
			name: "Cache",
			lifetime: "app",
		}),
		"by a chosen lifetime": resource(
			() =>
				use(
					resource(() => 1, { name: "Session" }),
					{ lifetime: "request" },
				),
			{ name: "Cache", lifetime: "app" },
		),
	};
	it.each(Object.keys(capturing))("rejects a longer-lived resource's use %s", async (how) => {
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				await use(Session);
				const error = await rejection(use(capturing[how] as Resource<unknown>));
				expectError(error, LifetimeError, "YS_ERR_LIFETIME");
				expect(error).toMatchObject({ resource: "Session", path: ["Cache", "Session"] });
				expect(error.message).toMatch(/Session.*Cache/);
				expect(error.message).toContain("Cache > Session");
			}),
		);
	});

	it("rejects it where the setup names the shorter-lived scope", async () => {
		const Plain = resource(() => 1, { name: "Plain" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request", name: "request 1" }, async (request) => {
				for (const Shorter of [Session, Plain] as Resource<unknown>[]) {
					const Cache = resource(
						async () => {
							await ticks();
							return request.use(Shorter);
						},
						{ name: "Cache", lifetime: "app" },
					);
					const error = await rejection(use(Cache));
					expectError(error, LifetimeError, "YS_ERR_LIFETIME");
					expect(error.message).toMatch(new RegExp(`${Shorter.name}.*Cache`));
				}
			}),
		);
	});

	it("rejects it where the setup runs code in the shorter-lived scope", async () => {
		const Plain = resource(() => 1, { name: "Plain" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async (request) => {
				const Cache = resource(() => request.run(() => use(Plain)), {
					name: "Cache",
					lifetime: "app",
				});
				const error = await rejection(use(Cache));
				expectError(error, LifetimeError, "YS_ERR_LIFETIME");
				expect(error.message).toMatch(/Plain.*Cache/);
			}),
		);
	});

	it("rejects it across user-defined lifetimes, in the one direction only", async () => {
		const lifetimes = ["outer", "inner"];
		for (const own of lifetimes) {
			const wanted = own === "outer" ? "inner" : "outer";
			const Wanted = resource(() => wanted, { name: "Wanted", lifetime: wanted });
			const Asking = resource({ wanted: Wanted }, (values) => values.wanted, {
				name: "Asking",
				lifetime: own,
			});
			const result = await within([], lifetimes, () =>
				use(Asking).catch((error: unknown) => (error as LifetimeError).code),
			);
			expect([own, result]).toEqual([own, own === "inner" ? "outer" : "YS_ERR_LIFETIME"]);
		}
	});

	it("rejects the capture by what a captured-by-default resource asks for", async () => {
		const Repo = resource({ session: Session }, () => 1, { name: "Repo" });
		const Cache = resource({ repo: Repo }, () => 1, { name: "Cache", lifetime: "app" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				// a request's own Repo may have it, the app's may not
				expect(await use(Repo)).toBe(1);
				const error = await rejection(use(Cache));
				expectError(error, LifetimeError, "YS_ERR_LIFETIME");
				expect(error.path).toEqual(["Cache", "Repo", "Session"]);
			}),
		);
	});

	it("lets a setup use what belongs to a scope that it opened", async () => {
		const log: string[] = [];
		const Warm = resource(
			async () => {
				await using request = openScope({ lifetime: "request" });
				request.complete();
				return [
					await request.use(Session),
					await withScope({ lifetime: "request" }, () => use(Session)),
				];
			},
			{ lifetime: "app" },
		);
		await within(log, ["app", "request"], async () => {
			expect(await use(Warm)).toEqual(["session", "session"]);
		});
	});

	it("lets the value use shorter-lived resources later", async () => {
		const Factory = resource(() => ({ session: () => use(Session) }), { lifetime: "app" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				expect(await (await use(Factory)).session()).toBe("session");
			}),
		);
	});

	it("lets a resource use its own lifetime and longer ones", async () => {
		const Pool = resource(() => "pool", { lifetime: "app" });
		const Other = resource(() => "other", { lifetime: "request" });
		const Tx = resource({ pool: Pool, other: Other }, (values) => values, { lifetime: "request" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				expect(await use(Tx)).toEqual({ pool: "pool", other: "other" });
			}),
		);
	});

	it("holds inside one scope that is opened twice under the same name", async () => {
		const Outer = resource(({ scope }) => scope, { name: "Outer", lifetime: "app" });
		await withScope({ lifetime: "app", name: "same" }, (app) =>
			withScope({ lifetime: "request", name: "same" }, async (request) => {
				expect(await use(Outer)).toBe(app);
				const Cache = resource(() => request.use(Session), { name: "Cache", lifetime: "app" });
				expectError(await rejection(use(Cache)), LifetimeError, "YS_ERR_LIFETIME");
			}),
		);
	});
});

describe("rule 9: a chosen owner", () => {
	it("is the nearest scope of the lifetime named", async () => {
		const log: string[] = [];
		const Plain = owned(log, "Plain");
		const Tx = owned(log, "Tx", "request");
		await within(log, ["app", "request", "handler"], async (_app, _request, handler) => {
			expect(await use(Plain, { lifetime: "app" })).toBe("app");
			expect(await use(Plain, { lifetime: "handler" })).toBe("handler");
			expect(await handler?.use(Tx, { lifetime: "app" })).toBe("app");
			expect(await use(Tx, { lifetime: "handler" })).toBe("handler");
		});
		expect(log).toEqual([
			...["-Tx@handler", "-Plain@handler", "closed handler", "closed request"],
			...["-Tx@app", "-Plain@app", "closed app"],
		]);
	});

	it("makes an instance per owner, and shares it with those who choose the same", async () => {
		let made = 0;
		const Db = resource(() => ++made, { lifetime: "request" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async (request) => {
				expect(await use(Db)).toBe(1);
				expect(await use(Db, { lifetime: "app" })).toBe(2);
				expect(await use(Db, { lifetime: "request" })).toBe(1);
				expect(await request.use(Db, { lifetime: "app" })).toBe(2);
				expect(await use(Db)).toBe(1);
			}),
		);
		expect(made).toBe(2);
	});

	it("makes both instances when they are asked for at once", async () => {
		const log: string[] = [];
		const ready = gate();
		const Db = resource(async ({ scope }) => {
			log.push(`+${scope.name}`);
			await ready.promise;
			return scope.name;
		});
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				const both = Promise.all([use(Db), use(Db, { lifetime: "app" }), use(Db)]);
				ready.open();
				expect(await both).toEqual(["request", "app", "request"]);
			}),
		);
		expect(log).toEqual(["+request", "+app"]);
	});

	it("owns what that instance's setup asks for", async () => {
		const log: string[] = [];
		const Config = owned(log, "Config");
		const Db = owned(log, "Db", "request", { config: Config });
		await within(log, ["app", "request"], async () => {
			await use(Db, { lifetime: "app" });
		});
		expect(log).toEqual(["closed request", "-Db@app", "-Config@app", "closed app"]);
	});

	it("goes with fresh", async () => {
		const log: string[] = [];
		const Db = owned(log, "Db");
		await within(log, ["app", "request"], async () => {
			expect(await use(Db, { lifetime: "app", fresh: true })).toBe("app");
			expect(await use(Db, { lifetime: "app" })).toBe("app");
		});
		expect(log).toEqual(["closed request", "-Db@app", "-Db@app", "closed app"]);
	});

	it("rejects with LifetimeError where no open scope has that lifetime", async () => {
		const Db = resource(() => 1, { name: "Db" });
		const error = await withScope({ name: "work" }, () => rejection(use(Db, { lifetime: "app" })));
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error).toMatchObject({ resource: "Db", scope: "work", path: ["Db"] });
		expect(error.message).toMatch(/"app".*"work"/);
	});

	it("is no way around rule 8", async () => {
		const Db = resource(() => 1, { name: "Db", lifetime: "app" });
		const Cache = resource(() => use(Db, { lifetime: "request" }), {
			name: "Cache",
			lifetime: "app",
		});
		const error = await within([], ["app", "request"], () => rejection(use(Cache)));
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error.message).toMatch(/Db.*Cache/);
	});

	it("leaves the resource's own lifetime as it is when undefined", async () => {
		const log: string[] = [];
		const Pool = owned(log, "Pool", "app");
		await within(log, ["app", "request"], async () => {
			expect(await use(Pool, {})).toBe("app");
			expect(await use(Pool, { fresh: false })).toBe("app");
		});
		expect(log).toEqual(["closed request", "-Pool@app", "closed app"]);
	});
});

describe("rules 7 and 24: owners with bindings", () => {
	it("needs no scope of the lifetime for a provided value", async () => {
		const Pool = resource(() => "real", { lifetime: "app" });
		expect(await withScope({ bindings: [provide(Pool, "fake")] }, () => use(Pool))).toBe("fake");
	});

	it("owns a replacement in the binding's scope where no scope has the lifetime", async () => {
		const log: string[] = [];
		const Pool = owned(log, "Pool", "app");
		const bindings = [override(Pool, owned(log, "Fake"))];
		await within(log, [{ name: "test", bindings }, "request"], async () => {
			expect(await use(Pool)).toBe("test");
		});
		expect(log).toEqual(["closed request", "-Fake@test", "closed test"]);
	});
});
