import { describe, expect, it } from "vitest";
import { openScope, resource, ScopeError, withScope } from "../src/index.ts";
import { expectNoOpenScopes, fixture } from "../src/testing.ts";
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
		until.open();
		await slow;
		await app.disposeAsync();
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
});

// as a user writes it
const test = it.extend<{ database: string }>({ database: fixture(logged([], "database")) });

describe("fixture in test.extend", () => {
	test("provides the value", ({ database }) => {
		expect(database).toBe("database");
	});
});
