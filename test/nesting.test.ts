import { describe, expect, it } from "vitest";
import {
	LifetimeError,
	openScope,
	openScopeSync,
	resource,
	type Scope,
	type ScopeSnapshot,
	type SyncScope,
} from "../src/index.ts";
import { expectError, logged, rejection } from "./support.ts";

/** Deeper than any stack. */
const DEPTH = 20_000;

/** Scopes that are each the parent of the next, the outermost first. */
function nest(lifetime?: string): Scope[] {
	const scopes = [openScope({ parent: null, lifetime: "app", name: "0" })];
	for (let i = 1; i < DEPTH; i++) {
		scopes.push(
			openScope({
				parent: scopes[i - 1],
				name: `${i}`,
				lifetime: i === DEPTH - 1 ? lifetime : undefined,
			}),
		);
	}
	return scopes;
}

/** How deep a snapshot is, and whether each scope in it is called by its depth. */
function depthOf(root: ScopeSnapshot): number {
	let depth = 0;
	for (let at: ScopeSnapshot | undefined = root; at !== undefined; at = at.children[0]) {
		if (at.children.length > 1 || at.name !== `${depth}`) return -1;
		depth++;
	}
	return depth;
}

describe("20,000 scopes, each in the one before", () => {
	it("are shown by inspect(), and closed with the outermost", async () => {
		const log: string[] = [];
		const scopes = nest();
		const innermost = scopes[DEPTH - 1] as Scope;
		await innermost.use(logged(log, "a"));
		await scopes[0]?.use(logged(log, "b"));

		expect(depthOf((scopes[0] as Scope).inspect())).toBe(DEPTH);
		await scopes[0]?.disposeAsync();
		expect(scopes.every((scope) => scope.inspect().state === "closed")).toBe(true);
		expect(log).toEqual(["+a", "+b", "-a:incomplete", "-b:incomplete"]);
	});

	it("are searched for dependents by an early release", async () => {
		const log: string[] = [];
		const scopes = nest();
		const Pool = logged(log, "pool", {}, { lifetime: "app" });
		await scopes[DEPTH - 1]?.use(logged(log, "tx", { Pool }));
		await scopes[0]?.release(Pool);
		expect(log).toEqual(["+pool", "+tx", "-tx:success", "-pool:success"]);
		await scopes[0]?.disposeAsync();
	});

	it("are searched for the shorter lifetime that a long-lived setup asks for", async () => {
		const scopes = nest("request");
		const Session = resource(() => ({}), { name: "Session", lifetime: "request" });
		const Pool = resource(({ scope }) => scope.use(Session), { name: "Pool", lifetime: "app" });
		const error = await rejection((scopes[0] as Scope).use(Pool));
		expectError(error, LifetimeError, "YS_ERR_LIFETIME");
		expect(error.message).toContain("would outlive it");
		await scopes[0]?.disposeAsync();
	});

	it("are aborted together", async () => {
		const scopes = nest();
		scopes[0]?.abort("enough");
		expect(scopes.every((scope) => scope.signal.reason === "enough")).toBe(true);
		await scopes[0]?.disposeAsync();
	});

	it("may be sync ones", () => {
		const log: number[] = [];
		const outermost = openScopeSync({ parent: null, name: "0" });
		const scopes: SyncScope[] = [outermost];
		for (let i = 1; i < DEPTH; i++) {
			const scope = openScopeSync({ parent: scopes[i - 1], name: `${i}` });
			scope.defer(() => void log.push(i));
			scopes.push(scope);
		}
		expect(depthOf(outermost.inspect())).toBe(DEPTH);
		outermost.dispose();
		expect(scopes.every((scope) => scope.inspect().state === "closed")).toBe(true);
		expect(log).toEqual(Array.from({ length: DEPTH - 1 }, (_, i) => DEPTH - 1 - i));
	});
});
