import { describe, expect, it } from "vitest";
import {
	AcquireAbortedError,
	openScope,
	provide,
	resource,
	type Scope,
	ScopeError,
	use,
	useAll,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, ticks, witness } from "./support.ts";

describe("move", () => {
	it("hands over instances, callbacks and children, and their order of release", async () => {
		const log: string[] = [];
		const setup = gate();
		const Slow = resource(async function* () {
			await setup.promise;
			yield "slow";
			log.push("-slow");
		});
		const first = openScope();
		await first.run(async () => {
			const slow = use(Slow);
			await use(logged(log, "fast"));
			setup.open();
			await slow;
		});
		first.defer(() => void log.push("-deferred"));
		const child = openScope({ parent: first });
		child.defer(() => void log.push("-child"));
		first.complete();

		const second = first.move();
		expect(first.inspect()).toMatchObject({ state: "closed", resources: [], children: [] });
		expect(second.inspect().children.length).toBe(1);
		expect(child.parent).toBe(second);
		expect(await second.use(Slow)).toBe("slow");
		await second.use(logged(log, "later"));
		log.push("moved");
		await second.disposeAsync();

		expect(log).toEqual([
			"+fast",
			"+later",
			"moved",
			"-child",
			"-later:success",
			"-deferred",
			"-fast:success",
			"-slow",
		]);
	});

	it("keeps the name, the lifetime, the parent and how to release", async () => {
		const log: string[] = [];
		const reported: unknown[] = [];
		const until = gate();
		const parent = openScope();
		const first = openScope({
			parent,
			name: "first",
			lifetime: "request",
			release: "concurrent",
			onReleaseError: (error) => reported.push(error),
		});
		const slow = (name: string) => async () => {
			log.push(`${name} begins`);
			await until.promise;
		};
		first.defer(slow("a"));
		first.defer(slow("b"));

		const second = first.move();
		expect(second).toMatchObject({ name: "first", lifetime: "request", parent });
		second.report("error");
		expect(reported).toEqual(["error"]);
		const closed = second.disposeAsync();
		await ticks();
		expect(log).toEqual(["b begins", "a begins"]);
		until.open();
		await closed;
	});

	it("releases one after the other where the first would have", async () => {
		const log: string[] = [];
		const until = gate();
		const first = openScope();
		for (const name of ["a", "b"]) {
			first.defer(async () => {
				log.push(`${name} begins`);
				await until.promise;
			});
		}
		const closed = first.move().disposeAsync();
		await ticks();
		expect(log).toEqual(["b begins"]);
		until.open();
		await closed;
	});

	it("hands over bindings and after work", async () => {
		const log: string[] = [];
		const Name = resource(() => "real");
		const first = openScope({ bindings: [provide(Name, "bound")] });
		first.after(() => log.push("after"));
		const second = first.move();
		expect(await second.use(Name)).toBe("bound");
		second.defer(() => void log.push("released"));
		await second.disposeAsync();
		expect(log).toEqual(["after", "released"]);
	});

	const error = new Error("failed");
	it.each<[string, (scope: Scope) => void, object]>([
		["complete", (scope) => scope.complete(), { type: "success" }],
		["fail", (scope) => scope.fail(error), { type: "failure", error }],
		["abort", (scope) => scope.abort(error), { type: "failure", error }],
		["nothing", () => {}, { type: "incomplete" }],
	])("hands over what was said: %s", async (_what, say, outcome) => {
		const seen: unknown[] = [];
		const first = openScope();
		await first.use(witness(seen));
		say(first);
		const second = first.move();
		expect(second.outcome).toEqual(outcome);
		await second.disposeAsync();
		if ("error" in outcome) expect(seen).toEqual([error]);
	});

	it("keeps the signal, and that it was aborted", async () => {
		const first = openScope();
		const { signal } = first;
		const second = first.move();
		expect(second.signal).toBe(signal);
		second.abort(error);
		expect(signal.reason).toBe(error);
		const third = second.move();
		expect(await rejection(third.use(resource(() => 1)))).toBe(error);
		await third.disposeAsync();
	});

	it("gives instances the new scope: what they depend on is released after them", async () => {
		const log: string[] = [];
		const first = openScope();
		const Pool = logged(log, "pool");
		await first.use(Pool);
		const second = first.move();
		await second.run(() => useAll({ a: logged(log, "a", { Pool }), b: logged(log, "b") }));
		await second.release(Pool);
		expect(log).toEqual(["+pool", "+a", "+b", "-a:success", "-pool:success"]);
		await second.disposeAsync();
	});

	it("is refused while something runs, and says where", async () => {
		const until = gate();
		const scope = openScope({ name: "work" });
		const Slow = resource(() => until.promise);
		const waiting = scope.use(Slow);
		let thrown: unknown;
		try {
			scope.move();
		} catch (each) {
			thrown = each;
		}
		expectError(thrown, ScopeError, "YS_ERR_SCOPE");
		expect(thrown.scope).toBe("work");
		expect(scope.disposed).toBe(false);
		scope.abort();
		expectError(await rejection(waiting), AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		until.open();
		await scope.disposeAsync();
	});
});
