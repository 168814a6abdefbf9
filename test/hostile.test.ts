import { Console } from "node:console";
import { Writable } from "node:stream";
import { inspect } from "node:util";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
	type Dependencies,
	family,
	openScope,
	provide,
	type Resource,
	resource,
	type Scope,
	scoped,
	token,
	use,
	useAll,
	withScope,
	withScopeSync,
} from "../src/index.ts";
import { gate, logged, rejection, ticks } from "./support.ts";

const bad = (value: unknown) => value as never;

function revoked<T extends object>(target: T): T {
	const { proxy, revoke } = Proxy.revocable(target, {});
	revoke();
	return proxy;
}

/** An object of which nothing can be read. */
function unreadable(): object {
	const refuse = () => {
		throw new Error("unreadable");
	};
	return new Proxy(new Error("unread"), {
		get: refuse,
		has: refuse,
		getPrototypeOf: refuse,
		getOwnPropertyDescriptor: refuse,
		defineProperty: refuse,
		ownKeys: refuse,
	});
}

function withGetters(): Error {
	const error = new Error("unread");
	// the stack first: Bun makes it of the others when it is looked at
	for (const key of ["stack", "name", "message", "cause", "code", "error", "suppressed"]) {
		Object.defineProperty(error, key, {
			get() {
				throw new Error(`unreadable ${key}`);
			},
		});
	}
	return error;
}

function circular(): Error {
	const inner = new Error("inner");
	const outer = new Error("outer", { cause: inner });
	inner.cause = outer;
	return outer;
}

/** What fails as soon as somebody looks whether it is a promise. */
const hostileThenable = () =>
	// biome-ignore lint/suspicious/noThenProperty: looking at it is what fails
	Object.defineProperty({}, "then", {
		get() {
			throw new Error("hostile");
		},
	});

/** What can be thrown, and shouldn't be. */
const thrown: readonly (readonly [name: string, make: () => unknown])[] = [
	["a revoked proxy", () => revoked({})],
	["a revoked function", () => revoked(() => {})],
	["an unreadable object", unreadable],
	["an error with getters that throw", withGetters],
	["an error in a circle of causes", circular],
	["an error that is its own cause", () => Object.assign(new Error("own"), circularly("cause"))],
	["a frozen error", () => Object.freeze(new Error("frozen"))],
	["a sealed error", () => Object.seal(new Error("sealed"))],
	["an object without a prototype", () => Object.create(null)],
	["an object with a `then` that throws", hostileThenable],
	["a symbol", () => Symbol("thrown")],
	["undefined", () => undefined],
	["NaN", () => Number.NaN],
];

/** An object that holds itself as its property `key`. */
function circularly(key: string): object {
	const circle: Record<string, unknown> = {};
	circle[key] = circle;
	return circle;
}

afterEach(() => vi.restoreAllMocks());

/** Formats what is reported as the real console does, and drops it. */
function muteConsole() {
	const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
	const real = new Console(sink, sink);
	return vi.spyOn(console, "error").mockImplementation((...args) => real.error(...args));
}

// compared by `===` and not by toBe(), which would print what can't be printed
describe.each(thrown)("%s", (_name, make) => {
	const log: string[] = [];
	/** Logs the failure without looking at it. */
	const releasing = (name: string, dependencies: Dependencies = {}) =>
		resource(dependencies, async function* () {
			log.push(`+${name}`);
			try {
				yield name;
			} catch (error) {
				log.push(`-${name}:failure`);
				throw error;
			}
		});
	const A = releasing("a");
	const B = releasing("b", { a: A });

	/** Runs `work` with things to release around it; gives what comes out. */
	async function around(work: (scope: Scope) => unknown): Promise<unknown> {
		log.length = 0;
		return await withScope(async (scope) => {
			scope.defer(() => void log.push("deferred"));
			await use(B);
			await work(scope);
		}).then(
			() => "nothing",
			(error) => ({ error }),
		);
	}
	const same = (out: unknown, error: unknown) =>
		typeof out === "object" && out !== null && Object.is((out as { error: unknown }).error, error);
	const rolledBack = ["+a", "+b", "-b:failure", "-a:failure", "deferred"];

	it("is what the work threw, and everything is released", async () => {
		const error = make();
		const out = await around(() => {
			throw error;
		});
		expect(same(out, error)).toBe(true);
		expect(log).toEqual(rolledBack);
	});

	it("is what a setup threw, and everything is released", async () => {
		const error = make();
		for (const setup of [
			() => {
				throw error;
			},
			async function* () {
				yield* [];
				throw error;
			},
		]) {
			const out = await around(() => use(resource(setup)));
			expect(same(out, error)).toBe(true);
			expect(log).toEqual(rolledBack);
		}
	});

	it.each([undefined, 1000])(
		"is what a release threw, and the others are released, releaseTimeout %s",
		async (releaseTimeout) => {
			const error = make();
			const setup = function* () {
				yield 1;
				throw error;
			};
			const out = await around(() => use(resource(setup, { releaseTimeout })));
			expect(same(out, error)).toBe(true);
			expect(log).toEqual(rolledBack);
		},
	);

	it("is what a release made of an error, and the others are released", async () => {
		const error = make();
		const Translator = resource(async function* () {
			try {
				yield 1;
			} catch {
				throw error;
			}
		});
		const out = await around(async () => {
			await use(Translator);
			throw make();
		});
		expect(same(out, error)).toBe(true);
		expect(log).toEqual(rolledBack);
	});

	it("is one of two errors, and both are kept", async () => {
		const [work, callback] = [make(), make()];
		const out = (await around((scope) => {
			scope.defer(() => {
				throw callback;
			});
			throw work;
		})) as { error: { error: unknown; suppressed: unknown; message: string } };
		expect(Object.is(out.error.error, callback)).toBe(true);
		expect(Object.is(out.error.suppressed, work)).toBe(true);
		expect(typeof out.error.message).toBe("string");
		expect(log).toEqual(rolledBack);
	});

	it("is what a task, queued work or an abort ended with", async () => {
		const error = make();
		const fail = () => {
			throw error;
		};
		expect(same(await around((scope) => void scope.spawn(fail)), error)).toBe(true);
		expect(log).toEqual(rolledBack);
		expect(same(await around((scope) => scope.after(fail)), error)).toBe(true);
		expect(log).toEqual(rolledBack);
		if (error === undefined) return; // then the reason is an AbortError
		expect(same(await around((scope) => scope.abort(error)), error)).toBe(true);
		expect(log).toEqual(rolledBack);
	});

	it("is the reason for which a setup in flight is left alone", async () => {
		const error = make();
		const ready = gate();
		const out = (await around((scope) => {
			const waiting = use(resource(() => ready.promise));
			scope.abort(error);
			ready.open();
			return waiting;
		})) as { error: unknown };
		expect(error === undefined || same(out, error)).toBe(true);
		expect(log).toEqual(rolledBack);
	});

	it("is printed as well as it can be where nobody is to hear of it", async () => {
		const print = muteConsole();
		const error = make();
		const Swallowing = resource(async function* () {
			try {
				yield 1;
			} catch {}
		});
		const out = await around(async (scope) => {
			await use(Swallowing);
			void scope.detach(() => {
				throw error;
			});
			await ticks();
			throw error;
		});
		expect(same(out, error)).toBe(true);
		expect(log).toEqual(rolledBack);
		expect(print.mock.calls.length).toBeGreaterThanOrEqual(2);
	});

	it("is no problem for a reporter that throws it", async () => {
		const print = muteConsole();
		const error = make();
		const onReleaseError = () => {
			throw error;
		};
		await withScope({ onReleaseError }, async (scope) => {
			void scope.detach(onReleaseError);
			await ticks();
		});
		await ticks();
		expect(print.mock.calls.length).toBeGreaterThanOrEqual(2);
	});

	it("is what a sync scope threw", () => {
		const error = make();
		const Twice = resource(function* () {
			try {
				yield 1;
			} finally {
				log.push("sync released");
				// biome-ignore lint/correctness/noUnsafeFinally: the same error comes back
				throw error;
			}
		});
		log.length = 0;
		let out: unknown = "nothing";
		try {
			withScopeSync((scope) => {
				scope.use(Twice);
				throw error;
			});
		} catch (caught) {
			out = { error: caught };
		}
		expect(same(out, error)).toBe(true);
		expect(log).toEqual(["sync released"]);
	});

	it("is what a wrapped function threw", async () => {
		const error = make();
		const out = await scoped({}, async () => {
			throw error;
		})().then(
			() => "nothing",
			(caught) => ({ error: caught }),
		);
		expect(same(out, error)).toBe(true);
	});
});

describe("what a setup hands out", () => {
	const fails = () => {
		throw new Error("hostile");
	};
	const iterator = (steps: object) => ({
		[Symbol.iterator]: () => {},
		next: () => ({ done: false, value: 1 }),
		return: () => ({ done: true, value: undefined }),
		throw: fails,
		...steps,
	});
	it.each<[string, () => unknown]>([
		["a revoked proxy", () => revoked({})],
		["an unreadable object", unreadable],
		["a `then` getter that throws", hostileThenable],
		[
			"a promise without a constructor",
			() => Object.defineProperty(Promise.resolve(1), "constructor", { get: fails }),
		],
		[
			"a disposer getter that throws",
			() => Object.defineProperty({}, Symbol.asyncDispose, { get: fails }),
		],
		["a disposer that is none", () => ({ [Symbol.asyncDispose]: "none" })],
		["a disposer that throws", () => ({ [Symbol.dispose]: fails })],
		["a disposer that gives a hostile promise", () => ({ [Symbol.asyncDispose]: hostileThenable })],
		["an iterator without steps", () => iterator({ next: () => undefined })],
		["an iterator that throws", () => iterator({ next: fails })],
		["an iterator with hostile steps", () => iterator({ next: hostileThenable })],
		[
			"an iterator whose end can't be read",
			() => iterator({ next: () => Object.defineProperty({ value: 1 }, "done", { get: fails }) }),
		],
		["an iterator that never ends", () => iterator({})],
		["an iterator that never ends and can't be closed", () => iterator({ return: fails })],
		["an iterator whose close is hostile", () => iterator({ return: hostileThenable })],
		[
			"an iterator that yields what can't be read",
			() => iterator({ next: () => ({ done: false, value: revoked({}) }) }),
		],
	])("%s: an error, and the others are released", async (_name, setup) => {
		for (const make of [setup, async () => setup()]) {
			const log: string[] = [];
			muteConsole();
			await rejection(
				withScope(async () => {
					await use(logged(log, "before"));
					const hostile = use(resource(make as () => unknown));
					await use(logged(log, "after"));
					await hostile;
				}),
			);
			expect(log.map((line) => line.replace(/:.*/, ""))).toEqual([
				"+before",
				"+after",
				"-after",
				"-before",
			]);
		}
	});

	it("is disposed by the scope's own rules when its getters throw", async () => {
		const log: string[] = [];
		const scope = openScope();
		scope.defer(() => void log.push("released"));
		expect(() =>
			scope.use(bad(Object.defineProperty({}, Symbol.asyncDispose, { get: fails }))),
		).toThrow("hostile");
		expect(() => scope.use(bad({ [Symbol.dispose]: "none" }))).toThrow(TypeError);
		expect(() => scope.use(bad(revoked({})))).toThrow(TypeError);
		await scope.disposeAsync();
		expect(log).toEqual(["released"]);
	});
});

describe("names", () => {
	/** What a terminal, a log or a reader would take for something else. */
	const hidden = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]|\p{Surrogate}/u;

	/** The messages of all errors that can be provoked with this name, and what else shows it. */
	async function textsWith(name: string): Promise<string[]> {
		const texts: string[] = [];
		const onReleaseError = (error: unknown) => void keep(error);
		const keep = (error: unknown) => {
			const {
				message,
				path = [],
				resource,
				scope,
			} = error as Error & { path?: string[] } & Record<"resource" | "scope", string | undefined>;
			texts.push(message, ...path, resource ?? "", scope ?? "");
		};
		const named = <T>(setup: () => T, lifetime?: string) =>
			resource(setup, { name, lifetime }) as Resource<unknown>;
		const Twice = named(function* () {
			yield 1;
			yield 2;
		});
		const Swallowing = named(function* () {
			try {
				yield 1;
			} catch {}
		});
		const Circular: Resource<unknown> = named(() => use(Circular));
		const acts: (() => unknown)[] = [
			() => use(token(name)),
			() => use(named(() => 1, "elsewhere")),
			() => use(named(() => 1, `no ${name}`)),
			() => use(named(function* (): Generator<number> {})),
			() => use(Circular),
			() => use(Twice),
			() => use(named(() => withScopeSync({ name }, (scope) => scope.use(named(async () => 1))))),
			() => resource({ [name]: bad(1) }, () => 1),
			() => use(family((_key: string) => use(token(name)), { name })(name)),
			async () => {
				await use(Swallowing);
				throw new Error("work");
			},
			async () => {
				const scope = openScope({ name });
				await scope.disposeAsync();
				await scope.use(Twice);
			},
			async () => {
				const scope = openScope({ name });
				await scope.disposeAsync();
				scope.defer(() => {});
			},
			async () => void (await named(() => 1)),
		];
		for (const act of acts)
			keep(await rejection(withScope({ name, lifetime: name, onReleaseError }, async () => act())));
		await withScope({ name }, async (scope) => {
			await use(named(() => 1));
			const { resources } = scope.inspect();
			texts.push(scope.name, scope.inspect().name, ...resources.map((each) => each.name));
		});
		return texts;
	}

	it("of any kind give messages of one line, which no terminal takes for commands", async () => {
		await fc.assert(
			fc.asyncProperty(fc.string({ unit: "binary", maxLength: 30 }), async (name) => {
				for (const text of await textsWith(name)) {
					expect(text).not.toMatch(hidden);
					expect(text.length).toBeLessThan(5000);
				}
			}),
			{
				numRuns: 100,
				examples: [
					["a\nb"],
					["\u001b[31m"],
					["\u009b2J"],
					["\u202e"],
					["\ud800"],
					["__proto__"],
					["\u2028"],
				],
			},
		);
	});

	it("of a megabyte give messages that can be read", async () => {
		for (const name of ["x".repeat(1e6), "\n".repeat(1e6), "😀".repeat(1e6)])
			for (const text of await textsWith(name)) expect(text.length).toBeLessThan(10_000);
	});

	it("stay as they are where there is nothing wrong with them", () => {
		for (const name of [
			"Db",
			"GET /orders/7?",
			"täglich",
			"日本語",
			"👩‍👩‍👧",
			"a > b",
			"x".repeat(200),
		]) {
			expect(resource(() => 1, { name }).name).toBe(name);
			expect(openScope({ name }).name).toBe(name);
		}
	});

	it("say what they hide", () => {
		expect(token("a\n\u001b[31mb\u{202e}\ud800").name).toBe(
			"a\\u{a}\\u{1b}[31mb\\u{202e}\\u{d800}",
		);
		expect(token("x".repeat(201)).name).toBe(`${"x".repeat(199)}…`);
	});

	it("are taken from no static property of a class that isn't text", async () => {
		for (const name of [Symbol("secret"), () => "secret", { secret: 1 }, 7]) {
			class Db {
				static readonly name = name;
				readonly open = true;
			}
			const Resource = resource({ missing: token("Missing") }, bad(Db));
			expect(Resource.name).toBe("(anonymous)");
			const error = await withScope(() => rejection(use(Resource)));
			expect((error as Error).message).toContain("((anonymous) > Missing)");
		}
	});

	it("of ten thousand scopes in each other aren't all in a message", async () => {
		const root = openScope();
		let scope = root;
		for (let i = 0; i < 10_000; i++) scope = openScope({ parent: scope, name: `scope ${i}` });
		const error = await rejection(scope.use(resource(() => 1, { lifetime: "nowhere" })));
		expect((error as Error).message).toContain(
			'"scope 9996" < "scope 9995" < … 9991 more … < "scope 3" <',
		);
		expect((error as Error).message.length).toBeLessThan(1000);
		await root.disposeAsync();
	});
});

describe("keys", () => {
	const key = fc.oneof(
		fc.constantFrom(
			"__proto__",
			"constructor",
			"prototype",
			"toString",
			"then",
			"hasOwnProperty",
			"",
		),
		fc.string({ unit: "binary" }),
	);

	it("of dependencies are the values' keys, whatever they are, and nothing else changes", async () => {
		const properties = Object.getOwnPropertyNames(Object.prototype);
		await fc.assert(
			fc.asyncProperty(fc.uniqueArray(key), async (keys) => {
				const dependencies = Object.fromEntries(
					keys.map((each) => [each, resource(() => `value of ${each}`)]),
				);
				const check = (values: object) => {
					expect(Object.getPrototypeOf(values)).toBe(Object.prototype);
					expect(Reflect.ownKeys(values).sort()).toEqual([...keys].sort());
					for (const each of keys)
						expect(Object.getOwnPropertyDescriptor(values, each)?.value).toBe(`value of ${each}`);
				};
				await withScope(async () => {
					// in an object, for a key may be "then"
					check((await use(resource(dependencies, (values) => ({ values })))).values);
					if (!keys.includes("then")) check(await useAll(dependencies));
				});
			}),
			{ examples: [[["__proto__"]], [["__proto__", "constructor", "toString"]]] },
		);
		expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(properties);
	});

	it("of dependencies that are inherited, hidden or symbols count for nothing", async () => {
		const inherited = Object.create({ inherited: resource(() => 1) });
		Object.defineProperty(inherited, "hidden", { value: resource(() => 1), enumerable: false });
		inherited[Symbol("symbol")] = resource(() => 1);
		inherited.own = resource(() => 1);
		const values = await withScope(() => use(resource(inherited as Dependencies, (all) => all)));
		expect(Reflect.ownKeys(values as object)).toEqual(["own"]);
	});

	it("of dependencies are read once, when the resource is defined", async () => {
		let reads = 0;
		const dependencies = {
			get db() {
				if (++reads > 1) throw new Error("read twice");
				return resource(() => "db");
			},
		};
		const Orders = resource(dependencies, ({ db }) => `orders in ${db}`);
		for (let i = 0; i < 2; i++) expect(await withScope(() => use(Orders))).toBe("orders in db");
		expect(reads).toBe(1);
	});

	it("of dependencies come from proxies and from objects without a prototype as well", async () => {
		const Db = resource(() => "db");
		const bare = Object.assign(Object.create(null), { db: Db });
		for (const dependencies of [bare, new Proxy({ db: Db }, {}), Object.freeze({ db: Db })]) {
			const Orders = resource(dependencies as { db: typeof Db }, ({ db }) => db);
			expect(await withScope(() => use(Orders))).toBe("db");
		}
		expect(() => resource(revoked({ db: Db }), () => 1)).toThrow(TypeError);
	});

	it("of a family are told apart as by Object.is, but for zeros", async () => {
		let made = 0;
		const Each = family((_key: unknown) => ++made);
		const anything = fc.anything({
			withNullPrototype: true,
			withBigInt: true,
			withSparseArray: true,
		});
		await fc.assert(
			fc.asyncProperty(fc.oneof(key, anything), fc.oneof(key, anything), async (a, b) => {
				await withScope(async () => {
					const first = await use(Each(a));
					expect(await use(Each(a))).toBe(first);
					expect((await use(Each(b))) === first).toBe(a === b || Object.is(a, b));
				});
			}),
			{
				examples: [
					[Number.NaN, Number.NaN],
					[0, -0],
					["__proto__", "constructor"],
					["1", 1],
				],
			},
		);
		for (const hostile of [
			revoked({}),
			unreadable(),
			Symbol("s"),
			"x".repeat(1e6),
			"\n",
			10n ** 500n,
		]) {
			const { name } = Each(hostile);
			expect(name.length).toBeLessThan(250);
			expect(name).not.toContain("\n");
			expect(await withScope(() => use(Each(hostile)))).toBe(made);
		}
	});
});

describe("bindings", () => {
	const Db = resource(() => "db", { name: "Db" });

	it("with holes are refused", () => {
		const holes: unknown[] = [];
		holes[1] = provide(Db, "test");
		expect(() => openScope({ bindings: bad(holes) })).toThrow("got undefined");
	});

	it("of arrays that aren't what they seem hold what they iterate", async () => {
		class Odd extends Array<unknown> {
			static override get [Symbol.species](): ArrayConstructor {
				throw new Error("species");
			}
			override map(): never {
				throw new Error("map");
			}
		}
		const odd = Odd.from([provide(Db, "test")]);
		expect(await withScope({ bindings: bad(odd) }, () => use(Db))).toBe("test");
		expect(await withScope({ bindings: new Proxy([provide(Db, "test")], {}) }, () => use(Db))).toBe(
			"test",
		);
		expect(() => openScope({ bindings: revoked([]) })).toThrow(TypeError);
	});

	it("changed afterwards are still what they were", async () => {
		const bindings = [provide(Db, "test")];
		await withScope({ bindings }, async () => {
			bindings.length = 0;
			expect(await use(Db)).toBe("test");
		});
	});
});

it("refuses a signal that couldn't be left alone again when the scope closes", () => {
	const signal = { aborted: false, addEventListener() {} };
	expect(() => openScope({ signal: bad(signal) })).toThrow(
		"Expected `signal` to be an AbortSignal",
	);
});

describe("secrets", () => {
	it("stay out of messages, fields and snapshots", async () => {
		const secret = "hunter2";
		const config = {
			password: secret,
			toString: () => secret,
			[Symbol.toPrimitive]: () => secret,
			toJSON: () => secret,
		};
		const Config = resource(() => config, { name: "Config" });
		const Tx = resource(
			async function* () {
				try {
					yield config;
				} catch {}
				yield config;
			},
			{ name: "Tx" },
		);
		const errors: unknown[] = [];
		const onReleaseError = (error: unknown) => void errors.push(error);
		const acts: ((scope: Scope) => unknown)[] = [
			() => use(bad(config)),
			() => use(bad(secret)),
			() => resource(bad(secret)),
			() => resource(bad(config), bad(secret)),
			() => resource({ config: bad(secret) }, () => 1),
			() => resource(() => 1, { name: bad(config) }),
			() => resource(() => 1, { lifetime: bad(config), releaseTimeout: bad(secret) }),
			() => provide(bad(config), config),
			() => provide(Config, bad(Promise.resolve(secret))),
			() => openScope({ bindings: bad(secret) }),
			() => openScope({ bindings: [bad(config)] }),
			() => openScope({ parent: bad(config) }),
			() => openScope({ signal: bad(secret) }),
			() => openScope({ release: bad(secret) }),
			() => openScope({ onReleaseError: bad(secret) }),
			() => withScope(bad(secret)),
			(scope) => scope.use(bad(config)),
			(scope) => scope.use(bad({ [Symbol.dispose]: secret })),
			(scope) => scope.defer(bad(secret)),
			() => use(family((_key: unknown) => use(token("Missing")))(config)),
			async () => {
				await useAll({ config: Config, tx: Tx });
				throw new Error("work");
			},
			() => use(Tx),
		];
		for (const act of acts)
			errors.push(await rejection(withScope({ onReleaseError }, async (scope) => act(scope))));
		await withScope({ bindings: [provide(token("T"), config)] }, async (scope) => {
			await use(Config);
			errors.push(scope.inspect());
		});
		expect(errors.length).toBeGreaterThan(acts.length);
		for (const error of errors) {
			expect(inspect(error, { depth: 9, showHidden: true, getters: true })).not.toContain(secret);
			expect(String((error as Error).message)).not.toContain(secret);
		}
	});
});

describe("a polluted Object.prototype", () => {
	/** Runs `work` with `Object.prototype` polluted, as a merge of hostile JSON does it. */
	async function polluted<T>(
		pollution: Record<string, unknown>,
		work: () => Promise<T>,
	): Promise<T> {
		const prototype = Object.prototype as Record<string, unknown>;
		Object.assign(prototype, pollution);
		try {
			return await work();
		} finally {
			for (const key of Object.keys(pollution)) delete prototype[key];
		}
	}

	it.each([
		"then",
		"next",
		"throw",
		"done",
		"value",
		"cause",
		"error",
		"suppressed",
		"setup",
		"owner",
		"family",
		"key",
		"dependencies",
		"definition",
		"aborted",
		"state",
		"promise",
		"fresh",
	])("changes nothing by %s", async (key) => {
		for (const value of ["text", 1, { nested: true }]) {
			const log: string[] = [];
			const out = await polluted({ [key]: value }, async () => {
				const A = logged(log, "a");
				const B = logged(log, "b", { a: A });
				const error = await rejection(
					withScope(async () => {
						log.push(await use(B), (await useAll({ a: A })).a);
						throw new Error("work");
					}),
				);
				return (error as Error).message;
			});
			expect(out).toBe("work");
			expect(log).toEqual(["+a", "+b", "b", "a", "-b:failure", "-a:failure"]);
		}
	});

	// options are read as any object's are; SECURITY.md says so
	it.each([
		["lifetime", 1],
		["name", {}],
		["parent", "text"],
		["bindings", "text"],
		["bindings", [{}]],
		["signal", "text"],
		["releaseTimeout", "text"],
		["release", "text"],
		["onReleaseError", "text"],
	])("is refused as an option of the wrong kind: %s", async (key, value) => {
		const error = await polluted({ [key]: value }, () => rejection(withScope(() => 1)));
		expect(error).toMatchObject({ code: "YS_ERR_INVALID_ARGUMENT" });
	});
});
