import { describe, expect, it } from "vitest";
import { Scope, SuppressedError, SyncScope } from "../src/index.ts";
import { expectSuppressed, gate, ticks } from "./support.ts";

// test262's cases of AsyncDisposableStack and DisposableStack, run against the platform's own classes as well, where it
// has them: what they say holds for both.

/** What both stacks have, typed so that the wrong arguments can be passed. */
interface Stack {
	readonly disposed: boolean;
	use(value?: unknown): unknown;
	adopt(value?: unknown, onDispose?: unknown): unknown;
	defer(onDispose?: unknown): unknown;
	move(): Stack;
	dispose(): unknown;
	disposeAsync(): unknown;
}

interface StackClass {
	new (): Stack;
	readonly prototype: Stack;
}

const platform = globalThis as unknown as Record<string, StackClass | undefined>;
const asyncStacks = [
	["Scope", Scope as unknown as StackClass],
	["AsyncDisposableStack", platform.AsyncDisposableStack],
].filter((each): each is [string, StackClass] => each[1] !== undefined);
const syncStacks = [
	["SyncScope", SyncScope as unknown as StackClass],
	["DisposableStack", platform.DisposableStack],
].filter((each): each is [string, StackClass] => each[1] !== undefined);
const stacks = [
	...asyncStacks.map(
		([name, Stack]) => [name, Stack, Symbol.asyncDispose, "disposeAsync"] as const,
	),
	...syncStacks.map(([name, Stack]) => [name, Stack, Symbol.dispose, "dispose"] as const),
];

const notCallable = [undefined, null, true, false, 1, 1n, "fn", Symbol("fn"), {}];
const notObjects = [true, false, 0, 1, 1n, "", "object", Symbol("object")];

/** An object that logs when somebody looks whether it is a promise. */
const watched = (log: string[]) =>
	// biome-ignore lint/suspicious/noThenProperty: it is the point
	Object.defineProperty({}, "then", { get: () => void log.push("then") });

/** What `fn` throws or rejects with. */
async function failure(fn: () => unknown): Promise<unknown> {
	let value: unknown;
	try {
		value = await fn();
	} catch (error) {
		return error;
	}
	throw new Error(`expected an error, got ${String(value)}`);
}

describe.each(stacks)("%s", (_name, Stack, key, close) => {
	describe("constructor", () => {
		it("needs new", () => {
			expect(() => (Stack as unknown as () => unknown)()).toThrow(TypeError);
		});

		it("makes an extensible object whose class can be extended", () => {
			class Extended extends Stack {}
			const stack = new Extended();
			expect(Object.isExtensible(stack)).toBe(true);
			expect(stack).toBeInstanceOf(Stack);
			expect(stack.disposed).toBe(false);
		});
	});

	describe("use", () => {
		it("returns its argument, and disposes it with the right this", async () => {
			const seen: unknown[] = [];
			const resource = {
				[key](this: unknown, ...args: unknown[]) {
					seen.push(this, args.length);
				},
			};
			const stack = new Stack();
			expect(stack.use(resource)).toBe(resource);
			expect(seen).toEqual([]);
			await stack[close]();
			expect(seen).toEqual([resource, 0]);
		});

		it("takes functions that are disposable", async () => {
			let disposed = 0;
			const resource = Object.assign(() => {}, { [key]: () => ++disposed });
			const stack = new Stack();
			expect(stack.use(resource)).toBe(resource);
			await stack[close]();
			expect(disposed).toBe(1);
		});

		it("puts the value on top, as often as it is used", async () => {
			const log: string[] = [];
			const a = { [key]: () => log.push("a") };
			const b = { [key]: () => log.push("b") };
			const stack = new Stack();
			stack.use(a);
			stack.use(b);
			stack.use(a);
			await stack[close]();
			expect(log).toEqual(["a", "b", "a"]);
		});

		it("takes null and undefined", async () => {
			const stack = new Stack();
			expect(stack.use(null)).toBe(null);
			expect(stack.use(undefined)).toBe(undefined);
			expect(stack.use()).toBe(undefined);
			expect(await stack[close]()).toBe(undefined);
		});

		it("reads the method once, at once", async () => {
			const log: string[] = [];
			const resource = {
				get [key]() {
					log.push("get");
					return () => log.push("dispose");
				},
			};
			const stack = new Stack();
			stack.use(resource);
			expect(log).toEqual(["get"]);
			await stack[close]();
			expect(log).toEqual(["get", "dispose"]);
		});

		it("goes on with the method it has read", async () => {
			const log: string[] = [];
			const resource = { [key]: () => log.push("first") };
			const stack = new Stack();
			stack.use(resource);
			resource[key] = () => log.push("second");
			await stack[close]();
			expect(log).toEqual(["first"]);
		});

		it("throws what the getter throws, and registers nothing", async () => {
			const error = new Error("getter");
			const stack = new Stack();
			const resource = {
				get [key]() {
					throw error;
				},
			};
			expect(await failure(() => stack.use(resource))).toBe(error);
			expect(await stack[close]()).toBe(undefined);
		});

		it.each(notObjects)("refuses the primitive %o", (value) => {
			expect(() => new Stack().use(value)).toThrow(TypeError);
		});

		it.each([true, false, 1, "method", Symbol("method"), {}])("refuses the method %o", (method) => {
			expect(() => new Stack().use({ [key]: method })).toThrow(TypeError);
		});

		it("refuses objects without a method", () => {
			expect(() => new Stack().use({})).toThrow(TypeError);
			expect(() => new Stack().use({ [key]: null })).toThrow(TypeError);
			expect(() => new Stack().use({ [key]: undefined })).toThrow(TypeError);
		});

		it("is refused after disposal, before anything is read", async () => {
			let reads = 0;
			const stack = new Stack();
			await stack[close]();
			const resource = {
				get [key]() {
					reads++;
					return () => {};
				},
			};
			for (const value of [resource, null, undefined, 1, {}])
				expect(() => stack.use(value)).toThrow(ReferenceError);
			expect(reads).toBe(0);
		});
	});

	describe("adopt", () => {
		it("returns the value, and passes it to the callback, without this", async () => {
			const seen: unknown[] = [];
			const value = {};
			const stack = new Stack();
			const result = stack.adopt(value, function (this: unknown, ...args: unknown[]) {
				seen.push(this, args);
			});
			expect(result).toBe(value);
			expect(seen).toEqual([]);
			await stack[close]();
			expect(seen).toEqual([undefined, [value]]);
			expect((seen[1] as unknown[])[0]).toBe(value);
		});

		it("takes any value, and never disposes it by itself", async () => {
			const values = [
				...notCallable,
				() => {},
				{
					[key]() {
						throw new Error("not to be called");
					},
				},
			];
			const seen: unknown[] = [];
			const stack = new Stack();
			for (const value of values) stack.adopt(value, (each: unknown) => seen.push(each));
			await stack[close]();
			expect(seen).toEqual([...values].reverse());
		});

		it.each(notCallable)("refuses the callback %o", (callback) => {
			expect(() => new Stack().adopt(null, callback)).toThrow(TypeError);
		});

		it("is refused after disposal, whatever the callback", async () => {
			const stack = new Stack();
			await stack[close]();
			expect(() => stack.adopt(null, () => {})).toThrow(ReferenceError);
			expect(() => stack.adopt(null, null)).toThrow(ReferenceError);
		});
	});

	describe("defer", () => {
		it("returns undefined, and calls the callback without this and arguments", async () => {
			const seen: unknown[] = [];
			const stack = new Stack();
			const result = stack.defer(function (this: unknown, ...args: unknown[]) {
				seen.push(this, args);
			});
			expect(result).toBe(undefined);
			expect(seen).toEqual([]);
			await stack[close]();
			expect(seen).toEqual([undefined, []]);
		});

		it.each(notCallable)("refuses the callback %o", (callback) => {
			expect(() => new Stack().defer(callback)).toThrow(TypeError);
		});

		it("is refused after disposal, whatever the callback", async () => {
			const stack = new Stack();
			await stack[close]();
			expect(() => stack.defer(() => {})).toThrow(ReferenceError);
			expect(() => stack.defer(null)).toThrow(ReferenceError);
		});
	});

	describe("disposed", () => {
		it("is an accessor of the prototype, without a setter", () => {
			const stack = new Stack();
			expect(Object.hasOwn(stack, "disposed")).toBe(false);
			const property = Object.getOwnPropertyDescriptor(Stack.prototype, "disposed");
			expect(typeof property?.get).toBe("function");
			expect(property?.set).toBe(undefined);
		});

		it("is true from the beginning of disposal", async () => {
			const seen: boolean[] = [];
			const stack = new Stack();
			stack.defer(() => seen.push(stack.disposed));
			expect(stack.disposed).toBe(false);
			const closing = stack[close]();
			expect(stack.disposed).toBe(true);
			await closing;
			expect([...seen, stack.disposed]).toEqual([true, true]);
		});
	});

	describe(close, () => {
		it("returns undefined", async () => {
			const stack = new Stack();
			stack.defer(() => 1);
			expect(await stack[close]()).toBe(undefined);
			expect(await new Stack()[close]()).toBe(undefined);
		});

		it("goes from the last to the first, of whichever kind", async () => {
			const log: unknown[] = [];
			const stack = new Stack();
			stack.use({ [key]: () => log.push("used") });
			stack.use({ [Symbol.dispose]: () => log.push("used sync") });
			stack.adopt("adopted", (value: unknown) => log.push(value));
			stack.defer(() => log.push("deferred"));
			await stack[close]();
			expect(log).toEqual(["deferred", "adopted", "used sync", "used"]);
		});

		it("does nothing the second time", async () => {
			let calls = 0;
			const stack = new Stack();
			stack.use({ [key]: () => ++calls });
			stack.adopt(1, () => ++calls);
			stack.defer(() => ++calls);
			await stack[close]();
			expect(await stack[close]()).toBe(undefined);
			expect(calls).toBe(3);
		});

		it("doesn't throw the same error the second time", async () => {
			const error = new Error("once");
			const stack = new Stack();
			stack.defer(() => {
				throw error;
			});
			expect(await failure(() => stack[close]())).toBe(error);
			expect(await stack[close]()).toBe(undefined);
		});

		it("may be called by a disposer, which doesn't wait for itself", async () => {
			const log: unknown[] = [];
			const stack = new Stack();
			stack.defer(() => log.push("first"));
			stack.defer(async () => {
				log.push("second");
				log.push(await stack[close]());
			});
			await stack[close]();
			await ticks();
			expect(log.filter((each) => each !== undefined)).toEqual(["second", "first"]);
			expect(log.length).toBe(3);
		});

		it("takes no more from its disposers", async () => {
			const stack = new Stack();
			stack.defer(() => stack.defer(() => {}));
			expect(await failure(() => stack[close]())).toBeInstanceOf(ReferenceError);
		});

		it.each([new Error("error"), undefined, null, "string", 0, Object.freeze(new Error("frozen"))])(
			"passes %o on as it is, after disposing the others",
			async (error) => {
				const log: string[] = [];
				const stack = new Stack();
				stack.defer(() => log.push("first"));
				stack.defer(() => {
					throw error;
				});
				stack.defer(() => log.push("third"));
				expect(await failure(() => stack[close]())).toBe(error);
				expect(log).toEqual(["third", "first"]);
				expect(stack.disposed).toBe(true);
			},
		);

		it("nests several errors, the newest outermost", async () => {
			const errors = [new Error("a"), undefined, new Error("c")];
			const stack = new Stack();
			stack.defer(() => {
				throw errors[0];
			});
			stack.adopt(1, () => {
				throw errors[1];
			});
			stack.use({
				[key]() {
					throw errors[2];
				},
			});
			const error = await failure(() => stack[close]());
			expect(error).toBeInstanceOf(SuppressedError);
			const outer = error as InstanceType<typeof SuppressedError>;
			expect(outer.error).toBe(errors[0]);
			expectSuppressed(outer.suppressed, errors[1], errors[2]);
			expect(Object.keys(outer)).toEqual([]);
			expect(errors[0]).not.toHaveProperty("cause");
		});
	});

	describe("move", () => {
		it("makes another stack that has everything, and disposes this one without calling anybody", async () => {
			const log: number[] = [];
			const first = new Stack();
			first.defer(() => log.push(1));
			first.use({ [key]: () => log.push(2) });
			const second = first.move();
			expect(second).not.toBe(first);
			expect(second).toBeInstanceOf(Stack);
			expect([first.disposed, second.disposed]).toEqual([true, false]);
			await first[close]();
			expect(log).toEqual([]);
			second.defer(() => log.push(3));
			await second[close]();
			expect(log).toEqual([3, 2, 1]);
		});

		it("makes a plain stack of a derived class's", () => {
			class Extended extends Stack {}
			expect(Object.getPrototypeOf(new Extended().move())).toBe(Stack.prototype);
		});

		it("is refused after disposal, and after a move", async () => {
			const stack = new Stack();
			stack.move();
			expect(() => stack.move()).toThrow(ReferenceError);
			expect(() => stack.defer(() => {})).toThrow(ReferenceError);
			const other = new Stack();
			await other[close]();
			expect(() => other.move()).toThrow(ReferenceError);
		});
	});

	describe("a wrong this", () => {
		const others = [...asyncStacks, ...syncStacks].filter(([, other]) => other !== Stack);
		const receivers = [
			...notObjects,
			...[undefined, null, {}, [], () => {}, Stack, Stack.prototype],
			...others.map(([, Other]) => new Other()),
		];
		const disposed = Object.getOwnPropertyDescriptor(Stack.prototype, "disposed")?.get;
		const { use, adopt, defer, move } = Stack.prototype;

		it.each([
			["use", (receiver: unknown) => use.call(receiver as Stack, null)],
			["adopt", (receiver: unknown) => adopt.call(receiver as Stack, 1, () => {})],
			["defer", (receiver: unknown) => defer.call(receiver as Stack, () => {})],
			["move", (receiver: unknown) => move.call(receiver as Stack)],
			["disposed", (receiver: unknown) => disposed?.call(receiver)],
		])("makes %s throw a TypeError", (_method, call) => {
			for (const receiver of receivers) expect(() => call(receiver)).toThrow(TypeError);
		});

		it(`makes ${close} fail with a TypeError`, async () => {
			for (const receiver of receivers) {
				const result = failure(() => Stack.prototype[close].call(receiver as Stack));
				expect(await result).toBeInstanceOf(TypeError);
			}
		});
	});

	it("is disposed by its symbol, too", async () => {
		let disposed = 0;
		const stack = new Stack();
		stack.defer(() => ++disposed);
		await (stack as unknown as Record<symbol, () => unknown>)[key]?.();
		expect([disposed, stack.disposed]).toEqual([1, true]);
	});

	it("can be put into another", async () => {
		const log: string[] = [];
		const outer = new Stack();
		const inner = outer.use(new Stack()) as Stack;
		outer.defer(() => log.push("outer"));
		inner.defer(() => log.push("inner"));
		await outer[close]();
		expect(log).toEqual(["outer", "inner"]);
		expect(inner.disposed).toBe(true);
	});
});

describe.each(asyncStacks)("%s", (_name, Stack) => {
	describe("use", () => {
		it("prefers asyncDispose, and then doesn't look for dispose", async () => {
			const log: string[] = [];
			const resource = {
				get [Symbol.asyncDispose]() {
					log.push("get asyncDispose");
					return () => log.push("asyncDispose");
				},
				get [Symbol.dispose]() {
					log.push("get dispose");
					return () => log.push("dispose");
				},
			};
			const stack = new Stack();
			stack.use(resource);
			await stack.disposeAsync();
			expect(log).toEqual(["get asyncDispose", "asyncDispose"]);
		});

		it.each([undefined, null])("looks for dispose if asyncDispose is %o", async (missing) => {
			const log: string[] = [];
			const resource = {
				get [Symbol.asyncDispose]() {
					log.push("get asyncDispose");
					return missing;
				},
				get [Symbol.dispose]() {
					log.push("get dispose");
					return () => log.push("dispose");
				},
			};
			const stack = new Stack();
			stack.use(resource);
			expect(log).toEqual(["get asyncDispose", "get dispose"]);
			await stack.disposeAsync();
			expect(log).toEqual(["get asyncDispose", "get dispose", "dispose"]);
		});

		it("doesn't fall back from an asyncDispose that is no function", () => {
			const resource = { [Symbol.asyncDispose]: 1, [Symbol.dispose]() {} };
			expect(() => new Stack().use(resource)).toThrow(TypeError);
		});

		it("doesn't wait for what dispose returns, and reads nothing of it", async () => {
			const log: string[] = [];
			const stack = new Stack();
			stack.use({ [Symbol.dispose]: () => new Promise(() => {}) });
			stack.use({ [Symbol.dispose]: () => watched(log) });
			await stack.disposeAsync();
			expect(log).toEqual([]);
		});
	});

	describe("disposeAsync", () => {
		it("returns a promise, also for a wrong this and a second time", async () => {
			const stack = new Stack();
			expect(stack.disposeAsync()).toBeInstanceOf(Promise);
			expect(stack.disposeAsync()).toBeInstanceOf(Promise);
			const wrong = Stack.prototype.disposeAsync.call({} as Stack);
			expect(wrong).toBeInstanceOf(Promise);
			expect(await failure(() => wrong)).toBeInstanceOf(TypeError);
		});

		it("calls the last disposer at once, and waits for each before the next", async () => {
			const log: string[] = [];
			const doors = [gate(), gate()];
			const stack = new Stack();
			stack.defer(async () => {
				log.push("first");
				await doors[0]?.promise;
			});
			stack.use({
				async [Symbol.asyncDispose]() {
					log.push("second");
					await doors[1]?.promise;
				},
			});
			const closed = (stack.disposeAsync() as Promise<void>).then(() => log.push("closed"));
			expect(log).toEqual(["second"]);
			await ticks();
			expect(log).toEqual(["second"]);
			doors[1]?.open();
			await ticks();
			expect(log).toEqual(["second", "first"]);
			doors[0]?.open();
			await closed;
			expect(log).toEqual(["second", "first", "closed"]);
		});

		it("waits for thenables", async () => {
			const log: string[] = [];
			const stack = new Stack();
			stack.defer(() => log.push("first"));
			// biome-ignore lint/suspicious/noThenProperty: it is the point
			stack.defer(() => ({ then: (resolve: () => void) => log.push("then") && resolve() }));
			await stack.disposeAsync();
			expect(log).toEqual(["then", "first"]);
		});

		it("nests rejections and errors thrown alike", async () => {
			const errors = [new Error("a"), new Error("b"), new Error("c")];
			const stack = new Stack();
			stack.use({
				[Symbol.dispose]() {
					throw errors[0];
				},
			});
			stack.use({ [Symbol.asyncDispose]: () => Promise.reject(errors[1]) });
			stack.defer(async () => {
				throw errors[2];
			});
			const error = await failure(() => stack.disposeAsync());
			expect(error).toBeInstanceOf(SuppressedError);
			const outer = error as InstanceType<typeof SuppressedError>;
			expect(outer.error).toBe(errors[0]);
			expectSuppressed(outer.suppressed, errors[1], errors[2]);
		});
	});

	describe("ticks", () => {
		const asynchronous = (log: unknown[], name: string) => ({
			[Symbol.asyncDispose]: () => void log.push(name),
		});
		const synchronous = (log: unknown[], name: string) => ({
			[Symbol.dispose]: () => void log.push(name),
		});

		it.each<[string, (stack: Stack, log: unknown[]) => void, string]>([
			["an empty stack takes one", () => {}, "0 1 done"],
			["null takes one more", (stack) => stack.use(null), "0 1 2 done"],
			[
				"several take no more than one",
				(stack) => {
					for (const nothing of [null, undefined, null]) stack.use(nothing);
				},
				"0 1 2 done",
			],
			[
				"each asynchronous disposer takes one",
				(stack, log) => {
					stack.use(asynchronous(log, "a"));
					stack.use(asynchronous(log, "b"));
				},
				"0 b 1 a 2 3 done",
			],
			[
				"so does each synchronous one",
				(stack, log) => {
					stack.use(synchronous(log, "a"));
					stack.use(synchronous(log, "b"));
				},
				"0 b 1 a 2 3 done",
			],
			[
				"null takes none beside a disposer",
				(stack, log) => {
					stack.use(null);
					stack.use(asynchronous(log, "a"));
					stack.use(undefined);
					stack.use(synchronous(log, "b"));
					stack.use(null);
				},
				"0 b 1 a 2 3 done",
			],
			[
				"callbacks take one each",
				(stack, log) => {
					stack.defer(() => log.push("a"));
					stack.adopt(1, async () => log.push("b"));
				},
				"0 b 1 a 2 3 done",
			],
			[
				"a callback that throws takes none",
				(stack, log) => {
					stack.defer(() => log.push("a"));
					stack.defer(() => {
						log.push("b");
						throw new Error("b");
					});
				},
				"0 b a 1 2 failed",
			],
			[
				"a synchronous disposer that throws takes one all the same",
				(stack, log) => {
					stack.defer(() => log.push("a"));
					stack.use({
						[Symbol.dispose]() {
							log.push("b");
							throw new Error("b");
						},
					});
				},
				"0 b 1 a 2 3 failed",
			],
		])("%s", async (_title, fill, expected) => {
			const log: unknown[] = [];
			const stack = new Stack();
			fill(stack, log);
			const counting = (async () => {
				for (let i = 0; i < 6; i++) {
					log.push(i);
					await undefined;
				}
			})();
			try {
				await stack.disposeAsync();
				log.push("done");
			} catch {
				log.push("failed");
			}
			expect(log.join(" ")).toBe(expected);
			await counting;
		});
	});

	it("is disposed at the end of an await using block, whatever ends it", async () => {
		const log: string[] = [];
		const error = new Error("block");
		const release = new Error("release");
		const Disposable = Stack as unknown as new () => Stack & AsyncDisposable;
		{
			await using stack = new Disposable();
			stack.defer(async () => log.push("a"));
			log.push("block");
		}
		const thrown = await failure(async () => {
			await using stack = new Disposable();
			stack.defer(() => {
				throw release;
			});
			throw error;
		});
		// on Node 22 the compiler's own makes it, not ours
		expect(thrown).toMatchObject({ name: "SuppressedError" });
		expect((thrown as { error: unknown }).error).toBe(release);
		expect((thrown as { suppressed: unknown }).suppressed).toBe(error);
		for (const name of ["b", "c"]) {
			await using stack = new Disposable();
			stack.defer(() => log.push(name));
			if (name === "b") continue;
			break;
		}
		expect(log).toEqual(["block", "a", "b", "c"]);
	});

	it("keeps what is moved out of an await using block", async () => {
		const log: string[] = [];
		const Disposable = Stack as unknown as new () => Stack & AsyncDisposable;
		const make = async () => {
			await using stack = new Disposable();
			stack.defer(() => log.push("disposed"));
			return stack.move();
		};
		const kept = await make();
		log.push("kept");
		await kept.disposeAsync();
		expect(log).toEqual(["kept", "disposed"]);
	});
});

describe.each(syncStacks)("%s", (_name, Stack) => {
	it("doesn't look for asyncDispose", () => {
		const log: string[] = [];
		const resource = {
			get [Symbol.asyncDispose]() {
				log.push("get asyncDispose");
				return () => {};
			},
			get [Symbol.dispose]() {
				log.push("get dispose");
				return () => log.push("dispose");
			},
		};
		const stack = new Stack();
		stack.use(resource);
		stack.dispose();
		expect(log).toEqual(["get dispose", "dispose"]);
		expect(() => new Stack().use({ [Symbol.asyncDispose]() {} })).toThrow(TypeError);
	});

	it("disposes before dispose returns, and reads nothing of what disposers return", () => {
		const log: string[] = [];
		const stack = new Stack();
		stack.use({ [Symbol.dispose]: () => log.push("a") && watched(log) });
		stack.adopt(1, () => log.push("b") && watched(log));
		stack.defer(() => log.push("c") && watched(log));
		expect(stack.dispose()).toBe(undefined);
		expect(log).toEqual(["c", "b", "a"]);
	});

	it("is disposed at the end of a using block, whatever ends it", async () => {
		const log: string[] = [];
		const error = new Error("block");
		const release = new Error("release");
		const Disposable = Stack as unknown as new () => Stack & Disposable;
		{
			using stack = new Disposable();
			stack.defer(() => log.push("a"));
			log.push("block");
		}
		const thrown = await failure(() => {
			using stack = new Disposable();
			stack.defer(() => {
				throw release;
			});
			throw error;
		});
		// on Node 22 the compiler's own makes it, not ours
		expect(thrown).toMatchObject({ name: "SuppressedError" });
		expect((thrown as { error: unknown }).error).toBe(release);
		expect((thrown as { suppressed: unknown }).suppressed).toBe(error);
		const make = () => {
			using stack = new Disposable();
			stack.defer(() => log.push("b"));
			return stack.move();
		};
		const kept = make();
		log.push("kept");
		kept.dispose();
		expect(log).toEqual(["block", "a", "kept", "b"]);
	});
});
