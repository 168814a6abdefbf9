/**
 * What tests need: a scope for each, resources as fixtures, leak checks. For Vitest, `node:test` and whatever is like them.
 *
 * @module
 */

import {
	InvalidArgumentError,
	openScope,
	type Resource,
	Scope,
	ScopeError,
	type ScopeOptions,
	type ScopeSnapshot,
	SyncScope,
	unclosedScopes,
} from "./index.ts";

/** What {@link expectNoOpenScopes} is to show. */
export interface LeakCheckOptions {
	/**
	 * Whether to show the whole stack of where each scope was opened, and not only its first line. Neither is known unless
	 * {@link index.detectLeaks | detectLeaks("all")} has been called before.
	 *
	 * @defaultValue `false`
	 */
	readonly stacks?: boolean | undefined;
}

/**
 * Throws if a scope below `scope` is still open: what a test has opened, it is to close.
 *
 * Without a scope it looks at all that {@link index.openScope | openScope} has opened without a parent, in this process,
 * for which {@link index.detectLeaks | detectLeaks("all")} must have been called.
 *
 * @throws {@link index.ScopeError} Naming each open scope, what it holds, and where it was opened if that is known.
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
 * await app.disposeAsync();
 * ```
 */
export function expectNoOpenScopes(
	scope?: Scope | SyncScope,
	{ stacks = false }: LeakCheckOptions = {},
): void {
	if (scope !== undefined && !(scope instanceof Scope) && !(scope instanceof SyncScope)) {
		throw new InvalidArgumentError(
			"Expected a scope for expectNoOpenScopes(), or undefined for all. Options come after it.",
		);
	}
	const open = scope?.inspect().children ?? unclosedScopes().map((each) => each.inspect());
	if (open.length === 0) return;
	const count = open.length === 1 ? "1 scope is" : `${open.length} scopes are`;
	const hint = open[0]?.openedAt === undefined ? ' detectLeaks("all") tells where.' : "";
	throw new ScopeError(
		`${count} still open${scope ? ` under "${scope.name}"` : ""}:\n${describe(open, stacks)}\nClose each, or open it with withScope(), and await that.${hint}`,
		{ scope: scope?.name },
	);
}

/** As many as somebody reads. */
const SHOWN = 50;

/** The scopes and those below, each indented by its depth. Deep nests overflow no stack. */
function describe(open: readonly ScopeSnapshot[], stacks: boolean): string {
	const lines: string[] = [];
	let count = 0;
	const rest = open.map((scope) => ({ scope, indent: "  " })).reverse();
	for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
		const { scope, indent } = next;
		if (++count <= SHOWN) lines.push(...linesOf(scope, stacks).map((line) => indent + line));
		// beyond that they are only counted
		const below = count <= SHOWN ? `${indent}  ` : indent;
		for (const child of [...scope.children].reverse()) rest.push({ scope: child, indent: below });
	}
	if (count > SHOWN) lines.push(`  and ${count - SHOWN} more`);
	return lines.join("\n");
}

function linesOf({ name, state, resources, callbacks, openedAt }: ScopeSnapshot, stacks: boolean) {
	const held = resources.slice(0, SHOWN).map((each) => `${each.name} (${each.state})`);
	if (resources.length > SHOWN) held.push(`${resources.length - SHOWN} more`);
	if (callbacks > 0) held.push(callbacks === 1 ? "1 callback" : `${callbacks} callbacks`);
	const holds = held.length > 0 ? `: ${held.join(", ")}` : "";
	const trace = openedAt?.split("\n").filter((line) => line !== "") ?? [];
	return [`"${name}" (${state})${holds}`, ...(stacks ? trace : trace.slice(0, 1))];
}

/** How the scope of a test is to be opened, and closed. */
export interface FixtureOptions extends ScopeOptions {
	/**
	 * Whether nothing is committed even if the test passes: the outcome is then `incomplete`, so that a transaction rolls
	 * back after each test.
	 *
	 * @defaultValue `false`
	 */
	readonly rollback?: boolean | undefined;
}

/** What `node:test` gives to a test, as far as it is needed. */
export interface NodeTestContext {
	/** The test's name. */
	readonly name?: string | undefined;
	/** Aborted when the test times out. */
	readonly signal?: AbortSignal | undefined;
	/** Whether the test has passed, once it is over. */
	readonly passed?: boolean | undefined;
	/** What it failed with. */
	readonly error?: unknown;
	/** Registers what is to be done after the test. */
	after(fn: () => Promise<void>): void;
}

/** A test of Vitest's, as far as it is needed. */
export interface VitestTask {
	/** The test's name. */
	readonly name?: string | undefined;
	/** How it has ended, once it is over. */
	readonly result?: VitestResult;
}

/** The result of one of Vitest's tests, as far as it is needed. */
export interface VitestResult {
	/** `"pass"`, `"fail"` or something else. */
	readonly state: string;
	/** What it failed with, in all its attempts. */
	readonly errors?: readonly object[] | undefined;
}

/** What Vitest gives to a test, as far as it is needed. */
export interface VitestContext {
	/** The test. */
	readonly task: VitestTask;
	/** Aborted when the test times out. */
	readonly signal?: AbortSignal | undefined;
	/** Registers what is to be done after the test. */
	onTestFinished(fn: () => Promise<void>): void;
}

/** What a test runner gives to a test. */
export type TestContext = NodeTestContext | VitestContext;

/**
 * Opens a scope for a test, which closes after it.
 *
 * Resources see how the test ended: success when it has passed, its error when it has failed; Vitest gives a copy of that.
 * Deno doesn't tell: there the outcome is incomplete, and the scope of a test in `describe()` isn't closed. A test that
 * times out aborts the scope's signal. What a release throws fails the test.
 *
 * @param context - What the test is given: the `t` of `node:test`, the context of Vitest.
 * @param options - `bindings` for what the test replaces: no other test sees it.
 *
 * @example With node:test
 * ```js
 * import assert from "node:assert/strict";
 * import { test } from "node:test";
 * import { provide } from "yieldscope";
 * import { testScope } from "yieldscope/testing";
 *
 * test("reports the year", async (t) => {
 * 	const scope = testScope(t, { bindings: [provide(Clock, { year: () => 1999 })] });
 * 	const report = await scope.use(Report);
 * 	assert.equal(report, "report of 1999");
 * });
 * ```
 */
export function testScope(context: TestContext, options: FixtureOptions = {}): Scope {
	const { after, onTestFinished } = (context ?? {}) as Partial<NodeTestContext & VitestContext>;
	if (typeof (onTestFinished ?? after) !== "function") {
		throw new InvalidArgumentError(
			"Expected what the test is given for testScope(): the `t` of node:test, or the context of Vitest. Options come after it.",
		);
	}
	const scope = openFor(context, options);
	const close = () => closeAfter(context, scope, options);
	if ("onTestFinished" in context) context.onTestFinished(close);
	else context.after(close);
	return scope;
}

/** A fixture for `test.extend`, in the form that returns the value, and in the one that calls `use` with it. */
export interface Fixture<T> {
	/** The form of Vitest's `test.extend({ name: fixture })`. */
	(context: object, use: (value: T) => Promise<void>): Promise<void>;
	/** The form of Vitest's `test.extend("name", fixture)`, which infers the type. */
	(context: object, fixture: { onCleanup(fn: () => Promise<void>): void }): Promise<T>;
}

/**
 * Makes a fixture of a resource: acquired before the test that asks for it, released after it, in a scope of its own.
 *
 * The outcome is that of the test, as with {@link testScope}. One that is shared by a file or a worker has no test of its
 * own: its outcome is success.
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
 * 	try {
 * 		yield { name: "test_1" };
 * 	} finally {
 * 		log.push("drop");
 * 	}
 * });
 *
 * // const test = base.extend("database", fixture(Database));
 * // test("is new", ({ database }) => expect(database.name).toBe("test_1"));
 * await fixture(Database)({}, async (database) => {
 * 	log.push(`test with ${database.name}`);
 * });
 * assert.deepEqual(log, ["create", "test with test_1", "drop"]);
 * ```
 */
export function fixture<T>(resource: Resource<T>, options: FixtureOptions = {}): Fixture<T> {
	return fixtureOf((scope) => scope.use(resource), options);
}

/**
 * Makes a fixture of a scope of its own, for tests that bind something, and for fixtures that are to share what they use.
 *
 * @example One transaction for all that a test uses
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, ScopeIncompleteError } from "yieldscope";
 * import { scopeFixture } from "yieldscope/testing";
 *
 * const log: string[] = [];
 * const Tx = resource(async function* Tx() {
 * 	try {
 * 		yield { insert: (row: string) => log.push(`insert ${row}`) };
 * 		log.push("commit");
 * 	} catch (error) {
 * 		log.push(error instanceof ScopeIncompleteError ? "rollback" : "failure");
 * 		throw error;
 * 	}
 * });
 * const Orders = resource({ tx: Tx }, ({ tx }) => ({ add: (id: number) => tx.insert(`order ${id}`) }));
 *
 * // const test = base
 * // 	.extend("scope", scopeFixture({ rollback: true }))
 * // 	.extend("orders", ({ scope }) => scope.use(Orders));
 * await scopeFixture({ rollback: true })({}, async (scope) => {
 * 	const orders = await scope.use(Orders);
 * 	orders.add(7);
 * });
 * assert.deepEqual(log, ["insert order 7", "rollback"]);
 * ```
 */
export function scopeFixture(options: FixtureOptions = {}): Fixture<Scope> {
	return fixtureOf((scope) => scope, options);
}

type FixtureArguments<T> = readonly [
	context: SomeContext,
	second: ((value: T) => Promise<void>) | { onCleanup(fn: () => Promise<void>): void },
];

function fixtureOf<T>(
	provide: (scope: Scope) => T | Promise<T>,
	options: FixtureOptions,
): Fixture<T> {
	// without parameters: Vitest takes what the first one destructures for the names of other fixtures
	const make = async function fixture(): Promise<unknown> {
		// biome-ignore lint/complexity/noArguments: see above
		const [context, second] = arguments as unknown as FixtureArguments<T>;
		const scope = openFor(context, options);
		const close = () => closeAfter(context, scope, options);
		try {
			const value = await provide(scope);
			if (typeof second === "function") await second(value);
			else {
				second.onCleanup(close);
				return value;
			}
		} catch (error) {
			scope.fail(error);
			await scope.disposeAsync();
			throw error;
		}
		return close();
	};
	return make as Fixture<T>; // which form it is, is what it is called with
}

/** A misspelt one would commit what a test is to roll back, or use what it is to replace. */
const optionNames: ReadonlySet<string> = new Set([
	...["lifetime", "name", "parent", "bindings", "signal", "releaseTimeout", "release"],
	...["onReleaseError", "onFirstUse", "rollback"],
]);

/** What a runner may give to a test, or to a fixture that is shared by several. */
type SomeContext = Partial<NodeTestContext & VitestContext>;

function openFor({ task, after, name, signal }: SomeContext, options: FixtureOptions): Scope {
	for (const option of Object.keys(options)) {
		if (optionNames.has(option)) continue;
		throw new InvalidArgumentError(
			`Expected the options of a scope, or \`rollback\`, got \`${option}\`.`,
		);
	}
	// in a fixture's context, `name` and `signal` may be other fixtures
	const scope = openScope({ name: task?.name ?? (after && name) ?? "test", ...options });
	// how the test has ended is said when it closes, and more exactly
	const stop = signal instanceof AbortSignal ? signal : undefined;
	const cancel = () => scope.cancel(stop?.reason);
	if (stop?.aborted) cancel();
	else stop?.addEventListener("abort", cancel, { once: true });
	return scope;
}

/** Closes the scope of a test that is over, or that of a fixture which is shared. */
function closeAfter(context: SomeContext, scope: Scope, options: FixtureOptions): Promise<void> {
	const { passed, error } = outcomeOf(context);
	if (passed === false) scope.fail(error);
	else if (passed && !options.rollback) scope.complete();
	return scope.disposeAsync();
}

function outcomeOf(context: SomeContext): { passed: boolean | undefined; error?: unknown } {
	if (context.task !== undefined) {
		const { state, errors } = context.task.result ?? {};
		// a skipped test has done neither
		if (state !== "fail") return { passed: state === "pass" || undefined };
		return { passed: false, error: Object.assign(new Error(), errors?.at(-1)) };
	}
	// nobody's test in particular
	if (context.after === undefined) return { passed: true };
	const { passed, error } = context;
	const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
	// what was thrown is in there
	const isWrapped = code === "ERR_TEST_FAILURE" && typeof cause === "object" && cause !== null;
	return { passed, error: isWrapped ? cause : error };
}
