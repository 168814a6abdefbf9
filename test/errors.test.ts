import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as api from "../src/index.ts";
import {
	AcquireAbortedError,
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
	ReleaseTimeoutError,
	type Resource,
	resource,
	type Scope,
	ScopeClosedError,
	ScopeError,
	type ScopeErrorDetails,
	ScopeIncompleteError,
	SuppressedError,
	token,
	tryCurrentScope,
	use,
	useAll,
	withScope,
	YieldedTwiceError,
} from "../src/index.ts";
import { expectError, gate, rejection, ticks } from "./support.ts";

type ErrorClass = new (message: string, details?: ScopeErrorDetails) => ScopeError;

/** Every error class that the package exports, by name. */
const classes = Object.entries(api as object).filter(
	(entry): entry is [string, ErrorClass] =>
		entry[1] === ScopeError || entry[1]?.prototype instanceof ScopeError,
);

/** Orders, which needs Tx, which needs `Pool`. */
function ordersOn(Pool: Resource<unknown>): Resource<unknown> {
	const Tx = resource({ pool: Pool }, () => "tx", { name: "Tx" });
	return resource(() => use(Tx), { name: "Orders" });
}

const ordersPath = ["Orders", "Tx", "Pool"];

describe("error classes", () => {
	it("are these", () => {
		expect(classes.map(([name]) => name).sort()).toEqual([
			"AcquireAbortedError",
			"CircularDependencyError",
			"DidNotYieldError",
			"ErrorSwallowedError",
			"LifetimeError",
			"NoScopeError",
			"NotProvidedError",
			"ReleaseTimeoutError",
			"ScopeClosedError",
			"ScopeError",
			"ScopeIncompleteError",
			"ScopeNotClosedError",
			"YieldedTwiceError",
		]);
	});

	it.each(classes)("%s is a ScopeError with its name and the code made of it", (name, Class) => {
		const error = new Class("what failed");
		expect(error).toBeInstanceOf(ScopeError);
		expect(error).toBeInstanceOf(Error);
		expect(error.name).toBe(name);
		const words = name.replace(/Error$/, "").replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_");
		expect(error.code).toBe(`YS_ERR_${words.toUpperCase()}`);
		expect(error.message).toBe("what failed");
		expect(String(error)).toBe(`${name}: what failed`);
		expect(inspect(error)).toContain(name);
		expect(error.stack).toContain("errors.test");
	});

	it.each([...classes, ["InvalidArgumentError", InvalidArgumentError] as const])(
		"%s shows its code where its stack is printed",
		(name, Class) => {
			const error = new Class("what failed: this");
			const header = `${name} [${error.code}]: what failed: this`;
			expect(error.stack?.split("\n")[0]).toBe(header);
			expect(error.stack).toContain("errors.test");
			expect(Object.keys(error)).not.toContain("stack");
			error.stack = "another";
			expect(error.stack).toBe("another");
		},
	);

	it("have no stack where nobody wants any", () => {
		const { stackTraceLimit } = Error;
		try {
			// @ts-expect-error: JavaScript lets one
			delete Error.stackTraceLimit;
			expect(String(new ScopeError("failed"))).toBe("ScopeError: failed");
			expect(() => new ScopeError("failed").stack).not.toThrow();
		} finally {
			Error.stackTraceLimit = stackTraceLimit;
		}
	});

	it.each(classes)("%s carries its details", (_name, Class) => {
		const cause = new Error("cause");
		const path = ["Orders", "Pool"];
		const error = new Class("failed", { cause, resource: "Pool", scope: "work", path });
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path });
		expect(error.cause).toBe(cause);
	});

	it.each(classes)("%s has no details of its own accord", (_name, Class) => {
		const error = new Class("failed");
		expect(error.resource).toBe(undefined);
		expect(error.scope).toBe(undefined);
		expect(error.path).toEqual([]);
		expect("cause" in error).toBe(false);
	});

	it("keep a cause that is undefined", () => {
		expect(Object.hasOwn(new ScopeError("failed", { cause: undefined }), "cause")).toBe(true);
	});

	it("have different codes", () => {
		const codes = classes.map(([, Class]) => new Class("").code);
		expect(new Set(codes).size).toBe(codes.length);
	});
});

describe("NoScopeError", () => {
	const Pool = resource(() => 1, { name: "Pool" });
	it.each<[string, () => unknown]>([
		["use", () => use(Pool)],
		["useAll", () => useAll({ pool: Pool })],
		["currentScope", async () => currentScope()],
	])("rejects %s where there is no ambient scope, and says what to do", async (_name, act) => {
		const error = await rejection(Promise.resolve(act()));
		expectError(error, NoScopeError, "YS_ERR_NO_SCOPE");
		expect(error.message).toMatch(/withScope\(\).*scope\.run\(\)/);
	});

	it("names the resource", async () => {
		for (const use1 of [use(Pool), useAll({ pool: Pool })]) {
			const error = await rejection(use1);
			expectError(error, NoScopeError, "YS_ERR_NO_SCOPE");
			expect(error.message).toContain("Pool");
			expect(error).toMatchObject({ resource: "Pool", scope: undefined, path: ["Pool"] });
		}
	});

	it("is thrown by currentScope, and not by tryCurrentScope", () => {
		expect(() => currentScope()).toThrow(NoScopeError);
		expect(tryCurrentScope()).toBe(undefined);
	});

	it("runs no setup", async () => {
		let made = 0;
		await rejection(use(resource(() => ++made)));
		expect(made).toBe(0);
	});

	it("is no unhandled rejection when nobody awaits it", async () => {
		void use(Pool);
		void useAll({ pool: Pool });
		await ticks();
	});
});

describe("ScopeClosedError", () => {
	const Pool = resource(() => 1, { name: "Pool" });
	const closed = async (): Promise<Scope> => {
		const scope = openScope({ name: "work" });
		await scope.disposeAsync();
		return scope;
	};

	it("names the resource, the scope and the path, and says what to do", async () => {
		const scope = await closed();
		const error = await rejection(scope.use(Pool));
		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path: ["Pool"] });
		expect(error.message).toMatch(
			/Pool.*"work".* is closed\. Await what uses it.*spawn.*detach\(\)/,
		);
	});

	it("names the setup that asks", async () => {
		const other = await closed();
		const Tx = resource(() => other.use(Pool), { name: "Tx" });
		const Orders = resource({ tx: Tx }, () => 1, { name: "Orders" });
		const error = await withScope(() => rejection(use(Orders)));
		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path: ordersPath });
		expect(error.message).toContain("Orders > Tx > Pool");
	});

	it.each<[string, (scope: Scope) => unknown]>([
		["useAll", (scope) => scope.run(() => useAll({ pool: Pool }))],
		["spawn", (scope) => scope.spawn(() => 1)],
		["after", async (scope) => scope.after(() => 1)],
		["detach", (scope) => scope.detach(() => 1)],
		["a child scope", async (scope) => openScope({ parent: scope })],
		["withScope", (scope) => withScope({ parent: scope }, () => 1)],
		["bind", async (scope) => scope.bind(provide(Pool, 2))],
	])("answers %s on a closed scope, and names it", async (_name, act) => {
		const error = await rejection(Promise.resolve(act(await closed())));
		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expect(error.scope).toBe("work");
		expect(error.message).toMatch(/"work".*closed.*\. \w+/);
	});

	it("says so while the scope is closing, too", async () => {
		const scope = openScope({ name: "work" });
		const released = gate();
		scope.defer(() => released.promise);
		const closing = scope.disposeAsync();
		const error = await rejection(scope.use(Pool));
		expectError(error, ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
		expect(error.message).toMatch(/"work".* is closing\./);
		released.open();
		await closing;
	});
});

describe("LifetimeError", () => {
	it("names the resource, its lifetime, the open scopes and the path, and says what to do", async () => {
		const Pool = resource(() => 1, { name: "Pool", lifetime: "app" });
		const error = await withScope({ lifetime: "request" }, () =>
			withScope({ name: "work" }, () => rejection(use(Pool))),
		);
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path: ["Pool"] });
		expect(error.message).toMatch(/Pool.*"app".*"work" < "request"\. Open one with withScope/);
	});

	it("names both resources, and says what to do, where one would outlive the other", async () => {
		const Pool = resource(() => 1, { name: "Pool", lifetime: "request" });
		const error = await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request" }, () => rejection(use(ordersOn(Pool), { lifetime: "app" }))),
		);
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error).toMatchObject({ resource: "Pool", path: ordersPath });
		expect(error.message).toMatch(/Pool.*"request".*Tx.*"app".*Orders > Tx > Pool.*\. Give Tx/);
	});
});

describe("CircularDependencyError", () => {
	it("names the resource, the scope and the path, and says what to do", async () => {
		const Pool: Resource<unknown> = resource(() => use(Orders), { name: "Pool" });
		const Orders = ordersOn(Pool);
		const error = await withScope({ name: "work" }, () => rejection(use(Orders)));
		expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
		expect(error.scope).toBe("work");
		expect(error.path).toHaveLength(4);
		expect(new Set(error.path)).toEqual(new Set(ordersPath));
		expect(error.resource).toBe(error.path.at(-1));
		expect(error.message).toContain('"work"');
		expect(error.message).toContain(error.path.join(" > "));
		expect(error.message).toMatch(/\. Pass what they share/);
	});
});

describe("NotProvidedError", () => {
	it("names the resource and the path, and says what to do", async () => {
		const Orders = ordersOn(token("Pool"));
		const error = await withScope({ name: "work" }, () => rejection(use(Orders)));
		expectError(error, NotProvidedError, "YS_ERR_NOT_PROVIDED");
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path: ordersPath });
		expect(error.message).toMatch(/Pool.*Orders > Tx > Pool.*provide\(Pool, value\)/);
	});

	it("names the scope", async () => {
		const error = await withScope({ name: "work" }, () => rejection(use(token("Pool"))));
		expect((error as Error).message).toContain('"work"');
	});

	it("answers every way to ask, and goes away once somebody provides the value", async () => {
		const Tenant = token<string>("Tenant");
		await withScope(async (scope) => {
			for (const each of [use(Tenant), scope.use(Tenant), useAll({ tenant: Tenant })])
				expectError(await rejection(each), NotProvidedError, "YS_ERR_NOT_PROVIDED");
			using _ = scope.bind(provide(Tenant, "acme"));
			expect(await use(Tenant)).toBe("acme");
		});
	});

	it("answers a token that another token overrides", async () => {
		const A = token<number>("A");
		const B = token<number>("B");
		const error = await withScope({ bindings: [override(A, B)] }, () => rejection(use(A)));
		expectError(error, NotProvidedError, "YS_ERR_NOT_PROVIDED");
	});

	it("names the setup that asks from a scope of its own", async () => {
		const Pool = resource(() => withScope(() => use(token("Tenant"))), { name: "Pool" });
		const error = await withScope(() => rejection(use(Pool)));
		expectError(error, NotProvidedError, "YS_ERR_NOT_PROVIDED");
		expect(error.path).toEqual(["Pool", "Tenant"]);
	});
});

describe("DidNotYieldError", () => {
	it("names the resource and the path, and says what to do", async () => {
		const Pool = resource(async function* (): AsyncGenerator<number> {}, { name: "Pool" });
		const error = await withScope({ name: "work" }, () => rejection(use(ordersOn(Pool))));
		expectError(error, DidNotYieldError, "YS_ERR_DID_NOT_YIELD");
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path: ordersPath });
		expect(error.message).toMatch(/Pool.*Orders > Tx > Pool.*\. Check that/);
	});

	it("names the scope", async () => {
		const Pool = resource(function* (): Generator<number> {}, { name: "Pool" });
		const error = await withScope({ name: "work" }, () => rejection(use(Pool)));
		expect((error as Error).message).toContain('"work"');
	});
});

describe("AcquireAbortedError", () => {
	it("names the resource and the scope, with the reason as its cause", async () => {
		const scope = openScope({ name: "work" });
		const ready = gate();
		const Pool = resource(() => ready.promise, { name: "Pool" });
		const waiting = scope.use(Pool);
		const reason = new Error("gone");
		scope.abort(reason);
		const error = await rejection(waiting);
		expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path: ["Pool"] });
		expect(error.cause).toBe(reason);
		expect(error.message).toMatch(/Pool.*"work"/);
		ready.open();
		await scope.disposeAsync();
	});

	it.each([null, 0, "", false, "gone"])("has the reason %j as its cause", async (reason) => {
		const scope = openScope();
		const ready = gate();
		const waiting = scope.use(resource(() => ready.promise));
		scope.abort(reason);
		const error = await rejection(waiting);
		expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		expect(error.cause).toBe(reason);
		ready.open();
		await scope.disposeAsync();
	});

	it("carries the path of a setup that waits", async () => {
		const scope = openScope({ name: "work" });
		const ready = gate();
		const seen: unknown[] = [];
		const Pool = resource(() => ready.promise, { name: "Pool" });
		const Tx = resource(
			async () => {
				seen.push(await rejection(use(Pool)));
			},
			{ name: "Tx" },
		);
		const waiting = scope.use(resource({ tx: Tx }, () => 1, { name: "Orders" }));
		scope.abort();
		await rejection(waiting);
		await ticks();
		expectError(seen[0], AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		expect(seen[0].path).toEqual(ordersPath);
		expect(seen[0].message).toContain("Orders > Tx > Pool");
		ready.open();
		await scope.disposeAsync();
	});
});

describe("YieldedTwiceError", () => {
	it("names the resource and the scope, and says what to do", async () => {
		const Pool = resource(
			async function* () {
				yield 1;
				yield 2;
			},
			{ name: "Pool" },
		);
		const error = await rejection(withScope({ name: "work" }, () => use(Pool)));
		expectError(error, YieldedTwiceError, "YS_ERR_YIELDED_TWICE");
		expect(error).toMatchObject({ resource: "Pool", scope: "work" });
		expect(error.path.at(-1)).toBe("Pool");
		expect(error.message).toMatch(/Pool.*"work".*\. A resource yields once/);
	});

	it("carries the path", async () => {
		const Pool = resource(
			async function* () {
				yield 1;
				yield 2;
			},
			{ name: "Pool" },
		);
		const error = await rejection(withScope(() => use(ordersOn(Pool))));
		expectError(error, YieldedTwiceError, "YS_ERR_YIELDED_TWICE");
		expect(error.path).toEqual(ordersPath);
		expect(error.message).toContain("Orders > Tx > Pool");
	});
});

describe("ErrorSwallowedError", () => {
	const Pool = resource(
		async function* () {
			try {
				yield 1;
			} catch {}
		},
		{ name: "Pool" },
	);
	const swallow = async (Used: Resource<unknown>) => {
		const failure = new Error("work");
		const reported: unknown[] = [];
		const options = { name: "work", onReleaseError: (error: unknown) => reported.push(error) };
		const error = await rejection(
			withScope(options, async () => {
				await use(Used);
				throw failure;
			}),
		);
		expect(error).toBe(failure);
		expect(reported).toHaveLength(1);
		expectError(reported[0], ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
		expect(reported[0].cause).toBe(failure);
		return reported[0];
	};

	it("names the resource and the scope, and says what to do", async () => {
		const error = await swallow(Pool);
		expect(error).toMatchObject({ resource: "Pool", scope: "work" });
		expect(error.path.at(-1)).toBe("Pool");
		expect(error.message).toMatch(/Pool.*"work".*`throw error`/);
	});

	it("carries the path", async () => {
		const error = await swallow(ordersOn(Pool));
		expect(error.path).toEqual(ordersPath);
		expect(error.message).toContain("Orders > Tx > Pool");
	});
});

describe("ScopeIncompleteError", () => {
	it("names the scope, and says what to do", async () => {
		let seen: unknown;
		const Pool = resource(async function* () {
			try {
				yield 1;
			} catch (error) {
				seen = error;
				throw error;
			}
		});
		const scope = openScope({ name: "work" });
		await scope.use(Pool);
		await scope.disposeAsync();
		expectError(seen, ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
		expect(seen).toMatchObject({ resource: undefined, scope: "work", path: [] });
		expect(seen.message).toMatch(/"work".*\. Call complete\(\).*withScope\(\)/);
	});
});

describe("ReleaseTimeoutError", () => {
	beforeEach(() => {
		vi.useFakeTimers();
	});
	afterEach(() => {
		vi.useRealTimers();
	});

	const timeOut = async (used: (Pool: Resource<unknown>) => Resource<unknown>) => {
		const released = gate();
		const Pool = resource(
			async function* () {
				yield 1;
				await released.promise;
			},
			{ name: "Pool", releaseTimeout: 1000 },
		);
		const failed = rejection(withScope({ name: "work" }, () => use(used(Pool))));
		await vi.advanceTimersByTimeAsync(1000);
		const error = await failed;
		released.open();
		expectError(error, ReleaseTimeoutError, "YS_ERR_RELEASE_TIMEOUT");
		return error;
	};

	it("names the resource, the scope and the limit, and says what to do", async () => {
		const error = await timeOut((Pool) => Pool);
		expect(error).toMatchObject({ resource: "Pool", scope: "work", path: ["Pool"] });
		expect(error.message).toMatch(/Pool.*"work".*1000 ms\. .*releaseTimeout/);
	});

	it("carries the path", async () => {
		const error = await timeOut(ordersOn);
		expect(error.path).toEqual(ordersPath);
		expect(error.message).toContain("Orders > Tx > Pool");
	});
});

describe("InvalidArgumentError", () => {
	const secret = "hunter2";
	const Db = resource(() => 1, { name: "Db" });
	const bad = (value: unknown) => value as never;
	it.each<[string, () => unknown]>([
		["resource, given no function", () => resource(bad(secret))],
		["resource, given nothing", () => resource(bad(undefined))],
		[
			"resource, given null",
			() =>
				resource(
					bad(null),
					bad(() => 1),
				),
		],
		["resource, given dependencies and no setup", () => resource({ db: Db }, bad(undefined))],
		["resource, given a dependency that is none", () => resource({ db: bad(secret) }, () => 1)],
		["resource, given a negative timeout", () => resource(() => 1, { releaseTimeout: -1 })],
		["resource, given NaN for a timeout", () => resource(() => 1, { releaseTimeout: Number.NaN })],
		[
			"resource, given text for a timeout",
			() => resource(() => 1, { releaseTimeout: bad(secret) }),
		],
		["resource, given a name that is no text", () => resource(() => 1, { name: bad([secret]) })],
		["token, given a lifetime that is none", () => token("T", { lifetime: bad([secret]) })],
		["token, given no name", () => token(bad(undefined))],
		["provide, given no resource", () => provide(bad(secret), 1)],
		["override, given no resource", () => override(bad(secret), Db)],
		["override, given no replacement", () => override(Db, bad(secret))],
		["openScope, given a parent that is none", () => openScope({ parent: bad({ secret }) })],
		["openScope, given a binding that is none", () => openScope({ bindings: [bad({ secret })] })],
		["openScope, given a negative timeout", () => openScope({ releaseTimeout: -1 })],
		["openScope, given a name that is none", () => openScope({ name: bad([secret]) })],
		["openScope, given a lifetime that is none", () => openScope({ lifetime: bad([secret]) })],
		["openScope, given an order that is none", () => openScope({ release: bad(secret) })],
		["openScope, given no reporter", () => openScope({ onReleaseError: bad(secret) })],
		["openScope, given no listener", () => openScope({ onFirstUse: bad(secret) })],
		["openScope, given no signal", () => openScope({ signal: bad({ secret }) })],
		["openScopeSync, given no reporter", () => openScopeSync({ onReleaseError: bad(secret) })],
		["scope.use, given neither", () => openScope().use(bad({ secret }))],
		["scope.use, given text", () => openScope().use(bad(secret))],
		["scope.defer, given no function", () => openScope().defer(bad(secret))],
		["scope.adopt, given no function", () => openScope().adopt(1, bad(secret))],
		["scope.after, given no function", () => openScope().after(bad(secret))],
		["scope.bind, given no binding", () => openScope().bind(bad(secret))],
	])("is thrown by %s, without the value", (_what, act) => {
		let error: unknown;
		try {
			act();
		} catch (thrown) {
			error = thrown;
		}
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect(error).toBeInstanceOf(TypeError);
		expect(error).toMatchObject({ code: "YS_ERR_INVALID_ARGUMENT" });
		expect((error as Error).message).toMatch(/^Expected /);
		expect((error as Error).message).not.toContain(secret);
	});

	it.each([
		["a setup", async function* () {}, /Pass a setup to resource\(\)/],
		["another copy's resource", { name: "Pool" }, /loaded twice/],
		["undefined", undefined, /before its definition/],
	])("guesses at what went wrong with %s in a resource's place", (_what, wanted, advice) => {
		expect(() => provide(bad(wanted), 1)).toThrow(advice);
	});

	it("tells provide from override", () => {
		const [A, B] = [resource(() => 1, { name: "A" }), resource(() => 2, { name: "B" })];
		expect(() => provide(A, bad(B))).toThrow(/override\(A, B\)/);
		expect(() => override(A, bad({ value: 1 }))).toThrow(/provide\(\)/);
	});

	it("shows the number that is no duration", () => {
		expect(() => resource(() => 1, { releaseTimeout: -1 })).toThrow(/milliseconds, got -1\.$/);
	});

	it("shows its name", () => {
		const error = new InvalidArgumentError("what was wrong");
		expect(error.name).toBe("InvalidArgumentError");
		expect(String(error)).toBe("InvalidArgumentError: what was wrong");
	});

	it("rejects withScope without a function", async () => {
		const error = await rejection(withScope(bad(undefined)));
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect(error).toMatchObject({ code: "YS_ERR_INVALID_ARGUMENT" });
	});

	it("leaves the scope as it was", async () => {
		const scope = openScope();
		expect(() => scope.use(bad(secret))).toThrow(InvalidArgumentError);
		expect(() => scope.defer(bad(secret))).toThrow(InvalidArgumentError);
		expect(await scope.use(Db)).toBe(1);
		scope.complete();
		await scope.disposeAsync();
	});
});

describe("SuppressedError", () => {
	it("is the platform's where there is one", () => {
		const platform = (globalThis as { SuppressedError?: unknown }).SuppressedError;
		if (platform !== undefined) expect(SuppressedError).toBe(platform);
	});

	it("is like the platform's", () => {
		const newest = new Error("newest");
		const error = new SuppressedError(newest, undefined, "two of them");
		expect(error).toBeInstanceOf(Error);
		expect(error).toBeInstanceOf(SuppressedError);
		expect(error.name).toBe("SuppressedError");
		expect(error.message).toBe("two of them");
		expect(error.error).toBe(newest);
		expect(Object.hasOwn(error, "suppressed")).toBe(true);
		expect(error.suppressed).toBe(undefined);
		expect(Object.keys(error)).toEqual([]);
		const hidden = { writable: true, configurable: true, enumerable: false };
		expect(Object.getOwnPropertyDescriptors(error)).toMatchObject({
			error: { ...hidden, value: newest },
			suppressed: { ...hidden, value: undefined },
		});
		expect(String(error)).toBe("SuppressedError: two of them");
		expect(Object.hasOwn(new SuppressedError(1, 2), "message")).toBe(false);
	});
});

describe("names", () => {
	it("are the setup's, unless the options name the resource", async () => {
		async function* openPool() {
			yield 1;
		}
		class Clock {}
		expect(resource(openPool).name).toBe("openPool");
		expect(resource(Clock).name).toBe("Clock");
		expect(resource(openPool, { name: "Pool" }).name).toBe("Pool");
		expect(resource({}, openPool, { name: "Pool" }).name).toBe("Pool");
		expect(token("Tenant").name).toBe("Tenant");
	});

	it("of scopes are the options', or the lifetime", () => {
		expect(openScope({ name: "work", lifetime: "request" }).name).toBe("work");
		expect(openScope({ lifetime: "request" }).name).toBe("request");
		expect(openScope().name).toBe("scope");
	});
});
