import { describe, expect, it } from "vitest";
import * as yieldscope from "../src/index.ts";
import { expectSuppressed, logged, rejection } from "./support.ts";

/** Code that nothing lowers on its way: the test runner does so with that of the tests. */
function native(parameters: string, body: string): ((...args: unknown[]) => unknown) | undefined {
	try {
		const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
		return new AsyncFunction("yieldscope", parameters, body) as () => unknown;
	} catch {
		return undefined; // the runtime has no such syntax, as Node 22
	}
}

const scope = native(
	"{ resources, succeeds }",
	`await using scope = yieldscope.openScope();
	for (const resource of resources) await scope.use(resource);
	if (succeeds) scope.complete();`,
);
const constructed = native(
	"{ log }",
	`await using scope = new yieldscope.Scope();
	scope.defer(() => void log.push("deferred"));
	using sync = new yieldscope.SyncScope();
	sync.defer(() => void log.push("sync"));
	log.push("work");`,
);
const entered = native(
	"{ resource }",
	// in its first, synchronous part it would be the caller's context that changes
	`await null;
	await using scope = yieldscope.openScope();
	using _ = scope.enter();
	return await yieldscope.use(resource);`,
);
const failing = native(
	"{ error, late }",
	`await using scope = yieldscope.openScope();
	scope.defer(() => { throw late; });
	throw error;`,
);

describe.skipIf(scope === undefined)("await using and using, as the runtime has them", () => {
	it.each([
		[true, "success"],
		[false, "incomplete"],
	])("releases at the end of the block (completed: %s)", async (succeeds, outcome) => {
		const log: string[] = [];
		const resources = [logged(log, "a"), logged(log, "b")];
		await scope?.(yieldscope, { resources, succeeds });
		expect(log).toEqual(["+a", "+b", `-b:${outcome}`, `-a:${outcome}`]);
	});

	it("takes new Scope() and new SyncScope()", async () => {
		const log: string[] = [];
		await constructed?.(yieldscope, { log });
		expect(log).toEqual(["work", "sync", "deferred"]);
	});

	it("makes a scope ambient for the rest of the block", async () => {
		const log: string[] = [];
		expect(await entered?.(yieldscope, { resource: logged(log, "a") })).toBe("a");
		expect(log).toEqual(["+a", "-a:incomplete"]);
		expect(yieldscope.tryCurrentScope()).toBeUndefined();
	});

	it("combines the block's error with that of the release", async () => {
		const [error, late] = [new Error("block"), new Error("release")];
		const thrown = await rejection(Promise.resolve(failing?.(yieldscope, { error, late })));
		expectSuppressed(thrown, late, error);
	});
});

it("has the syntax where it is said to", () => {
	const version = /^v(\d+)/.exec(process.version)?.[1];
	const isNode = !("Bun" in globalThis) && !("Deno" in globalThis);
	if (isNode) expect(scope !== undefined).toBe(Number(version) >= 24);
});
