import { describe, expect, it } from "vitest";
import {
	CircularDependencyError,
	family,
	InvalidArgumentError,
	openScope,
	override,
	provide,
	type Resource,
	resource,
	token,
	use,
	withScope,
	withScopeSync,
} from "../src/index.ts";
import { expectError, gate, rejection, ticks } from "./support.ts";

/** A family that logs its keys. */
function loggedFamily(
	log: string[],
	lifetime?: string,
): (key: string) => Resource<{ key: string }> {
	return family(
		async function* (key: string) {
			log.push(`+${key}`);
			yield { key };
			log.push(`-${key}`);
		},
		{ name: "Db", lifetime },
	);
}

describe("family", () => {
	it("makes one instance per key and owner", async () => {
		const log: string[] = [];
		const Db = loggedFamily(log);
		await withScope(async (scope) => {
			const [a, again, b] = await Promise.all([use(Db("a")), scope.use(Db("a")), use(Db("b"))]);
			expect(a).toBe(again);
			expect(a).not.toBe(b);
			await withScope(async () => expect(await use(Db("a"))).not.toBe(a));
		});
		expect(log).toEqual(["+a", "+b", "+a", "-a", "-b", "-a"]);
	});

	it("tells many keys apart from each other and from other resources", async () => {
		const Db = family((key: number) => ({ key }));
		const Other = family((key: number) => ({ key }));
		const Single = resource(() => ({ key: "single" }));
		await withScope(async (scope) => {
			const first: object[] = [];
			for (let i = 0; i < 20; i++) first.push(await use(Db(i)), await use(Other(i)));
			expect((await use(Single)).key).toBe("single");
			const second: object[] = [];
			for (let i = 0; i < 20; i++) second.push(await use(Db(i)), await use(Other(i)));
			expect(new Set(first).size).toBe(40);
			expect(second).toEqual(first);
			expect(second.every((value, i) => value === first[i])).toBe(true);
			expect(scope.inspect().resources.length).toBe(41);
		});
	});

	it.each([[1], [20]])(
		"compares keys as Object.is does, and takes -0 for 0 (%i before)",
		async (others) => {
			const Db = family((key: unknown) => ({ key }));
			await withScope(async () => {
				for (let i = 0; i < others; i++) await use(Db(`other ${i}`));
				const object = {};
				const same: [unknown, unknown][] = [
					[Number.NaN, Number.NaN],
					[0, -0],
					[object, object],
					[undefined, undefined],
				];
				for (const [a, b] of same) expect(await use(Db(a))).toBe(await use(Db(b)));
				const different: [unknown, unknown][] = [
					[{}, {}],
					["1", 1],
					[null, undefined],
				];
				for (const [a, b] of different) expect(await use(Db(a))).not.toBe(await use(Db(b)));
			});
		},
	);

	it("shares a setup in flight, and doesn't cache one that failed", async () => {
		let attempts = 0;
		const door = gate();
		const Db = family(async (key: string) => {
			attempts++;
			await door.promise;
			return { key };
		});
		const error = new Error("down");
		await withScope(async () => {
			const waiting = [rejection(use(Db("a"))), rejection(use(Db("a")))];
			door.fail(error);
			expect(await Promise.all(waiting)).toEqual([error, error]);
			expect(attempts).toBe(1);
			expect(await rejection(use(Db("a")))).toBe(error);
			expect(attempts).toBe(2);
		});
	});

	it("passes dependencies, then the key, then the context", async () => {
		const Host = resource(() => "localhost");
		const Db = family({ host: Host }, ({ host }, tenant: string, { scope }) => [
			host,
			tenant,
			scope.name,
		]);
		await withScope({ name: "work" }, async () => {
			expect(await use(Db("acme"))).toEqual(["localhost", "acme", "work"]);
		});
	});

	it("takes a class", async () => {
		class Db {
			readonly tenant: string;
			constructor(tenant: string) {
				this.tenant = tenant;
			}
		}
		const TenantDb = family(Db);
		await withScope(async () => {
			const db = await use(TenantDb("acme"));
			expect(db).toBeInstanceOf(Db);
			expect(db.tenant).toBe("acme");
		});
	});

	it("can be a dependency, and is released after what uses it", async () => {
		const log: string[] = [];
		const Db = loggedFamily(log);
		const Report = resource({ a: Db("a"), b: Db("b") }, async function* ({ a, b }) {
			yield a.key + b.key;
			log.push("-report");
		});
		await withScope(async () => {
			expect(await use(Report)).toBe("ab");
			expect((await use(Db("a"))).key).toBe("a");
		});
		expect(log).toEqual(["+a", "+b", "-report", "-b", "-a"]);
	});

	it("is owned by its lifetime's scope", async () => {
		const log: string[] = [];
		const Db = loggedFamily(log, "app");
		await withScope({ lifetime: "app" }, async () => {
			const a = await withScope(() => use(Db("a")));
			expect(await withScope(() => use(Db("a")))).toBe(a);
			log.push("work");
		});
		expect(log).toEqual(["+a", "work", "-a"]);
	});

	it("is released on its own", async () => {
		const log: string[] = [];
		const Db = loggedFamily(log);
		await withScope(async (scope) => {
			await use(Db("a"));
			await use(Db("b"));
			await scope.release(Db("a"));
			log.push("work");
			await use(Db("a"));
		});
		expect(log).toEqual(["+a", "+b", "-a", "work", "+a", "-a", "-b"]);
	});

	it("is provided and overridden by key", async () => {
		const log: string[] = [];
		const Db = loggedFamily(log);
		const bindings = [provide(Db("a"), { key: "provided" }), override(Db("b"), Db("c"))];
		await withScope({ bindings }, async () => {
			expect((await use(Db("a"))).key).toBe("provided");
			expect((await use(Db("b"))).key).toBe("c");
			expect((await use(Db("d"))).key).toBe("d");
		});
		expect(log).toEqual(["+c", "+d", "-d", "-c"]);
	});

	it("finds cycles by key", async () => {
		const Dir: (path: string) => Resource<string> = family(
			async (path: string) => {
				const up = path === "/" ? "/a" : path.slice(0, path.lastIndexOf("/")) || "/";
				return `${await use(Dir(up))}!`;
			},
			{ name: "Dir" },
		);
		const error = await rejection(withScope(() => use(Dir("/a/b"))));
		expectError(error, CircularDependencyError, "YS_ERR_CIRCULAR_DEPENDENCY");
		expect(error.path).toEqual(['Dir("/")', 'Dir("/a")', 'Dir("/")']);
	});

	it("may use another key of its own", async () => {
		const Sum: (n: number) => Resource<number> = family(async (n: number) =>
			n === 0 ? 0 : n + (await use(Sum(n - 1))),
		);
		expect(await withScope(() => use(Sum(100)))).toBe(5050);
	});

	it("works in a sync scope", () => {
		const Lock = family(function* (file: string) {
			yield { file };
		});
		withScopeSync((scope) => expect(scope.use(Lock("a"))).toBe(scope.use(Lock("a"))));
	});

	it.each([
		["acme", 'Db("acme")'],
		['a"b', 'Db("a\\"b")'],
		[7, "Db(7)"],
		[7n, "Db(7)"],
		[-0, "Db(0)"],
		[null, "Db(null)"],
		[undefined, "Db(undefined)"],
		[Symbol("s"), "Db(Symbol(s))"],
		[{ password: "secret" }, "Db(object)"],
		[["secret"], "Db(object)"],
		[() => "secret", "Db(function)"],
		["x".repeat(40), `Db("${"x".repeat(40)}")`],
		["x".repeat(41), `Db("${"x".repeat(39)}…")`],
	])("names the resource of the key %o", (key, name) => {
		expect(family((_key: unknown) => 1, { name: "Db" })(key).name).toBe(name);
	});

	it("is named after its setup, like a resource, and keeps its lifetime", () => {
		function tenantDb(_tenant: string): number {
			return 1;
		}
		const member = family(tenantDb, { lifetime: "app" })("a");
		expect(member).toMatchObject({ name: 'tenantDb("a")', lifetime: "app" });
		expect(family((_key: string) => 1)("a").name).toBe('(anonymous)("a")');
	});

	it("refuses what resource() refuses, and itself in a resource's place", () => {
		expect(() => family(1 as never)).toThrow(InvalidArgumentError);
		expect(() => family({ a: 1 } as never, () => 1)).toThrow(InvalidArgumentError);
		expect(() => family(() => 1, { releaseTimeout: -1 })).toThrow(InvalidArgumentError);
		expect(() => use(family(() => 1) as never)).toThrow(InvalidArgumentError);
	});

	it("bounds the release of a member", async () => {
		const door = gate();
		const Stuck = family(
			async function* (key: string) {
				yield key;
				await door.promise;
			},
			{ name: "Stuck", releaseTimeout: 1 },
		);
		const error = await rejection(withScope(() => use(Stuck("a"))));
		expect((error as Error).message).toContain('Releasing Stuck("a")');
		door.open();
		await ticks();
	});

	it("keeps nothing of keys that no scope uses any more", async () => {
		const scope = openScope();
		const Name = token<string>("Name");
		const Db = family({ name: Name }, ({ name }, key: object) => ({ name, key }));
		const keys: WeakRef<object>[] = [];
		await withScope({ parent: scope, bindings: [provide(Name, "n")] }, async () => {
			for (let i = 0; i < 20; i++) {
				const key = {};
				keys.push(new WeakRef(key));
				await use(Db(key));
			}
		});
		await new Promise((resolve) => setImmediate(resolve));
		(globalThis as { gc?: () => void }).gc?.();
		if ("gc" in globalThis) expect(keys.filter((key) => key.deref() !== undefined)).toEqual([]);
		await scope.disposeAsync();
	});
});
