import { test as base, describe, expect } from "vitest";
import { provide } from "../../src/index.ts";
import { fixture, scopeFixture, testScope } from "../../src/testing.ts";
import { log, Traced, User } from "./outcomes.ts";

const later = () => new Promise((resolve) => setTimeout(resolve, 1));

const test = base
	.extend("file", { scope: "file" }, fixture(Traced("file")))
	.extend("value", fixture(Traced("fixture")))
	.extend("undone", fixture(Traced("undone"), { rollback: true }));

describe("fixture", () => {
	test("passes", ({ value, file }) => {
		log(`test with ${value} and ${file}`);
	});
	test("fails", ({ value }) => {
		log(`test with ${value}`);
		throw new RangeError("broken");
	});
	test("passes, and all is rolled back", ({ undone }) => log(`test with ${undone}`));
	test("fails, and all is rolled back", ({ undone }) => {
		log(`test with ${undone}`);
		throw new RangeError("broken");
	});
	test("is skipped meanwhile", ({ value, skip }) => {
		log(`test with ${value}`);
		skip();
	});
	test("passes when it is tried again", { retry: 1 }, ({ value, task }) => {
		log(`test with ${value}`);
		expect(task.result?.retryCount).toBe(1);
	});
	test("times out", { timeout: 20 }, async ({ value }) => {
		log(`test with ${value}`);
		await new Promise(() => {});
	});
});

describe("scopeFixture", () => {
	const test = base
		.extend("scope", scopeFixture())
		.extend("a", ({ scope }) => scope.use(Traced("a")))
		.extend("b", ({ scope }) => scope.use(Traced("a")));
	// it is called for plain tests as well, though its types say otherwise
	test.aroundEach((run, { scope }) => (scope ? scope.run(run) : run()));

	test("is one for all that a test uses", ({ a, b, scope }) => {
		log(`test "${scope.name}" with ${a} and ${b}`);
	});
	base("leaves plain tests alone", () => {});
});

describe.concurrent("testScope", () => {
	for (const user of ["ada", "grace"]) {
		base(`for ${user}`, async (context) => {
			const scope = testScope(context, { bindings: [provide(User, user)] });
			await later();
			log(`${context.task.name}: ${await scope.use(User)}`);
			await scope.use(Traced(user));
		});
	}
	base("that fails", async (context) => {
		await testScope(context).use(Traced("failing"));
		throw new RangeError("broken");
	});
	base("whose release fails", async (context) => {
		testScope(context).defer(() => {
			throw new RangeError("release");
		});
	});
	base("that times out", { timeout: 20 }, async (context) => {
		const { signal } = testScope(context);
		await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
		log(`aborted: ${signal.reason.message.split("\n")[0]}`);
	});
});
