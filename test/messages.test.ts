import { describe, expect, it, vi } from "vitest";
import { handler, requestScope } from "../src/express.ts";
import {
	currentScope,
	family,
	openScope,
	openScopeSync,
	override,
	provide,
	type Resource,
	resource,
	Scope,
	scoped,
	token,
	use,
	useAll,
	withScope,
	withScopeSync,
} from "../src/index.ts";
import { gate, rejection, ticks } from "./support.ts";

/** Runs each of `cases`, which throws or rejects, and compares all of what the error says. */
function say(cases: readonly [what: string, message: string, act: () => unknown][]): void {
	it.each(cases)("%s", async (_what, message, act) => {
		const error = await rejection(new Promise((resolve) => resolve(act())));
		expect(String((error as Error).message)).toBe(message);
	});
}

const bad = (value: unknown) => value as never;
const Pool = resource(() => "pool", { name: "Pool" });

/** Uses `Pool` through two others. */
function orders(Pool: Resource<unknown>): Resource<unknown> {
	const Tx = resource({ pool: Pool }, () => "tx", { name: "Tx" });
	return resource({ tx: Tx }, () => "orders", { name: "Orders" });
}

async function closed(): Promise<Scope> {
	const scope = openScope({ name: "work" });
	await scope.disposeAsync();
	return scope;
}

describe("messages about arguments", () => {
	say([
		[
			"resource without a setup",
			"Expected a setup function or dependencies, got undefined.",
			() => resource(bad(undefined)),
		],
		[
			"resource with text for dependencies",
			"Expected a setup function or dependencies, got a string.",
			() =>
				resource(
					bad("pool"),
					bad(() => 1),
				),
		],
		[
			"resource with null for dependencies",
			"Expected a setup function or dependencies, got null.",
			() =>
				resource(
					bad(null),
					bad(() => 1),
				),
		],
		[
			"resource with a called setup",
			"Expected a resource's setup to be a function, got an object. Pass the function itself, without calling it; dependencies come before it, options after it.",
			() => resource({ pool: Pool }, bad({})),
		],
		[
			"resource with a dependency that is none",
			"Expected dependency `pool` to be a resource, got a string. Is it used before its definition?",
			() => resource({ pool: bad("pool") }, () => 1),
		],
		[
			"family with a dependency that is none",
			"Expected dependency `pool` to be a resource, got undefined. Is it used before its definition?",
			() => family({ pool: bad(undefined) }, () => 1),
		],
		[
			"releaseTimeout",
			"Expected `releaseTimeout` to be a positive number of milliseconds, got 0.",
			() => openScope({ releaseTimeout: 0 }),
		],
		[
			"token without a name",
			"Expected a token's name to be a string, got undefined.",
			() => token(bad(undefined)),
		],
		[
			"provide for what is no resource",
			"Expected a resource made by resource(), token() or family(), got a function. Pass a setup to resource() first; call a family with its key.",
			() =>
				provide(
					bad(() => 1),
					1,
				),
		],
		[
			"override by what is no resource",
			"Expected a resource made by resource(), token() or family(), got null.",
			() => override(Pool, bad(null)),
		],
		[
			"provide of a promise",
			"Cannot provide Pool a value with a then(): `await use(Pool)` would unwrap it. Await it first, or provide it inside an object.",
			() => provide(Pool, bad(Promise.resolve("pool"))),
		],
		[
			"a definition that is awaited",
			"Pool is a definition, not a value: `await use(Pool)`.",
			() => Pool,
		],
		[
			"an unnamed definition that is awaited",
			"(anonymous) is a definition, not a value: `await use((anonymous))`.",
			() => resource(() => 1),
		],
		[
			"parent",
			"Expected `parent` to be a Scope or null, got an object.",
			() => openScope({ parent: bad({}) }),
		],
		[
			"bindings",
			"Expected `bindings` to be an array, got an object.",
			() => openScope({ bindings: bad(provide(Pool, "")) }),
		],
		[
			"a binding",
			"Expected bindings made by provide() or override(), got an object.",
			() => openScope({ bindings: [bad({})] }),
		],
		[
			"signal",
			"Expected `signal` to be an AbortSignal, got an object. An AbortController has it as `.signal`.",
			() => openScope({ signal: bad(new AbortController()) }),
		],
		[
			"use of neither in a scope",
			"Expected a resource, or an object with a Symbol.asyncDispose or Symbol.dispose method, got an object.",
			() => openScope().use(bad({})),
		],
		[
			"use of neither in a sync scope",
			"Expected a resource, or an object with a Symbol.dispose method, got a boolean.",
			() => openScopeSync().use(bad(true)),
		],
		[
			"use of a disposer that is none",
			`Expected ${String(Symbol.dispose)} to be a function, got a number.`,
			() => openScope().use(bad({ [Symbol.dispose]: 1 })),
		],
	]);

	const missing = (name: string, act: () => unknown): [string, string, () => unknown] => [
		`${name} without a function`,
		`Expected a function for ${name}(), got undefined.`,
		act,
	];
	say([
		missing("withScope", () => withScope(bad(undefined))),
		missing("withScopeSync", () => withScopeSync(bad(undefined))),
		missing("scoped", () => scoped({}, bad(undefined))),
		missing("defer", () => openScope().defer(bad(undefined))),
		missing("adopt", () => openScope().adopt(1, bad(undefined))),
		missing("spawn", () => openScope().spawn(bad(undefined))),
		missing("after", () => openScope().after(bad(undefined))),
		missing("defer", () => openScopeSync().defer(bad(undefined))),
		missing("adopt", () => openScopeSync().adopt(1, bad(undefined))),
	]);
});

describe("messages about what newcomers write", () => {
	const bare = resource as (...args: unknown[]) => unknown;
	const setup = () => 1;
	const options = { lifetime: "app" };
	async function* generator() {
		yield 1;
	}
	const byName = (got: string) => `Expected resources by name, as in { db: Db }, got ${got}.`;
	const called =
		"Expected a resource's setup to be a function, got an object. Pass the function itself, without calling it; dependencies come before it, options after it.";
	const swapped = "Options come before it.";
	const handlerLast =
		"Expected the last argument of handler() to be a function. Dependencies come before it.";
	const fixed =
		"If that is the framework's: it makes the middleware, and isn't one itself: app.use(requestScope()).";
	say([
		[
			"options before the setup",
			"Expected dependency `lifetime` to be a resource, got a string. Options come last.",
			() => bare(options, setup),
		],
		[
			"an option that there isn't",
			"Expected `name`, `lifetime` or `releaseTimeout`, got `lifetme`.",
			() => bare(setup, { lifetme: "app" }),
		],
		[
			"an option of a token that there isn't",
			"Expected `name`, `lifetime` or `releaseTimeout`, got `default`.",
			() => token("Tenant", bad({ default: 1 })),
		],
		[
			"a lifetime without its name",
			"Expected options to be an object, got a string.",
			() => bare(setup, "app"),
		],
		[
			"a scope's lifetime without its name",
			"Expected options to be an object, got a string.",
			() => withScope(bad("app"), setup),
		],
		[
			"openScope of a function",
			"Expected options to be an object, got a function.",
			() => openScope(bad(setup)),
		],
		["an array of dependencies", byName("an array"), () => bare([Pool], setup)],
		["a resource for dependencies", byName("Pool"), () => bare(Pool, setup)],
		["useAll of an array", byName("an array"), () => useAll(bad([Pool]))],
		["useAll of a resource", byName("Pool"), () => useAll(bad(Pool))],
		["useAll of nothing", byName("undefined"), () => useAll(bad(undefined))],
		["scoped without dependencies", byName("a function"), () => scoped(bad(setup), bad({}))],
		["handler of an array", byName("an array"), () => handler(bad([Pool]), setup)],
		["a setup that was called", called, () => bare(generator())],
		["an asynchronous setup that was called", called, () => bare(Promise.resolve())],
		[
			"a setup that isn't there",
			"Expected a resource's setup to be a function, got undefined. Pass the function itself, without calling it; dependencies come before it, options after it.",
			() => bare({ pool: Pool }, undefined),
		],
		[
			"withScope's options behind",
			`Expected a function for withScope(), got an object. ${swapped}`,
			() => withScope(bad(setup), bad(options)),
		],
		[
			"withScopeSync's options behind",
			`Expected a function for withScopeSync(), got an object. ${swapped}`,
			() => withScopeSync(bad(setup), bad(options)),
		],
		[
			"use of a function that is no resource yet",
			"Expected a resource made by resource(), token() or family(), got a function. Pass a setup to resource() first; call a family with its key.",
			() => use(bad(generator)),
		],
		[
			"provide with its arguments swapped",
			"Expected a resource, then its value: provide(Pool, value), not the other way round.",
			() => provide(bad("pool"), bad(Pool)),
		],
		[
			"a misspelt option of use",
			"Expected `fresh` or `lifetime` for use(), got `frsh`.",
			() => withScope(() => use(Pool, bad({ frsh: true }))),
		],
		[
			"provide without a value",
			"Expected a value for Pool: provide(Pool, value).",
			() => (provide as (resource: unknown) => unknown)(Pool),
		],
		["handler's dependencies behind", handlerLast, () => handler(bad(setup), bad({ pool: Pool }))],
		[
			"requestScope mounted without a call",
			`Expected \`parent\`, \`bindings\`, \`abortGrace\` or \`onReleaseError\` for requestScope(), got \`method\`. ${fixed}`,
			() => requestScope(bad({ method: "GET" })),
		],
	]);

	it("spare what is right: a value that is undefined, and options without a value", async () => {
		const Nothing = token<undefined>("Nothing");
		const All = resource(setup, {
			name: undefined,
			lifetime: undefined,
			releaseTimeout: undefined,
		});
		await withScope({ bindings: [provide(Nothing, undefined)] }, async () => {
			expect(await useAll({ nothing: Nothing, all: All })).toEqual({ nothing: undefined, all: 1 });
		});
	});
});

describe("messages about scopes that aren't there", () => {
	const advice =
		"there is no ambient scope here. Wrap the work in withScope(), mount the adapter's requestScope() before this, or call scope.use(): a scope of openScope() isn't ambient by itself. In a callback that lost its async context, use scope.run().";
	say([
		["use", `Cannot use Pool: ${advice}`, () => use(Pool)],
		["currentScope", `Cannot find the current scope: ${advice}`, () => currentScope()],
	]);
});

describe("messages about closed scopes", () => {
	const useAdvice =
		"Await what uses it, or give that to spawn(), or to detach() if it outlives the scope.";
	const advice = "Do it before its work ends, or under a scope that lives longer.";
	const refused = (
		what: string,
		action: string,
		act: (scope: Scope) => unknown,
	): [string, string, () => unknown] => [
		what,
		`Cannot ${action} scope "work": it is closed. ${advice}`,
		async () => act(await closed()),
	];
	const forbidden = (
		method: string,
		act: (scope: Scope) => unknown,
	): [string, string, () => unknown] => [
		method,
		`Cannot call ${method}() on scope "work": it is closed.`,
		async () => act(await closed()),
	];
	say([
		[
			"use",
			`Cannot use Pool: its scope "work" (Pool) is closed. ${useAdvice}`,
			async () => (await closed()).use(Pool),
		],
		[
			"use by a setup",
			`Cannot use Pool: its scope "work" (Orders > Tx > Pool) is closed. ${useAdvice}`,
			async () => {
				const scope = await closed();
				const Tx = resource(() => scope.use(Pool), { name: "Tx" });
				return withScope(() => use(resource({ tx: Tx }, () => 1, { name: "Orders" })));
			},
		],
		[
			"use while it closes",
			`Cannot use Pool: its scope "work" (Pool) is closing. ${useAdvice}`,
			() => {
				const scope = openScope({ name: "work" });
				scope.defer(() => ticks());
				void scope.disposeAsync();
				return scope.use(Pool);
			},
		],
		refused("spawn", "spawn a task in", (scope) => scope.spawn(() => 1)),
		refused("after", "queue work in", (scope) => scope.after(() => 1)),
		refused("detach", "detach work from", (scope) => scope.detach(() => 1)),
		refused("bind", "bind in", (scope) => scope.bind()),
		refused("a child scope", "open a scope under", (scope) => new Scope({ parent: scope })),
		forbidden("use", (scope) => scope.use(null)),
		forbidden("adopt", (scope) => scope.adopt(1, () => {})),
		forbidden("defer", (scope) => scope.defer(() => {})),
		forbidden("move", (scope) => scope.move()),
		[
			"defer while it closes",
			'Cannot call defer() on scope "work": it is closing.',
			() => {
				const scope = openScope({ name: "work" });
				scope.defer(() => ticks());
				void scope.disposeAsync();
				scope.defer(() => {});
			},
		],
		[
			"a generator that goes on",
			`Cannot iterate in scope "rows": it is closed. ${advice}`,
			async () => {
				const rows = scoped(
					{},
					async function* () {
						yield 1;
						yield 2;
					},
					{ name: "rows" },
				);
				const left = await withScope(async () => {
					const iterator = rows();
					await iterator.next();
					return { iterator };
				});
				return left.iterator.next();
			},
		],
		...(["use", "adopt", "defer", "move"] as const).map(
			(method): [string, string, () => unknown] => [
				`${method} of a sync scope`,
				`Cannot call ${method}() on scope "work": it is closed.`,
				() => {
					const scope = openScopeSync({ name: "work" });
					scope.dispose();
					if (method === "use") scope.use(null);
					if (method === "adopt") scope.adopt(1, () => {});
					if (method === "defer") scope.defer(() => {});
					if (method === "move") scope.move();
				},
			],
		),
	]);
});

describe("messages about scopes that something runs in", () => {
	const syncCircle =
		'Cannot close scope "work" in a setup, a release or a withScopeSync() of its own. Let that return first.';
	say([
		[
			"a close that waits for itself",
			'Cannot await the close of scope "work" in a setup, a task or a child scope of its own, for which it waits. It has begun to close; go on without awaiting it.',
			() => {
				const scope = openScope({ name: "work", onReleaseError: () => {} });
				return scope.spawn(() => scope.disposeAsync());
			},
		],
		[
			"a sync scope that its own setup closes",
			syncCircle,
			() => {
				const scope = openScopeSync({ name: "work" });
				return scope.use(resource(() => scope.dispose()));
			},
		],
		[
			"move",
			'Cannot move scope "work": setups, tasks or child scopes still run in it. Await them first.',
			() => {
				const scope = openScope({ name: "work" });
				void scope.spawn(() => ticks());
				scope.move();
			},
		],
		[
			"withScopeSync of what isn't",
			'Expected a synchronous function for withScopeSync(), got one that returns a promise: scope "work" closes under it. Use withScope().',
			() => withScopeSync({ name: "work" }, async () => 1),
		],
	]);
});

describe("messages about acquisitions", () => {
	const lifetimeAdvice = (lifetime: string, more = "") =>
		`Open one with withScope({ lifetime: "${lifetime}" }, …) around this${more}, or choose another with use(Pool, { lifetime }).`;
	const living = (lifetime: string) => resource(() => 1, { name: "Pool", lifetime });
	say([
		[
			"a token that nobody provides",
			'Cannot use Tenant: nobody provides it in scope "work" (Orders > Tx > Tenant). Open that scope, or one around it, with bindings: [provide(Tenant, value)].',
			() => withScope({ name: "work" }, () => use(orders(token("Tenant")))),
		],
		[
			"no yield",
			'Pool did not yield in scope "work" (Orders > Tx > Pool): its generator ended before it gave a value. Check that every path through the setup reaches the yield.',
			() =>
				withScope({ name: "work" }, () =>
					use(orders(resource(function* (): Generator<number> {}, { name: "Pool" }))),
				),
		],
		[
			"a promise that is yielded",
			"Pool yielded a value with a then(): `await use(Pool)` would unwrap it. Yield it inside an object, or await it first.",
			() =>
				withScope(() =>
					use(
						resource(
							function* () {
								yield Promise.resolve(1);
							},
							{ name: "Pool" },
						),
					),
				),
		],
		[
			"a circle",
			'Circular dependency in scope "work": Tx > Pool > Orders > Tx. Pass what they share through a third resource, or use one of them after its setup.',
			() => {
				const Pool: Resource<unknown> = resource(() => use(Orders), { name: "Pool" });
				const Orders = orders(Pool);
				return withScope({ name: "work" }, () => use(Pool));
			},
		],
		[
			"a circle of twelve",
			'Circular dependency in scope "work": R10 > R0 > R1 > R2 > R3 > R4 > R5 > R6 > R7 > R8 > R9 > R10. Pass what they share through a third resource, or use one of them after its setup.',
			() => circleOf(11),
		],
		[
			"a circle of thirteen",
			'Circular dependency in scope "work": R11 > R0 > R1 > R2 > R3 > … 3 more … > R7 > R8 > R9 > R10 > R11. Pass what they share through a third resource, or use one of them after its setup.',
			() => circleOf(12),
		],
		[
			"a setup that is asynchronous",
			'Cannot use Pool in a sync scope: its setup or its value is asynchronous, in scope "work" (Pool). Use withScope().',
			() =>
				withScopeSync({ name: "work" }, (scope) =>
					scope.use(resource(async () => 1, { name: "Pool" })),
				),
		],
		[
			"an enclosing scope's setup that is asynchronous",
			'Cannot use Pool in a sync scope: its setup or its value is asynchronous, in scope "app" (Pool). Use withScope(), or `await use(Pool)` before, in scope "app".',
			() =>
				withScope({ lifetime: "app" }, () =>
					withScopeSync({ name: "work" }, (scope) =>
						scope.use(resource(async () => 1, { name: "Pool", lifetime: "app" })),
					),
				),
		],
		[
			"an app's resource without an app",
			`Cannot use Pool in scope "work" (Pool): no open scope has its lifetime "app"; open are "work" < "task". ${lifetimeAdvice("app", ', in a server by const root = openScope({ lifetime: "app" }) and requestScope({ parent: root })')}`,
			() =>
				withScope({ lifetime: "task" }, () =>
					withScope({ name: "work" }, () => use(living("app"))),
				),
		],
		[
			"a handler's resource without a handler",
			`Cannot use Pool in scope "work" (Pool): no open scope has its lifetime "handler"; open are "work". ${lifetimeAdvice("handler")}`,
			() => withScope({ name: "work" }, () => use(living("handler"))),
		],
		[
			"a handler's resource after the handler",
			'Cannot use Pool in scope "request" (Pool): no open scope has its lifetime "handler"; open are "request". A handler\'s scope ends before the first byte of the response. Open one with withScope({ lifetime: "handler" }, …) around this, or choose another with use(Pool, { lifetime }).',
			() => withScope({ lifetime: "request" }, () => use(living("handler"))),
		],
		[
			"a task's resource in a request",
			`Cannot use Pool in scope "request" (Pool): no open scope has its lifetime "task"; open are "request". ${lifetimeAdvice("task")}`,
			() => withScope({ lifetime: "request" }, () => use(living("task"))),
		],
		[
			"a setup's task resource, with no task but a request below",
			`Cannot use Pool in scope "app" (Tx > Pool): no open scope has its lifetime "task"; open are "app". ${lifetimeAdvice("task")}`,
			() =>
				withScope({ lifetime: "app" }, () =>
					withScope({ lifetime: "request" }, () =>
						use(resource({ pool: living("task") }, () => 1, { name: "Tx", lifetime: "app" })),
					),
				),
		],
		[
			"a resource that would outlive what it uses",
			'Cannot use Pool in Tx, which would outlive it: Pool belongs to a scope "request", Tx to "app" (Orders > Tx > Pool). Give Tx the `lifetime: "request"`, or Pool the longer one, or pass it to methods of Tx.',
			() =>
				withScope({ lifetime: "app" }, () =>
					withScope({ lifetime: "request" }, () =>
						use(orders(living("request")), { lifetime: "app" }),
					),
				),
		],
		[
			"a resource that names a scope that it would outlive",
			'Cannot use Pool in Tx, which would outlive it: Pool belongs to a scope "work", Tx to "app" (Tx > Pool). Give Tx the shorter lifetime, or Pool the longer one, or pass it to methods of Tx.',
			() =>
				withScope({ lifetime: "app" }, () =>
					withScope({ name: "work" }, (scope) =>
						use(resource(() => scope.use(Pool), { name: "Tx", lifetime: "app" })),
					),
				),
		],
		[
			"an abort meanwhile",
			'Cannot use Pool: it was being acquired when scope "work" (Pool) was aborted. The cause is the reason.',
			async () => {
				const ready = gate();
				const scope = openScope({ name: "work" });
				const using1 = scope.use(resource(() => ready.promise, { name: "Pool" }));
				scope.abort();
				ready.open();
				return using1;
			},
		],
		[
			"an abort without a reason",
			"The scope was aborted.",
			() => {
				const scope = openScope();
				scope.abort();
				throw scope.signal.reason;
			},
		],
	]);

	function circleOf(length: number): Promise<unknown> {
		const all: Resource<unknown>[] = Array.from({ length }, (_, i) =>
			resource(() => use(all[(i + 1) % length] as Resource<unknown>), { name: `R${i}` }),
		);
		return withScope({ name: "work" }, () => use(all[0] as Resource<unknown>));
	}
});

describe("messages about releases", () => {
	const yielding = (more: () => unknown, releaseTimeout?: number) =>
		resource(
			async function* () {
				try {
					yield 1;
				} catch {}
				yield* more() as [];
			},
			{ name: "Pool", releaseTimeout },
		);
	const reported = async (act: (onReleaseError: (error: unknown) => void) => unknown) => {
		const errors: unknown[] = [];
		await Promise.resolve(act((error) => errors.push(error))).catch(() => {});
		expect(errors).toHaveLength(1);
		throw errors[0];
	};
	const text = (error: unknown, older: unknown) =>
		withScope((scope) => {
			scope.defer(() => {
				throw error;
			});
			throw older;
		});
	const unreadable = {
		get message() {
			throw new Error("unreadable");
		},
	};
	say([
		[
			"a second yield",
			'Pool yielded twice in scope "work" (Orders > Tx > Pool). A resource yields once: end the generator after its cleanup, and end its catch with `throw error`.',
			() => withScope({ name: "work" }, () => use(orders(yielding(() => [2])))),
		],
		[
			"an error that is swallowed",
			"Pool caught the work's error in scope \"work\" (Orders > Tx > Pool) and didn't throw it on. The work has failed all the same: end the catch with `throw error`.",
			() =>
				reported((onReleaseError) =>
					withScope({ name: "work", onReleaseError }, async () => {
						await use(orders(yielding(() => [])));
						throw new Error("work");
					}),
				),
		],
		[
			"a scope that nobody completed",
			'Scope "work" closed and nobody said whether its work succeeded. Call complete() when it has, or use withScope().',
			async () => {
				let told: unknown;
				const scope = openScope({ name: "work" });
				const Told = resource(function* () {
					try {
						yield 1;
					} catch (error) {
						told = error;
					}
				});
				await scope.use(Told);
				await scope.disposeAsync();
				throw told;
			},
		],
		[
			"a release that takes too long",
			'Releasing Pool in scope "work" (Orders > Tx > Pool) took longer than 5 ms. The others are released all the same; find out what it waits for, or raise releaseTimeout.',
			() =>
				inTime(async () => {
					const Stuck = resource(
						async function* () {
							yield 1;
							await new Promise(() => {});
						},
						{ name: "Pool", releaseTimeout: 5 },
					);
					await withScope({ name: "work" }, () => use(orders(Stuck)));
				}),
		],
		[
			"a callback that takes too long",
			'Releasing a callback in scope "work" took longer than 5 ms. The others are released all the same; find out what it waits for, or raise releaseTimeout.',
			() =>
				inTime(() =>
					withScope({ name: "work", releaseTimeout: 5 }, (scope) =>
						scope.defer(() => new Promise(() => {})),
					),
				),
		],
		["two errors", "newer (on top of: older)", () => text(new Error("newer"), new Error("older"))],
		["two that are no errors", "string (on top of: undefined)", () => text("newer", undefined)],
		[
			"one that can't be read",
			"an error that can't be read (on top of: undefined)",
			() => text(unreadable, { message: undefined }),
		],
		[
			"one of 200 characters",
			`${"x".repeat(200)} (on top of: older)`,
			() => text(new Error("x".repeat(200)), new Error("older")),
		],
		[
			"one of 201 characters",
			`${"x".repeat(199)}… (on top of: older)`,
			() => text(new Error("x".repeat(201)), new Error("older")),
		],
	]);

	/** Lets time pass until `work` is done. */
	async function inTime<T>(work: () => Promise<T>): Promise<T> {
		vi.useFakeTimers();
		try {
			const result = work();
			result.catch(() => {});
			await vi.advanceTimersByTimeAsync(10);
			return await result;
		} finally {
			vi.useRealTimers();
		}
	}
});
