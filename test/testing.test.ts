import { afterEach, describe, expect, expectTypeOf, it } from "vitest";
import {
	detectLeaks,
	openScope,
	openScopeSync,
	resource,
	type Scope,
	ScopeError,
	withScope,
} from "../src/index.ts";
import { expectNoOpenScopes, fixture, scopeFixture, testScope } from "../src/testing.ts";
import { expectError, gate, logged, rejection, thrower } from "./support.ts";

describe("expectNoOpenScopes", () => {
	it("passes where nothing is open below, whatever the scope itself holds", async () => {
		const app = openScope();
		await app.use(logged([], "pool"));
		expectNoOpenScopes(app);
		await withScope({ parent: app }, () => {});
		expectNoOpenScopes(app);
		await app.disposeAsync();
		expectNoOpenScopes(app);
	});

	it("names each open scope below, and what it holds and waits for", async () => {
		const until = gate();
		const app = openScope({ name: "app" });
		const job = openScope({ parent: app, name: "job" });
		const step = openScope({ parent: job, name: "step" });
		await job.use(logged([], "lock"));
		const slow = step.use(resource(() => until.promise, { name: "slow" }));
		const error = await rejection(Promise.resolve().then(() => expectNoOpenScopes(app)));
		expectError(error, ScopeError, "YS_ERR_SCOPE");
		expect(error.scope).toBe("app");
		expect(error.message.split("\n").slice(1, 3)).toEqual([
			'  "job" (open): lock (ready)',
			'    "step" (open): slow (pending)',
		]);
		expect(error.message.split("\n").slice(3)).toEqual([
			'Close each, or open it with withScope(), and await that. detectLeaks("all") tells where.',
		]);
		until.open();
		await slow;
		await app.disposeAsync();
	});

	const messageOf = (check: () => void): string => {
		try {
			check();
		} catch (error) {
			expectError(error, ScopeError, "YS_ERR_SCOPE");
			return error.message;
		}
		throw new Error("expected scopes to be open");
	};

	it("counts callbacks", async () => {
		const app = openScope({ name: "app" });
		const job = openScope({ parent: app, name: "job" });
		const sync = openScopeSync({ parent: app, name: "sync" });
		job.defer(() => {});
		job.defer(() => {});
		await job.use(logged([], "lock"));
		sync.defer(() => {});
		expect(
			messageOf(() => expectNoOpenScopes(app))
				.split("\n")
				.slice(0, 3),
		).toEqual([
			'2 scopes are still open under "app":',
			'  "job" (open): lock (ready), 2 callbacks',
			'  "sync" (open): 1 callback',
		]);
		await app.disposeAsync();
	});

	it("shows fifty scopes, and fifty resources of each, however deep they are nested", async () => {
		const app = openScope({ name: "app" });
		let parent = app;
		for (let i = 0; i < 10_000; i++) parent = openScope({ parent, name: `${i}` });
		for (let i = 0; i < 60; i++) await app.use(logged([], `r${i}`));
		const lines = messageOf(() => expectNoOpenScopes(app)).split("\n");
		expect(lines).toHaveLength(53);
		expect(lines[50]).toBe(`${" ".repeat(100)}"49" (open)`);
		expect(lines[51]).toBe("  and 9950 more");

		const other = openScope({ name: "other" });
		const child = openScope({ parent: other, name: "child" });
		for (let i = 0; i < 51; i++) await child.use(logged([], `r${i}`));
		expect(messageOf(() => expectNoOpenScopes(other))).toMatch(/r49 \(ready\), 1 more\n/);
		await other.disposeAsync();
		await app.disposeAsync();
	});

	describe('with detectLeaks("all")', () => {
		afterEach(() => detectLeaks("sampled"));

		it("tells where each was opened, by its first line or the whole stack", async () => {
			detectLeaks("all");
			const app = openScope({ name: "app" });
			function startJob() {
				const job = openScope({ parent: app, name: "job" });
				return job;
			}
			startJob();
			const short = messageOf(() => expectNoOpenScopes(app)).split("\n");
			expect(short).toEqual([
				'1 scope is still open under "app":',
				'  "job" (open)',
				expect.stringMatching(/^ {6}at startJob .*testing\.test\.ts:\d+:\d+/),
				"Close each, or open it with withScope(), and await that.",
			]);
			const long = messageOf(() => expectNoOpenScopes(app, { stacks: true })).split("\n");
			expect(long.length).toBeGreaterThan(5);
			expect(long.slice(0, 3)).toEqual(short.slice(0, 3));
			expect(long.slice(2, -1).filter((line) => !/^ {6}at /.test(line))).toEqual([]);
			await app.disposeAsync();
		});

		it("looks at all roots of the process where no scope is given", async () => {
			detectLeaks("all");
			const before = openScope({ name: "before" });
			await before.disposeAsync();
			const root = openScope({ name: "forgotten" });
			openScope({ parent: root, name: "child" });
			const lines = messageOf(() => expectNoOpenScopes()).split("\n");
			expect(lines.filter((line) => !/^ +at /.test(line))).toEqual([
				"1 scope is still open:",
				'  "forgotten" (open)',
				'    "child" (open)',
				"Close each, or open it with withScope(), and await that.",
			]);
			await root.disposeAsync();
			expectNoOpenScopes();
		});
	});

	it("refuses to pass without a scope where not all are watched", () => {
		expect(messageOf(() => expectNoOpenScopes())).toMatch(/Call detectLeaks\("all"\) before/);
	});
});

describe("fixture", () => {
	it("acquires before the test and releases after it, as success", async () => {
		const log: string[] = [];
		await fixture(logged(log, "database"))({}, async (value) => {
			log.push(`test with ${value}`);
		});
		expect(log).toEqual(["+database", "test with database", "-database:success"]);
	});

	it("gives each test an instance of its own, in a scope with the options given", async () => {
		const values: unknown[] = [];
		const Db = resource(({ scope }) => ({ owner: scope.name }));
		const each = fixture(Db, { name: "test" });
		for (let i = 0; i < 2; i++) await each({}, async (value) => void values.push(value));
		expect(values).toEqual([{ owner: "test" }, { owner: "test" }]);
		expect(values[0]).not.toBe(values[1]);
	});

	it("tells the resource of a failing test, and the test runner of a failing release", async () => {
		const log: string[] = [];
		const failure = new Error("assertion");
		const failing = fixture(logged(log, "database"))({}, () => Promise.reject(failure));
		expect(await rejection(failing)).toBe(failure);
		expect(log).toEqual(["+database", "-database:failure"]);
		expect(await rejection(fixture(thrower(failure))({}, async () => {}))).toBe(failure);
	});

	it("releases what a failing setup has acquired, with its error", async () => {
		const log: string[] = [];
		const failure = new Error("setup");
		const broken = resource({ db: logged(log, "database") }, () => Promise.reject(failure));
		const setup = fixture(broken)({}, async () => void log.push("test"));
		expect(await rejection(setup)).toBe(failure);
		expect(log).toEqual(["+database", "-database:failure"]);
	});

	it("gives up its wait when the test times out", async () => {
		const log: string[] = [];
		const controller = new AbortController();
		const until = gate();
		const Slow = resource(({ signal }) => {
			signal.addEventListener("abort", () => until.open());
			return until.promise;
		});
		const context = { signal: controller.signal };
		const setup = fixture(Slow)(context, async () => void log.push("test"));
		controller.abort(new Error("timeout"));
		expect(await rejection(setup)).toMatchObject({ code: "YS_ERR_ACQUIRE_ABORTED" });
		expect(log).toEqual([]);
	});
});

// as users write it
const database = fixture(logged([], "database"));
const annotated = it.extend<{ database: string }>({ database });
const inferred = it
	.extend("database", database)
	.extend("file", { scope: "file" }, fixture(resource(() => ({ id: 7 }))))
	.extend("scope", scopeFixture())
	.extend("own", ({ scope }) => scope.use(logged([], "own")));

describe("an argument of the wrong kind", () => {
	const refused = (message: string) =>
		expect.objectContaining({ code: "YS_ERR_INVALID_ARGUMENT", message });

	it.each([undefined, null, { rollback: true }, {}])("is refused by testScope: %o", (context) => {
		expect(() => testScope(context as never)).toThrow(
			refused(
				"Expected what the test is given for testScope(): the `t` of node:test, or the context of Vitest. Options come after it.",
			),
		);
	});

	it.each([null, { stacks: true }, "app"])("is refused by expectNoOpenScopes: %o", (scope) => {
		expect(() => expectNoOpenScopes(scope as never)).toThrow(
			refused(
				"Expected a scope for expectNoOpenScopes(), or undefined for all. Options come after it.",
			),
		);
	});
});

describe("a misspelt option", () => {
	const options = { rolback: true } as object;
	const message = "Expected the options of a scope, or `rollback`, got `rolback`.";
	const refused = { code: "YS_ERR_INVALID_ARGUMENT", message };

	it("is refused: the test would commit", async () => {
		expect(() => testScope({ after() {} } as never, options)).toThrow(
			expect.objectContaining(refused),
		);
		await expect(async () => scopeFixture(options)({}, async () => {})).rejects.toMatchObject(
			refused,
		);
	});
});

describe("fixture in test.extend", () => {
	annotated("provides the value", ({ database }) => {
		expect(database).toBe("database");
	});

	inferred("infers the type", ({ database, file, scope, own }) => {
		expectTypeOf(database).toBeString();
		expectTypeOf(file).toEqualTypeOf<{ id: number }>();
		expectTypeOf(scope).toEqualTypeOf<Scope>();
		expect([database, file, own]).toEqual(["database", { id: 7 }, "own"]);
		expect(scope.name).toBe("infers the type");
	});
});

describe("testScope", () => {
	it("is the test's, and takes a scope's options", async (context) => {
		const parent = openScope({ name: "parent" });
		const scope = testScope(context, { parent, lifetime: "task" });
		expect(scope.name).toBe("is the test's, and takes a scope's options");
		expect([scope.parent, scope.lifetime]).toEqual([parent, "task"]);
		expect(testScope(context, { name: "own" }).name).toBe("own");
	});
});
