import { inspect } from "node:util";
import { expect, it } from "vitest";
import {
	openScope,
	openScopeSync,
	override,
	provide,
	type ResourceSnapshot,
	resource,
	token,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { gate, logged, rejection, ticks } from "./support.ts";

const shown = (snapshot: Partial<ResourceSnapshot>) => ({
	age: expect.any(Number),
	dependencies: [],
	waitsFor: [],
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

it("tells what a pending setup waits for", async () => {
	const setup = gate();
	const Pool = resource(() => "pool", { name: "Pool" });
	const Slow = resource(() => setup.promise, { name: "Slow" });
	const Tx = resource({ Pool, Slow }, () => "tx", { name: "Tx" });
	await withScope(async (scope) => {
		const tx = use(Tx);
		expect(scope.inspect().resources).toEqual([
			shown({
				name: "Tx",
				state: "pending",
				dependencies: ["Pool", "Slow"],
				waitsFor: ["Slow"],
			}),
			shown({ name: "Pool", state: "ready" }),
			shown({ name: "Slow", state: "pending" }),
		]);
		setup.open();
		await tx;
		expect(scope.inspect().resources[0]).toEqual(
			shown({ name: "Tx", state: "ready", dependencies: ["Pool", "Slow"] }),
		);
	});
});

it("counts ages from when a resource is asked for", async () => {
	const [first, second] = [gate(), gate()];
	const AtOnce = resource(() => first.promise, { name: "AtOnce" });
	const Later = resource(() => second.promise, { name: "Later" });
	const Asker = resource(
		async () => {
			await use(AtOnce);
			await use(Later);
		},
		{ name: "Asker" },
	);
	await using scope = openScope();
	const using = scope.use(Asker);
	await new Promise((resolve) => setTimeout(resolve, 30));
	first.open();
	await ticks();
	const ages = new Map(scope.inspect().resources.map(({ name, age }) => [name, age]));
	const ageOf = (name: string) => ages.get(name) as number;
	expect(ageOf("Asker")).toBeGreaterThan(25);
	expect(Math.abs(ageOf("AtOnce") - ageOf("Asker"))).toBeLessThan(10);
	expect(ageOf("Later")).toBeLessThan(ageOf("Asker") - 25);
	second.open();
	await using;
});

/** What `console.log` prints, whatever the ages are. */
const printed = (value: unknown, depth?: number | null) =>
	inspect(value, depth === undefined ? {} : { depth }).replaceAll(/\d+ ms/g, "N ms");

it("is printed as a tree", async () => {
	const [setup, task] = [gate(), gate()];
	const app = openScope({ lifetime: "app", name: "shop" });
	const request = openScope({ parent: app, lifetime: "request", name: "GET /" });
	const secret = {
		get password() {
			throw new Error("nobody may look");
		},
	};
	const Pool = resource(() => secret, { name: "Pool", lifetime: "app" });
	const Slow = resource(() => setup.promise, { name: "Slow" });
	const Tx = resource({ Pool, Slow }, () => secret, { name: "Tx" });
	const tx = request.use(Tx);
	request.defer(() => {});
	void app.spawn(() => task.promise);
	openScope({ parent: request, lifetime: "handler" });
	openScopeSync({ parent: app, name: "sync" });
	expect(printed(app)).toBe(
		[
			'Scope "shop" (app, open, incomplete)',
			"  Pool (ready, N ms)",
			"  running: 1",
			'  Scope "GET /" (request, open, incomplete)',
			"    Tx (pending, N ms) uses Pool, Slow, waits for Slow",
			"    Slow (pending, N ms)",
			"    callbacks: 1",
			'    Scope "handler" (open, incomplete)',
			'  Scope "sync" (open, incomplete)',
		].join("\n"),
	);
	expect(printed({ app }, 1)).toContain('Scope "GET /" (request, open, incomplete) …');
	expect(printed({ app }, 1)).not.toContain("Slow");
	setup.open();
	task.open();
	await tx;
	await app.disposeAsync();
	expect(printed(app)).toBe('Scope "shop" (app, closed, incomplete)');
});

it("is printed no longer and no deeper than anybody reads", async () => {
	const wide = openScope({ name: "wide" });
	for (let i = 0; i < 30; i++) {
		openScope({ parent: wide, name: `child ${i}` });
		await wide.use(resource(() => i, { name: `R${i}` }));
	}
	const lines = printed(wide).split("\n");
	expect(lines).toHaveLength(1 + 11 + 11);
	expect([lines[11], lines[22]]).toEqual(["  … 20 more", "  … 20 more"]);
	const deep = openScope({ name: "0" });
	for (let i = 1, parent = deep; i < 10_000; i++) parent = openScope({ parent, name: `${i}` });
	expect(printed(deep).split("\n")).toHaveLength(4);
	expect(printed(deep, null).split("\n")).toHaveLength(12);
	await wide.disposeAsync();
	await deep.disposeAsync();
});

it("has resources and bindings printed without values", () => {
	const Tenant = token<object>("Tenant");
	const Other = resource(() => ({ key: "secret" }), { name: "Other" });
	expect(printed([Tenant, Other])).toBe("[ Resource(Tenant), Resource(Other) ]");
	expect(printed([provide(Tenant, { key: "secret" }), override(Tenant, Other)])).toBe(
		"[ Binding(Tenant), Binding(Tenant) ]",
	);
	expect(printed(openScopeSync({ name: "held" }))).toBe('Scope "held" (open, incomplete)');
});
