import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = `${root}test/generated`;

/** Every ```ts fence of the README, the guides and the doc comments, as a module of its own. */
function examples(): Array<{ name: string; file: string; code: string }> {
	const found = [];
	for (const path of globSync(["README.md", "docs/{,guide/}*.md", "src/**/*.ts"], { cwd: root })) {
		const source = path.replaceAll("\\", "/");
		const text = readFileSync(root + source, "utf8").replaceAll(/^[ \t]*\*( |$)/gm, "");
		for (const match of text.matchAll(/^```ts\n([\s\S]*?)^```/gm)) {
			const line = text.slice(0, match.index).split("\n").length;
			const file = `${out}/${source.replaceAll(/\W/g, "_")}_${line}.ts`;
			found.push({ name: `${source}:${line}`, file, code: `${match[1]}\nexport {};\n` });
		}
	}
	return found.sort((a, b) => a.name.localeCompare(b.name));
}

describe("documentation examples", () => {
	const all = examples();

	beforeAll(() => {
		rmSync(out, { recursive: true, force: true });
		mkdirSync(out, { recursive: true });
		for (const { file, code } of all) writeFileSync(file, code);
	});

	it("type-check", { timeout: 60_000 }, () => {
		const tsc = spawnSync(`${root}node_modules/.bin/tsc`, ["-p", "test/tsconfig.examples.json"], {
			cwd: root,
			encoding: "utf8",
		});
		expect(tsc.stdout).toBe("");
		expect(tsc.status).toBe(0);
	});

	it.each(all)("$name runs", async ({ file }) => {
		await import(/* @vite-ignore */ file);
	});
});

/** Fences that show a whole file of docs/examples: its path is their first line. */
const shown = globSync("docs/guide/*.md", { cwd: root }).flatMap((guide) =>
	[...readFileSync(root + guide, "utf8").matchAll(/^```\w+\n\/\/ (\S+\.ts)\n([\s\S]*?)^```/gm)].map(
		([, path = "", code = ""]) => ({ guide: basename(guide), path, code }),
	),
);

it.each(shown)("$guide shows $path as it is", ({ path, code }) => {
	expect(code).toBe(readFileSync(`${root}docs/examples/${path}`, "utf8"));
});

it("the guides show each recipe; what they only link is what applies one, or tests it", () => {
	const all = globSync("docs/examples/{[!s]*,shutdown}/*.ts", { cwd: root });
	const paths = all.map((file) => file.replaceAll("\\", "/").replace("docs/examples/", ""));
	const hidden = paths.filter((path) => shown.every((each) => each.path !== path));
	expect(hidden.sort()).toEqual([
		"cli/import-orders.ts",
		"prisma/orders.node-test.ts",
		"prisma/prisma.config.ts",
		"testing/orders.node-test.ts",
		"testing/orders.test.ts",
		"testing/orders.ts",
		"testing/temporary.ts",
		"upload/servers.ts",
		"websockets/hono.ts",
		"websockets/node.ts",
		"websockets/orders.ts",
	]);
});

it("what a recipe imports, the guides show as well", () => {
	const imported = shown.flatMap(({ path, code }) =>
		[...code.matchAll(/ from "(\.[^"]+)";$/gm)].map(([, from = ""]) =>
			posix.join(posix.dirname(path), from),
		),
	);
	expect(imported.length).toBeGreaterThan(10);
	expect(imported.filter((path) => shown.every((each) => each.path !== path))).toEqual([
		"prisma/generated/client.ts", // which Prisma writes
	]);
});
