import { describe, expect, it } from "vitest";
import {
	DidNotYieldError,
	InvalidArgumentError,
	openScope,
	provide,
	type Resource,
	resource,
	ScopeError,
	type SetupContext,
	token,
	use,
	useAll,
	withScope,
	YieldedTwiceError,
} from "../src/index.ts";
import { gate, logged, rejection, ticks } from "./support.ts";

/** What TypeScript makes of `async function*` for ES2017 and older, with its helper. */
function downlevelledAsync(log: string[], value: string): () => AsyncGenerator<string> {
	class Awaited {
		readonly v: unknown;
		constructor(v: unknown) {
			this.v = v;
		}
	}
	function asyncGenerator(body: () => Generator<unknown>): unknown {
		const g = body() as unknown as Record<string, (v: unknown) => IteratorResult<unknown>>;
		const queue: [string, unknown, (v: unknown) => void, (e: unknown) => void][] = [];
		const i: Record<PropertyKey, unknown> = {};
		const resume = (n: string, v: unknown) => {
			try {
				step(g[n]?.(v) as IteratorResult<unknown>);
			} catch (error) {
				settle(queue[0]?.[3], error);
			}
		};
		const step = (r: IteratorResult<unknown>) => {
			if (r.value instanceof Awaited) {
				Promise.resolve(r.value.v).then(
					(v) => resume("next", v),
					(e) => resume("throw", e),
				);
			} else settle(queue[0]?.[2], r);
		};
		const settle = (f: ((v: unknown) => void) | undefined, v: unknown) => {
			f?.(v);
			queue.shift();
			if (queue[0]) resume(queue[0][0], queue[0][1]);
		};
		for (const n of ["next", "throw", "return"]) {
			i[n] = (v: unknown) =>
				new Promise((a, b) => {
					if (queue.push([n, v, a, b]) === 1) resume(n, v);
				});
		}
		i[Symbol.asyncIterator] = function (this: unknown) {
			return this;
		};
		return i;
	}
	return () =>
		asyncGenerator(function* () {
			yield new Awaited(Promise.resolve());
			log.push("setup");
			try {
				yield value;
				log.push("success");
			} catch (error) {
				log.push("failure");
				throw error;
			} finally {
				yield new Awaited(Promise.resolve());
				log.push("finally");
			}
		}) as AsyncGenerator<string>;
}

/** A generator as ES5 has it: a state machine in an ordinary object. */
function downlevelled(log: string[], value: string): () => Generator<string> {
	return () => {
		let at = 0;
		const done = { done: true as const, value: undefined };
		return {
			next() {
				if (at++ === 0) {
					log.push("setup");
					return { done: false, value };
				}
				log.push("success", "finally");
				return done;
			},
			throw(error: unknown) {
				log.push("failure", "finally");
				throw error;
			},
			return() {
				log.push("finally");
				return done;
			},
			[Symbol.iterator]() {
				return this;
			},
		} as unknown as Generator<string>;
	};
}

/** Every kind of setup that yields, by name. */
function yieldingSetups(
	log: string[],
	value: string,
): Record<string, (context: SetupContext) => Generator<string> | AsyncGenerator<string>> {
	async function* asynchronous(): AsyncGenerator<string> {
		log.push("setup");
		try {
			yield value;
			log.push("success");
		} catch (error) {
			log.push("failure");
			throw error;
		} finally {
			log.push("finally");
		}
	}
	function* synchronous(): Generator<string> {
		log.push("setup");
		try {
			yield value;
			log.push("success");
		} catch (error) {
			log.push("failure");
			throw error;
		} finally {
			log.push("finally");
		}
	}
	const host = {
		async *method() {
			yield* asynchronous();
		},
		*plainMethod() {
			yield* synchronous();
		},
	};
	class Host {
		async *create() {
			yield* asynchronous();
		}
	}
	return {
		"an async generator": asynchronous,
		"a generator": synchronous,
		"a bound async generator": asynchronous.bind(undefined),
		"a bound generator": synchronous.bind(undefined),
		"an arrow function around an async generator": () => asynchronous(),
		"an arrow function around a generator": () => synchronous(),
		"a partially applied generator": ((_option: number) => asynchronous()).bind(undefined, 1),
		"a proxy of an async generator": new Proxy(asynchronous, {}),
		"a method": host.method,
		"a generator method": host.plainMethod,
		"a method of a class": Host.prototype.create,
		"a down-levelled async generator": downlevelledAsync(log, value),
		"a down-levelled generator": downlevelled(log, value),
	};
}

const yielding = Object.keys(yieldingSetups([], ""));

describe("rule 1: one yield", () => {
	it.each([
		["an async generator", async function* () {}],
		["a generator", function* () {}],
		[
			"a generator that returns a value instead",
			// biome-ignore lint/correctness/useYield: that it doesn't is the point
			async function* () {
				return 1;
			},
		],
		[
			"an async function's generator",
			async () =>
				// biome-ignore lint/correctness/useYield: that it doesn't is the point
				(function* () {
					return 1;
				})(),
		],
	])("rejects the use when %s ends without a yield", async (_kind, setup) => {
		const Db = resource(setup as () => Generator<number>, { name: "Db" });
		const error = await withScope({ name: "work" }, () => rejection(use(Db)));
		expect(error).toBeInstanceOf(DidNotYieldError);
		expect(error).toMatchObject({
			code: "YS_ERR_DID_NOT_YIELD",
			resource: "Db",
			scope: "work",
			path: ["Db"],
		});
	});

	it("names who asked for the resource that doesn't yield", async () => {
		const Pool = resource(async function* (): AsyncGenerator<number> {}, { name: "Pool" });
		const Tx = resource({ pool: Pool }, () => 1, { name: "Tx" });
		const Orders = resource(() => use(Tx), { name: "Orders" });
		const error = await withScope(() => rejection(use(Orders)));
		expect(error).toBeInstanceOf(DidNotYieldError);
		expect(error).toMatchObject({ resource: "Pool", path: ["Orders", "Tx", "Pool"] });
	});

	it("owns nothing of a resource that doesn't yield, and tries again", async () => {
		const log: string[] = [];
		let ready = false;
		const Db = resource(async function* () {
			log.push("+db");
			try {
				if (ready) yield "db";
			} finally {
				log.push("-db");
			}
		});
		await withScope(async () => {
			expect(await rejection(use(Db))).toBeInstanceOf(DidNotYieldError);
			expect(log).toEqual(["+db", "-db"]);
			ready = true;
			expect(await use(Db)).toBe("db");
		});
		expect(log).toEqual(["+db", "-db", "+db", "-db"]);
	});

	for (const kind of ["async function*", "function*"] as const) {
		const make = (log: string[]): Resource<string> => {
			function* twice(): Generator<string> {
				try {
					try {
						log.push("+twice");
						yield "one";
						log.push("after one");
					} catch {
						log.push("caught");
					}
					yield "two";
					log.push("after two");
				} finally {
					log.push("closed");
				}
			}
			return kind === "function*"
				? resource(twice, { name: "Twice" })
				: resource(
						async function* () {
							yield* twice();
						},
						{ name: "Twice" },
					);
		};

		it(`rejects the scope when ${kind} yields twice, after closing the generator`, async () => {
			const log: string[] = [];
			const Twice = make(log);
			const error = await rejection(
				withScope({ name: "work" }, async () => {
					expect(await use(Twice)).toBe("one");
				}),
			);
			expect(error).toBeInstanceOf(YieldedTwiceError);
			expect(error).toMatchObject({
				code: "YS_ERR_YIELDED_TWICE",
				resource: "Twice",
				scope: "work",
			});
			expect((error as Error).cause).toBe(undefined);
			expect(log).toEqual(["+twice", "after one", "closed"]);
		});

		it(`replaces the failure when ${kind} yields again after catching it`, async () => {
			const log: string[] = [];
			const Twice = make(log);
			const failure = new Error("work");
			const error = await rejection(
				withScope(async () => {
					await use(Twice);
					throw failure;
				}),
			);
			expect(error).toBeInstanceOf(YieldedTwiceError);
			expect((error as YieldedTwiceError).code).toBe("YS_ERR_YIELDED_TWICE");
			expect((error as Error).cause).toBe(failure);
			expect(log).toEqual(["+twice", "caught", "closed"]);
		});

		it(`rejects an incomplete scope's close when ${kind} yields again`, async () => {
			const log: string[] = [];
			const scope = openScope();
			await scope.use(make(log));
			const error = await rejection(scope.disposeAsync());
			expect(error).toBeInstanceOf(YieldedTwiceError);
			expect(log).toEqual(["+twice", "caught", "closed"]);
		});
	}

	it("lets those still to be released see the second yield as the failure", async () => {
		const log: string[] = [];
		let seen: unknown;
		const Db = resource(async function* () {
			try {
				yield 1;
			} catch (error) {
				seen = error;
				throw error;
			}
		});
		const Twice = resource({ db: Db }, async function* () {
			yield 1;
			yield 2;
		});
		const Other = logged(log, "other", { db: Db });
		const error = await rejection(withScope(() => useAll({ other: Other, twice: Twice })));
		expect(error).toBeInstanceOf(YieldedTwiceError);
		expect(seen).toBe(error);
		expect(log).toEqual(["+other", "-other:failure"]);
	});

	it("closes a generator that would yield for ever", async () => {
		const log: string[] = [];
		const Endless = resource(function* () {
			try {
				for (;;) yield log.push("yield");
			} finally {
				log.push("closed");
			}
		});
		expect(await rejection(withScope(() => use(Endless)))).toBeInstanceOf(YieldedTwiceError);
		expect(log).toEqual(["yield", "yield", "closed"]);
	});

	it("calls return() once, on the generator", async () => {
		const calls: unknown[] = [];
		const generator = {
			next: async () => ({ done: false, value: 1 }),
			throw: async (error: unknown) => Promise.reject(error),
			async return(...args: unknown[]) {
				calls.push(this === generator, ...args);
				return { done: true, value: undefined };
			},
			[Symbol.asyncIterator]: () => generator,
		};
		const Db = resource(() => generator as unknown as AsyncGenerator<number>);
		expect(await rejection(withScope(() => use(Db)))).toBeInstanceOf(YieldedTwiceError);
		expect(calls).toEqual([true, undefined]);
	});

	it("reports what the closing of the generator throws", async () => {
		const reported: unknown[] = [];
		const broken = new Error("finally");
		const failing = [
			async function* () {
				try {
					yield 1;
					yield 2;
				} finally {
					// biome-ignore lint/correctness/noUnsafeFinally: cleanup code that fails
					throw broken;
				}
			},
			function* () {
				try {
					yield 1;
					yield 2;
				} finally {
					// biome-ignore lint/correctness/noUnsafeFinally: cleanup code that fails
					throw broken;
				}
			},
		];
		for (const setup of failing) {
			const Db = resource(setup as () => AsyncGenerator<number>);
			const error = await rejection(
				withScope({ onReleaseError: (each) => reported.push(each) }, () => use(Db)),
			);
			expect(error).toBeInstanceOf(YieldedTwiceError);
		}
		expect(reported).toEqual([broken, broken]);
		expect(reported[0]).toBe(broken);
	});

	it("accepts a generator that returns instead of ending", async () => {
		const Db = resource(async function* () {
			yield 1;
			return "ignored";
		});
		expect(await withScope(() => use(Db))).toBe(1);
	});
});

describe("rule 2: every kind of setup", () => {
	it.each(yielding)("takes %s, and tells it of success", async (kind) => {
		const log: string[] = [];
		const Db = resource(yieldingSetups(log, "db")[kind] as () => AsyncGenerator<string>);
		expect(await withScope(() => use(Db))).toBe("db");
		expect(log).toEqual(["setup", "success", "finally"]);
	});

	it.each(yielding)("takes %s, and throws the failure into it", async (kind) => {
		const log: string[] = [];
		const failure = new Error("work");
		const Db = resource(yieldingSetups(log, "db")[kind] as () => AsyncGenerator<string>);
		const error = await rejection(
			withScope(async () => {
				await use(Db);
				throw failure;
			}),
		);
		expect(error).toBe(failure);
		expect(log).toEqual(["setup", "failure", "finally"]);
	});

	it.each(yielding)("takes an async function that returns %s", async (kind) => {
		const log: string[] = [];
		const setup = yieldingSetups(log, "db")[kind] as () => AsyncGenerator<string>;
		const Db = resource(async () => {
			await undefined;
			return setup();
		});
		expect(await withScope(() => use(Db))).toBe("db");
		expect(log).toEqual(["setup", "success", "finally"]);
	});

	class Clock {
		readonly now: number = 7;
	}
	it.each<[string, (context: SetupContext) => unknown, unknown]>([
		["a plain function", () => "db", "db"],
		["an async function", async () => "db", "db"],
		["a promise of a promise", () => Promise.resolve().then(async () => "db"), "db"],
		[
			"a thenable",
			() => ({
				// biome-ignore lint/suspicious/noThenProperty: a thenable, as query builders are
				then: (resolve: (value: string) => void) => resolve("db"),
			}),
			"db",
		],
		["a bound function", ((value: string) => value).bind(undefined, "db"), "db"],
		["a proxy of a function", new Proxy(() => "db", {}), "db"],
		["a function that returns a function", () => Clock, Clock],
	])("takes %s", async (_kind, setup, value) => {
		expect(await withScope(() => use(resource(setup)))).toBe(value);
	});

	it("takes a class, whose instance is the value", async () => {
		const value = await withScope(() => use(resource(Clock)));
		expect(value).toBeInstanceOf(Clock);
		expect(value.now).toBe(7);
	});

	it("gives a class the context", async () => {
		class Service {
			readonly context: SetupContext;
			constructor(context: SetupContext) {
				this.context = context;
			}
		}
		await withScope(async (scope) => {
			const { context } = await use(resource(Service));
			expect(context.scope).toBe(scope);
			expect(context.signal).toBe(scope.signal);
		});
	});

	it("takes a method that is called class", async () => {
		const host = {
			class() {
				return 1;
			},
		};
		expect(await withScope(() => use(resource(host.class)))).toBe(1);
	});

	it("gives a setup the context, or its dependencies and the context", async () => {
		const seen: unknown[][] = [];
		const A = resource((...args: unknown[]) => {
			seen.push(args);
			return "a";
		});
		const B = resource({ a: A, again: A }, (...args: unknown[]) => {
			seen.push(args);
			return "b";
		});
		await withScope(async (scope) => {
			await use(B);
			expect(seen).toEqual([[{ scope }], [{ a: "a", again: "a" }, { scope }]]);
			for (const args of seen) {
				const { signal } = args.at(-1) as SetupContext;
				expect(signal).toBe(scope.signal);
			}
		});
	});

	const kinds: Record<
		string,
		(log: string[], name: string, dep?: Resource<string>) => Resource<string>
	> = {
		"async function*": (log, name, dep) =>
			resource(async function* () {
				const inner = dep && (await use(dep));
				log.push(`+${name}`);
				yield name + (inner ?? "");
				log.push(`-${name}`);
			}),
		"function*": (log, name, dep) =>
			resource(dep ? { dep } : ({} as { dep: Resource<string> }), function* (values) {
				log.push(`+${name}`);
				yield name + (values.dep ?? "");
				log.push(`-${name}`);
			}),
		"async function": (log, name, dep) =>
			resource(async ({ scope }) => {
				const inner = dep && (await scope.use(dep));
				log.push(`+${name}`);
				scope.defer(() => void log.push(`-${name}`));
				return name + (inner ?? "");
			}),
		function: (log, name, dep) =>
			resource(dep ? { dep } : ({} as { dep: Resource<string> }), (values, { scope }) => {
				log.push(`+${name}`);
				scope.defer(() => void log.push(`-${name}`));
				return name + (values.dep ?? "");
			}),
	};
	for (const outer of Object.keys(kinds)) {
		it.each(Object.keys(kinds))(`lets ${outer} depend on %s`, async (inner) => {
			const log: string[] = [];
			const Inner = (kinds[inner] as (typeof kinds)[string])(log, "i");
			const Outer = (kinds[outer] as (typeof kinds)[string])(log, "o", Inner);
			expect(await withScope(() => use(Outer))).toBe("oi");
			expect(log).toEqual(["+i", "+o", "-o", "-i"]);
		});
	}

	it("runs a sync setup with ready dependencies within the call of use", async () => {
		const log: string[] = [];
		const A = resource(() => void log.push("a"));
		const B = resource({ a: A }, () => void log.push("b"));
		await withScope(async () => {
			const pending = use(B);
			log.push("called");
			await pending;
		});
		expect(log).toEqual(["a", "b", "called"]);
	});

	it("releases a resource whose setup used `await using` before what that holds", async () => {
		const log: string[] = [];
		const Db = resource(async function* () {
			await using _lock = { [Symbol.asyncDispose]: async () => void log.push("unlocked") };
			log.push("+db");
			yield "db";
			log.push("-db");
		});
		await withScope(() => use(Db));
		expect(log).toEqual(["+db", "-db", "unlocked"]);
	});

	it("disposes what a generator holds by `using` when the work fails", async () => {
		const log: string[] = [];
		const failure = new Error("work");
		const Db = resource(function* () {
			using _lock = { [Symbol.dispose]: () => void log.push("unlocked") };
			yield "db";
			log.push("not reached");
		});
		const error = await rejection(
			withScope(async () => {
				await use(Db);
				throw failure;
			}),
		);
		expect(error).toBe(failure);
		expect(log).toEqual(["unlocked"]);
	});
});

describe("rule 2: returned disposables", () => {
	const returned: Record<string, <T extends object>(value: T) => Resource<T>> = {
		"a function": (value) => resource(() => value),
		"an async function": (value) => resource(async () => value),
		"a function that returns a promise": (value) => resource(() => Promise.resolve(value)),
		"a class": (value) =>
			resource(
				class {
					constructor() {
						// biome-ignore lint/correctness/noConstructorReturn: lets the test keep the instance
						return value;
					}
				} as new () => typeof value,
			),
	};
	for (const [kind, make] of Object.entries(returned)) {
		it(`disposes what ${kind} returned, by Symbol.asyncDispose`, async () => {
			const log: unknown[] = [];
			const disposed = gate();
			const value = {
				async [Symbol.asyncDispose](...args: unknown[]) {
					log.push("begun", this === value, ...args);
					await disposed.promise;
					log.push("disposed");
				},
			};
			const done = withScope(async () => {
				expect(await use(make(value))).toBe(value);
			}).then(() => log.push("closed"));
			await ticks();
			expect(log).toEqual(["begun", true]);
			disposed.open();
			await done;
			expect(log).toEqual(["begun", true, "disposed", "closed"]);
		});

		it(`disposes what ${kind} returned, by Symbol.dispose`, async () => {
			const log: unknown[] = [];
			const value = {
				[Symbol.dispose](...args: unknown[]) {
					log.push(this === value, ...args);
				},
			};
			await withScope(async () => {
				expect(await use(make(value))).toBe(value);
				expect(log).toEqual([]);
			});
			expect(log).toEqual([true]);
		});
	}

	it("disposes an instance of a class with a disposer", async () => {
		const log: string[] = [];
		class Connection implements AsyncDisposable {
			async [Symbol.asyncDispose]() {
				log.push("closed");
			}
		}
		await withScope(() => use(resource(Connection)));
		expect(log).toEqual(["closed"]);
	});

	it("disposes a function that has a disposer", async () => {
		const log: string[] = [];
		const query = Object.assign(() => "row", { [Symbol.dispose]: () => void log.push("closed") });
		await withScope(async () => {
			expect((await use(resource(() => query)))()).toBe("row");
		});
		expect(log).toEqual(["closed"]);
	});

	it("prefers Symbol.asyncDispose", async () => {
		const log: string[] = [];
		const value = {
			[Symbol.asyncDispose]: async () => void log.push("async"),
			[Symbol.dispose]: () => void log.push("sync"),
		};
		await withScope(() => use(resource(() => value)));
		expect(log).toEqual(["async"]);
	});

	it.each([null, undefined])(
		"takes Symbol.dispose where Symbol.asyncDispose is %s",
		async (none) => {
			const log: string[] = [];
			const value = { [Symbol.asyncDispose]: none, [Symbol.dispose]: () => void log.push("sync") };
			await withScope(() => use(resource(() => value)));
			expect(log).toEqual(["sync"]);
		},
	);

	it("rejects the use of a value whose disposer is no function", async () => {
		const error = await withScope(() =>
			rejection(use(resource(() => ({ [Symbol.asyncDispose]: 1 })))),
		);
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect(error).toMatchObject({ code: "YS_ERR_INVALID_ARGUMENT" });
	});

	it("disposes a fresh instance and the shared one, each once", async () => {
		const log: string[] = [];
		let made = 0;
		const Db = resource(() => {
			const id = ++made;
			return { [Symbol.dispose]: () => void log.push(`-${id}`) };
		});
		await withScope(async () => {
			await use(Db);
			await use(Db, { fresh: true });
			await use(Db);
		});
		expect(log).toEqual(["-2", "-1"]);
	});

	it("leaves a yielded disposable to the generator", async () => {
		const log: string[] = [];
		const value = {
			[Symbol.asyncDispose]: async () => void log.push("async"),
			[Symbol.dispose]: () => void log.push("sync"),
		};
		const Async = resource(async function* () {
			yield value;
			log.push("-Async");
		});
		const Sync = resource(function* () {
			yield value;
			log.push("-Sync");
		});
		await withScope(async () => {
			expect(await use(Async)).toBe(value);
			expect(await use(Sync)).toBe(value);
		});
		expect(log).toEqual(["-Sync", "-Async"]);
	});

	it("takes a generator with a disposer for a generator", async () => {
		const log: string[] = [];
		for (const key of [Symbol.asyncIterator, Symbol.iterator]) {
			log.length = 0;
			const generator: object = {
				next: () => ({ done: log.push("next") > 1, value: "db" }),
				throw: () => log.push("throw"),
				return: () => log.push("return"),
				[key]: () => generator,
				[Symbol.dispose]: () => log.push("dispose"),
				[Symbol.asyncDispose]: () => log.push("asyncDispose"),
			};
			expect(await withScope(() => use(resource(() => generator)))).toBe("db");
			expect(log).toEqual(["next", "next"]);
		}
	});

	it("disposes a returned scope", async () => {
		const log: string[] = [];
		const Sub = resource(() => {
			const scope = openScope({ name: "sub" });
			scope.defer(() => void log.push("-sub"));
			return scope;
		});
		await withScope(async () => {
			expect((await use(Sub)).disposed).toBe(false);
		});
		expect(log).toEqual(["-sub"]);
	});
});

describe("rule 2: falsy values", () => {
	const falsy = [undefined, null, false, 0, -0, 0n, "", Number.NaN];
	const setups: Record<string, (value: unknown) => (count: () => void) => unknown> = {
		returned: (value) => (count) => {
			count();
			return value;
		},
		"returned by an async function": (value) => async (count) => {
			count();
			return value;
		},
		"yielded by a generator": (value) =>
			function* (count) {
				count();
				yield value;
			},
		"yielded by an async generator": (value) =>
			async function* (count) {
				count();
				yield value;
			},
	};
	for (const [kind, make] of Object.entries(setups)) {
		it.each(falsy)(`keeps %s, ${kind}, as the value`, async (value) => {
			let made = 0;
			const Falsy = resource(() => make(value)(() => made++));
			const Dependent = resource({ falsy: Falsy }, ({ falsy }) => [falsy]);
			await withScope(async (scope) => {
				expect(await use(Falsy)).toBe(value);
				expect(await scope.use(Falsy)).toBe(value);
				expect(await useAll({ falsy: Falsy })).toEqual({ falsy: value });
				expect((await use(Dependent))[0]).toBe(value);
			});
			expect(made).toBe(1);
		});
	}

	it.each(falsy)("provides %s", async (value) => {
		const Value = token<unknown>("Value");
		const Dependent = resource({ value: Value }, ({ value: given }) => [given]);
		await withScope({ bindings: [provide(Value, value)] }, async () => {
			expect(await use(Value)).toBe(value);
			expect((await use(Dependent))[0]).toBe(value);
		});
	});
});

describe("rule 2: values that look like something else", () => {
	const stream = new ReadableStream();
	function* uncalled() {
		yield 1;
	}
	const like = { next: () => 1, throw: () => 1, return: () => 1 };
	it.each<[string, unknown]>([
		["an array", [1]],
		["a map", new Map()],
		["an array's iterator, which can't be thrown into", [1].values()],
		["a stream", stream],
		["a generator function that nobody called", uncalled],
		["an object with a generator's methods that can't be iterated", like],
		["an object without a prototype", Object.create(null)],
		["a frozen object", Object.freeze({})],
		["a symbol", Symbol("value")],
	])("keeps %s", async (_kind, value) => {
		expect(await withScope(() => use(resource(() => value)))).toBe(value);
		expect(await withScope(() => use(resource(async () => value)))).toBe(value);
		expect(
			await withScope(() =>
				use(
					resource(function* () {
						yield value;
					}),
				),
			),
		).toBe(value);
	});

	const parts = ["next", "return", "throw"];
	it.each(parts.flatMap((part) => [[part, "missing"] as const, [part, "no function"] as const]))(
		"keeps an iterator whose %s is %s",
		async (part, state) => {
			const iterator: Record<PropertyKey, unknown> = { [Symbol.iterator]: () => iterator };
			for (const each of parts) iterator[each] = () => ({ done: false, value: "yielded" });
			if (state === "missing") delete iterator[part];
			else iterator[part] = 1;
			const strict = new Proxy(iterator, {
				get(target, key) {
					if (key in target || key === "then") return target[key];
					throw new ReferenceError(`no ${String(key)}`);
				},
			});
			expect(await withScope(() => use(resource(() => strict)))).toBe(strict);
		},
	);

	it("disposes a dependency that is passed on once, whatever else there is", async () => {
		const log: string[] = [];
		const value = { [Symbol.dispose]: () => void log.push("disposed") };
		const Pool = resource(() => value);
		const Other = resource(() => 1);
		await withScope(() => use(resource({ Other, Pool }, ({ Pool: pool }) => pool)));
		expect(log).toEqual(["disposed"]);
	});

	it("keeps an object that throws for properties it doesn't have", async () => {
		// as configuration libraries make them, to find typing errors in names
		const config = new Proxy({ port: 80 } as Record<PropertyKey, unknown>, {
			get(target, key) {
				if (key in target || key === "then" || key === Symbol.iterator) return target[key];
				throw new ReferenceError(`no ${String(key)}`);
			},
		});
		expect(await withScope(() => use(resource(() => config)))).toBe(config);
	});

	const thenable = {
		// biome-ignore lint/suspicious/noThenProperty: a thenable, as query builders are
		then: (resolve: (value: string) => void) => resolve("unwrapped"),
	};
	it("refuses a yielded thenable, says how to box it, and closes the generator", async () => {
		const log: string[] = [];
		const Query = resource(
			function* () {
				try {
					yield thenable;
				} finally {
					log.push("closed");
				}
			},
			{ name: "Query" },
		);
		const error = await withScope(() => rejection(use(Query)));
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect(error).toMatchObject({ code: "YS_ERR_INVALID_ARGUMENT" });
		expect((error as Error).message).toMatch(/Query.*inside an object/);
		expect(log).toEqual(["closed"]);
	});

	it("takes a boxed thenable", async () => {
		const Query = resource(function* () {
			yield { query: thenable };
		});
		expect((await withScope(() => use(Query))).query).toBe(thenable);
	});

	it("refuses to provide a thenable", () => {
		const Query = token<unknown>("Query");
		expect(() => provide(Query, thenable)).toThrow(InvalidArgumentError);
		expect(() => provide(Query, thenable)).toThrow(/Query.*inside an object/);
		expect(() => provide(Query, Promise.resolve(1))).toThrow(InvalidArgumentError);
	});

	it("refuses a setup that returns a definition", async () => {
		const Db = resource(() => 1, { name: "Db" });
		for (const setup of [() => Db, async () => Db]) {
			const error = await withScope(() => rejection(use(resource<unknown>(setup))));
			expect(error).toBeInstanceOf(InvalidArgumentError);
			expect((error as Error).message).toContain("await use(Db)");
		}
	});

	it("says what to do when somebody awaits a definition", async () => {
		const Db = resource(() => 1, { name: "Db" });
		const error = await rejection(Promise.resolve(Db));
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect(error).toMatchObject({ code: "YS_ERR_INVALID_ARGUMENT" });
		expect((error as Error).message).toContain("await use(Db)");
	});

	it("rejects the use when a generator's step is no object", async () => {
		const broken = {
			next: async () => undefined,
			throw: async () => undefined,
			return: async () => undefined,
			[Symbol.asyncIterator]: () => broken,
		};
		const Db = resource(() => broken as unknown as AsyncGenerator<number>);
		const scope = openScope();
		let settled: unknown = "pending";
		scope.use(Db).then(
			() => {
				settled = "fulfilled";
			},
			(error) => {
				settled = error;
			},
		);
		await ticks();
		expect(settled).toBeInstanceOf(TypeError);
		await scope.disposeAsync();
	});

	it("closes a generator whose value can't be looked at", async () => {
		const log: string[] = [];
		const failure = new Error("no then");
		const value = {
			// biome-ignore lint/suspicious/noThenProperty: looking at it is what fails
			get then() {
				throw failure;
			},
		};
		const Hostile = resource(function* () {
			try {
				yield value;
			} finally {
				log.push("closed");
			}
		});
		expect(await withScope(() => rejection(use(Hostile)))).toBe(failure);
		expect(log).toEqual(["closed"]);
	});

	it.each<[string, unknown]>([
		["nothing", undefined],
		["null", null],
		["a number", 1],
		["a string", "Db"],
	])("refuses %s as a setup", (_kind, setup) => {
		expect(() => resource(setup as () => unknown)).toThrow(InvalidArgumentError);
		expect(() => resource({}, setup as () => unknown)).toThrow(InvalidArgumentError);
	});

	it("refuses dependencies that are no resources, by name", () => {
		const dependencies = { db: undefined } as unknown as { db: Resource<number> };
		expect(() => resource(dependencies, () => 1)).toThrow(InvalidArgumentError);
		expect(() => resource(dependencies, () => 1)).toThrow(/`db`/);
	});
});

describe("rule 3: sharing", () => {
	it("makes one instance, whoever asks and how", async () => {
		const log: string[] = [];
		const Db = resource(() => ({ id: log.push("+db") }));
		const A = resource({ db: Db }, ({ db }) => db);
		const B = resource(({ scope }) => scope.use(Db));
		await withScope(async (scope) => {
			const db = await use(Db);
			expect(await use(Db)).toBe(db);
			expect(await scope.use(Db)).toBe(db);
			expect(await useAll({ one: Db, two: Db })).toEqual({ one: db, two: db });
			expect(await use(A)).toBe(db);
			expect(await use(B)).toBe(db);
		});
		expect(log).toEqual(["+db"]);
	});

	it("makes one for each scope", async () => {
		let made = 0;
		const Db = resource(() => ++made);
		const one = openScope();
		const two = openScope();
		expect([await one.use(Db), await two.use(Db), await one.use(Db)]).toEqual([1, 2, 1]);
		await withScope(async () => {
			expect(await use(Db)).toBe(3);
			await withScope(async () => expect(await use(Db)).toBe(4));
			expect(await use(Db)).toBe(3);
		});
		await one.disposeAsync();
		await two.disposeAsync();
	});

	it("shares one setup among concurrent uses", async () => {
		const log: string[] = [];
		const ready = gate();
		const Db = resource(async function* () {
			log.push("+db");
			await ready.promise;
			yield { id: 1 };
			log.push("-db");
		});
		const Dependent = resource({ db: Db }, ({ db }) => db);
		await withScope(async (scope) => {
			const uses = [use(Db), scope.use(Db), use(Dependent), useAll({ db: Db }).then((v) => v.db)];
			await ticks();
			uses.push(use(Db));
			ready.open();
			const values = await Promise.all(uses);
			for (const value of values) expect(value).toBe(values[0]);
		});
		expect(log).toEqual(["+db", "-db"]);
	});

	it("shares a value that is never equal to itself", async () => {
		let made = 0;
		const Db = resource(() => {
			made++;
			return Number.NaN;
		});
		await withScope(() => Promise.all([use(Db), use(Db)]));
		expect(made).toBe(1);
	});

	it("gives all that wait the error of the failed setup", async () => {
		const failure = new Error("setup");
		const broken = gate();
		let made = 0;
		const Db = resource(async () => {
			made++;
			await broken.promise;
			throw failure;
		});
		const A = resource({ db: Db }, () => 1);
		const B = resource(() => use(Db));
		await withScope(async (scope) => {
			const waiting = [use(Db), scope.use(Db), use(A), use(B), useAll({ db: Db }), scope.use(A)];
			broken.open();
			for (const each of waiting) expect(await rejection(each)).toBe(failure);
		});
		expect(made).toBe(1);
	});

	for (const kind of ["a function", "an async function", "a generator", "an async generator"]) {
		it(`tries again after ${kind} has failed, and keeps what came of it`, async () => {
			let made = 0;
			const attempt = () => {
				made++;
				if (made < 3) throw made;
				return { made };
			};
			const setups: Record<string, () => unknown> = {
				"a function": attempt,
				"an async function": async () => attempt(),
				"a generator": function* () {
					yield attempt();
				},
				"an async generator": async function* () {
					yield attempt();
				},
			};
			const Db = resource(setups[kind] as () => unknown);
			await withScope(async () => {
				expect(await rejection(use(Db))).toBe(1);
				expect(await rejection(use(Db))).toBe(2);
				const value = await use(Db);
				expect(value).toEqual({ made: 3 });
				expect(await use(Db)).toBe(value);
			});
		});
	}

	it("tries again for whoever hears of the failure first", async () => {
		let made = 0;
		const Db = resource(async () => {
			if (++made === 1) throw new Error("first");
			return made;
		});
		await withScope(async () => {
			const retried = use(Db).catch(() => use(Db));
			const again = use(Db).catch(() => use(Db));
			expect(await Promise.all([retried, again])).toEqual([2, 2]);
		});
	});

	it("tries again for a dependent's next use", async () => {
		const log: string[] = [];
		let broken = true;
		const Db = resource(async () => {
			log.push("db");
			if (broken) throw new Error("down");
			return "db";
		});
		const Repo = resource({ db: Db }, ({ db }) => {
			log.push("repo");
			return `repo of ${db}`;
		});
		await withScope(async () => {
			await rejection(use(Repo));
			broken = false;
			expect(await use(Repo)).toBe("repo of db");
		});
		expect(log).toEqual(["db", "db", "repo"]);
	});

	it("keeps what a failed setup had acquired until release, for the next try too", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		let attempts = 0;
		const Db = resource({ pool: Pool }, async function* (_, { scope }) {
			const attempt = ++attempts;
			log.push(`+db${attempt}`);
			scope.defer(() => void log.push(`deferred ${attempt}`));
			try {
				if (attempt === 1) throw new Error("down");
				yield attempt;
			} finally {
				log.push(`-db${attempt}`);
			}
		});
		await withScope(async () => {
			await rejection(use(Db));
			expect(log).toEqual(["+pool", "+db1", "-db1"]);
			expect(await use(Db)).toBe(2);
			log.push("work");
		});
		expect(log).toEqual([
			"+pool",
			"+db1",
			"-db1",
			"+db2",
			"work",
			"-db2",
			"deferred 2",
			"deferred 1",
			"-pool:success",
		]);
	});

	it("doesn't run a setup whose dependency failed, and keeps the others", async () => {
		const log: string[] = [];
		const failure = new Error("b");
		const A = logged(log, "a");
		const B = resource(async () => {
			log.push("b");
			throw failure;
		});
		const C = logged(log, "c");
		const All = logged(log, "all", { a: A, b: B, c: C });
		await withScope(async () => {
			expect(await rejection(use(All))).toBe(failure);
			expect(log).toEqual(["+a", "b", "+c"]);
		});
		expect(log).toEqual(["+a", "b", "+c", "-c:success", "-a:success"]);
	});

	it("doesn't let a failed use fail the scope by itself", async () => {
		const Db = resource(async () => {
			throw new Error("down");
		});
		expect(
			await withScope(async () => {
				await rejection(use(Db));
				return "went on";
			}),
		).toBe("went on");
	});

	it("starts independent dependencies together", async () => {
		const log: string[] = [];
		const first = gate();
		const second = gate();
		const A = resource(async () => {
			log.push("a begins");
			await first.promise;
			log.push("a ends");
		});
		const B = resource(async () => {
			log.push("b begins");
			await second.promise;
			log.push("b ends");
		});
		const Both = resource({ a: A, b: B }, () => void log.push("both"));
		await withScope(async () => {
			const both = use(Both);
			await ticks();
			second.open();
			await ticks();
			first.open();
			await both;
		});
		expect(log).toEqual(["a begins", "b begins", "b ends", "a ends", "both"]);
	});

	it("sets up a tree once, dependencies before dependents", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const B = logged(log, "b", { a: A });
		const C = logged(log, "c", { a: A });
		const D = logged(log, "d", { b: B, c: C });
		const E = logged(log, "e", { d: D, a: A, b: B });
		await withScope(() => useAll({ e: E, d: D, c: C }));
		expect(log).toEqual([
			...["+a", "+b", "+c", "+d", "+e"],
			...["-e:success", "-d:success", "-c:success", "-b:success", "-a:success"],
		]);
	});

	it("keeps hundreds of resources apart", async () => {
		const all = Array.from({ length: 300 }, (_, i) => resource(() => ({ i })));
		await withScope(async () => {
			const first = await Promise.all(all.map((each) => use(each)));
			const second = await Promise.all(all.map((each) => use(each)));
			expect(first.map(({ i }) => i)).toEqual(all.map((_, i) => i));
			for (const [i, value] of second.entries()) expect(value).toBe(first[i]);
		});
	});
});

describe("rule 4: fresh", () => {
	const counted = (log: string[]): Resource<number> => {
		let made = 0;
		return resource(async function* () {
			const id = ++made;
			log.push(`+${id}`);
			yield id;
			log.push(`-${id}`);
		});
	};

	it("makes a new instance for every fresh use, owned and released like any other", async () => {
		const log: string[] = [];
		const Db = counted(log);
		await withScope(async (scope) => {
			expect(await use(Db)).toBe(1);
			expect(await use(Db, { fresh: true })).toBe(2);
			expect(await scope.use(Db, { fresh: true })).toBe(3);
			expect(await use(Db)).toBe(1);
			expect(await use(Db, { fresh: false })).toBe(1);
		});
		expect(log).toEqual(["+1", "+2", "+3", "-3", "-2", "-1"]);
	});

	it("never shares a fresh instance, not even one that came first", async () => {
		const log: string[] = [];
		const Db = counted(log);
		await withScope(async () => {
			const fresh = use(Db, { fresh: true });
			const shared = use(Db);
			const again = use(Db);
			expect(await Promise.all([fresh, shared, again])).toEqual([1, 2, 2]);
			expect(await use(Db)).toBe(2);
		});
		expect(log).toEqual(["+1", "+2", "-2", "-1"]);
	});

	it("shares the dependencies of fresh instances", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { pool: Pool });
		await withScope(() => Promise.all([use(Tx, { fresh: true }), use(Tx, { fresh: true })]));
		expect(log).toEqual(["+pool", "+tx", "+tx", "-tx:success", "-tx:success", "-pool:success"]);
	});

	it("releases a fresh instance made by a setup after that resource", async () => {
		const log: string[] = [];
		const Db = counted(log);
		const Copy = resource(async function* () {
			yield await Promise.all([use(Db, { fresh: true }), use(Db, { fresh: true })]);
			log.push("-copy");
		});
		await withScope(async () => expect(await use(Copy)).toEqual([1, 2]));
		expect(log).toEqual(["+1", "+2", "-copy", "-2", "-1"]);
	});

	it("leaves the shared instance alone when a fresh one fails", async () => {
		let made = 0;
		const Db = resource(async () => {
			if (++made === 2) throw new Error("second");
			return made;
		});
		await withScope(async () => {
			await use(Db);
			expect(await rejection(use(Db, { fresh: true }))).toMatchObject({ message: "second" });
			expect(await use(Db)).toBe(1);
		});
	});

	it("throws the failure of the work into fresh instances too", async () => {
		const log: string[] = [];
		const failure = new Error("work");
		const error = await rejection(
			withScope(async () => {
				await use(logged(log, "a"), { fresh: true });
				throw failure;
			}),
		);
		expect(error).toBe(failure);
		expect(log).toEqual(["+a", "-a:failure"]);
	});
});

describe("rule 5: laziness", () => {
	it("runs no setup until somebody uses the resource", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const B = logged(log, "b", { a: A });
		const C = logged(log, "c");
		const scope = openScope({ bindings: [provide(token("T"), 1)] });
		await ticks();
		expect(log).toEqual([]);
		await scope.use(C);
		expect(log).toEqual(["+c"]);
		await scope.use(B);
		expect(log).toEqual(["+c", "+a", "+b"]);
		scope.complete();
		await scope.disposeAsync();
	});
});

describe("rule 6: setup errors", () => {
	class Custom extends Error {}
	const thrown: unknown[] = [
		new Error("plain"),
		new Custom("custom"),
		Object.freeze(new Error("frozen")),
		new ScopeError("the user's own"),
		undefined,
		null,
		false,
		0,
		"text",
		Symbol("thrown"),
		Object.freeze({}),
	];
	const raise = (error: unknown): never => {
		throw error;
	};
	const failing: Record<string, (error: unknown) => Resource<unknown>> = {
		"a function": (error) =>
			resource(() => {
				throw error;
			}),
		"an async function": (error) =>
			resource(async () => {
				throw error;
			}),
		"an async function, later": (error) =>
			resource(async () => {
				await ticks(3);
				throw error;
			}),
		"a generator": (error) =>
			resource(function* () {
				yield raise(error);
			}),
		"an async generator": (error) =>
			resource(async function* () {
				yield raise(error);
			}),
		"an async generator, later": (error) =>
			resource(async function* () {
				await ticks(3);
				yield raise(error);
			}),
		"a class": (error) =>
			resource(
				class {
					constructor() {
						throw error;
					}
				},
			),
		"a thenable": (error) =>
			resource(() => ({
				// biome-ignore lint/suspicious/noThenProperty: a thenable, as query builders are
				then(_resolve: unknown, reject: (reason: unknown) => void) {
					reject(error);
				},
			})),
		"a thenable that throws": (error) =>
			resource(() => ({
				// biome-ignore lint/suspicious/noThenProperty: a thenable, as query builders are
				then() {
					throw error;
				},
			})),
		"a generator's next() that throws": (error) =>
			resource((): AsyncGenerator<unknown> => {
				const generator = {
					next() {
						throw error;
					},
					throw: () => undefined,
					return: () => undefined,
					[Symbol.asyncIterator]: () => generator,
				};
				return generator as unknown as AsyncGenerator<unknown>;
			}),
		"a promised generator's next() that throws": (error) =>
			resource(async (): Promise<AsyncGenerator<unknown>> => {
				const generator = {
					next() {
						throw error;
					},
					throw: () => undefined,
					return: () => undefined,
					[Symbol.asyncIterator]: () => generator,
				};
				return generator as unknown as AsyncGenerator<unknown>;
			}),
	};
	for (const [kind, make] of Object.entries(failing)) {
		it(`rejects with the very error of ${kind}, everywhere`, async () => {
			for (const error of thrown) {
				const stack = error instanceof Error ? error.stack : undefined;
				const Bad = make(error);
				const Dependent = resource({ bad: Bad }, () => 1);
				const Asking = resource(async function* () {
					yield await use(Bad);
				});
				const got = await rejection(
					withScope(async (scope) => {
						expect(await rejection(use(Bad))).toBe(error);
						expect(await rejection(scope.use(Bad))).toBe(error);
						expect(await rejection(use(Bad, { fresh: true }))).toBe(error);
						expect(await rejection(useAll({ bad: Bad }))).toBe(error);
						expect(await rejection(use(Dependent))).toBe(error);
						expect(await rejection(use(Asking))).toBe(error);
						await use(Bad);
					}),
				);
				expect(got).toBe(error);
				if (error instanceof Error) {
					expect(error.cause).toBe(undefined);
					expect(error.stack).toBe(stack);
				}
			}
		});
	}

	it("lets a setup catch the error of what it uses, and go on without", async () => {
		const log: string[] = [];
		const Cache = resource(async () => {
			throw new Error("no cache");
		});
		const Db = resource(async function* () {
			const cache = await use(Cache).catch(() => undefined);
			log.push(`+db with ${cache}`);
			yield "db";
			log.push("-db");
		});
		expect(await withScope(() => use(Db))).toBe("db");
		expect(log).toEqual(["+db with undefined", "-db"]);
	});

	it("rejects useAll with the first error, while the others are set up", async () => {
		const log: string[] = [];
		const slow = gate();
		const failure = new Error("b");
		const A = resource(async function* () {
			await slow.promise;
			log.push("+a");
			yield 1;
			log.push("-a");
		});
		const B = resource(async () => {
			throw failure;
		});
		const error = await rejection(
			withScope(async () => {
				try {
					await useAll({ a: A, b: B });
				} finally {
					slow.open();
				}
			}),
		);
		expect(error).toBe(failure);
		expect(log).toEqual(["+a"]);
	});
});
