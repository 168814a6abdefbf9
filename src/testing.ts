/**
 * What tests need: leak checks, and resources as fixtures.
 *
 * @module
 */

import {
	type Resource,
	type Scope,
	ScopeError,
	type ScopeOptions,
	type ScopeSnapshot,
	withScope,
} from "./index.ts";

/**
 * Throws if a scope below `scope` is still open: what a test has opened, it is to close.
 *
 * @throws {@link index.ScopeError} Naming each open scope and what it holds.
 *
 * @example After each test
 * ```ts
 * import assert from "node:assert/strict";
 * import { openScope } from "yieldscope";
 * import { expectNoOpenScopes } from "yieldscope/testing";
 *
 * const app = openScope({ lifetime: "app" });
 * const forgotten = openScope({ parent: app, name: "job 7" });
 *
 * assert.throws(() => expectNoOpenScopes(app), /job 7/);
 * await forgotten.disposeAsync();
 * expectNoOpenScopes(app);
 * ```
 */
export function expectNoOpenScopes(scope: Scope): void {
	const { children } = scope.inspect();
	if (children.length === 0) return;
	const count = children.length === 1 ? "1 scope is" : `${children.length} scopes are`;
	throw new ScopeError(
		`${count} still open under "${scope.name}":\n${children.map((child) => describe(child, "  ")).join("\n")}\nClose each, or open it with withScope(), and await that.`,
		{ scope: scope.name },
	);
}

function describe(scope: ScopeSnapshot, indent: string): string {
	const resources = scope.resources.map(({ name, state }) => `${name} (${state})`).join(", ");
	const own = `${indent}"${scope.name}" (${scope.state})${resources && `: ${resources}`}`;
	return [own, ...scope.children.map((child) => describe(child, `${indent}  `))].join("\n");
}

/** A fixture for the `test.extend` of Vitest and those like it. */
export type Fixture<T> = (context: object, use: (value: T) => Promise<void>) => Promise<void>;

/**
 * Makes a test fixture of a resource: acquired before the test that asks for it, released after it, in a scope of its own.
 *
 * The test runner doesn't say whether the test passed: the outcome is success.
 *
 * @example A database for each test
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource } from "yieldscope";
 * import { fixture } from "yieldscope/testing";
 *
 * const log: string[] = [];
 * const Database = resource(async function* Database() {
 * 	log.push("create");
 * 	yield { name: "test_1" };
 * 	log.push("drop");
 * });
 *
 * // const test = base.extend<{ database: { name: string } }>({ database: fixture(Database) });
 * await fixture(Database)({}, async (database) => {
 * 	log.push(`test with ${database.name}`);
 * });
 * assert.deepEqual(log, ["create", "test with test_1", "drop"]);
 * ```
 */
export function fixture<T>(resource: Resource<T>, options: ScopeOptions = {}): Fixture<T> {
	// biome-ignore lint/correctness/noEmptyPattern: Vitest reads from the pattern which fixtures this one needs
	return async ({}, use) => withScope(options, async (scope) => use(await scope.use(resource)));
}
