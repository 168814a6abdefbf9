import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { llms } from "../docs/site/llms.ts";

const root = new URL("..", import.meta.url);
const read = (file: string) => readFileSync(new URL(file, root), "utf8");
const files = (pattern: string) =>
	globSync(pattern, { cwd: fileURLToPath(root) }).map((file) => file.replaceAll("\\", "/"));

it("CONTRIBUTING.md says of each source file what it knows", () => {
	const rows = [...read("CONTRIBUTING.md").matchAll(/^\| (\[`.+?) \|/gm)].map(
		([, row = ""]) => row,
	);
	const named = rows.flatMap((row) =>
		[...row.matchAll(/\((src\/[^)/]+)\)/g)].map(([, file]) => file),
	);
	expect(named.sort()).toEqual(files("src/*.ts").sort());
});

it("CONTRIBUTING.md quotes a test that is one", () => {
	const [quoted = "none"] = /^\tit\([\s\S]*?^\t}\);/m.exec(read("CONTRIBUTING.md")) ?? [];
	expect(read("test/release-order.test.ts")).toContain(quoted);
});

it("tests go by rules that are promised, each in a file that is named there", () => {
	const promises = read("docs/guide/what-does-it-promise.md");
	const rules = [...promises.matchAll(/^(\d+)\. /gm)].map(([, rule]) => Number(rule));
	expect(rules).toEqual(Array.from({ length: 34 }, (_, index) => index + 1));
	const unnamed = files("test/**/*.test.ts").filter((file) => {
		const tested = [...read(file).matchAll(/describe\("rules? (\d+)(?: and (\d+))?/g)].flatMap(
			([, ...numbers]) => numbers.filter(Boolean).map(Number),
		);
		expect(tested.filter((rule) => !rules.includes(rule))).toEqual([]);
		return tested.length > 0 && !promises.includes(`](../../${file})`);
	});
	expect(unnamed).toEqual([]);
});

it("llms.txt is what `npm run docs` makes of the README, whose links and code are tested", () => {
	const written = read("llms.txt");
	expect(written).toBe(llms());
	const links = [...written.matchAll(/\]\(\S+?\/main\/(\S+?)\)/g)].map(([, file = ""]) => file);
	expect(links.length).toBeGreaterThan(20);
	expect(links.filter((file) => !files(file).length)).toEqual([]);
});

it("CI runs each step of .ci/run, and no other", () => {
	const script = read(".ci/run");
	const named = [...script.matchAll(/^step ([\w:-]+) /gm)].map(([, step = ""]) => step);
	const [, suites = ""] = /^for script in (.+?);/m.exec(script) ?? [];
	const [, matrix = ""] =
		/^ {8}steps:\n((?: {10}- .+\n)+)/m.exec(read(".github/workflows/ci.yml")) ?? [];
	const wanted = new Set(matrix.replaceAll("- ", "").trim().split(/\s+/));
	expect([...wanted].sort()).toEqual([...named, ...suites.split(" ")].sort());
});
