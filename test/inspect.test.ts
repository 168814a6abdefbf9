import { expect, it } from "vitest";
import {
	openScope,
	type ResourceSnapshot,
	resource,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { gate, logged, rejection, ticks } from "./support.ts";

const shown = (snapshot: Partial<ResourceSnapshot>) => ({
	age: expect.any(Number),
	dependencies: [],
	...snapshot,
});

it("tells what is open in a scope and below", async () => {
	const [setup, task] = [gate(), gate()];
	const scope = openScope({ lifetime: "app", name: "shop" });
	const Pool = resource(() => "pool", { name: "Pool" });
	const Tx = resource({ Pool, again: Pool }, () => use(Pool), { name: "Tx" });
	const Pending = resource({ Pool }, () => setup.promise, { name: "Pending" });
	await scope.use(Tx);
	void scope.use(Pending);
	scope.defer(() => {});
	scope.adopt(1, () => {});
	void scope.spawn(() => task.promise);
	const children = ["first", "second"].map((name) => openScope({ parent: scope, name }));
	children[0]?.complete();
	children[1]?.fail(new Error("failed"));

	const child = { lifetime: undefined, resources: [], callbacks: 0, running: 0, children: [] };
	expect(scope.inspect()).toEqual({
		name: "shop",
		lifetime: "app",
		state: "open",
		outcome: "incomplete",
		resources: [
			shown({ name: "Tx", state: "ready", dependencies: ["Pool"] }),
			shown({ name: "Pool", state: "ready" }),
			shown({ name: "Pending", state: "pending", dependencies: ["Pool"] }),
		],
		callbacks: 2,
		running: 1,
		children: [
			{ ...child, name: "first", state: "open", outcome: "success" },
			{ ...child, name: "second", state: "open", outcome: "failure" },
		],
	});

	const closed = scope.disposeAsync();
	expect(scope.inspect()).toMatchObject({ state: "closing", running: 1 });
	setup.open();
	task.open();
	await closed;
	expect(scope.inspect()).toEqual({
		...child,
		name: "shop",
		lifetime: "app",
		state: "closed",
		outcome: "incomplete",
	});
});

it("tells how long ago setups began, also of one that still runs", async () => {
	const before = performance.now();
	const setup = gate();
	await withScope(async (scope) => {
		await use(resource(() => 1));
		const pending = use(resource(() => setup.promise));
		await new Promise((resolve) => setTimeout(resolve, 5));
		const [ready, waiting] = scope.inspect().resources;
		const passed = performance.now() - before;
		for (const each of [ready, waiting]) {
			expect(each?.age).toBeGreaterThan(1);
			expect(each?.age).toBeLessThanOrEqual(passed);
		}
		setup.open();
		await pending;
	});
});

it("tells what is still to be released, and what is being released", async () => {
	const until = gate();
	const Pool = logged([], "Pool");
	const Slow = resource(
		{ Pool },
		async function* () {
			yield 1;
			await until.promise;
		},
		{ name: "Slow" },
	);
	const scope = openScope({ release: "concurrent" });
	scope.complete();
	await scope.run(() => useAll({ Slow, fast: logged([], "fast") }));
	const closed = scope.disposeAsync();
	await ticks();
	expect(scope.inspect()).toMatchObject({
		state: "releasing",
		outcome: "success",
		resources: [
			{ name: "Slow", state: "releasing", dependencies: ["Pool"] },
			{ name: "Pool", state: "ready" },
		],
	});
	until.open();
	await closed;
});

it("tells nothing of a setup that failed, but of what it has registered", async () => {
	await withScope(async (scope) => {
		const Broken = resource(({ scope }) => {
			scope.defer(() => {});
			throw new Error("broken");
		});
		await rejection(use(Broken));
		expect(scope.inspect()).toMatchObject({ resources: [], callbacks: 1 });
	});
});
