import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import {
	detectLeaks,
	InvalidArgumentError,
	openScope,
	openScopeSync,
	ScopeError,
	unclosedScopes,
	withScope,
	withScopeSync,
} from "../src/index.ts";
import { expectError, gate, rejection } from "./support.ts";

const program = fileURLToPath(new URL("leak/open-scopes.ts", import.meta.url));

const flags = {
	node: ["--expose-gc", "--disable-warning=ExperimentalWarning"],
	bun: ["run"],
	deno: ["run", "-A", "--v8-flags=--expose-gc"],
};
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";

/** Runs a scenario in a process of its own. `reports` are the messages up to the first colon. */
function run(scenario: string, ...options: readonly "collect"[]) {
	const { status, stdout, stderr } = spawnSync(
		process.execPath,
		[...flags[runtime], program, scenario, ...options],
		{ encoding: "utf8", env: { PATH: process.env.PATH, NO_COLOR: "1" } },
	);
	const reports = [...stderr.matchAll(/^ScopeNotClosedError: ([^:]*)/gm)].map(([, text]) => text);
	return { code: status, out: stdout.trim().split("\n"), reports, stderr };
}

describe("a scope that nobody has closed", () => {
	it.each([
		["collected in a loop", "job 4", "forget"],
		["collected with what opened it", "job", "start"],
		["collected, sync", "sync", "collected, sync"],
		["collected with its children", "root", "collected with its children"],
		["collected after a move", "moved", "collected after a move"],
		["a thousand after a hundred", "job", "forget"],
		["one after a hundred, all watched", "job", "forget"],
	])("is reported once when it is collected: %s", (scenario, name, opener) => {
		const { stderr, reports, ...rest } = run(scenario, "collect");
		expect(rest).toEqual({ code: 0, out: ["done"] });
		// which one of a loop is collected first is the collector's business
		expect(reports.map((text) => text?.replace(/\d/, "4"))).toEqual([
			`Scope "${name}" was garbage-collected open`,
		]);
		expect(stderr).toContain(
			"what it holds is not released. Close it with `await using` or disposeAsync(), and await that, or use withScope(). It was opened here:",
		);
		expect(stderr).toMatch(new RegExp(`at .*${opener} .*open-scopes\\.ts:\\d+`));
	});

	it.each([
		["alive at exit", "open"],
		["alive at process.exit(0)", "open"],
		["closing at exit", "closing"],
	])("is reported at exit: %s", (scenario, state) => {
		const result = run(scenario);
		expect(result).toMatchObject({ code: 0, reports: [`Scope "app" is still ${state} at exit`] });
		expect(result.stderr).toMatch(
			new RegExp(`at .*${scenario.replace("(0)", ".0.")} .*open-scopes\\.ts:`),
		);
	});

	it.each([
		["collected, and there is a handler", ['Scope "job" was garbage-collected open', "done"]],
		["alive at exit, and there is a handler", ["done", 'Scope "app" is still open at exit']],
	])("is reported to its onReleaseError: %s", (scenario, lines) => {
		const out = lines.map((line) => line.replace(/^Scope/, "heard Scope"));
		expect(run(scenario, "collect")).toEqual({ code: 0, out, reports: [], stderr: "" });
	});
});

describe("nothing is reported", () => {
	it.each(["closed", "unused", "switched off before", "switched off after", "one after a hundred"])(
		"%s",
		(scenario) => {
			expect(run(scenario, "collect")).toEqual({ code: 0, out: ["done"], reports: [], stderr: "" });
		},
	);
});

describe("detectLeaks", () => {
	afterEach(() => detectLeaks("sampled"));

	it('lists the roots that are open, with "all"', async () => {
		openScope({ name: "before" });
		detectLeaks("all");
		const [a, b] = [openScope({ name: "a" }), openScopeSync({ name: "b" })];
		openScope({ parent: a });
		await withScope(() => {
			openScope({ name: "below" });
			expect(unclosedScopes()).toEqual(expect.arrayContaining([a, b]));
			expect(unclosedScopes().map(({ name }) => name)).toEqual(["a", "b"]);
		});
		const closing = gate();
		a.defer(() => closing.promise);
		const closed = a.disposeAsync();
		b.dispose();
		expect(unclosedScopes().map(({ name }) => name)).toEqual(["a"]);
		closing.open();
		await closed;
		expect(unclosedScopes().map(({ name }) => name)).toEqual([]);
	});

	it('tells where scopes were opened, with "all"', async () => {
		const openedAt = (scope: Pick<typeof unknown, "inspect">) =>
			/^ {4}at (?:async )?([\w.]+) /.exec(scope.inspect().openedAt ?? "")?.[1];
		const unknown = openScope();
		detectLeaks("all");
		function held() {
			const scope = openScope();
			return scope;
		}
		function constructed() {
			const scope = new (unknown.constructor as new () => typeof unknown)();
			return scope;
		}
		function sync() {
			const scope = openScopeSync({ parent: unknown });
			return scope;
		}
		function bracketed(tell: (where: unknown) => void) {
			const done = withScope((scope) => tell(openedAt(scope)));
			return done;
		}
		function bracketedSync() {
			const where = withScopeSync((scope) => scope.inspect().openedAt);
			return where;
		}
		expect(unknown.inspect()).not.toHaveProperty("openedAt");
		expect([held(), constructed(), sync()].map(openedAt)).toEqual(["held", "constructed", "sync"]);
		await bracketed((where) => expect(where).toBe("bracketed"));
		expect(bracketedSync()).toMatch(/^ {4}at bracketedSync /);
		expect(unknown.inspect().children.map((child) => child.openedAt)).toEqual([
			expect.stringMatching(/^ {4}at sync /),
		]);
	});

	it("refuses to list the open ones where it hasn't watched all", async () => {
		expectError(
			await rejection(Promise.resolve().then(unclosedScopes)),
			ScopeError,
			"YS_ERR_SCOPE",
		);
	});

	it("refuses what isn't a level", () => {
		const detect = detectLeaks as (level: unknown) => void;
		expect(() => detect("on")).toThrow(InvalidArgumentError);
		expect(() => detect("on")).toThrow(
			'Expected "off", "sampled" or "all" for detectLeaks(), got "on".',
		);
		expect(() => detect(true)).toThrow("got a boolean");
	});
});
