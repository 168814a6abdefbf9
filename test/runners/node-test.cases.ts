import { describe, it, test } from "node:test";
import { provide, scoped } from "../../src/index.ts";
import { testScope } from "../../src/testing.ts";
import { log, Traced, User } from "./outcomes.ts";

const later = () => new Promise((resolve) => setTimeout(resolve, 1));

test("passes at the top level", async (t) => {
	log(`test with ${await testScope(t).use(Traced("top"))}`);
});

describe("testScope", { concurrency: false }, () => {
	it("passes", async (t) => {
		log(`test with ${await testScope(t).use(Traced("passing"))}`);
	});
	it("passes, and all is rolled back", async (t) => {
		log(`test with ${await testScope(t, { rollback: true }).use(Traced("undone"))}`);
	});
	it("fails", async (t) => {
		log(`test with ${await testScope(t).use(Traced("failing"))}`);
		throw new RangeError("broken");
	});
	it("fails with undefined", async (t) => {
		log(`test with ${await testScope(t).use(Traced("undefined"))}`);
		throw undefined;
	});
	it("has a release that fails", async (t) => {
		testScope(t).defer(() => {
			throw new RangeError("release");
		});
	});
	it("times out", { timeout: 20 }, async (t) => {
		const scope = testScope(t);
		log(`test "${scope.name}" with ${await scope.use(Traced("late"))}`);
		const alive = setInterval(() => {}, 1000); // by itself the timeout isn't waited for
		scope.defer(() => clearInterval(alive));
		const { signal } = scope;
		await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
		log("aborted");
		await new Promise(() => {});
	});
	it(
		"passes without a context",
		scoped({ value: Traced("scoped") }, async ({ value }) => log(`test with ${value}`)),
	);
});

describe("testScope, concurrently", { concurrency: true }, () => {
	for (const user of ["ada", "grace"]) {
		it(`for ${user}`, async (t) => {
			const scope = testScope(t, { bindings: [provide(User, user)] });
			await later();
			log(`${t.name}: ${await scope.use(User)}`);
		});
	}
});
