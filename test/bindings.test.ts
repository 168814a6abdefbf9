import { describe, expect, it } from "vitest";
import {
	type Binding,
	CircularDependencyError,
	InvalidArgumentError,
	LifetimeError,
	NotProvidedError,
	openScope,
	override,
	provide,
	type Resource,
	resource,
	type Scope,
	ScopeClosedError,
	token,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, ticks } from "./support.ts";

describe("rule 24: provide", () => {
	it("gives the value, and runs neither the original nor its dependencies", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { Pool });
		const value = await withScope({ bindings: [provide(Tx, "fake")] }, () => use(Tx));
		expect(value).toBe("fake");
		expect(log).toEqual([]);
	});

	it.each([undefined, null, 0, "", false, Number.NaN])("gives %s as it is", async (value) => {
		const Value = resource((): unknown => "original");
		expect(await withScope({ bindings: [provide(Value, value)] }, () => use(Value))).toBe(value);
	});

	it("doesn't own the value, and never releases it", async () => {
		const log: string[] = [];
		const value = {
			[Symbol.dispose]: () => void log.push("dispose"),
			[Symbol.asyncDispose]: async () => void log.push("asyncDispose"),
		};
		const Value = resource(() => value);
		await withScope({ bindings: [provide(Value, value)] }, async (scope) => {
			expect(await use(Value)).toBe(value);
			expect(await use(Value, { fresh: true })).toBe(value);
			expect(scope.inspect().resources).toEqual([]);
		});
		expect(log).toEqual([]);
	});

	it("gives what looks like a generator as it is", async () => {
		const value = (function* () {
			yield 1;
		})();
		const Value = resource((): unknown => 1);
		await withScope({ bindings: [provide(Value, value)] }, async () => {
			expect(await use(Value)).toBe(value);
		});
		expect(value.next()).toEqual({ done: false, value: 1 });
	});

	it("needs no scope of the resource's lifetime", async () => {
		const Pool = resource(() => "pool", { lifetime: "app" });
		expect(await withScope({ bindings: [provide(Pool, "fake")] }, () => use(Pool))).toBe("fake");
		const Tenant = token<string>("Tenant", { lifetime: "request" });
		expect(await withScope({ bindings: [provide(Tenant, "acme")] }, () => use(Tenant))).toBe(
			"acme",
		);
	});

	it("may be used by a longer-lived resource below the binding", async () => {
		const Config = token<string>("Config", { lifetime: "request" });
		const Pool = resource({ Config }, ({ Config }) => `pool of ${Config}`, { lifetime: "app" });
		const value = withScope({ lifetime: "app", bindings: [provide(Config, "db")] }, () =>
			withScope({ lifetime: "request" }, () => use(Pool)),
		);
		expect(await value).toBe("pool of db");
	});

	it("refuses a thenable, which use() would unwrap", () => {
		const Value = resource((): unknown => 1, { name: "Value" });
		let error: unknown;
		try {
			provide(Value, Promise.resolve(1));
		} catch (each) {
			error = each;
		}
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect(error).toMatchObject({
			code: "YS_ERR_INVALID_ARGUMENT",
			message: expect.stringContaining("Value"),
		});
	});
});

describe("rule 24: a token", () => {
	const Tenant = token<string>("Tenant");

	it("is what somebody provides", async () => {
		expect(await withScope({ bindings: [provide(Tenant, "acme")] }, () => use(Tenant))).toBe(
			"acme",
		);
	});

	it("rejects with NotProvidedError where nobody does, with the path", async () => {
		const Orders = resource({ Tenant }, () => 1, { name: "Orders" });
		const error = await rejection(withScope({ name: "work" }, () => use(Orders)));
		expectError(error, NotProvidedError, "YS_ERR_NOT_PROVIDED");
		expect(error).toMatchObject({ resource: "Tenant", scope: "work", path: ["Orders", "Tenant"] });
		expect(error.message).toContain("Orders > Tenant");
	});

	it("may be overridden by a resource", async () => {
		const Acme = resource(() => "acme");
		expect(await withScope({ bindings: [override(Tenant, Acme)] }, () => use(Tenant))).toBe("acme");
	});
});

describe("rule 24: override", () => {
	it("puts another resource in its place, and runs neither the original nor its dependencies", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { Pool });
		const Fake = logged(log, "fake");
		const value = await withScope({ bindings: [override(Tx, Fake)] }, () => use(Tx));
		expect(value).toBe("fake");
		expect(log).toEqual(["+fake", "-fake:success"]);
	});

	it("holds for what depends on the resource", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Fake = logged(log, "fake");
		const Declared = resource({ Pool }, ({ Pool }) => Pool);
		const Ambient = resource(() => use(Pool));
		const InContext = resource(({ scope }) => scope.use(Pool));
		await withScope({ bindings: [override(Pool, Fake)] }, async () => {
			expect(await useAll({ Declared, Ambient, InContext })).toEqual({
				Declared: "fake",
				Ambient: "fake",
				InContext: "fake",
			});
		});
		expect(log).toEqual(["+fake", "-fake:success"]);
	});

	it("shares the instance with direct uses of the replacement", async () => {
		const log: string[] = [];
		const [Pool, Fake] = [logged(log, "pool"), logged(log, "fake")];
		await withScope({ bindings: [override(Pool, Fake)] }, async () => {
			await use(Fake);
			await use(Pool);
		});
		expect(log).toEqual(["+fake", "-fake:success"]);
	});

	it("makes fresh instances of the replacement", async () => {
		const log: string[] = [];
		const [Pool, Fake] = [logged(log, "pool"), logged(log, "fake")];
		await withScope({ bindings: [override(Pool, Fake)] }, async () => {
			await use(Pool);
			await use(Pool, { fresh: true });
		});
		expect(log).toEqual(["+fake", "+fake", "-fake:success", "-fake:success"]);
	});

	it("may swap two resources", async () => {
		const [A, B] = [resource(() => "a"), resource(() => "b")];
		await withScope({ bindings: [override(A, B), override(B, A)] }, async () => {
			expect(await useAll({ A, B })).toEqual({ A: "b", B: "a" });
		});
	});
});

describe("rule 24: where a binding holds", () => {
	const Value = resource(() => "original");

	it("is that scope and below, not above or beside", async () => {
		await withScope(async (outer) => {
			await withScope({ bindings: [provide(Value, "bound")] }, async () => {
				expect(await use(Value)).toBe("bound");
				await withScope(async () => expect(await use(Value)).toBe("bound"));
				expect(await outer.use(Value)).toBe("original");
			});
			await withScope(async () => expect(await use(Value)).toBe("original"));
			expect(await use(Value)).toBe("original");
		});
	});

	it("beats outer ones", async () => {
		await withScope({ bindings: [provide(Value, "outer")] }, async () => {
			expect(await use(Value)).toBe("outer");
			await withScope({ bindings: [provide(Value, "inner")] }, async () => {
				expect(await use(Value)).toBe("inner");
				await withScope(
					{
						bindings: [
							override(
								Value,
								resource(() => "innermost"),
							),
						],
					},
					async () => expect(await use(Value)).toBe("innermost"),
				);
			});
			expect(await use(Value)).toBe("outer");
		});
	});

	it("beats earlier ones of the same scope", async () => {
		const bindings = [provide(Value, "first"), provide(Value, "second")];
		expect(await withScope({ bindings }, () => use(Value))).toBe("second");
	});

	it("beats an instance that an outer scope has", async () => {
		const App = resource(() => "original", { lifetime: "app" });
		await withScope({ lifetime: "app" }, async () => {
			expect(await use(App)).toBe("original");
			await withScope({ bindings: [provide(App, "bound")] }, async () => {
				expect(await use(App)).toBe("bound");
			});
		});
	});

	it("isn't seen by dependents owned above it", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Repository = resource({ Pool }, ({ Pool }) => `repository of ${Pool}`, {
			lifetime: "app",
		});
		await withScope({ lifetime: "app" }, async () => {
			await withScope({ bindings: [provide(Pool, "fake")] }, async () => {
				expect(await use(Repository)).toBe("repository of pool");
				expect(await use(Pool)).toBe("fake");
			});
		});
		expect(log).toEqual(["+pool", "-pool:success"]);
	});

	it("is seen by dependents of every lifetime where it is on the app scope", async () => {
		const Pool = resource(() => "pool", { lifetime: "app" });
		const Repository = resource({ Pool }, ({ Pool }) => `repository of ${Pool}`, {
			lifetime: "app",
		});
		const Orders = resource({ Repository }, ({ Repository }) => `orders in ${Repository}`);
		await withScope({ lifetime: "app", bindings: [provide(Pool, "fake")] }, () =>
			withScope({ lifetime: "request" }, async () => {
				expect(await use(Orders)).toBe("orders in repository of fake");
			}),
		);
	});

	it("is seen by dependents owned below it, though an outer scope has the original", async () => {
		const Pool = resource(() => "pool", { lifetime: "app" });
		const Tx = resource({ Pool }, ({ Pool }) => `tx of ${Pool}`);
		await withScope({ lifetime: "app" }, async () => {
			await use(Pool);
			await withScope({ bindings: [provide(Pool, "fake")] }, async () => {
				expect(await use(Tx)).toBe("tx of fake");
			});
		});
	});
});

describe("rule 24: who owns what an override makes", () => {
	const inRequest = (app: Scope, bindings: Binding[], fn: (request: Scope) => unknown) =>
		withScope({ parent: app, lifetime: "request", bindings }, fn);

	it("is no scope above the binding's", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Fake = logged(log, "fake", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async (app) => {
			await inRequest(app, [override(Pool, Fake)], () => use(Pool));
			log.push("between");
			await inRequest(app, [override(Pool, Fake)], () => use(Pool));
			log.push("end");
		});
		expect(log).toEqual(["+fake", "-fake:success", "between", "+fake", "-fake:success", "end"]);
	});

	it("is the binding's scope, not the one that asks, for a longer-lived resource", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Fake = logged(log, "fake");
		await withScope({ lifetime: "app" }, (app) =>
			inRequest(app, [override(Pool, Fake)], async () => {
				await withScope(() => use(Pool));
				await withScope(() => use(Pool));
				log.push("request ends");
			}),
		);
		expect(log).toEqual(["+fake", "request ends", "-fake:success"]);
	});

	it("is the scope of the replaced resource's lifetime where that is below the binding", async () => {
		const log: string[] = [];
		const Tx = logged(log, "tx", {}, { lifetime: "request" });
		const Fake = logged(log, "fake");
		await withScope({ lifetime: "app", bindings: [override(Tx, Fake)] }, async (app) => {
			for (let i = 0; i < 2; i++) {
				await inRequest(app, [], () => withScope(() => use(Tx)));
			}
		});
		expect(log).toEqual(["+fake", "-fake:success", "+fake", "-fake:success"]);
	});

	it("is the scope of the replacement's own lifetime where it has one", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Fake = logged(log, "fake", {}, { lifetime: "request" });
		await withScope({ lifetime: "app", bindings: [override(Pool, Fake)] }, async (app) => {
			await inRequest(app, [], () => use(Pool));
			log.push("request closed");
		});
		expect(log).toEqual(["+fake", "-fake:success", "request closed"]);
	});

	it("is the binding's scope where there is none of the replaced resource's lifetime", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Fake = logged(log, "fake");
		await withScope({ bindings: [override(Pool, Fake)] }, async () => {
			await withScope(() => use(Pool));
			log.push("inner closed");
		});
		expect(log).toEqual(["+fake", "inner closed", "-fake:success"]);
	});

	it("needs a scope of the replacement's own lifetime", async () => {
		const Pool = resource(() => "pool", { lifetime: "app" });
		const Fake = resource(() => "fake", { lifetime: "request", name: "Fake" });
		const error = await rejection(withScope({ bindings: [override(Pool, Fake)] }, () => use(Pool)));
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error.resource).toBe("Fake");
	});

	it("is no scope above the binding's where the use chooses a lifetime", async () => {
		const log: string[] = [];
		const [Pool, Fake] = [logged(log, "pool"), logged(log, "fake")];
		await withScope({ lifetime: "app" }, async (app) => {
			await inRequest(app, [override(Pool, Fake)], () => use(Pool, { lifetime: "app" }));
			log.push("request closed");
		});
		expect(log).toEqual(["+fake", "-fake:success", "request closed"]);
	});

	it("is the nearest scope for a resource without a lifetime", async () => {
		const log: string[] = [];
		const [Pool, Fake] = [logged(log, "pool"), logged(log, "fake")];
		await withScope({ bindings: [override(Pool, Fake)] }, async () => {
			await withScope(() => use(Pool));
			log.push("inner closed");
		});
		expect(log).toEqual(["+fake", "-fake:success", "inner closed"]);
	});
});

describe("rule 24: decoration", () => {
	const Greeting = resource(() => "hello", { name: "Greeting" });
	const decorate = (mark: string) =>
		resource({ Greeting }, ({ Greeting }) => `${Greeting}${mark}`, { name: `Greeting${mark}` });

	it("gets the original where there is no outer binding", async () => {
		const bindings = [override(Greeting, decorate("!"))];
		expect(await withScope({ bindings }, () => use(Greeting))).toBe("hello!");
	});

	it("gets the next outer binding's, in the same scope and in enclosing ones", async () => {
		const bindings = [override(Greeting, decorate("!")), override(Greeting, decorate("?"))];
		await withScope({ bindings }, async () => {
			expect(await use(Greeting)).toBe("hello!?");
			await withScope({ bindings: [override(Greeting, decorate("."))] }, async () => {
				expect(await use(Greeting)).toBe("hello!?.");
			});
		});
	});

	it("gets a provided value", async () => {
		await withScope({ bindings: [provide(Greeting, "hi")] }, () =>
			withScope({ bindings: [override(Greeting, decorate("!"))] }, async () => {
				expect(await use(Greeting)).toBe("hi!");
			}),
		);
	});

	it("is hidden by an inner binding that doesn't ask for the outer one", async () => {
		const bindings = [override(Greeting, decorate("!")), provide(Greeting, "hi")];
		expect(await withScope({ bindings }, () => use(Greeting))).toBe("hi");
	});

	it("works with use() in the setup, and releases the decorator first", async () => {
		const log: string[] = [];
		const Original = logged(log, "original");
		const Decorator = resource(async function* () {
			yield `${await use(Original)}!`;
			log.push("-decorator");
		});
		await withScope({ bindings: [override(Original, Decorator)] }, async () => {
			expect(await use(Original)).toBe("original!");
		});
		expect(log).toEqual(["+original", "-decorator", "-original:success"]);
	});

	it("works where the binding is for a longer-lived resource", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Traced = resource({ Pool }, ({ Pool }) => `traced ${Pool}`);
		await withScope({ lifetime: "app" }, async () => {
			await withScope({ bindings: [override(Pool, Traced)] }, async () => {
				expect(await use(Pool)).toBe("traced pool");
			});
			log.push("request closed");
		});
		expect(log).toEqual(["+pool", "request closed", "-pool:success"]);
	});

	it("used directly gets the original as well", async () => {
		const Loud = decorate("!");
		await withScope({ bindings: [override(Greeting, Loud)] }, async () => {
			expect(await use(Loud)).toBe("hello!");
			expect(await use(Greeting)).toBe("hello!");
		});
	});

	it("through another resource is a cycle, with the path", async () => {
		const Formal = resource({ Greeting }, ({ Greeting }) => `${Greeting}, sir`, { name: "Formal" });
		const Loud = resource({ Formal }, ({ Formal }) => `${Formal}!`, { name: "Loud" });
		const error = await rejection(
			withScope({ bindings: [override(Greeting, Loud)] }, () => use(Greeting)),
		);
		expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
		expect(error.path.length).toBe(3);
		expect(error.path[0]).toBe(error.path[2]);
		expect(new Set(error.path)).toEqual(new Set(["Loud", "Formal"]));
	});
});

describe("rule 24: bind", () => {
	const Value = resource(() => "original");

	it("holds for as long as the handle lives", async () => {
		await withScope(async (scope) => {
			{
				using _bound = scope.bind(provide(Value, "bound"));
				expect(await use(Value)).toBe("bound");
			}
			expect(await use(Value)).toBe("original");
		});
	});

	it("holds below, too, also for scopes that are open already", async () => {
		await withScope(async (scope) => {
			await withScope(async () => {
				const bound = scope.bind(provide(Value, "bound"));
				expect(await use(Value)).toBe("bound");
				bound[Symbol.dispose]();
				expect(await use(Value)).toBe("original");
			});
		});
	});

	it("beats the scope's own bindings and earlier handles, whatever the order of their ends", async () => {
		await withScope({ bindings: [provide(Value, "option")] }, async (scope) => {
			const first = scope.bind(provide(Value, "first"));
			const second = scope.bind(provide(Value, "second"));
			expect(await use(Value)).toBe("second");
			first[Symbol.dispose]();
			expect(await use(Value)).toBe("second");
			second[Symbol.dispose]();
			expect(await use(Value)).toBe("option");
		});
	});

	it("takes several bindings at once, and none", async () => {
		const Other = resource(() => "other");
		await withScope(async (scope) => {
			const bound = scope.bind(provide(Value, "a"), provide(Other, "b"));
			scope.bind()[Symbol.dispose]();
			expect(await useAll({ Value, Other })).toEqual({ Value: "a", Other: "b" });
			bound[Symbol.dispose]();
			expect(await useAll({ Value, Other })).toEqual({ Value: "original", Other: "other" });
		});
	});

	it("leaves the instances alone that exist already", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = resource({ Pool }, ({ Pool }) => `tx of ${Pool}`);
		await withScope(async (scope) => {
			await use(Tx);
			const bound = scope.bind(override(Pool, logged(log, "fake")));
			expect(await use(Tx)).toBe("tx of pool");
			expect(await use(Pool)).toBe("fake");
			bound[Symbol.dispose]();
			expect(await use(Pool)).toBe("pool");
		});
		expect(log).toEqual(["+pool", "+fake", "-fake:success", "-pool:success"]);
	});

	it("releases what it made with the scope, not with the handle", async () => {
		const log: string[] = [];
		await withScope(async (scope) => {
			{
				using _bound = scope.bind(override(Value, logged(log, "fake")));
				await use(Value);
			}
			log.push("handle disposed");
		});
		expect(log).toEqual(["+fake", "handle disposed", "-fake:success"]);
	});

	it("may end twice, and after the scope", async () => {
		const scope = openScope();
		const bound = scope.bind(provide(Value, "bound"));
		bound[Symbol.dispose]();
		bound[Symbol.dispose]();
		const late = scope.bind(provide(Value, "bound"));
		await scope.disposeAsync();
		late[Symbol.dispose]();
	});

	it("counts each handle, also for one binding bound twice", async () => {
		const binding = provide(Value, "bound");
		await withScope({ bindings: [binding] }, async (scope) => {
			const [first, second] = [scope.bind(binding), scope.bind(binding)];
			first[Symbol.dispose]();
			expect(await use(Value)).toBe("bound");
			second[Symbol.dispose]();
			expect(await use(Value)).toBe("bound");
		});
	});

	it("is refused by a closed scope", async () => {
		const scope = openScope({ name: "session" });
		await scope.disposeAsync();
		let error: unknown;
		try {
			scope.bind(provide(Value, "bound"));
		} catch (each) {
			error = each;
		}
		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expect(error.message).toContain("session");
	});

	it.each([
		["a resource", Value],
		["undefined", undefined],
		["an object", { resource: Value, value: 1 }],
	])("refuses %s for a binding, before anything happens", async (_kind, wrong) => {
		const bindings = [wrong as unknown as Binding];
		await withScope(async (scope) => {
			for (const attempt of [() => scope.bind(...bindings), () => openScope({ bindings })]) {
				expect(attempt).toThrow(InvalidArgumentError);
				expect(attempt).toThrow(expect.objectContaining({ code: "YS_ERR_INVALID_ARGUMENT" }));
			}
			expect(scope.inspect().children).toEqual([]);
			expect(await use(Value)).toBe("original");
		});
	});
});

describe("rule 24: parallel tests don't see each other's", () => {
	it("in scopes of their own", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Orders = resource({ Pool }, ({ Pool }) => `orders in ${Pool}`);
		const gates = [gate(), gate(), gate()];
		const test = (i: number, bindings: Binding[]) =>
			withScope({ lifetime: "app", bindings }, async () => {
				await gates[i]?.promise;
				const first = await use(Orders);
				await ticks(i * 10);
				return [first, await withScope(() => use(Orders)), await use(Pool)];
			});

		const results = Promise.all([
			test(0, [provide(Pool, "a")]),
			test(1, [
				override(
					Pool,
					resource(() => "b"),
				),
			]),
			test(2, []),
		]);
		for (const each of gates.reverse()) {
			each.open();
			await ticks();
		}

		expect(await results).toEqual([
			["orders in a", "orders in a", "a"],
			["orders in b", "orders in b", "b"],
			["orders in pool", "orders in pool", "pool"],
		]);
		expect(log).toEqual(["+pool", "-pool:success"]);
	});

	it("in requests under one app scope", async () => {
		const User: Resource<string> = token("User");
		const Greeting = resource({ User }, ({ User }) => `hello ${User}`);
		await withScope({ lifetime: "app" }, async () => {
			const greetings = ["ann", "bob", "cem"].map((user, i) =>
				withScope({ lifetime: "request", bindings: [provide(User, user)] }, async () => {
					await ticks(30 - 10 * i);
					return use(Greeting);
				}),
			);
			expect(await Promise.all(greetings)).toEqual(["hello ann", "hello bob", "hello cem"]);
		});
	});
});
