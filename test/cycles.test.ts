import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
	CircularDependencyError,
	openScope,
	override,
	type Resource,
	resource,
	type Scope,
	type SetupContext,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, ticks } from "./support.ts";

/** A definition that may be used before it is made, as cycles need. */
type Late = Record<string, Resource<unknown>>;

function from(all: Late, name: string): Resource<unknown> {
	return all[name] as Resource<unknown>; // made by the time somebody uses it
}

/** A resource that uses others when it is set up, one after the other, after `wait`. */
function using(
	all: Late,
	name: string,
	needs: readonly string[],
	wait: () => PromiseLike<unknown> | undefined = () => undefined,
): Resource<unknown> {
	all[name] = resource(
		async function* () {
			await wait();
			for (const need of needs) await use(from(all, need));
			yield name;
		},
		{ name },
	);
	return all[name];
}

/** Checks that `error` tells of a circle through `names`, wherever it starts. */
function expectCycle(error: unknown, names: readonly string[]): void {
	expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
	const { path } = error;
	expect(path.at(-1)).toBe(path[0]);
	const start = names.indexOf(path[0] as string);
	expect(path.slice(0, -1)).toEqual([...names.slice(start), ...names.slice(0, start)]);
	expect(error.resource).toBe(path.at(-1));
	expect(error.message).toContain(path.join(" > "));
}

/** What becomes of `promise` when nothing but microtasks runs. */
async function settled(promise: PromiseLike<unknown>): Promise<unknown> {
	let result: unknown = "pending";
	promise.then(
		(value) => {
			result = value;
		},
		(error: unknown) => {
			result = error;
		},
	);
	await ticks(500);
	return result;
}

describe("rule 10: cycles", () => {
	it("rejects a resource that uses itself", async () => {
		const all: Late = {};
		using(all, "A", ["A"]);
		const error = await withScope({ name: "work" }, () => rejection(use(from(all, "A"))));
		expectCycle(error, ["A"]);
		expect(error).toMatchObject({ scope: "work" });
		expect((error as Error).message).toContain('"work"');
	});

	it.each([2, 3, 10])("rejects a circle of %i", async (length) => {
		const all: Late = {};
		const names = Array.from({ length }, (_, i) => `R${i}`);
		for (const [i, name] of names.entries()) using(all, name, [names[(i + 1) % length] as string]);
		const error = await withScope(() => rejection(use(from(all, "R0"))));
		expectCycle(error, names);
	});

	it("names the way that was asked for first where there are several", async () => {
		const A: Resource<unknown> = resource(() => useAll({ B, C }), { name: "A" });
		const B = resource(() => use(D), { name: "B" });
		const C = resource(() => use(D), { name: "C" });
		const D = resource(() => ticks().then(() => use(A)), { name: "D" });
		const error = await withScope(() => rejection(use(A)));
		expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
		expect(error.path).toEqual(["D", "A", "B", "D"]);
	});

	it("names only the circle, not the way there", async () => {
		const all: Late = {};
		using(all, "Entry", ["A"]);
		using(all, "A", ["B"]);
		using(all, "B", ["A"]);
		const error = await withScope(() => rejection(use(from(all, "Entry"))));
		expectCycle(error, ["A", "B"]);
	});

	const asking: Record<
		string,
		(context: SetupContext, next: Resource<unknown>) => PromiseLike<unknown>
	> = {
		use: (_, next) => use(next),
		"context.scope.use": ({ scope }, next) => scope.use(next),
		useAll: (_, next) => useAll({ next }),
		"scope.run": ({ scope }, next) => scope.run(() => use(next)),
		"scope.run in a promise": ({ scope }, next) => scope.run(async () => await use(next)),
		"withScope, in the outer scope": ({ scope }, next) => withScope(() => scope.use(next)),
		"withScope, by lifetime": (_, next) => withScope(() => use(next, { lifetime: "root" })),
		"openScope, by lifetime": async (_, next) => {
			await using inner = openScope();
			await inner.use(next, { lifetime: "root" });
		},
		"openScope and run": async (_, next) => {
			await using inner = openScope();
			await inner.run(() => use(next, { lifetime: "root" }));
		},
		"a scope within a scope": (_, next) =>
			withScope(() => withScope(() => use(next, { lifetime: "root" }))),
		"a scope with another parent": ({ scope }, next) =>
			withScope({ parent: null }, () => scope.use(next)),
	};
	for (const [how, ask] of Object.entries(asking)) {
		it(`finds a circle through ${how}`, async () => {
			const all: Late = {};
			const make = (name: string, next: string) => {
				all[name] = resource(
					async function* (context) {
						await ask(context, from(all, next));
						yield name;
					},
					{ name },
				);
			};
			make("A", "B");
			make("B", "A");
			make("Self", "Self");
			await withScope({ lifetime: "root" }, async () => {
				expectCycle(await settled(use(from(all, "A"))), ["A", "B"]);
				expectCycle(await settled(use(from(all, "Self"))), ["Self"]);
			});
		});
	}

	it("finds a circle in the setups of functions and generators alike", async () => {
		const all: Late = {};
		all.A = resource(async () => await use(from(all, "B")), { name: "A" });
		all.B = resource(() => use(from(all, "C")), { name: "B" });
		all.C = resource(({ scope }) => scope.use(from(all, "D")), { name: "C" });
		all.D = resource(
			async function* () {
				yield await use(from(all, "A"));
			},
			{ name: "D" },
		);
		expectCycle(await withScope(() => rejection(use(from(all, "A")))), ["A", "B", "C", "D"]);
	});

	it("finds a circle that overrides close", async () => {
		const A = resource(() => 1, { name: "A" });
		const B = resource(() => 1, { name: "B" });
		const ViaB = resource({ b: B }, () => 2, { name: "ViaB" });
		const ViaA = resource({ a: A }, () => 2, { name: "ViaA" });
		const bindings = [override(A, ViaB), override(B, ViaA)];
		const error = await withScope({ bindings }, () => rejection(use(A)));
		expectCycle(error, ["ViaB", "ViaA"]);
	});

	it("gives all in the circle, and all that wait for them, the same error", async () => {
		const all: Late = {};
		const ready = gate();
		using(all, "A", ["B"], () => ready.promise);
		using(all, "B", ["A"]);
		const Outer = resource(() => use(from(all, "A")), { name: "Outer" });
		await withScope(async (scope) => {
			const uses = [use(from(all, "A")), scope.use(from(all, "B")), use(Outer)];
			ready.open();
			const errors = await Promise.all(uses.map(rejection));
			expectCycle(errors[0], ["A", "B"]);
			for (const error of errors) expect(error).toBe(errors[0]);
		});
	});

	it("rejects again at the next try, and leaves the scope usable", async () => {
		const log: string[] = [];
		const all: Late = {};
		using(all, "A", ["B"]);
		using(all, "B", ["A"]);
		await withScope(async () => {
			for (let i = 0; i < 3; i++) expectCycle(await rejection(use(from(all, "A"))), ["A", "B"]);
			expectCycle(await rejection(use(from(all, "B"))), ["A", "B"]);
			await use(logged(log, "other"));
		});
		expect(log).toEqual(["+other", "-other:success"]);
	});

	it("lets a setup catch the error and go on without", async () => {
		const log: string[] = [];
		const all: Late = {};
		all.A = resource(
			async function* () {
				yield await use(from(all, "B"));
				log.push("-A");
			},
			{ name: "A" },
		);
		all.B = resource(
			async function* () {
				const error = await rejection(use(from(all, "A")));
				expectCycle(error, ["A", "B"]);
				yield "B without A";
				log.push("-B");
			},
			{ name: "B" },
		);
		expect(await withScope(() => use(from(all, "A")))).toBe("B without A");
		expect(log).toEqual(["-A", "-B"]);
	});

	it("releases what the setups in the circle had acquired", async () => {
		const log: string[] = [];
		const Db = logged(log, "db");
		const all: Late = {};
		all.A = resource(async ({ scope }) => {
			await use(Db);
			scope.defer(() => void log.push("deferred by A"));
			await use(from(all, "B"));
		});
		all.B = resource(async ({ scope }) => {
			scope.defer(() => void log.push("deferred by B"));
			await use(from(all, "A"));
		});
		await withScope(() => rejection(use(from(all, "A"))));
		expect(log).toEqual(["+db", "deferred by A", "deferred by B", "-db:success"]);
	});
});

describe("rule 10: cycles between concurrent acquisitions", () => {
	it("rejects two setups that come to wait for each other", async () => {
		const all: Late = {};
		const a = gate();
		const b = gate();
		using(all, "A", ["B"], () => a.promise);
		using(all, "B", ["A"], () => b.promise);
		await withScope(async () => {
			const both = [use(from(all, "A")), use(from(all, "B"))];
			await ticks();
			a.open();
			await ticks();
			b.open();
			const errors = (await settled(Promise.all(both.map(rejection)))) as unknown[];
			expectCycle(errors[0], ["A", "B"]);
			expect(errors[1]).toBe(errors[0]);
		});
	});

	it("rejects in whichever order the setups get there", async () => {
		const names = ["A", "B", "C", "D"];
		for (const first of names) {
			for (const second of names) {
				const all: Late = {};
				const gates = new Map(names.map((name) => [name, gate()]));
				for (const [i, name] of names.entries())
					using(all, name, [names[(i + 1) % 4] as string], () => gates.get(name)?.promise);
				await withScope(async () => {
					const uses = names.map((name) => rejection(use(from(all, name))));
					for (const name of [first, second, ...names]) {
						gates.get(name)?.open();
						await ticks();
					}
					const errors = (await settled(Promise.all(uses))) as unknown[];
					expectCycle(errors[0], names);
					for (const error of errors) expect(error).toBe(errors[0]);
				});
			}
		}
	});

	it("rejects a circle that useAll closes from both ends", async () => {
		const all: Late = {};
		using(all, "A", ["B"], () => Promise.resolve());
		using(all, "B", ["C"], () => Promise.resolve());
		using(all, "C", ["A"], () => Promise.resolve());
		const error = await withScope({ onReleaseError: () => {} }, () => rejection(useAll(all)));
		expectCycle(error, ["A", "B", "C"]);
	});

	it("rejects a circle of setups that two requests began", async () => {
		const all: Late = {};
		const a = gate();
		const b = gate();
		const app = { lifetime: "app" };
		all.A = resource(
			async () => {
				await a.promise;
				await use(from(all, "B"));
			},
			{ name: "A", ...app },
		);
		all.B = resource(
			async () => {
				await b.promise;
				await use(from(all, "A"));
			},
			{ name: "B", ...app },
		);
		await withScope(app, async () => {
			const request = (name: string) =>
				withScope({ lifetime: "request" }, () => use(from(all, name)));
			const both = [rejection(request("A")), rejection(request("B"))];
			await ticks();
			b.open();
			await ticks();
			a.open();
			const errors = (await settled(Promise.all(both))) as unknown[];
			expectCycle(errors[0], ["A", "B"]);
			expect(errors[1]).toBe(errors[0]);
		});
	});

	it("rejects a circle through a dependency that is shared and pending", async () => {
		const all: Late = {};
		const ready = gate();
		const Pool = resource(
			async () => {
				await ready.promise;
				return use(from(all, "Config"));
			},
			{ name: "Pool" },
		);
		const Tx = resource({ pool: Pool }, () => 1, { name: "Tx" });
		all.Config = resource({ tx: Tx }, () => 1, { name: "Config" });
		await withScope(async () => {
			const uses = [use(Pool), use(Tx), use(from(all, "Config"))];
			await ticks();
			ready.open();
			const errors = (await settled(Promise.all(uses.map(rejection)))) as unknown[];
			expectCycle(errors[0], ["Pool", "Config", "Tx"]);
			for (const error of errors) expect(error).toBe(errors[0]);
		});
	});

	it("comes to an end when setups that failed are tried again by others in the circle", async () => {
		let setups = 0;
		const all: Late = {};
		const begin = async (wait: number) => {
			if (++setups > 100) throw new Error("endless");
			for (let i = 0; i < wait; i++) await undefined;
		};
		all.A = resource(
			async () => {
				await begin(4);
				await use(from(all, "B"));
			},
			{ name: "A" },
		);
		all.B = resource(
			async () => {
				await begin(2);
				await Promise.all([use(from(all, "C")), use(from(all, "A"))]);
			},
			{ name: "B" },
		);
		all.C = resource(
			async () => {
				await begin(4);
				await use(from(all, "B"));
			},
			{ name: "C" },
		);
		const error = await withScope({ onReleaseError: () => {} }, () =>
			rejection(use(from(all, "A"))),
		);
		expectCycle(error, ["A", "B"]);
		expect(setups).toBeLessThan(10);
	});
});

describe("rule 10: cycles across owners", () => {
	it("rejects a circle between an app's resource and the scope that its setup opened", async () => {
		const all: Late = {};
		all.Repo = resource(() => use(from(all, "Pool")), {
			name: "Repo",
			lifetime: "request",
		});
		all.Pool = resource(() => withScope({ lifetime: "request" }, () => use(from(all, "Repo"))), {
			name: "Pool",
			lifetime: "app",
		});
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				const uses = [use(from(all, "Pool")), use(from(all, "Repo"))];
				for (const each of uses) expectCycle(await settled(each), ["Pool", "Repo"]);
			}),
		);
	});

	it("rejects a resource that opens a scope and sets itself up in there, for ever", async () => {
		const opening: Record<string, (self: () => Resource<unknown>) => PromiseLike<unknown>> = {
			withScope: (self) => withScope(() => use(self())),
			openScope: async (self) => {
				await using inner = openScope();
				await inner.use(self());
			},
			"openScope and run": async (self) => {
				await using inner = openScope();
				await inner.run(() => use(self()));
			},
		};
		for (const open of Object.values(opening)) {
			let setups = 0;
			const A: Resource<unknown> = resource(
				() => {
					if (++setups > 100) throw new Error("endless");
					return open(() => A);
				},
				{ name: "A" },
			);
			expectCycle(await withScope(() => settled(use(A))), ["A"]);
		}
	});

	it("rejects two resources that set each other up in new scopes, for ever", async () => {
		let setups = 0;
		const all: Late = {};
		for (const [name, next] of [
			["A", "B"],
			["B", "A"],
		] as const) {
			all[name] = resource(
				() => {
					if (++setups > 100) throw new Error("endless");
					return withScope(() => use(from(all, next)));
				},
				{ name },
			);
		}
		expectCycle(await withScope(() => settled(use(from(all, "A")))), ["A", "B"]);
	});

	it("rejects a resource that sets itself up in new roots, for ever", async () => {
		let setups = 0;
		const A: Resource<unknown> = resource(
			() => {
				if (++setups > 100) throw new Error("endless");
				return withScope({ parent: null }, () => use(A));
			},
			{ name: "A" },
		);
		expectCycle(await withScope(() => settled(use(A))), ["A"]);
	});

	it("rejects a circle through a chosen lifetime", async () => {
		const all: Late = {};
		all.A = resource(() => use(from(all, "B"), { lifetime: "app" }), { name: "A" });
		all.B = resource(() => use(from(all, "A")), { name: "B" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				// the request's A > the app's B > the app's A > the app's B
				expectCycle(await settled(use(from(all, "A"))), ["A", "B"]);
			}),
		);
	});

	it("rejects a circle through a scope that was open before the setup", async () => {
		const app = openScope({ lifetime: "app" });
		const request = openScope({ lifetime: "request", parent: app });
		const A: Resource<unknown> = resource(() => request.run(() => use(A)), {
			name: "A",
			lifetime: "app",
		});
		expectCycle(await settled(request.use(A)), ["A"]);
	});

	it("rejects a circle after the setup has entered its own scope", async () => {
		const A: Resource<unknown> = resource(
			async ({ scope }) => {
				using _ = scope.enter();
				await use(A);
			},
			{ name: "A" },
		);
		expectCycle(await settled(openScope().use(A)), ["A"]);
	});

	it("rejects a circle through a task of a scope that the setup waits for", async () => {
		const A: Resource<unknown> = resource(
			({ scope }) =>
				withScope((inner) => {
					void inner.spawn(() => scope.use(A));
				}),
			{ name: "A" },
		);
		expectCycle(await settled(openScope().use(A)), ["A"]);
	});

	it("rejects a circle through a setup in flight in a scope that the setup closes", async () => {
		const all: Late = {};
		const Slow = resource(
			async () => {
				await ticks(3);
				await use(from(all, "A"), { lifetime: "root" });
			},
			{ name: "Slow" },
		);
		const Starter = resource(() => void use(Slow), { name: "Starter" });
		all.A = resource(() => withScope({ onReleaseError: () => {} }, () => use(Starter)), {
			name: "A",
		});
		const root = openScope({ lifetime: "root", onReleaseError: () => {} });
		// Slow can't have A; whether that fails A is another matter
		expect(await settled(root.use(from(all, "A")))).not.toBe("pending");
	});
});

describe("rules 4 and 10: fresh", () => {
	it("rejects a fresh use of a resource from its own setup", async () => {
		const A: Resource<unknown> = resource(() => use(A, { fresh: true }), { name: "A" });
		await withScope(async () => {
			expectCycle(await rejection(use(A)), ["A"]);
			expectCycle(await rejection(use(A, { fresh: true })), ["A"]);
		});
	});

	it("rejects fresh uses in a circle", async () => {
		const all: Late = {};
		all.A = resource(() => use(from(all, "B"), { fresh: true }), { name: "A" });
		all.B = resource(() => use(from(all, "C")), { name: "B" });
		all.C = resource(() => use(from(all, "A"), { fresh: true }), { name: "C" });
		await withScope(async () => {
			expectCycle(await settled(use(from(all, "A"))), ["A", "B", "C"]);
			expectCycle(await settled(use(from(all, "C"))), ["A", "B", "C"]);
		});
	});

	it("rejects the use of the shared instance from a fresh one's setup, as that needs itself", async () => {
		const A: Resource<unknown> = resource(() => use(A), { name: "A" });
		expectCycle(await withScope(() => settled(use(A, { fresh: true }))), ["A"]);
	});

	it("rejects it through a scope of its own", async () => {
		const A: Resource<unknown> = resource(() => withScope(() => use(A, { fresh: true })), {
			name: "A",
		});
		expectCycle(await withScope(() => settled(use(A))), ["A"]);
	});

	it("doesn't mistake several fresh instances for a circle", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Connection = logged(log, "connection", { pool: Pool });
		const connections = () =>
			Promise.all([use(Connection, { fresh: true }), use(Connection, { fresh: true })]);
		const Copy = resource(connections);
		const Move = resource(async () => [await connections(), await connections(), await use(Copy)]);
		await withScope(() => use(Move));
		expect(log).toEqual([
			"+pool",
			...Array.from({ length: 6 }, () => "+connection"),
			...Array.from({ length: 6 }, () => "-connection:success"),
			"-pool:success",
		]);
	});

	it("lets a value make fresh instances of its own resource later", async () => {
		interface Node {
			readonly id: number;
			child(): Promise<Node>;
		}
		let made = 0;
		const Tree: Resource<Node> = resource(() => ({
			id: ++made,
			child: () => use(Tree, { fresh: true }),
		}));
		await withScope(async () => {
			const child = await (await use(Tree)).child();
			expect([child.id, (await child.child()).id]).toEqual([2, 3]);
		});
	});
});

describe("rule 10: no false alarm", () => {
	it("takes a diamond, set up concurrently", async () => {
		const log: string[] = [];
		const all: Late = {};
		const ready = gate();
		using(all, "Pool", [], () => ready.promise);
		using(all, "Left", ["Pool"]);
		using(all, "Right", ["Pool"]);
		const Top = resource(() => Promise.all([use(from(all, "Left")), use(from(all, "Right"))]));
		await withScope(async () => {
			const uses = Promise.all([use(Top), use(from(all, "Right")), use(from(all, "Left"))]);
			await ticks();
			ready.open();
			expect(await uses).toEqual([["Left", "Right"], "Right", "Left"]);
		});
		expect(log).toEqual([]);
	});

	it("takes a resource used twice, also under two names", async () => {
		const Db = resource(async () => {
			await ticks(3);
			return "db";
		});
		const Twice = resource({ one: Db, two: Db }, async ({ one, two }) => [
			one,
			two,
			...(await Promise.all([use(Db), use(Db)])),
		]);
		expect(await withScope(() => use(Twice))).toEqual(["db", "db", "db", "db"]);
	});

	it("takes a setup that waits for one whose dependency begins it, without waiting", async () => {
		const [x, b] = [gate(), gate()];
		const A: Resource<unknown> = resource(() => void use(B));
		const X = resource(async () => {
			await use(A);
			await x.promise;
			return "x";
		});
		const B = resource(() => b.promise.then(() => use(X)));
		await withScope(async () => {
			await use(A);
			const both = Promise.all([use(X), use(B)]);
			b.open();
			await ticks();
			x.open();
			expect(await both).toEqual(["x", "x"]);
		});
	});

	it("takes a fresh instance in an enclosing scope, asked for by the resource's own setup", async () => {
		const A: Resource<string> = resource(({ scope }) =>
			scope.lifetime === "app" ? "app's" : use(A, { fresh: true, lifetime: "app" }),
		);
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				expect(await use(A)).toBe("app's");
			}),
		);
	});

	it("takes two setups that wait for each other's dependencies", async () => {
		// A > Y, X and B > X, Y: the same pair, in opposite orders
		const all: Late = {};
		using(all, "X", [], () => ticks(5));
		using(all, "Y", [], () => ticks(5));
		using(all, "A", ["X", "Y"]);
		using(all, "B", ["Y", "X"]);
		expect(await withScope(() => Promise.all([use(from(all, "A")), use(from(all, "B"))]))).toEqual([
			"A",
			"B",
		]);
	});

	it("takes a resource that a request and the app both have", async () => {
		const Config = resource(async () => {
			await ticks(3);
			return {};
		});
		const Pool = resource({ config: Config }, ({ config }) => config, { lifetime: "app" });
		const Repo = resource({ pool: Pool, config: Config }, (values) => values);
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				const { pool, config } = await use(Repo);
				expect(pool).not.toBe(config);
			}),
		);
	});

	it("takes a scope opened in a setup that has its own instance of a dependency", async () => {
		const Db = resource(async () => {
			await ticks(3);
			return {};
		});
		const Probe = resource({ db: Db }, async ({ db }) => {
			const own = await withScope(() => use(Db));
			await using held = openScope();
			held.complete();
			return new Set([db, own, await held.use(Db), await use(Db)]).size;
		});
		expect(await withScope(() => use(Probe))).toBe(3);
	});

	it("takes a replacement that uses what it replaces", async () => {
		const Greeting = resource(async () => "hello");
		const Loud = resource({ greeting: Greeting }, ({ greeting }) => `${greeting}!`);
		expect(await withScope({ bindings: [override(Greeting, Loud)] }, () => use(Greeting))).toBe(
			"hello!",
		);
	});

	it("takes a replacement that uses what it replaces, in each scope that replaces it", async () => {
		const Greeting = resource(async () => "hello");
		const decorate = (mark: string) =>
			resource({ greeting: Greeting }, ({ greeting }) => greeting + mark);
		expect(
			await withScope({ bindings: [override(Greeting, decorate("!"))] }, () =>
				withScope({ bindings: [override(Greeting, decorate("?"))] }, () => use(Greeting)),
			),
		).toBe("hello!?");
	});

	it("takes a resource that asks for its own instance in a longer-lived scope", async () => {
		const Config: Resource<string> = resource(async ({ scope }) => {
			await ticks(3);
			if (scope.lifetime === "app") return "app";
			return `${scope.lifetime} of ${await use(Config, { lifetime: "app" })}`;
		});
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, async () => {
				expect(await use(Config)).toBe("request of app");
			}),
		);
	});

	it("takes two resources of one name", async () => {
		const Inner = resource(async () => 1, { name: "Db" });
		const Outer = resource({ inner: Inner }, ({ inner }) => inner + 1, { name: "Db" });
		expect(await withScope(() => use(Outer))).toBe(2);
	});

	it("takes a value that uses, once it is there, what depended on it", async () => {
		const all: Late = {};
		const A = resource(() => ({ later: () => use(from(all, "B")) }));
		all.B = resource({ a: A }, () => "b");
		await withScope(async () => {
			expect(await (await use(A)).later()).toBe("b");
		});
	});

	it("takes a spawned task that waits for the resource whose setup spawned it", async () => {
		const log: string[] = [];
		const Cache: Resource<string> = resource(async ({ scope }) => {
			void scope.spawn(async () => {
				log.push(`refreshing the ${await use(Cache)}`);
			});
			await ticks(3);
			return "cache";
		});
		expect(await withScope(() => use(Cache))).toBe("cache");
		expect(log).toEqual(["refreshing the cache"]);
	});

	it("takes detached work that waits for the resource whose setup detached it", async () => {
		const log: string[] = [];
		const reported: unknown[] = [];
		const Cache: Resource<string> = resource(
			async ({ scope }) => {
				void scope.detach(async () => {
					log.push(`refreshing the ${await use(Cache)}`);
				});
				await ticks(3);
				return "cache";
			},
			{ lifetime: "app" },
		);
		await withScope({ lifetime: "app", onReleaseError: (error) => reported.push(error) }, () =>
			use(Cache),
		);
		expect(reported).toEqual([]);
		expect(log).toEqual(["refreshing the cache"]);
	});

	it("takes a retry by a dependent of what had failed for it before", async () => {
		let attempts = 0;
		const Flaky = resource(async () => {
			await ticks(2);
			if (++attempts < 3) throw new Error("down");
			return "up";
		});
		const Retrying = resource(async () => {
			for (;;) {
				try {
					return await use(Flaky);
				} catch {}
			}
		});
		expect(await withScope(() => Promise.all([use(Retrying), use(Retrying)]))).toEqual([
			"up",
			"up",
		]);
		expect(attempts).toBe(3);
	});

	it("takes a long wait of one request for the setup that another began", async () => {
		const ready = gate();
		const Pool = resource(
			async () => {
				await ready.promise;
				return "pool";
			},
			{ lifetime: "app" },
		);
		const Tx = resource({ pool: Pool }, ({ pool }) => `tx on ${pool}`, { lifetime: "request" });
		const Repo = resource({ tx: Tx, pool: Pool }, ({ tx }) => tx, { lifetime: "request" });
		await withScope({ lifetime: "app" }, async () => {
			const requests = Array.from({ length: 20 }, () =>
				withScope({ lifetime: "request" }, () => use(Repo)),
			);
			await ticks();
			ready.open();
			expect(new Set(await Promise.all(requests))).toEqual(new Set(["tx on pool"]));
		});
	});

	it("takes a grid in which every resource uses all of the row below", async () => {
		const width = 8;
		let below: Resource<unknown>[] = [];
		for (let row = 0; row < 8; row++) {
			const needs = below;
			below = Array.from({ length: width }, (_, i) =>
				resource(async () => {
					await ticks(i % 3);
					await Promise.all(needs.map((need) => use(need)));
					return row;
				}),
			);
		}
		expect(await withScope(() => Promise.all(below.map((each) => use(each))))).toEqual(
			Array.from({ length: width }, () => 7),
		);
	});
});

/** How a setup asks for what it needs. */
type Manner = (typeof manners)[number];
const manners = ["in turn", "together", "by the scope", "in a scope of its own", "held"] as const;

interface Graph {
	/** What each resource needs, how it asks for that, and how long it takes. */
	readonly nodes: readonly {
		readonly needs: readonly number[];
		readonly manner: Manner;
		readonly app: boolean;
		readonly before: number;
		readonly after: number;
	}[];
	/** What each of several requests uses, after a while. */
	readonly requests: readonly { readonly uses: readonly number[]; readonly delay: number }[];
}

/** Random graphs. Without `cyclic`, each resource needs only those of a lower number. */
function graphs(cyclic: boolean, ...allowed: readonly Manner[]): fc.Arbitrary<Graph> {
	return fc.integer({ min: 2, max: 9 }).chain((size) => {
		const wait = fc.integer({ min: 0, max: 6 });
		const node = (index: number) =>
			fc.record({
				needs:
					cyclic || index > 0
						? fc.uniqueArray(fc.integer({ min: 0, max: cyclic ? size - 1 : index - 1 }), {
								maxLength: 3,
							})
						: fc.constant([]),
				manner: fc.constantFrom(...(allowed.length > 0 ? allowed : manners)),
				app: fc.boolean(),
				before: wait,
				after: wait,
			});
		return fc.record({
			nodes: fc.tuple(...Array.from({ length: size }, (_, index) => node(index))),
			requests: fc.array(
				fc.record({
					uses: fc.array(fc.integer({ min: 0, max: size - 1 }), { minLength: 1, maxLength: 3 }),
					delay: wait,
				}),
				{ minLength: 1, maxLength: 3 },
			),
		});
	});
}

/** Sets a graph up. Tells what each use of a resource became. */
async function run(
	{ nodes, requests }: Graph,
	maxSetups: number,
): Promise<{ index: number; result: unknown }[]> {
	let setups = 0;
	const all: Resource<number>[] = nodes.map(({ needs, manner, app, before, after }, index) =>
		resource(
			async function* ({ scope }) {
				if (++setups > maxSetups) throw new Error("endless");
				await ticks(before);
				const together = (by: (need: Resource<number>) => Promise<number>) =>
					Promise.all(needs.map((need) => by(all[need] as Resource<number>)));
				if (manner === "in turn")
					for (const need of needs) await use(all[need] as Resource<number>);
				else if (manner === "together") await together((need) => use(need));
				else if (manner === "by the scope") await together((need) => scope.use(need));
				else if (manner === "in a scope of its own")
					await withScope(() => together((need) => use(need)));
				else {
					const held: Scope = openScope();
					await together((need) => held.use(need));
					held.complete();
				}
				await ticks(after);
				yield index;
			},
			{ name: String(index), ...(app ? { lifetime: "app" } : {}) },
		),
	);
	const results: { index: number; result: unknown }[] = [];
	const work = withScope({ lifetime: "app", onReleaseError: () => {} }, () =>
		Promise.all(
			requests.map(({ uses, delay }) =>
				withScope({ lifetime: "request" }, async () => {
					await ticks(delay);
					const each = async (index: number) => {
						const result = await use(all[index] as Resource<number>).catch(
							(error: unknown) => error,
						);
						results.push({ index, result });
					};
					await Promise.all(uses.map(each));
				}),
			),
		),
	);
	let done = false;
	const finish = () => {
		done = true;
	};
	work.then(finish, finish);
	for (let i = 0; i < 400 && !done; i++) await ticks(50);
	expect(done).toBe(true);
	await work;
	return results;
}

/** Whether a circle can be reached from `index`. */
function reachesCircle({ nodes }: Graph, index: number): boolean {
	const visit = (at: number, path: number[]): boolean =>
		path.includes(at) || (nodes[at]?.needs ?? []).some((need) => visit(need, [...path, at]));
	return visit(index, []);
}

/** What `index` needs, directly or not. */
function reaches({ nodes }: Graph, index: number): number[] {
	const found = new Set(nodes[index]?.needs);
	for (const each of found) for (const need of nodes[each]?.needs ?? []) found.add(need);
	return [...found];
}

describe("rule 10: random graphs", () => {
	it("sets up every graph without a circle", async () => {
		await fc.assert(
			fc.asyncProperty(graphs(false), async (graph) => {
				for (const { index, result } of await run(graph, Number.POSITIVE_INFINITY))
					expect(result).toBe(index);
			}),
			{ numRuns: 300, seed: 2026 },
		);
	});

	const rejectsCircles = async (graph: Graph) => {
		for (const { index, result } of await run(graph, 2000)) {
			if (!reachesCircle(graph, index)) {
				expect(result).toBe(index);
				continue;
			}
			expect(result).toBeInstanceOf(CircularDependencyError);
			const { path } = result as CircularDependencyError;
			expect(path.at(-1)).toBe(path[0]);
			// a setup may also wait for what is in flight in a scope that it closes
			for (const [i, name] of path.slice(0, -1).entries())
				expect(reaches(graph, Number(name))).toContain(Number(path[i + 1]));
		}
	};

	it("rejects whatever needs a circle, and nothing else", async () => {
		await fc.assert(fc.asyncProperty(graphs(true, "in turn"), rejectsCircles), {
			numRuns: 300,
			seed: 2026,
		});
	});

	it("does so however the setups ask, and comes to an end", async () => {
		await fc.assert(fc.asyncProperty(graphs(true), rejectsCircles), { numRuns: 1000, seed: 2026 });
	});
});

describe("rule 10: long chains", () => {
	const length = 10_000;
	const chains: Record<string, (next: () => Resource<number>) => Resource<number>> = {
		"of async generators": (next) =>
			resource(async function* () {
				yield (await use(next())) + 1;
			}),
		"of async functions": (next) => resource(async () => (await use(next())) + 1),
		"of functions": (next) => resource(({ scope }) => scope.use(next()).then((n) => n + 1)),
		"of async functions that wait first": (next) =>
			resource(async () => {
				await undefined;
				return (await use(next())) + 1;
			}),
		"of dependencies": (next) => resource({ next: next() }, (values) => values.next + 1),
		"of generators with dependencies": (next) =>
			resource({ next: next() }, function* (values) {
				yield values.next + 1;
			}),
	};
	for (const [kind, link] of Object.entries(chains)) {
		it(`sets up and releases 10,000 ${kind}`, async () => {
			let last: Resource<number> = resource(() => 0);
			for (let i = 0; i < length; i++) {
				const next = last;
				last = link(() => next);
			}
			expect(await withScope(() => use(last))).toBe(length);
		});
	}

	it("sets up 10,000 fresh instances, each in the setup of the one before", async () => {
		let last: Resource<number> = resource(() => 0);
		for (let i = 0; i < length; i++) {
			const next = last;
			last = resource(async () => (await use(next, { fresh: true })) + 1);
		}
		expect(await withScope(() => use(last))).toBe(length);
	});

	it("releases a chain of 10,000 from its end, and throws a failure into each link", async () => {
		const failure = new Error("work");
		const released: number[] = [];
		let last: Resource<unknown> = resource(() => 0);
		for (let i = 0; i < length; i++) {
			last = resource({ next: last }, function* () {
				try {
					yield i;
				} catch (error) {
					expect(error).toBe(failure);
					released.push(i);
					throw error;
				}
			});
		}
		const error = await rejection(
			withScope(async () => {
				await use(last);
				throw failure;
			}),
		);
		expect(error).toBe(failure);
		expect(released).toEqual(Array.from({ length }, (_, i) => length - 1 - i));
	});

	it("rejects a circle of 10,000, with all of its path and a message one can read", async () => {
		const all: Resource<unknown>[] = [];
		for (let i = 0; i < length; i++) {
			all.push(resource(() => use(all[(i + 1) % length] as Resource<unknown>), { name: `R${i}` }));
		}
		const error = await withScope(() => rejection(use(all[0] as Resource<unknown>)));
		expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
		expect(error.path).toHaveLength(length + 1);
		expect(new Set(error.path).size).toBe(length);
		expect(error.message.length).toBeLessThan(1000);
	});

	it("passes a failure up a chain of 10,000, as it is", async () => {
		const failure = new Error("bottom");
		let last: Resource<unknown> = resource(async () => {
			throw failure;
		});
		for (let i = 0; i < length; i++) last = resource({ next: last }, () => i);
		expect(await withScope(() => rejection(use(last)))).toBe(failure);
	});

	it("takes 10,000 that wait for one setup in flight", async () => {
		const ready = gate();
		const Pool = resource(async () => {
			await ready.promise;
			return 1;
		});
		const many = Array.from({ length }, () => resource({ pool: Pool }, ({ pool }) => pool));
		await withScope(async () => {
			const all = Promise.all(many.map((each) => use(each)));
			ready.open();
			expect(await all).toHaveLength(length);
		});
	});
});
