import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";

let directory: string;
beforeAll(() => {
	directory = mkdtempSync(`${tmpdir()}/yieldscope-runners-`);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs a test runner in a process of its own. The trace is what `outcomes.ts` has logged. */
function run(name: string, ...args: readonly string[]) {
	const trace = `${directory}/${name}`;
	const child = spawnSync(process.execPath, args, {
		cwd: root,
		encoding: "utf8",
		// not what the runner around us sets
		env: { PATH: process.env.PATH, HOME: process.env.HOME, TRACE: trace, NO_COLOR: "1" },
	});
	const lines = readFileSync(trace, "utf8").trim().split("\n");
	return { lines, printed: child.stdout + child.stderr };
}

describe.runIf(runtime === "node")("in Vitest", () => {
	let lines: string[];
	let results: Record<string, string>;
	beforeAll(() => {
		const config = ["--config", "test/runners/vitest.config.ts"];
		const file = `${directory}/vitest.json`;
		const report = ["--reporter=json", `--outputFile=${file}`];
		lines = run("vitest", "node_modules/vitest/vitest.mjs", "run", ...config, ...report).lines;
		const { testResults } = JSON.parse(readFileSync(file, "utf8"));
		results = Object.fromEntries(
			testResults[0].assertionResults.map((each: { fullName: string; status: string }) => [
				each.fullName,
				each.status,
			]),
		);
	}, 60_000);

	it("a fixture is released with the outcome of the test, one of a file as success", () => {
		const fixture = (outcome: string) => ["fixture: acquired", "test with fixture", outcome];
		const undone = (outcome: string) => ["undone: acquired", "test with undone", outcome];
		const end = lines.indexOf("a: acquired");
		expect(lines.slice(0, end)).toEqual([
			"file: acquired",
			"fixture: acquired",
			"test with fixture and file",
			"fixture: committed",
			...fixture("fixture: RangeError broken"),
			...undone("undone: rolled back"),
			...undone("undone: RangeError broken"),
			...fixture("fixture: rolled back"),
			...fixture("fixture: AssertionError expected +0 to be 1 // Object.is equality"),
			...fixture("fixture: committed"),
			...fixture("fixture: TestTimeoutError Test timed out in 20ms."),
		]);
		expect(lines.at(-1)).toBe("file: committed");
	});

	it("fixtures of one scope share what they use", () => {
		const begin = lines.indexOf("a: acquired");
		expect(lines.slice(begin, begin + 3)).toEqual([
			"a: acquired",
			'test "is one for all that a test uses" with a and a',
			"a: committed",
		]);
	});

	it("tests that run at once have a scope each, with bindings and an outcome of its own", () => {
		const begin = lines.indexOf("a: committed") + 1;
		expect(lines.slice(begin, -1).sort()).toEqual(
			[
				...["for ada: ada", "ada: acquired", "ada: committed"],
				...["for grace: grace", "grace: acquired", "grace: committed"],
				...["failing: acquired", "failing: RangeError broken"],
				"aborted: Test timed out in 20ms.",
			].sort(),
		);
	});

	it("a release that fails is the test's failure; nothing else changes a test's result", () => {
		expect(results).toEqual({
			"fixture passes": "passed",
			"fixture fails": "failed",
			"fixture passes, and all is rolled back": "passed",
			"fixture fails, and all is rolled back": "failed",
			"fixture is skipped meanwhile": "skipped",
			"fixture passes when it is tried again": "passed",
			"fixture times out": "failed",
			"scopeFixture is one for all that a test uses": "passed",
			"scopeFixture leaves plain tests alone": "passed",
			"testScope for ada": "passed",
			"testScope for grace": "passed",
			"testScope that fails": "failed",
			"testScope whose release fails": "failed",
			"testScope that times out": "failed",
		});
	});
});

describe("in node:test", () => {
	const file = "./test/runners/node-test.cases.ts";
	const commands = {
		node: ["--disable-warning=ExperimentalWarning", "--test-reporter=tap", file],
		bun: ["test", file],
		deno: ["test", "-A", "--no-check", file],
	};

	it.runIf(runtime === "node")("a scope is closed with the outcome of the test", () => {
		const { lines, printed } = run("node-test", ...commands.node);
		const traced = (name: string, outcome: string) => [
			`${name}: acquired`,
			`test with ${name}`,
			`${name}: ${outcome}`,
		];
		expect(lines.slice(0, -2)).toEqual([
			...traced("top", "committed"),
			...traced("passing", "committed"),
			...traced("undone", "rolled back"),
			...traced("failing", "RangeError broken"),
			...traced("undefined", "Error undefined"),
			...["late: acquired", 'test "times out" with late', "aborted"],
			"late: Error test timed out after 20ms",
			...traced("scoped", "committed"),
		]);
		expect(lines.slice(-2).sort()).toEqual(["for ada: ada", "for grace: grace"]);
		const results = [...printed.matchAll(/^ *((?:not )?ok) \d+ - (?!testScope)(.*)$/gm)];
		expect(Object.fromEntries(results.map(([, result, name]) => [name, result]))).toEqual({
			"passes at the top level": "ok",
			passes: "ok",
			"passes, and all is rolled back": "ok",
			fails: "not ok",
			"fails with undefined": "not ok",
			"has a release that fails": "not ok",
			"times out": "not ok",
			"passes without a context": "ok",
			"for ada": "ok",
			"for grace": "ok",
		});
	});

	it.runIf(runtime === "bun")("a scope is closed with the outcome of the test, in Bun", () => {
		const { lines } = run("node-test", ...commands.bun);
		expect(lines).toEqual(
			expect.arrayContaining([
				"passing: committed",
				"undone: rolled back",
				"failing: RangeError broken",
				"late: Error test timed out after 20ms",
				"for ada: ada",
				"for grace: grace",
			]),
		);
	});

	// and doesn't call t.after() in describe()
	it.runIf(runtime === "deno")(
		"nothing is committed in Deno, which doesn't tell the outcome",
		() => {
			const { lines } = run("node-test", ...commands.deno);
			expect(lines.slice(0, 3)).toEqual(["top: acquired", "test with top", "top: rolled back"]);
			expect(lines).toEqual(
				expect.arrayContaining(["scoped: committed", "for ada: ada", "for grace: grace"]),
			);
		},
	);
});
