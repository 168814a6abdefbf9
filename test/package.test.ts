import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyRepository, root } from "./tarball.ts";

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const entries = ["express", "hono", "index", "inspector", "koa", "opentelemetry", "testing"];

it("depends on nothing", () => {
	expect(manifest.dependencies).toBe(undefined);
	expect(manifest.optionalDependencies).toBe(undefined);
	expect(manifest.bundleDependencies).toBe(undefined);
	for (const name of Object.keys(manifest.peerDependencies))
		expect(manifest.peerDependenciesMeta[name]).toEqual({ optional: true });
});

it("runs nothing when it is installed", () => {
	for (const hook of ["preinstall", "install", "postinstall", "prepare"])
		expect(manifest.scripts).not.toHaveProperty(hook);
});

it("is published with provenance, which only the release workflow can give", () => {
	expect(manifest.publishConfig).toEqual({ access: "public", provenance: true });
});

// npm belongs to Node
describe.skipIf("Bun" in globalThis || "Deno" in globalThis)("the tarball", () => {
	let copy: string;
	let npm: (...args: readonly string[]) => string;

	beforeAll(() => {
		({ copy, npm } = copyRepository());
		npm("run", "build");
	}, 120_000);

	afterAll(() => rmSync(copy, { recursive: true, force: true }));

	it("holds the build, its sources, and what one reads first; nothing else", {
		timeout: 60_000,
	}, () => {
		const [pack] = JSON.parse(npm("pack", "--dry-run", "--ignore-scripts", "--json"));
		const files: string[] = pack.files.map((file: { path: string }) => file.path);
		const isCode = (file: string) => /^dist\/.*\.js(?:\.map)?$/.test(file);
		const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
			.map((name) => name.replaceAll("\\", "/"))
			.filter((name) => name.endsWith(".ts"));
		const modules = sources
			.filter((name) => !name.endsWith(".d.ts"))
			.map((name) => name.slice(0, -3));
		expect(files.filter((file) => !isCode(file)).sort()).toEqual(
			[
				"CHANGELOG.md",
				"LICENSE",
				"README.md",
				"package.json",
				...sources.map((name) => `src/${name}`),
				...modules.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.d.ts.map`]),
			].sort(),
		);
		// what entries share is in chunks, which the bundler names after one of their modules
		const code = new Set(
			files.filter(isCode).map((file) => basename(file).replace(/\.js(?:\.map)?$/, "")),
		);
		expect([...code].filter((name) => ![...modules, "core"].includes(name))).toEqual([]);
		expect(files).toEqual(expect.arrayContaining(entries.map((name) => `dist/${name}.js`)));
	});

	it("holds code that imports itself, Node's own modules, and what it is an adapter of", () => {
		const peers = { "hono.js": ["hono/streaming"], "opentelemetry.js": ["@opentelemetry/api"] };
		const dist = join(copy, "dist");
		for (const name of readdirSync(dist).filter((each) => each.endsWith(".js"))) {
			const code = readFileSync(join(dist, name), "utf8");
			const imports = [...code.matchAll(/^(?:import|export)\b[^;]*?["']([^"']+)["'];?$/gm)].map(
				([, from = ""]) => from,
			);
			const others = imports.filter((from) => !/^(?:\.\/|node:)/.test(from));
			expect([name, others]).toEqual([name, peers[name as keyof typeof peers] ?? []]);
			expect(code).not.toMatch(/\b(?:eval|Function)\(|\bimport\(|\brequire\(|process\.env/);
		}
	});
});
