import { describe, expect, it } from "vitest";
import {
	CircularDependencyError,
	currentScope,
	ErrorSwallowedError,
	family,
	InvalidArgumentError,
	openScope,
	openScopeSync,
	provide,
	type Resource,
	resource,
	ScopeClosedError,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import {
	expectError,
	expectSuppressed,
	gate,
	logged,
	rejection,
	thrower,
	ticks,
	witness,
} from "./support.ts";

/** Logs the beginning and the end of its release, which waits for `until`. */
const slow = (
	log: string[],
	name: string,
	until: PromiseLike<void>,
	dependencies: Record<string, Resource<unknown>> = {},
) =>
	resource(
		dependencies,
		async function* () {
			log.push(`+${name}`);
			yield name;
			log.push(`-${name} begins`);
			await until;
			log.push(`-${name} ends`);
		},
		{ name },
	);

describe("release", () => {
	it("releases one instance now, as success, and leaves the rest", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const B = logged(log, "b");
		await withScope(async (scope) => {
			await use(A);
			await use(B);
			await scope.release(A);
			log.push("work");
		});
		expect(log).toEqual(["+a", "+b", "-a:success", "work", "-b:success"]);
	});

	it("is a success also in a scope that nobody completes", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const scope = openScope();
		await scope.use(A);
		await scope.use(logged(log, "b"));
		await scope.release(A);
		expect(scope.outcome).toEqual({ type: "incomplete" });
		await scope.disposeAsync();
		expect(log).toEqual(["+a", "+b", "-a:success", "-b:incomplete"]);
	});

	it("isn't undone by a later failure", async () => {
		const log: string[] = [];
		const error = new Error("failed");
		const A = logged(log, "a");
		const work = withScope(async (scope) => {
			await use(A);
			await use(logged(log, "b"));
			await scope.release(A);
			throw error;
		});
		expect(await rejection(work)).toBe(error);
		expect(log).toEqual(["+a", "+b", "-a:success", "-b:failure"]);
	});

	it("commits nothing once the scope's work has failed", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const A = witness(seen);
		const scope = openScope();
		await scope.use(A);
		scope.fail(error);
		await expect(scope.release(A)).resolves.toBeUndefined();
		await scope.disposeAsync();
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});

	it("releases what depends on the instance first, and keeps what it depends on", async () => {
		const log: string[] = [];
		const Config = logged(log, "config");
		const Pool = logged(log, "pool", { Config });
		const Tx = logged(log, "tx", { Pool });
		const Orders = logged(log, "orders", { Tx });
		const Users = logged(log, "users", { Pool });
		const Other = logged(log, "other", { Config });
		await withScope(async (scope) => {
			await useAll({ Orders, Users, Other });
			log.length = 0;
			await scope.release(Pool);
			log.push("work");
		});
		expect(log).toEqual([
			"-users:success",
			"-orders:success",
			"-tx:success",
			"-pool:success",
			"work",
			"-other:success",
			"-config:success",
		]);
	});

	it("lets the next use set it up anew", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { Pool });
		await withScope(async (scope) => {
			await use(Tx);
			await scope.release(Pool);
			log.push("again");
			await use(Tx);
		});
		expect(log).toEqual([
			"+pool",
			"+tx",
			"-tx:success",
			"-pool:success",
			"again",
			"+pool",
			"+tx",
			"-tx:success",
			"-pool:success",
		]);
	});

	it("lets a use while the release runs set it up anew", async () => {
		const log: string[] = [];
		const until = gate();
		const A = slow(log, "a", until.promise);
		await withScope(async (scope) => {
			await use(A);
			const released = scope.release(A);
			await ticks();
			expect(await use(A)).toBe("a");
			log.push("again");
			until.open();
			await released;
			log.push("work");
		});
		expect(log).toEqual([
			"+a",
			"-a begins",
			"+a",
			"again",
			"-a ends",
			"work",
			"-a begins",
			"-a ends",
		]);
	});

	it("lets a use right after the call set it up anew, and what depends on it, too", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = resource({ Pool }, async function* () {
			log.push("+tx");
			yield 1;
			log.push("-tx");
		});
		await withScope(async (scope) => {
			await use(Pool);
			const released = scope.release(Pool);
			const used = use(Tx);
			await Promise.all([released, used]);
			log.push("work");
		});
		expect(log.slice(-3)).toEqual(["work", "-tx", "-pool:success"]);
		expect(log.slice(0, -3).sort()).toEqual(["+pool", "+pool", "+tx", "-pool:success"]);
	});

	it("lets the next use set it up anew among many, of families, too", async () => {
		let made = 0;
		const Member = family((key: number) => ({ key, id: ++made }));
		const all = Array.from({ length: 20 }, () => resource(() => ({ id: ++made })));
		await withScope(async (scope) => {
			for (const each of all) await use(each);
			for (let key = 0; key < 3; key++) await use(Member(key));
			for (const Each of [all[5] as Resource<{ id: number }>, Member(1)]) {
				const first = await use(Each);
				expect(await use(Each)).toBe(first);
				await scope.release(Each);
				const second = await use(Each);
				expect(second).not.toBe(first);
				expect(await use(Each)).toBe(second);
			}
		});
		expect(made).toBe(25);
	});

	it("may be repeated 1,000 times without a trace", async () => {
		let live = 0;
		const A = resource(async function* () {
			live++;
			yield 1;
			live--;
		});
		await withScope(async (scope) => {
			for (let i = 0; i < 1000; i++) {
				await use(A);
				expect(live).toBe(1);
				await scope.release(A);
				expect(live).toBe(0);
			}
			expect(scope.inspect().resources).toEqual([]);
		});
		expect(live).toBe(0);
	});

	it("releases 100,000 dependents first", async () => {
		let released = 0;
		const Pool = resource(function* () {
			yield 1;
			expect(released).toBe(100_000);
		});
		const Each = resource({ Pool }, function* () {
			yield 1;
			released++;
		});
		await withScope(async (scope) => {
			for (let i = 0; i < 100_000; i++) await scope.use(Each, { fresh: true });
			await scope.release(Pool);
			expect(released).toBe(100_000);
		});
	});

	it("releases what its setup registered right after it", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = resource(async function* ({ scope }) {
			scope.defer(() => void log.push("-deferred"));
			await use(Pool);
			const held = openScope();
			await held.use(logged(log, "held"));
			yield 1;
			log.push("-tx");
		});
		await withScope(async (scope) => {
			scope.defer(() => void log.push("-the scope's"));
			await use(Tx);
			await scope.release(Pool);
			log.push("work");
		});
		expect(log).toEqual([
			"+pool",
			"+held",
			"-tx",
			"-held:incomplete",
			"-deferred",
			"-pool:success",
			"work",
			"-the scope's",
		]);
	});

	it("disposes returned values", async () => {
		const log: string[] = [];
		const A = resource(() => ({ [Symbol.dispose]: () => void log.push("disposed") }));
		await withScope(async (scope) => {
			await use(A);
			await scope.release(A);
			log.push("work");
		});
		expect(log).toEqual(["disposed", "work"]);
	});

	it("does nothing for what isn't acquired, is provided, or was released", async () => {
		const log: string[] = [];
		const [A, B, C] = [logged(log, "a"), logged(log, "b"), logged(log, "c")];
		await withScope({ bindings: [provide(B, "provided")] }, async (scope) => {
			await scope.release(A);
			await use(B);
			await scope.release(B);
			expect(await use(B)).toBe("provided");
			await use(C);
			await scope.release(C);
			await scope.release(C);
		});
		expect(log).toEqual(["+c", "-c:success"]);
	});

	it("leaves fresh instances, which nobody can name", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		await withScope(async (scope) => {
			await use(A, { fresh: true });
			await scope.release(A);
			log.push("work");
		});
		expect(log).toEqual(["+a", "work", "-a:success"]);
	});

	it("refuses what is no resource", async () => {
		const scope = openScope();
		let error: unknown;
		try {
			await scope.release({} as Resource<unknown>);
		} catch (each) {
			error = each;
		}
		expect(error).toBeInstanceOf(InvalidArgumentError);
		expect(error).toMatchObject({ code: "YS_ERR_INVALID_ARGUMENT" });
		await scope.disposeAsync();
	});
});

describe("release in scopes below", () => {
	it("finds an enclosing scope's instance", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async () => {
			await withScope(async (scope) => {
				await use(Pool);
				await scope.release(Pool);
				log.push("inner");
			});
		});
		expect(log).toEqual(["+pool", "-pool:success", "inner"]);
	});

	it("releases dependents there first, and nothing else", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		const Orders = logged(log, "orders", { Tx });
		await withScope({ lifetime: "app" }, async (app) => {
			const child = openScope({ parent: openScope({ parent: app }) });
			await child.use(logged(log, "other"));
			await child.use(Orders);
			log.length = 0;
			await app.release(Pool);
			log.push("released");
			await child.disposeAsync();
		});
		expect(log).toEqual([
			"-orders:success",
			"-tx:success",
			"-pool:success",
			"released",
			"-other:incomplete",
		]);
	});

	it("releases the latest use first, also among those of several scopes", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async (app) => {
			const [a, b] = [openScope({ parent: app }), openScope({ parent: app })];
			await a.use(logged(log, "other"));
			await a.use(logged(log, "in a", { Pool }));
			await b.use(logged(log, "in b", { Pool }));
			log.length = 0;
			await app.release(Pool);
			expect(log).toEqual(["-in b:success", "-in a:success", "-pool:success"]);
		});
	});

	it("runs their releases with their own scope ambient", async () => {
		const seen: unknown[] = [];
		const Pool = resource(() => "pool", { lifetime: "app" });
		const Tx = resource({ Pool }, async function* () {
			yield 1;
			seen.push(currentScope().name);
		});
		await withScope({ lifetime: "app", name: "app" }, async (app) => {
			const child = openScope({ parent: app, name: "child" });
			await child.use(Tx);
			await app.release(Pool);
		});
		expect(seen).toEqual(["child"]);
	});

	it("commits nothing in a scope whose work has failed", async () => {
		const seen: unknown[] = [];
		const error = new Error("failed");
		const Pool = resource(() => "pool", { lifetime: "app" });
		await withScope({ lifetime: "app" }, async (app) => {
			const child = openScope({ parent: app });
			await child.use(witness(seen, "tx", { Pool }));
			child.fail(error);
			await app.release(Pool);
			await child.disposeAsync();
		});
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(error);
	});

	it("leaves them to a close of their scope that is under way, and waits for it", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		await withScope({ lifetime: "app" }, async (app) => {
			const child = openScope({ parent: app });
			await child.use(Tx);
			child.defer(() => until.promise);
			child.fail(new Error("failed"));
			const closed = child.disposeAsync();
			await ticks();
			const released = app.release(Pool);
			await ticks();
			expect(log).toEqual(["+pool", "+tx"]);
			until.open();
			await Promise.all([closed, released]);
		});
		expect(log.slice(2)).toEqual(["-tx:failure", "-pool:success"]);
	});

	it("leaves a closing scope's release code what it may still use", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		await withScope({ lifetime: "app" }, async (app) => {
			const child = openScope({ parent: app });
			await child.use(Tx);
			child.defer(async () => {
				await until.promise;
				log.push(`use ${await child.use(Tx)}`);
			});
			const closed = child.disposeAsync();
			await ticks();
			const released = app.release(Pool);
			await ticks();
			until.open();
			await Promise.all([closed, released]);
		});
		expect(log.slice(2)).toEqual(["use tx", "-tx:incomplete", "-pool:success"]);
	});

	it("waits for such a close also where it is asked for outside of all scopes", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		const app = openScope({ lifetime: "app" });
		const child = openScope({ parent: app });
		await child.use(Tx);
		child.defer(() => until.promise);
		const closed = child.disposeAsync();
		await ticks();
		const released = app.release(Pool);
		await ticks();
		until.open();
		await Promise.all([closed, released]);
		expect(log.slice(2)).toEqual(["-tx:incomplete", "-pool:success"]);
		await app.disposeAsync();
	});

	it("waits for a close that begins later, also where it is asked for in that scope", async () => {
		const log: string[] = [];
		const [setup, until] = [gate(), gate()];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		const Pending = resource({ Pool }, () => setup.promise, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async (app) => {
			const child = openScope({ parent: app });
			await child.use(Tx);
			child.defer(() => until.promise);
			void app.use(Pending);
			const released = child.run(() => app.release(Pool));
			await ticks();
			const closed = child.disposeAsync();
			await ticks();
			setup.open();
			await ticks();
			until.open();
			await Promise.all([closed, released]);
			log.push("released");
		});
		expect(log.slice(2)).toEqual(["-tx:incomplete", "-pool:success", "released"]);
	});

	it("is waited for by the close of a dependent's scope, until the last one there is released", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async (app) => {
			const child = openScope({ parent: app });
			await child.use(slow(log, "a", until.promise, { Pool }));
			await child.use(logged(log, "b", { Pool }));
			log.length = 0;
			const released = app.release(Pool);
			await ticks();
			expect(child.inspect().running).toBe(1);
			const closed = child.disposeAsync().then(() => log.push("closed"));
			await ticks();
			expect(log).toEqual(["-b:success", "-a begins"]);
			until.open();
			await Promise.all([released, closed]);
		});
		expect(log[2]).toBe("-a ends");
		expect(log.slice(3).sort()).toEqual(["-pool:success", "closed"]);
	});

	it("leaves nothing to wait for in scopes that live on, sync ones included", async () => {
		const Pool = resource(() => "pool", { lifetime: "app" });
		await withScope({ lifetime: "app" }, async (app) => {
			await app.use(Pool);
			const child = openScope({ parent: app });
			const sync = openScopeSync({ parent: app });
			await child.use(resource({ Pool }, () => 1));
			sync.use(resource({ Pool }, () => 1));
			await app.release(Pool);
			for (const scope of [app, child, sync])
				expect(scope.inspect()).toMatchObject({ running: 0, resources: [] });
		});
	});

	it("releases an instance of a scope that a setup opened", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const Session = resource(() => {
			const held = openScope();
			return { use: () => held.use(A), release: () => held.release(A) };
		});
		await withScope(async () => {
			const session = await use(Session);
			await session.use();
			await session.release();
			log.push("released");
		});
		expect(log).toEqual(["+a", "-a:success", "released"]);
	});

	it("releases what goes on in a scope that a setup opened and didn't wait for", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Inner = logged(log, "inner", { Pool });
		const Tx = resource(async function* () {
			await use(Pool);
			void withScope(async () => {
				await ticks(5);
				await use(Inner);
				await until.promise;
			});
			yield 1;
			log.push("-tx");
		});
		await withScope({ lifetime: "app" }, async (scope) => {
			await use(Tx);
			await ticks();
			log.length = 0;
			await scope.release(Pool);
			until.open();
		});
		expect(log).toEqual(["-inner:success", "-tx", "-pool:success"]);
	});

	it("loses nothing where a dependent's scope is closing", async () => {
		const log: string[] = [];
		const [closing, until] = [gate(), gate()];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		const Slow = slow(log, "slow", until.promise, { Pool });
		await withScope({ lifetime: "app" }, async (app) => {
			const [a, b] = [openScope({ parent: app }), openScope({ parent: app })];
			await a.use(Tx);
			a.defer(() => closing.promise);
			await b.use(logged(log, "other"));
			await b.use(Slow);
			const closed = a.disposeAsync();
			await ticks();
			const released = app.release(Pool);
			await ticks();
			closing.open();
			await ticks();
			until.open();
			await Promise.all([released, closed]);
		});
		expect(log.filter((line) => line.startsWith("-pool"))).toEqual(["-pool:success"]);
		expect(log.filter((line) => line.startsWith("-tx"))).toEqual(["-tx:incomplete"]);
	});

	it("disposes a dependent once, though its scope closes at the same time", async () => {
		const log: string[] = [];
		const [before, disposal] = [gate(), gate()];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = resource({ Pool }, () => ({
			async [Symbol.asyncDispose]() {
				log.push("-tx begins");
				await disposal.promise;
				log.push("-tx ends");
			},
		}));
		await withScope({ lifetime: "app" }, async (app) => {
			const child = openScope({ parent: app });
			await child.use(Tx);
			child.defer(() => before.promise);
			const closed = child.disposeAsync();
			await ticks();
			const released = app.release(Pool);
			await ticks();
			before.open();
			await ticks();
			disposal.open();
			await Promise.all([closed, released]);
		});
		expect(log).toEqual(["+pool", "-tx begins", "-tx ends", "-pool:success"]);
	});
});

describe("release whose release code fails", () => {
	it("rejects with the error; the scope's outcome stays", async () => {
		const log: string[] = [];
		const thrown = new Error("release failed");
		const A = thrower(thrown);
		await withScope(async (scope) => {
			await use(logged(log, "b"));
			await use(A);
			expect(await rejection(scope.release(A))).toBe(thrown);
			expect(scope.outcome).toEqual({ type: "incomplete" });
		});
		expect(log).toEqual(["+b", "-b:success"]);
	});

	it("tells those still to be released about it, and attempts all of them", async () => {
		const seen: unknown[] = [];
		const thrown = new Error("release failed");
		const Pool = witness(seen, "pool");
		const Tx = thrower(thrown, "tx", { Pool });
		await withScope(async (scope) => {
			await use(Tx);
			expect(await rejection(scope.release(Pool))).toBe(thrown);
		});
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(thrown);
	});

	it("combines several errors", async () => {
		const [older, newer] = [new Error("older"), new Error("newer")];
		const define = (error: Error, dependencies: Record<string, Resource<unknown>> = {}) =>
			resource(dependencies, () => ({
				[Symbol.dispose]: () => {
					throw error;
				},
			}));
		const Pool = define(newer);
		const Tx = define(older, { Pool });
		await withScope(async (scope) => {
			await use(Tx);
			expectSuppressed(await rejection(scope.release(Pool)), newer, older);
		});
	});

	it("reports what swallows the error", async () => {
		const reported: unknown[] = [];
		const thrown = new Error("release failed");
		const Swallower = resource(async function* () {
			try {
				yield 1;
			} catch {
				// that is the point
			}
		});
		const Tx = thrower(thrown, "tx", { Swallower });
		await withScope({ onReleaseError: (each) => reported.push(each) }, async (scope) => {
			await use(Tx);
			expect(await rejection(scope.release(Swallower))).toBe(thrown);
		});
		expect(reported.length).toBe(1);
		expectError(reported[0], ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
		expect(reported[0].cause).toBe(thrown);
	});
});

describe("release while something else runs", () => {
	it("waits for the instance's own setup", async () => {
		const log: string[] = [];
		const until = gate();
		const A = resource(async function* () {
			await until.promise;
			log.push("+a");
			yield 1;
			log.push("-a");
		});
		await withScope(async (scope) => {
			const using = scope.use(A);
			const released = scope.release(A);
			await ticks();
			until.open();
			await using;
			await released;
			log.push("work");
		});
		expect(log).toEqual(["+a", "-a", "work"]);
	});

	it("does nothing where that setup fails, which only its users hear of", async () => {
		const until = gate();
		const error = new Error("setup failed");
		const A = resource(() => until.promise);
		await withScope(async (scope) => {
			const using = scope.use(A);
			const released = scope.release(A);
			until.fail(error);
			expect(await rejection(using)).toBe(error);
			await released;
		});
	});

	it("waits for the setups of dependents", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool");
		const Tx = resource({ Pool }, async function* () {
			await until.promise;
			log.push("+tx");
			yield 1;
			log.push("-tx");
		});
		await withScope(async (scope) => {
			const using = scope.use(Tx);
			await ticks();
			const released = scope.release(Pool);
			await ticks();
			expect(log).toEqual(["+pool"]);
			until.open();
			await Promise.all([using, released]);
			log.push("work");
		});
		expect(log).toEqual(["+pool", "+tx", "-tx", "-pool:success", "work"]);
	});

	it("releases what a failed setup had registered before what that setup had used", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Broken = resource({ Pool }, (_dependencies, { scope }) => {
			scope.defer(() => void log.push("-connection"));
			throw new Error("broken");
		});
		await withScope(async (scope) => {
			await use(Broken).catch(() => log.push("failed"));
			await scope.release(Pool);
		});
		expect(log).toEqual(["+pool", "failed", "-connection", "-pool:success"]);
	});

	it("is waited for by the close", async () => {
		const log: string[] = [];
		const until = gate();
		const A = slow(log, "a", until.promise);
		const closed = withScope(async (scope) => {
			await use(logged(log, "b"));
			await use(A);
			void scope.release(A);
		}).then(() => log.push("closed"));
		await ticks();
		expect(log).toEqual(["+b", "+a", "-a begins"]);
		until.open();
		await closed;
		expect(log.slice(3)).toEqual(["-a ends", "-b:success", "closed"]);
	});

	it("releases once where it is asked for twice", async () => {
		const log: string[] = [];
		const until = gate();
		const A = slow(log, "a", until.promise);
		await withScope(async (scope) => {
			await use(A);
			const both = [scope.release(A), scope.release(A)];
			await ticks();
			until.open();
			await Promise.all(both);
		});
		expect(log).toEqual(["+a", "-a begins", "-a ends"]);
	});

	it("lets a second call wait as well", async () => {
		const log: string[] = [];
		const until = gate();
		const A = slow(log, "a", until.promise);
		await withScope(async (scope) => {
			await use(A);
			const first = scope.release(A);
			await ticks();
			const second = scope.release(A).then(() => log.push("second"));
			await ticks();
			until.open();
			await Promise.all([first, second]);
		});
		expect(log).toEqual(["+a", "-a begins", "-a ends", "second"]);
	});

	it("waits for a common dependent where two are asked for at the same time", async () => {
		const log: string[] = [];
		const until = gate();
		const A = logged(log, "a");
		const B = logged(log, "b");
		const Tx = slow(log, "tx", until.promise, { A, B });
		await withScope(async (scope) => {
			await use(Tx);
			log.length = 0;
			const both = Promise.all([scope.release(A), scope.release(B)]);
			await ticks();
			expect.soft(log).toEqual(["-tx begins"]);
			until.open();
			await both;
		});
		expect(log[1]).toBe("-tx ends");
		expect(log.slice(2).sort()).toEqual(["-a:success", "-b:success"]);
	});

	it("waits for a dependent that another call is releasing", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool");
		const Tx = slow(log, "tx", until.promise, { Pool });
		await withScope(async (scope) => {
			await use(Tx);
			const both = [scope.release(Tx)];
			await ticks();
			both.push(scope.release(Pool));
			await ticks();
			expect(log).toEqual(["+pool", "+tx", "-tx begins"]);
			until.open();
			await Promise.all(both);
		});
		expect(log.slice(3)).toEqual(["-tx ends", "-pool:success"]);
	});

	it("releases once where the scope closes at the same time", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool");
		const Tx = slow(log, "tx", until.promise, { Pool });
		const scope = openScope();
		await scope.use(Tx);
		const closed = scope.disposeAsync();
		const released = scope.release(Pool);
		until.open();
		await Promise.all([closed, released]);
		expect(log.filter((line) => line.startsWith("-pool"))).toEqual(["-pool:incomplete"]);
	});

	it("releases once where the scope closes while both wait for a setup", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = resource(async function* () {
			await until.promise;
			yield "pool";
			log.push("-pool");
		});
		const Tx = resource({ Pool }, () => ({
			async [Symbol.asyncDispose]() {
				log.push("-tx begins");
				await ticks();
				log.push("-tx ends");
			},
		}));
		const scope = openScope();
		void scope.use(Tx);
		const released = scope.release(Pool);
		scope.complete();
		const closed = scope.disposeAsync();
		until.open();
		await Promise.all([released, closed]);
		expect(log).toEqual(["-tx begins", "-tx ends", "-pool"]);
	});

	it("has nothing left to do in release code and on a closed scope", async () => {
		const log: string[] = [];
		const A = logged(log, "a");
		const scope = openScope();
		await scope.use(A);
		scope.defer(async () => {
			await scope.release(A);
			log.push("deferred");
		});
		await scope.disposeAsync();
		await scope.release(A);
		expect(log).toEqual(["+a", "deferred", "-a:incomplete"]);
		expectError(await rejection(scope.use(A)), ScopeClosedError, "YS_ERR_SCOPE_CLOSED");
	});

	it("has nothing to do in release code for what an enclosing scope owns", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		await withScope({ lifetime: "app" }, async (app) => {
			await app.use(Pool);
			await withScope(async (scope) => scope.defer(() => scope.release(Pool)));
			log.push("work");
		});
		expect(log).toEqual(["+pool", "work", "-pool:success"]);
	});

	it("is a cycle in release code of a dependent's scope, and doesn't hang", async () => {
		const log: string[] = [];
		const Pool = logged(log, "Pool", {}, { lifetime: "app" });
		const Tx = logged(log, "Tx", { Pool });
		await withScope({ lifetime: "app" }, async (app) => {
			await withScope(async (scope) => {
				await use(Tx);
				scope.defer(async () => {
					const error = await rejection(app.release(Pool));
					expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
					expect(error.path).toEqual(["Tx", "Pool"]);
					log.push("refused");
				});
			});
		});
		expect(log.slice(2)).toEqual(["refused", "-Tx:success", "-Pool:success"]);
	});

	it("is a cycle in a dependent's release code, and doesn't hang", async () => {
		const log: string[] = [];
		const Pool = logged(log, "Pool");
		const Tx = resource(
			{ Pool },
			async function* () {
				yield 1;
				const error = await rejection(currentScope().release(Pool));
				expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
				expect(error.path).toEqual(["Tx", "Pool"]);
				log.push("refused");
			},
			{ name: "Tx" },
		);
		await withScope(async (scope) => {
			await use(Tx);
			await scope.release(Tx);
			log.push("work");
		});
		expect(log).toEqual(["+Pool", "refused", "work", "-Pool:success"]);
	});

	it("of what isn't acquired doesn't wait for another's", async () => {
		const log: string[] = [];
		const until = gate();
		const A = slow(log, "a", until.promise);
		await withScope(async (scope) => {
			await use(A);
			const released = scope.release(A);
			await scope.release(logged(log, "b"));
			log.push("nothing to do");
			until.open();
			await released;
		});
		expect(log).toEqual(["+a", "-a begins", "nothing to do", "-a ends"]);
	});

	it("lets a second call wait although there is a fresh instance, too", async () => {
		const log: string[] = [];
		const until = gate();
		const A = slow(log, "a", until.promise);
		await withScope(async (scope) => {
			await use(A, { fresh: true });
			await use(A);
			const both = [scope.release(A), scope.release(A).then(() => log.push("second"))];
			await ticks();
			expect(log).toEqual(["+a", "+a", "-a begins"]);
			until.open();
			await Promise.all(both);
		});
		expect(log.slice(3, 5)).toEqual(["-a ends", "second"]);
	});

	it("lets a second call in a task wait, and one for what it depends on", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool");
		const Tx = slow(log, "tx", until.promise, { Pool });
		await withScope(async (scope) => {
			await use(Tx);
			log.length = 0;
			const released = scope.release(Tx);
			await ticks();
			const second = scope.spawn(() => scope.release(Tx)).then(() => log.push("second"));
			const other = scope.spawn(() => scope.release(Pool));
			await ticks();
			expect(log).toEqual(["-tx begins"]);
			until.open();
			await Promise.all([released, second, other]);
		});
		expect(log[1]).toBe("-tx ends");
		expect(log.slice(2).sort()).toEqual(["-pool:success", "second"]);
	});

	it("is over when its release code has ended: what that left running is refused in a close", async () => {
		const log: string[] = [];
		const [stray, task] = [gate(), gate()];
		const A = resource(async function* () {
			yield 1;
			void stray.promise.then(async () => {
				log.push(((await rejection(use(resource(() => 1)))) as Error).name);
			});
		});
		const scope = openScope();
		await scope.use(A);
		await scope.release(A);
		void scope.spawn(() => task.promise);
		const closed = scope.disposeAsync();
		stray.open();
		await ticks();
		expect(log).toEqual(["ScopeClosedError"]);
		task.open();
		await closed;
	});

	it("lets what the instance's setup has begun use the next instance", async () => {
		const log: string[] = [];
		const until = gate();
		const A: Resource<string> = resource(
			() => {
				log.push("+a");
				if (log.length === 1) void use(B);
				return "a";
			},
			{ name: "A" },
		);
		const B = resource(() => until.promise.then(() => use(A)), { name: "B" });
		await withScope(async (scope) => {
			await use(A);
			await scope.release(A);
			until.open();
			expect(await use(B)).toBe("a");
		});
		expect(log).toEqual(["+a", "+a"]);
	});

	it("releases once, in whatever tick of a close it is asked for", async () => {
		for (let count = 0; count < 20; count++) {
			const log: string[] = [];
			const A = resource(() => ({ [Symbol.dispose]: () => void log.push("disposed") }));
			const scope = openScope();
			await scope.use(A);
			void scope.spawn(() => ticks(3));
			const closed = scope.disposeAsync();
			await ticks(count);
			await Promise.all([scope.release(A), closed]);
			expect(log).toEqual(["disposed"]);
		}
	});

	it("may be asked for by the release code of the instance itself", async () => {
		const log: string[] = [];
		const A: Resource<number> = resource(async function* () {
			yield 1;
			await currentScope().release(A);
			log.push("-a");
		});
		await withScope(async (scope) => {
			await use(A);
			await scope.release(A);
		});
		expect(log).toEqual(["-a"]);
	});

	it("lets release code use what it depends on", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = resource({ Pool }, async function* () {
			yield 1;
			log.push(`-tx with ${await use(Pool)}`);
		});
		await withScope(async (scope) => {
			await use(Tx);
			await scope.release(Tx);
			log.push("work");
		});
		expect(log).toEqual(["+pool", "-tx with pool", "work", "-pool:success"]);
	});

	it("is a cycle in the setup of the instance or of a dependent, and doesn't hang", async () => {
		const Pool: Resource<number> = resource(
			async ({ scope }) => {
				await scope.release(Pool);
				return 1;
			},
			{ name: "Pool" },
		);
		const Config = resource(() => 1, { name: "Config" });
		const Tx = resource(
			{ Config },
			async (_dependencies, { scope }) => {
				await scope.release(Config);
				return 1;
			},
			{ name: "Tx" },
		);
		await withScope(async () => {
			const own = await rejection(use(Pool));
			expectError(own, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
			expect(own.path).toEqual(["Pool", "Pool"]);
			const dependents = await rejection(use(Tx));
			expectError(dependents, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
			expect(dependents.path).toEqual(["Tx", "Config"]);
		});
	});

	it("waits for a setup on an aborted scope without blocking the event loop", async () => {
		const log: string[] = [];
		const Slow = resource(async function* () {
			await new Promise((resolve) => setImmediate(resolve));
			yield 1;
			log.push("unreachable");
		});
		const scope = openScope();
		void scope.use(Slow);
		scope.abort();
		await scope.release(Slow);
		await scope.disposeAsync();
		expect(log).toEqual([]);
	});
});
