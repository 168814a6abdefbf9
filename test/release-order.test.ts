import { describe, expect, it } from "vitest";
import {
	openScope,
	override,
	type Resource,
	resource,
	type Scope,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { gate, logged, ticks } from "./support.ts";

/** A disposable that logs its name. */
const disposable = (log: string[], name: string): Disposable => ({
	[Symbol.dispose]: () => void log.push(`-${name}`),
});

/** Makes a setup overlap with whatever runs until `end` is awaited: the release order can't be read off completions. */
function overlap(scope: Scope): { end(): Promise<void> } {
	const { promise, open } = gate();
	const Overlapping = resource(() => promise, { name: "Overlapping" });
	const overlapping = scope.use(Overlapping);
	return {
		async end() {
			open();
			await overlapping;
		},
	};
}

describe("rule 11: dependents are released before what they depend on", () => {
	it("releases a chain from its end", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { Pool });
		const Orders = logged(log, "orders", { Tx });

		await withScope(() => use(Orders));

		expect(log).toEqual([
			"+pool",
			"+tx",
			"+orders",
			"-orders:success",
			"-tx:success",
			"-pool:success",
		]);
	});

	it("releases a diamond's top first and its bottom last", async () => {
		const log: string[] = [];
		const Bottom = logged(log, "bottom");
		const Left = logged(log, "left", { Bottom });
		const Right = logged(log, "right", { Bottom });
		const Top = logged(log, "top", { Left, Right });

		await withScope(() => use(Top));

		expect(log.slice(4)).toEqual([
			"-top:success",
			"-right:success",
			"-left:success",
			"-bottom:success",
		]);
	});

	it("doesn't mind whether the dependency was used directly before", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { Pool });

		await withScope(async () => {
			await use(Pool);
			await use(Tx);
		});

		expect(log.slice(2)).toEqual(["-tx:success", "-pool:success"]);
	});

	it.each([
		[
			"declared",
			(Pool: Resource<string>, log: string[]): Resource<unknown> => logged(log, "tx", { Pool }),
		],
		[
			"ambient use()",
			(Pool: Resource<string>, log: string[]): Resource<unknown> =>
				resource(async function* () {
					await use(Pool);
					yield 1;
					log.push("-tx:success");
				}),
		],
		[
			"useAll()",
			(Pool: Resource<string>, log: string[]): Resource<unknown> =>
				resource(async function* () {
					await useAll({ Pool });
					yield 1;
					log.push("-tx:success");
				}),
		],
		[
			"context.scope.use()",
			(Pool: Resource<string>, log: string[]): Resource<unknown> =>
				resource(async function* ({ scope }) {
					await scope.use(Pool);
					yield 1;
					log.push("-tx:success");
				}),
		],
		[
			"scope.run()",
			(Pool: Resource<string>, log: string[]): Resource<unknown> =>
				resource(async function* ({ scope }) {
					await scope.run(() => use(Pool));
					yield 1;
					log.push("-tx:success");
				}),
		],
		[
			"a scope opened inside the setup",
			(Pool: Resource<string>, log: string[]): Resource<unknown> =>
				resource(async function* ({ scope }) {
					await withScope(() => scope.use(Pool));
					yield 1;
					log.push("-tx:success");
				}),
		],
	])("counts %s as a dependency, also where setups overlap", async (_how, define) => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = define(Pool, log);

		await withScope(async (scope) => {
			const other = overlap(scope);
			await scope.use(Tx);
			await other.end();
		});

		// the pool was used later than the transaction
		expect(log.filter((line) => line.startsWith("-"))).toEqual(["-tx:success", "-pool:success"]);
	});

	it("counts use() under scope.enter() in the setup as a dependency", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = resource(async function* ({ scope }) {
			{
				using _entered = scope.enter();
				await use(Pool);
			}
			yield 1;
			log.push("-tx");
		});

		await withScope(async (scope) => {
			const other = overlap(scope);
			await scope.use(Tx);
			await other.end();
		});

		expect(log).toEqual(["+pool", "-tx", "-pool:success"]);
	});

	it("doesn't go by the order in which setups finished", async () => {
		const log: string[] = [];
		const slow = gate();
		const Pool = logged(log, "pool");
		const Tx = resource(async function* () {
			await slow.promise;
			await use(Pool);
			log.push("+tx");
			yield "tx";
			log.push("-tx:success");
		});
		const Fast = logged(log, "fast");

		await withScope(async () => {
			const tx = use(Tx);
			await use(Fast);
			slow.open();
			await tx;
		});

		expect(log).toEqual(["+fast", "+pool", "+tx", "-fast:success", "-tx:success", "-pool:success"]);
	});

	it("releases a dependency whose setup finished last after its dependents all the same", async () => {
		const log: string[] = [];
		const opened = gate();
		const Pool = resource(async function* () {
			await opened.promise;
			log.push("+pool");
			yield "pool";
			log.push("-pool:success");
		});
		const A = logged(log, "a", { Pool });
		const B = logged(log, "b", { Pool });
		const Alone = logged(log, "alone");

		await withScope(async () => {
			const both = useAll({ B, A });
			await use(Alone);
			opened.open();
			await both;
		});

		expect(log).toEqual([
			"+alone",
			"+pool",
			"+b",
			"+a",
			"-alone:success",
			"-a:success",
			"-b:success",
			"-pool:success",
		]);
	});

	it("releases an inner scope's dependents before the outer scope's dependencies", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });

		await withScope({ lifetime: "app" }, async (app) => {
			const held = openScope({ parent: app });
			await held.use(Tx);
		});

		expect(log).toEqual(["+pool", "+tx", "-tx:incomplete", "-pool:success"]);
	});

	it("releases a dependent that got its dependency through an override first", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const FakePool = logged(log, "fake");
		const Tx = logged(log, "tx", { Pool });

		await withScope({ bindings: [override(Pool, FakePool)] }, async (scope) => {
			const other = overlap(scope);
			await scope.use(Tx);
			await other.end();
		});

		expect(log).toEqual(["+fake", "+tx", "-tx:success", "-fake:success"]);
	});

	it("releases what lives in a scope that a setup opened before what that depends on", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		const Session = resource(
			async function* () {
				yield openScope({ name: "session" });
				log.push("-session");
			},
			{ lifetime: "app" },
		);

		await withScope({ lifetime: "app" }, async () => {
			const session = await use(Session);
			await session.use(Tx);
		});

		expect(log).toEqual(["+pool", "+tx", "-session", "-tx:incomplete", "-pool:success"]);
	});

	it("keeps the place of a setup whose own scope's instances use it", async () => {
		const log: string[] = [];
		const Session = resource(
			async function* () {
				const held = openScope();
				yield { use: () => held.use(Inner) };
				log.push("-session");
			},
			{ name: "Session", lifetime: "app" },
		);
		const Inner: Resource<unknown> = logged(log, "inner", { Session });
		await withScope({ lifetime: "app" }, async () => {
			await use(logged(log, "first"));
			const session = await use(Session);
			await session.use();
		});
		expect(log).toEqual(["+first", "+inner", "-session", "-inner:incomplete", "-first:success"]);
	});

	it("does so as well where the setup itself used it and setups overlapped", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Tx = logged(log, "tx", { Pool });
		const Session = resource(
			async function* () {
				const session = openScope({ name: "session" });
				await session.use(Tx);
				yield session;
				log.push("-session");
			},
			{ lifetime: "app" },
		);

		await withScope({ lifetime: "app" }, async (scope) => {
			const other = overlap(scope);
			await use(Session);
			await other.end();
		});

		expect(log).toEqual(["+pool", "+tx", "-session", "-tx:incomplete", "-pool:success"]);
	});
});

describe("rule 11: among the ready ones, latest use first", () => {
	it("releases independent instances in reverse order", async () => {
		const log: string[] = [];

		await withScope(async () => {
			await use(logged(log, "a"));
			await use(logged(log, "b"));
			await use(logged(log, "c"));
		});

		expect(log.slice(3)).toEqual(["-c:success", "-b:success", "-a:success"]);
	});

	it("counts the use, not the end of the setup", async () => {
		const log: string[] = [];
		const slow = gate();
		const Slow = resource(async function* () {
			await slow.promise;
			log.push("+slow");
			yield 1;
			log.push("-slow");
		});

		await withScope(async () => {
			const first = use(Slow);
			await use(logged(log, "fast"));
			slow.open();
			await first;
		});

		expect(log).toEqual(["+fast", "+slow", "-fast:success", "-slow"]);
	});

	it.each([false, true])(
		"counts the use that made the instance (overlapping: %s)",
		async (both) => {
			const log: string[] = [];
			const A = logged(log, "a");
			const B = logged(log, "b");

			await withScope(async (scope) => {
				const other = both ? overlap(scope) : undefined;
				await use(A);
				await use(B);
				await use(A);
				await other?.end();
			});

			expect(log).toEqual(["+a", "+b", "-b:success", "-a:success"]);
		},
	);

	it("puts what becomes ready in its place among those that are", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { Pool });

		await withScope(async (scope) => {
			await use(logged(log, "first"));
			const other = overlap(scope);
			const tx = use(Tx); // makes Pool after it
			await tx;
			await use(logged(log, "last"));
			await other.end();
		});

		expect(log.slice(4)).toEqual([
			"-last:success",
			"-tx:success",
			"-pool:success",
			"-first:success",
		]);
	});

	it("keeps a freed dependency behind later uses that are ready", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = logged(log, "tx", { Pool });

		await withScope(async (scope) => {
			await use(Pool);
			const other = overlap(scope);
			await use(logged(log, "middle"));
			await use(Tx);
			await other.end();
		});

		expect(log.slice(3)).toEqual(["-tx:success", "-middle:success", "-pool:success"]);
	});

	it("gives a fresh instance its own turn", async () => {
		const log: string[] = [];
		let count = 0;
		const Each = resource(async function* () {
			const id = ++count;
			yield id;
			log.push(`-${id}`);
		});

		await withScope(async () => {
			expect(await use(Each)).toBe(1);
			expect(await use(Each, { fresh: true })).toBe(2);
			expect(await use(Each)).toBe(1);
			expect(await use(Each, { fresh: true })).toBe(3);
		});

		expect(log).toEqual(["-3", "-2", "-1"]);
	});

	it("releases a fresh dependency after its dependent", async () => {
		const log: string[] = [];
		const Connection = logged(log, "connection");
		const Tx = resource(async function* () {
			await use(Connection, { fresh: true });
			yield 1;
			log.push("-tx");
		});

		await withScope(async (scope) => {
			await use(Connection);
			const other = overlap(scope);
			await use(Tx);
			await other.end();
		});

		expect(log.slice(2)).toEqual(["-tx", "-connection:success", "-connection:success"]);
	});

	it("leaves what a failed setup had acquired to its own turn", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Broken = resource(async () => {
			await use(Pool);
			throw new Error("broken");
		});

		await withScope(async () => {
			await use(logged(log, "a"));
			await use(Broken).catch(() => log.push("failed"));
			await use(logged(log, "b"));
		});

		expect(log).toEqual([
			"+a",
			"+pool",
			"failed",
			"+b",
			"-b:success",
			"-pool:success",
			"-a:success",
		]);
	});
});

describe("rule 11: defer, adopt and disposables take part in the same order", () => {
	it("releases them between the instances", async () => {
		const log: string[] = [];

		await withScope(async (scope) => {
			await scope.use(logged(log, "a"));
			scope.defer(() => void log.push("-deferred"));
			await scope.use(logged(log, "b"));
			scope.adopt("adopted", (value) => void log.push(`-${value}`));
			scope.use(disposable(log, "disposable"));
			await scope.use(logged(log, "c"));
		});

		expect(log.slice(3)).toEqual([
			"-c:success",
			"-disposable",
			"-adopted",
			"-b:success",
			"-deferred",
			"-a:success",
		]);
	});

	it("does so where setups overlap", async () => {
		const log: string[] = [];
		const slow = gate();
		const Slow = resource(async function* () {
			await slow.promise;
			yield 1;
			log.push("-slow");
		});

		await withScope(async (scope) => {
			scope.defer(() => void log.push("-first"));
			const using = scope.use(Slow);
			scope.defer(() => void log.push("-deferred"));
			await scope.use(logged(log, "b"));
			scope.adopt("adopted", (value) => void log.push(`-${value}`));
			slow.open();
			await using;
			scope.use(disposable(log, "disposable"));
		});

		expect(log).toEqual([
			"+b",
			"-disposable",
			"-adopted",
			"-b:success",
			"-deferred",
			"-slow",
			"-first",
		]);
	});

	it("gives a callback its turn by when it was registered, though a setup was in flight", async () => {
		const log: string[] = [];
		const slow = gate();
		const Slow = resource(async function* () {
			await slow.promise;
			yield 1;
			log.push("-slow");
		});

		await withScope(async (scope) => {
			const using = scope.use(Slow);
			scope.defer(() => void log.push("-deferred"));
			slow.open();
			await using;
		});

		expect(log).toEqual(["-deferred", "-slow"]);
	});

	it.each([false, true])(
		"releases what a setup registers right after that instance (overlapping: %s)",
		async (both) => {
			const log: string[] = [];
			const Pool = logged(log, "pool");
			const Tx = resource(async function* ({ scope }) {
				scope.defer(() => void log.push("-tx's deferred"));
				await use(Pool);
				scope.adopt("adopted", (value) => void log.push(`-tx's ${value}`));
				scope.use(disposable(log, "tx's disposable"));
				yield 1;
				log.push("-tx");
			});

			await withScope(async (scope) => {
				const other = both ? overlap(scope) : undefined;
				scope.defer(() => void log.push("-before"));
				await use(Tx);
				scope.defer(() => void log.push("-after"));
				await other?.end();
			});

			expect(log).toEqual([
				"+pool",
				"-after",
				"-tx",
				"-tx's disposable",
				"-tx's adopted",
				"-tx's deferred",
				"-pool:success",
				"-before",
			]);
		},
	);

	it("counts what a setup registers by scope.run() as the setup's", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Tx = resource(async function* ({ scope }) {
			scope.run(() => scope.defer(() => void log.push("-deferred")));
			await use(Pool);
			yield 1;
			log.push("-tx");
		});
		await withScope(() => use(Tx));
		expect(log).toEqual(["+pool", "-tx", "-deferred", "-pool:success"]);
	});

	it("leaves what a setup registers with another scope to that scope", async () => {
		const log: string[] = [];
		const other = openScope();
		const A = resource(() => other.defer(() => void log.push("-deferred")));
		await withScope(() => use(A));
		log.push("closed");
		await other.disposeAsync();
		expect(log).toEqual(["closed", "-deferred"]);
	});

	it("keeps apart what two setups register at the same time", async () => {
		const log: string[] = [];
		const [a, b] = [gate(), gate()];
		const define = (name: string, until: Promise<void>) =>
			resource(async function* ({ scope }) {
				scope.defer(() => void log.push(`-${name}'s first`));
				await until;
				scope.defer(() => void log.push(`-${name}'s second`));
				yield name;
				log.push(`-${name}`);
			});

		await withScope(async () => {
			const both = useAll({ a: define("a", a.promise), b: define("b", b.promise) });
			b.open();
			await ticks();
			a.open();
			await both;
		});

		expect(log).toEqual(["-b", "-b's second", "-b's first", "-a", "-a's second", "-a's first"]);
	});

	it("keeps what a failed setup had registered, until release", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		const Broken = resource(async ({ scope }) => {
			await use(Pool);
			scope.defer(() => void log.push("-deferred"));
			throw new Error("broken");
		});

		await withScope(async () => {
			await use(Broken).catch(() => log.push("failed"));
			log.push("work");
		});

		expect(log).toEqual(["+pool", "failed", "work", "-deferred", "-pool:success"]);
	});

	it("gives what is registered after the setup a turn of its own", async () => {
		const log: string[] = [];
		const Lazy = resource(async function* ({ scope }) {
			yield () => scope.defer(() => void log.push("-lazy's late"));
			log.push("-lazy");
		});

		await withScope(async () => {
			const register = await use(Lazy);
			await use(logged(log, "other"));
			register();
		});

		expect(log).toEqual(["+other", "-lazy's late", "-other:success", "-lazy"]);
	});

	it("releases 200,000 callbacks of one setup", async () => {
		let count = 0;
		const Many = resource(async function* ({ scope }) {
			for (let i = 0; i < 200_000; i++) scope.defer(() => void count++);
			yield 1;
		});

		await withScope(() => use(Many));

		expect(count).toBe(200_000);
	});
});

describe('rule 11: release: "concurrent"', () => {
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
				yield name;
				log.push(`-${name} begins`);
				await until;
				log.push(`-${name} ends`);
			},
			{ name },
		);

	it("releases independent ones together", async () => {
		const log: string[] = [];
		const [a, b] = [gate(), gate()];

		const closed = withScope({ release: "concurrent" }, async () => {
			await use(slow(log, "a", a.promise));
			await use(slow(log, "b", b.promise));
		});
		await ticks();
		expect(log).toEqual(["-b begins", "-a begins"]);
		a.open();
		await ticks();
		b.open();
		await closed;

		expect(log).toEqual(["-b begins", "-a begins", "-a ends", "-b ends"]);
	});

	it("releases one after the other by default", async () => {
		const log: string[] = [];
		const [a, b] = [gate(), gate()];

		const closed = withScope(async () => {
			await use(slow(log, "a", a.promise));
			await use(slow(log, "b", b.promise));
		});
		await ticks();
		a.open();
		await ticks();
		expect(log).toEqual(["-b begins"]);
		b.open();
		await closed;

		expect(log).toEqual(["-b begins", "-b ends", "-a begins", "-a ends"]);
	});

	it("waits for all dependents, and only for those", async () => {
		const log: string[] = [];
		const [left, right, other] = [gate(), gate(), gate()];
		const Pool = logged(log, "pool");
		const Left = slow(log, "left", left.promise, { Pool });
		const Right = slow(log, "right", right.promise, { Pool });
		const Other = slow(log, "other", other.promise);

		const closed = withScope({ release: "concurrent" }, () => useAll({ Left, Right, Other }));
		await ticks();
		expect(log).toEqual(["+pool", "-other begins", "-right begins", "-left begins"]);
		left.open();
		await ticks();
		expect(log.slice(4)).toEqual(["-left ends"]);
		right.open();
		await ticks();
		expect(log.slice(5)).toEqual(["-right ends", "-pool:success"]);
		other.open();
		await closed;

		expect(log.slice(7)).toEqual(["-other ends"]);
	});

	it("releases callbacks together with the rest", async () => {
		const log: string[] = [];
		const until = gate();

		const closed = withScope({ release: "concurrent" }, async (scope) => {
			scope.defer(async () => {
				log.push("-deferred begins");
				await until.promise;
				log.push("-deferred ends");
			});
			await scope.use(logged(log, "a"));
		});
		await ticks();
		expect(log).toEqual(["+a", "-a:success", "-deferred begins"]);
		until.open();
		await closed;

		expect(log.slice(3)).toEqual(["-deferred ends"]);
	});

	it("releases what a setup registers after that instance, one by one, and before its dependencies", async () => {
		const log: string[] = [];
		const [instance, callback] = [gate(), gate()];
		const Pool = logged(log, "pool");
		const Tx = resource(async function* ({ scope }) {
			await use(Pool);
			scope.defer(() => void log.push("-first"));
			scope.defer(async () => {
				log.push("-second begins");
				await callback.promise;
				log.push("-second ends");
			});
			yield 1;
			await instance.promise;
			log.push("-tx");
		});

		const closed = withScope({ release: "concurrent" }, () => use(Tx));
		await ticks();
		expect(log).toEqual(["+pool"]);
		instance.open();
		await ticks();
		expect(log.slice(1)).toEqual(["-tx", "-second begins"]);
		callback.open();
		await closed;

		expect(log.slice(3)).toEqual(["-second ends", "-first", "-pool:success"]);
	});

	it("releases what a failed setup had registered before what that setup had used", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool");
		const Broken = resource(async ({ scope }) => {
			await use(Pool);
			scope.defer(async () => {
				await until.promise;
				log.push("-connection");
			});
			throw new Error("broken");
		});

		const closed = withScope({ release: "concurrent" }, async () => {
			await use(Broken).catch(() => log.push("failed"));
		});
		await ticks();
		until.open();
		await closed;

		expect(log).toEqual(["+pool", "failed", "-connection", "-pool:success"]);
	});

	it("waits for the dependents although an inner scope's have been released", async () => {
		const log: string[] = [];
		const until = gate();
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		const Inner = logged(log, "inner", { Pool });
		const Outer = slow(log, "outer", until.promise, { Pool });

		const closed = withScope({ lifetime: "app", release: "concurrent" }, async () => {
			await withScope({ release: "concurrent" }, () => use(Inner));
			await use(Outer);
		});
		await ticks();
		expect(log).toEqual(["+pool", "+inner", "-inner:success", "-outer begins"]);
		until.open();
		await closed;

		expect(log.slice(4)).toEqual(["-outer ends", "-pool:success"]);
	});

	it("tells those not yet begun about a failure", async () => {
		const log: string[] = [];
		const [bad, good] = [gate(), gate()];
		const Pool = logged(log, "pool");
		const Bad = slow(log, "bad", bad.promise, { Pool });
		const Good = slow(log, "good", good.promise);
		const error = new Error("bad");

		const closed = withScope({ release: "concurrent" }, () => useAll({ Bad, Good }));
		await ticks();
		bad.fail(error);
		await ticks();
		good.open();

		await expect(closed).rejects.toBe(error);
		expect(log).toEqual(["+pool", "-good begins", "-bad begins", "-pool:failure", "-good ends"]);
	});
});

describe("rule 11: circles, which uses without await make", () => {
	/** Waits for `setUp`, and logs its release. */
	const member = (log: string[], name: string, setUp: () => unknown) =>
		resource(
			async function* () {
				await setUp();
				yield name;
				log.push(`-${name}`);
			},
			{ name },
		);

	it("begin with what a setup didn't wait for", async () => {
		const log: string[] = [];
		const A: Resource<unknown> = member(log, "a", () => void use(B));
		const B = member(log, "b", () => use(C));
		const C = member(log, "c", () => ticks().then(() => use(A)));

		await withScope(() => use(A));

		expect(log).toEqual(["-b", "-c", "-a"]);
	});

	it("begin with the latest of several that a setup didn't wait for", async () => {
		const log: string[] = [];
		const A: Resource<unknown> = member(log, "a", () => void use(B));
		const B = member(log, "b", () => {
			void use(C);
			return ticks(9); // it is ready after A
		});
		const C = member(log, "c", () => ticks().then(() => use(A)));

		await withScope(() => use(A));

		expect(log).toEqual(["-c", "-a", "-b"]);
	});

	it("go by the use that made the instance, not by where the circle is entered", async () => {
		const log: string[] = [];
		const A: Resource<unknown> = member(log, "a", () => void use(B));
		const B = member(log, "b", () => {
			void use(C);
			return ticks(9); // it is ready after A
		});
		const C = member(log, "c", () => ticks().then(() => use(A)));

		await withScope(() => useAll({ C, A }));

		expect(log).toEqual(["-b", "-c", "-a"]);
	});

	it("come after what is free, and before what they depend on", async () => {
		const log: string[] = [];
		const Pool = member(log, "pool", () => {});
		const A: Resource<unknown> = member(log, "a", () => use(Pool).then(() => void use(B)));
		const B = member(log, "b", () => ticks().then(() => use(A)));

		await withScope(async () => {
			await use(member(log, "free", () => {}));
			await use(A);
		});

		expect(log).toEqual(["-free", "-b", "-a", "-pool"]);
	});

	it("wait for what depends on them", async () => {
		const log: string[] = [];
		const until = gate();
		const A: Resource<unknown> = member(log, "a", () => void use(B));
		const B = member(log, "b", () => ticks().then(() => use(A)));
		const Dependent = resource({ A, B }, async function* () {
			yield "dependent";
			await until.promise;
			log.push("-dependent");
		});

		const closed = withScope({ release: "concurrent" }, () => use(Dependent));
		await ticks(200);
		expect(log).toEqual([]);
		until.open();
		await closed;

		expect(log).toEqual(["-dependent", "-b", "-a"]);
	});
});

describe("rule 11: many instances", () => {
	const COUNT = 100_000;
	const reversed = Array.from({ length: COUNT }, (_, i) => COUNT - 1 - i);

	it("releases 100,000 instances in order", async () => {
		const released: number[] = [];

		await withScope(async (scope) => {
			for (let i = 0; i < COUNT; i++) {
				const Numbered = resource(function* () {
					yield i;
					released.push(i);
				});
				await scope.use(Numbered);
			}
		});

		expect(released).toEqual(reversed);
	});

	it("releases 100,000 asynchronous instances in order, whose setups all overlapped", async () => {
		const released: number[] = [];
		const start = gate();

		await withScope(async (scope) => {
			const all = Array.from({ length: COUNT }, (_, i) =>
				scope.use(
					resource(async function* () {
						await start.promise;
						yield i;
						released.push(i);
					}),
				),
			);
			start.open();
			await Promise.all(all);
		});

		expect(released).toEqual(reversed);
	}, 30_000);

	it("releases 100,000 instances at once", async () => {
		const released: number[] = [];

		await withScope({ release: "concurrent" }, async (scope) => {
			for (let i = 0; i < COUNT; i++) {
				const Numbered = resource(async function* () {
					yield i;
					released.push(i);
				});
				await scope.use(Numbered);
			}
		});

		expect(released).toEqual(reversed);
	}, 30_000);

	it("releases 100,000 callbacks in order", async () => {
		const released: number[] = [];

		await withScope((scope) => {
			for (let i = 0; i < COUNT; i++) scope.defer(() => void released.push(i));
		});

		expect(released).toEqual(reversed);
	});

	it("releases 100,000 dependents before their dependency", async () => {
		const log: string[] = [];
		const Pool = logged(log, "pool");
		let released = 0;
		const Each = resource({ Pool }, function* () {
			yield 1;
			released++;
			if (log.length > 1) log.push("too late");
		});

		await withScope(async (scope) => {
			const other = overlap(scope);
			for (let i = 0; i < COUNT; i++) await scope.use(Each, { fresh: true });
			await other.end();
		});

		expect(released).toBe(COUNT);
		expect(log).toEqual(["+pool", "-pool:success"]);
	}, 30_000);

	it("releases a chain of 10,000", async () => {
		const released: number[] = [];
		let Last: Resource<number> = resource(() => 0);
		for (let i = 1; i <= 10_000; i++) {
			const Dependency = Last;
			Last = resource({ Dependency }, function* () {
				yield i;
				released.push(i);
			});
		}

		await withScope(() => use(Last));

		expect(released).toEqual(Array.from({ length: 10_000 }, (_, i) => 10_000 - i));
	});
});
