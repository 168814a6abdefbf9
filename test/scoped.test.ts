import { describe, expect, it } from "vitest";
import {
	currentScope,
	InvalidArgumentError,
	LifetimeError,
	openScope,
	provide,
	resource,
	ScopeClosedError,
	scoped,
	token,
	tryCurrentScope,
	use,
	withScope,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, thrower, ticks } from "./support.ts";

/** Leaves a generator function its type. */
type Shape = <F extends (...args: never[]) => AsyncGenerator>(fn: F) => F;

/** The ways in which a generator function shows itself: declared, or only by what it returns. */
const shapes: [string, Shape][] = [
	["an async generator function", (fn) => fn],
	["a bound async generator function", (fn) => fn.bind(undefined) as typeof fn],
	[
		"a function that returns an async generator",
		(fn) => ((...args: never[]) => fn(...args)) as typeof fn,
	],
	[
		"an async function that returns an async generator",
		(fn) => (async (...args: never[]) => fn(...args)) as unknown as typeof fn,
	],
];

/** Reads `generator` to its end. */
async function collect(generator: AsyncIterable<unknown>): Promise<unknown[]> {
	const values: unknown[] = [];
	for await (const value of generator) values.push(value);
	return values;
}

describe("scoped", () => {
	it("acquires, calls, and closes with the outcome", async () => {
		const log: string[] = [];
		const error = new Error("work");
		const fn = scoped(
			{ a: logged(log, "a"), b: logged(log, "b") },
			async ({ a, b }, fail: boolean) => {
				log.push(`work ${a}${b}`);
				if (fail) throw error;
				return 1;
			},
		);
		expect(await fn(false)).toBe(1);
		expect(await rejection(fn(true))).toBe(error);
		expect(log).toEqual([
			...["+a", "+b", "work ab", "-b:success", "-a:success"],
			...["+a", "+b", "work ab", "-b:failure", "-a:failure"],
		]);
	});

	it("passes arguments and this on, and keeps the name", async () => {
		const Tax = resource(() => 2);
		const shop = {
			price: 3,
			total: scoped({ tax: Tax }, function total(this: { price: number }, { tax }, count: number) {
				return this.price * count * tax;
			}),
		};
		expect(await shop.total(5)).toBe(30);
		expect(shop.total.name).toBe("total");
	});

	it("wraps sync functions", async () => {
		const fn = scoped({ a: resource(() => 1) }, ({ a }, b: number) => a + b);
		expect(await fn(2)).toBe(3);
	});

	it("makes the scope ambient, with its options, under the ambient scope", async () => {
		const Name = token<string>("Name");
		const fn = scoped(
			{ name: Name },
			({ name }) => {
				const scope = currentScope();
				return [name, scope.name, scope.lifetime, scope.parent?.name];
			},
			{ lifetime: "task", name: "job", bindings: [provide(Name, "n")] },
		);
		expect(await fn()).toEqual(["n", "job", "task", undefined]);
		expect(await withScope({ name: "outer" }, () => fn())).toEqual(["n", "job", "task", "outer"]);
	});

	it("goes under the parent that the options name", async () => {
		const parent = openScope({ name: "parent" });
		const under = scoped({}, () => currentScope().parent?.name, { parent });
		const alone = scoped({}, () => currentScope().parent?.name, { parent: null });
		expect(await withScope(under)).toBe("parent");
		expect(await withScope(alone)).toBe(undefined);
		await parent.disposeAsync();
	});

	it("opens a scope for each call", async () => {
		const log: string[] = [];
		const fn = scoped({ a: logged(log, "a") }, async () => log.push("work"));
		await Promise.all([fn(), fn()]);
		expect(log.filter((line) => line === "+a").length).toBe(2);
	});

	it("rejects with what a dependency's setup throws, and doesn't call", async () => {
		const error = new Error("setup");
		const A = resource(() => {
			throw error;
		});
		let called = false;
		const fn = scoped({ a: A }, () => {
			called = true;
		});
		expect(await rejection(fn())).toBe(error);
		expect(called).toBe(false);
	});

	it("refuses dependencies that are none, and what isn't a function", () => {
		expect(() => scoped({ a: 1 } as never, () => 1)).toThrow(InvalidArgumentError);
		expect(() => scoped({}, 1 as never)).toThrow(InvalidArgumentError);
	});

	it("can be a setup, whatever it wraps", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const Value = resource(scoped({ a: A }, async ({ a }) => `${a}!`));
		const Generated = resource(
			scoped({ a: A }, async function* ({ a }) {
				yield `${a}?`;
				log.push("after");
			}),
		);
		await withScope(async () => {
			expect(await use(Value)).toBe("a!");
			expect(await use(Generated)).toBe("a?");
			log.push("work");
		});
		expect(log).toEqual(["+a", "-a:success", "+a", "work", "after", "-a:success"]);
	});
});

describe.each(shapes)("scoped(%s)", (_name, shape) => {
	it("keeps the scope open until the generator ends, and that is success", async () => {
		const log: string[] = [];
		const rows = scoped(
			{ a: logged(log, "a") },
			shape(async function* ({ a }: { a: string }, n: number) {
				for (let i = 0; i < n; i++) yield `${a}${i}`;
				log.push("end");
			}),
		);
		for await (const row of rows(2)) log.push(row);
		expect(log).toEqual(["+a", "a0", "a1", "end", "-a:success"]);
	});

	it("fails when the generator throws", async () => {
		const log: string[] = [];
		const error = new Error("generator");
		const rows = scoped(
			{ a: logged(log, "a") },
			shape(async function* () {
				yield 1;
				throw error;
			}),
		);
		const generator = rows();
		expect(await generator.next()).toEqual({ value: 1, done: false });
		expect(await rejection(generator.next())).toBe(error);
		expect(log).toEqual(["+a", "-a:failure"]);
		expect(await generator.next()).toEqual({ value: undefined, done: true });
	});

	it("is incomplete when the consumer stops early, after the generator's finally", async () => {
		const log: string[] = [];
		const rows = scoped(
			{ a: logged(log, "a") },
			shape(async function* () {
				try {
					yield 1;
					yield 2;
				} finally {
					log.push(`finally ${await use(logged(log, "b"))}`);
				}
			}),
		);
		for await (const _ of rows()) break;
		expect(log).toEqual(["+a", "+b", "finally b", "-b:incomplete", "-a:incomplete"]);
	});

	it("closes the scope when the consumer stops before it starts", async () => {
		const log: string[] = [];
		const rows = scoped(
			{ a: logged(log, "a") },
			shape(async function* () {
				log.push("body");
				yield 1;
			}),
		);
		expect(await (rows() as AsyncGenerator).return(7)).toEqual({ value: 7, done: true });
		expect(log.filter((line) => line !== "+a")).toEqual(log.length > 0 ? ["-a:incomplete"] : []);
	});

	it("passes next's values, return's value and thrown errors on", async () => {
		const seen: unknown[] = [];
		const error = new Error("thrown in");
		const talk = scoped(
			{},
			shape(async function* () {
				seen.push(yield 1);
				try {
					yield 2;
				} catch (caught) {
					seen.push(caught);
				}
				yield 3;
				return "end";
			}),
		);
		const generator = talk();
		expect(await generator.next("dropped")).toEqual({ value: 1, done: false });
		expect(await generator.next("a")).toEqual({ value: 2, done: false });
		expect(await generator.throw(error)).toEqual({ value: 3, done: false });
		expect(await generator.next()).toEqual({ value: "end", done: true });
		expect(seen).toEqual(["a", error]);
	});

	it("has the scope ambient in every part of the body, and not in the consumer", async () => {
		const seen: unknown[] = [];
		const note = () => seen.push(tryCurrentScope()?.name);
		const rows = scoped(
			{},
			shape(async function* () {
				try {
					note();
					yield 1;
					note();
					await undefined;
					note();
					yield 2;
				} finally {
					note();
					await undefined;
					note();
				}
			}),
			{ name: "rows" },
		);
		await withScope({ name: "outer" }, async () => {
			const generator = rows();
			await generator.next();
			seen.push(currentScope().name);
			await withScope({ name: "elsewhere" }, () => generator.next());
			seen.push(currentScope().name);
			await generator.return(undefined);
		});
		expect(seen).toEqual(["rows", "outer", "rows", "rows", "outer", "rows", "rows"]);
	});

	it("rejects the last next() when a release fails", async () => {
		const error = new Error("commit");
		const rows = scoped(
			{ a: thrower(error) },
			shape(async function* () {
				yield 1;
			}),
		);
		const generator = rows();
		await generator.next();
		expect(await rejection(generator.next())).toBe(error);
	});

	it("rejects with what a resource made of the generator's error", async () => {
		const translated = new Error("translated");
		const rows = scoped(
			{ a: thrower(translated) },
			// biome-ignore lint/correctness/useYield: it fails first
			shape(async function* () {
				throw new Error("generator");
			}),
		);
		expect(await rejection(collect(rows()))).toBe(translated);
		expect((translated.cause as Error).message).toBe("generator");
	});

	it("rejects with what a dependency's setup throws", async () => {
		const error = new Error("setup");
		const A = resource(() => {
			throw error;
		});
		const rows = scoped(
			{ a: A },
			shape(async function* () {
				yield 1;
			}),
		);
		expect(await rejection(collect(rows()))).toBe(error);
	});

	it("is closed with the scope in which it was called, when it is abandoned", async () => {
		const log: string[] = [];
		const rows = scoped(
			{ a: logged(log, "a") },
			shape(async function* () {
				try {
					yield 1;
				} finally {
					log.push(`finally ${await use(A)}`);
				}
			}),
		);
		const A = logged(log, "a2", {}, { lifetime: "app" });
		let generator: AsyncGenerator | undefined;
		await withScope({ lifetime: "app" }, async () => {
			await use(A);
			generator = rows();
			await generator.next();
		});
		expect(log).toEqual(["+a2", "+a", "finally a2", "-a:incomplete", "-a2:success"]);
		const error = await rejection((generator as AsyncGenerator).next());
		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
	});

	it("can still be closed when that scope has closed it", async () => {
		const error = new Error("thrown in");
		const rows = scoped(
			{},
			shape(async function* () {
				yield 1;
			}),
		);
		const abandon = () =>
			withScope(async () => {
				const generator = rows();
				await generator.next();
				return { generator };
			});
		const returned = (await abandon()).generator;
		expect(await returned.return()).toEqual({ value: undefined, done: true });
		const thrownInto = (await abandon()).generator;
		expect(await rejection(thrownInto.throw(error))).toBe(error);
	});

	it("lets a step in progress end before its parent closes it", async () => {
		const log: string[] = [];
		const door = gate();
		const rows = scoped(
			{ a: logged(log, "a") },
			shape(async function* () {
				try {
					await door.promise;
					log.push("step");
					yield 1;
				} finally {
					log.push("finally");
				}
			}),
		);
		const parent = openScope();
		const next = parent.run(() => rows()).next();
		await ticks();
		const closed = parent.disposeAsync();
		await ticks();
		expect(log).toEqual(["+a"]);
		door.open();
		expect(await next).toEqual({ value: 1, done: false });
		await closed;
		expect(log).toEqual(["+a", "step", "finally", "-a:incomplete"]);
	});

	it("makes a failure in its finally the closing parent's", async () => {
		const error = new Error("finally");
		const rows = scoped(
			{},
			shape(async function* () {
				try {
					yield 1;
				} finally {
					// biome-ignore lint/correctness/noUnsafeFinally: it is the point
					throw error;
				}
			}),
		);
		const failure = await rejection(withScope(() => rows().next()));
		expect(failure).toBe(error);
	});

	it("may be read by a task that outlives the parent's work", async () => {
		const log: unknown[] = [];
		const rows = scoped(
			{ a: logged(log as string[], "a") },
			shape(async function* () {
				yield 1;
				await ticks();
				yield 2;
			}),
		);
		await withScope((scope) => {
			void scope.spawn(async () => {
				for await (const row of rows()) log.push(row);
			});
		});
		expect(log).toEqual(["+a", 1, 2, "-a:success"]);
	});

	it("is read in order although nobody waits for the single steps", async () => {
		const log: string[] = [];
		const rows = scoped(
			{ a: logged(log, "a") },
			shape(async function* () {
				yield 1;
				yield 2;
			}),
		);
		const generator: AsyncGenerator = rows();
		const steps = [generator.next(), generator.next(), generator.return(3), generator.next()];
		expect((await Promise.all(steps)).map(({ value }) => value)).toEqual([1, 2, 3, undefined]);
		expect(log).toEqual(["+a", "-a:incomplete"]);
	});
});

describe("a scoped generator function", () => {
	it("does nothing before its first next()", async () => {
		const log: string[] = [];
		const rows = scoped({ a: logged(log, "a") }, async function* () {
			yield 1;
		});
		const generator = rows();
		await ticks();
		expect(log).toEqual([]);
		expect(Object.prototype.toString.call(generator)).toBe("[object AsyncGenerator]");
		await generator.return(undefined);
		expect(log).toEqual([]);
	});

	it("belongs to the scope that was ambient at the call", async () => {
		const rows = scoped({}, async function* () {
			yield currentScope().parent?.name;
		});
		const outer = openScope({ name: "outer" });
		const generator = outer.run(() => rows());
		expect(await withScope({ name: "other" }, () => generator.next())).toEqual({
			value: "outer",
			done: false,
		});
		await outer.disposeAsync();
	});

	it("may be synchronous, and becomes asynchronous", async () => {
		const log: string[] = [];
		const rows = scoped({ a: logged(log, "a") }, function* ({ a }, n: number) {
			for (let i = 0; i < n; i++) yield `${a}${i}`;
		});
		expect(await collect(rows(2))).toEqual(["a0", "a1"]);
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("passes arguments and this on", async () => {
		const shop = {
			price: 3,
			totals: scoped(
				{ tax: resource(() => 2) },
				async function* (this: { price: number }, { tax }, ...counts: number[]) {
					for (const count of counts) yield this.price * count * tax;
				},
			),
		};
		expect(await collect(shop.totals(1, 2))).toEqual([6, 12]);
	});

	it("may acquire more as it goes", async () => {
		const log: string[] = [];
		const rows = scoped({}, async function* () {
			yield await use(logged(log, "a"));
			yield await use(logged(log, "b"));
		});
		expect(await collect(rows())).toEqual(["a", "b"]);
		expect(log).toEqual(["+a", "+b", "-b:success", "-a:success"]);
	});

	it("knows its lifetime", async () => {
		const Task = resource(() => 1, { name: "Task", lifetime: "task" });
		const body = async function* () {
			yield await use(Task);
		};
		expect(await collect(scoped({}, body, { lifetime: "task" })())).toEqual([1]);
		const error = await rejection(collect(scoped({}, body)()));
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
	});

	it("is aborted by the options' signal, and then fails even if it goes on to its end", async () => {
		const log: unknown[] = [];
		const controller = new AbortController();
		const reason = new Error("stop");
		const rows = scoped(
			{ a: logged(log as string[], "a") },
			async function* () {
				const { signal } = currentScope();
				signal.addEventListener("abort", () => log.push(signal.reason));
				yield 1;
				log.push("end");
			},
			{ signal: controller.signal },
		);
		const generator = rows();
		await generator.next();
		controller.abort(reason);
		expect(await rejection(generator.next())).toBe(reason);
		expect(log).toEqual(["+a", reason, "end", "-a:failure"]);
	});

	it("rejects in the end with the error that was passed to fail()", async () => {
		const error = new Error("said");
		const rows = scoped({}, async function* () {
			yield 1;
			currentScope().fail(error);
			yield 2;
		});
		expect(await rejection(collect(rows()))).toBe(error);
	});
});

describe("a scoped function that returns a generator", () => {
	it("can be awaited for it", async () => {
		const log: string[] = [];
		const rows = scoped({ a: logged(log, "a") }, async () =>
			(async function* () {
				yield 1;
			})(),
		);
		const generator = await (rows() as unknown as Promise<AsyncGenerator<number>>);
		expect(await collect(generator)).toEqual([1]);
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("may return a generator of its own making", async () => {
		const log: string[] = [];
		const calls: string[] = [];
		const handmade = {
			next: async () => ({ value: calls.push("next"), done: calls.length > 2 }),
			return: async (value: unknown) => {
				calls.push("return");
				return { value, done: true };
			},
			throw: async (error: unknown) => {
				throw error;
			},
			[Symbol.asyncIterator]: () => handmade,
		} as unknown as AsyncGenerator<number>;
		const rows = scoped({ a: logged(log, "a") }, () => handmade);
		expect(await collect(rows())).toEqual([1, 2]);
		expect(calls.slice(0, 3)).toEqual(["next", "next", "next"]);
		expect(log).toEqual(["+a", "-a:success"]);
	});

	it("closes what it returns if it has failed its scope", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		const rows = scoped({}, () => {
			const generator = (async function* () {
				try {
					yield 1;
				} finally {
					log.push("closed");
				}
			})();
			void generator.next();
			currentScope().fail(error);
			return generator;
		});
		expect(await rejection(collect(rows()))).toBe(error);
		expect(log).toEqual(["closed"]);
	});

	it("leaves other results as they are", async () => {
		const stream = { [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true }) }) };
		expect(await scoped({}, () => stream)()).toBe(stream);
		const promise = scoped({}, async () => 1)();
		expect(Object.keys(promise)).toEqual([]);
		expect(await promise).toBe(1);
	});
});
