import { execFile, execFileSync } from "node:child_process";
import {
	cpSync,
	globSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import * as esbuild from "esbuild";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fill } from "../.ci/jsr.ts";
import { copyRepository, root } from "./tarball.ts";

const tools = join(root, "node_modules");
const node = join(tools, "node/bin/node");

/** The consumer's dependencies beside yieldscope. */
const peers = ["@opentelemetry/api", "express", "hono", "koa"];
const types = ["@types/express", "@types/koa", "@types/node"];

const compilers: Readonly<Record<string, string>> = {
	"TypeScript 5.4": "typescript-5.4",
	"TypeScript 5.9": "typescript-5.9",
	"TypeScript 6": "typescript",
	"TypeScript 7": "typescript-7",
};
const runtimes = {
	"Node 22": ["node22/bin/node"],
	"Node 24": ["node/bin/node"],
	"Node 26": ["node26/bin/node"],
	Bun: [".bin/bun"],
	Deno: [".bin/deno", "run", "--allow-all"],
} as const;

/** What the consumer's modules print, wherever they run, whoever compiled them. */
const traces = {
	core: [
		["+Pool", "Ada: book", "-Orders: success", "-Pool", "2 lines"],
		["+Pool", "Ada: unicorn", "-Orders: ScopeIncompleteError", "-Pool"],
	].flat(),
	servers: [
		...["commit", "express: book 7.0", "commit", "koa: /book 7.0", "commit", "hono: book 7.0"],
		"inspector: yieldscope",
	],
};
const required = ["db", "released"];

// on the others it would do the same
const isNode24 =
	process.version.startsWith("v24.") && !("Bun" in globalThis || "Deno" in globalThis);

describe.runIf(isNode24)("the tarball, installed in an empty folder", { timeout: 120_000 }, () => {
	let consumer: string;
	const path = (file: string) => join(consumer, file);

	/** The lines that a command prints in the consumer's folder, whatever its exit code. */
	async function print(command: string, ...args: readonly string[]): Promise<string[]> {
		const options = { cwd: consumer, env: { ...process.env, NO_COLOR: "1" } };
		const child = promisify(execFile)(command, args, options);
		const { stdout, stderr } = await child.catch(
			(error: { stdout: string; stderr: string }) => error,
		);
		return `${stdout}${stderr}`.split("\n").filter(Boolean);
	}

	/** What modules log, as they print it. */
	async function run(command: readonly [string, ...string[]], ...files: readonly string[]) {
		const [tool, ...options] = command;
		const printed = files.map((file) => print(join(tools, tool), ...options, file));
		return (await Promise.all(printed)).map((lines) => lines.join("\n"));
	}

	/** What a compiler complains of: in the consumer and in yieldscope. The frameworks' own types lie elsewhere. */
	async function compile(compiler: string, files: readonly string[], options: object) {
		const defaults = { strict: true, target: "es2022", lib: ["es2022"], types: ["node"] };
		const compilerOptions = { ...defaults, ...options };
		const project = `${compiler}.json`; // a tsconfig.json would be Deno's and the bundlers' as well
		writeFileSync(path(project), JSON.stringify({ files, compilerOptions }));
		const lines = await print(node, join(tools, compiler, "bin/tsc"), "--project", project);
		return lines.filter((line) => !line.startsWith("../") && !line.startsWith(" "));
	}

	beforeAll(() => {
		consumer = mkdtempSync(join(tmpdir(), "yieldscope-consumer-"));
		writeFileSync(path("package.json"), JSON.stringify({ private: true, type: "module" }));
		const { copy, npm } = copyRepository();
		npm("run", "build");
		npm("pack", "--ignore-scripts", "--pack-destination", consumer);
		rmSync(copy, { recursive: true });
		const [tarball = ""] = globSync("*.tgz", { cwd: consumer });
		execFileSync("npm", ["install", "--offline", `./${tarball}`], { cwd: consumer, stdio: "pipe" });
		cpSync(join(root, "test/consumer"), consumer, { recursive: true });
		for (const name of [...peers, ...types]) {
			mkdirSync(dirname(path(`node_modules/${name}`)), { recursive: true });
			symlinkSync(join(tools, name), path(`node_modules/${name}`), "junction");
		}
		const installed = ["yieldscope", ...peers, ...types].map((name) => [name, "*"]);
		const dependencies = Object.fromEntries(installed); // Deno finds no others
		writeFileSync(
			path("package.json"),
			JSON.stringify({ private: true, type: "module", dependencies }),
		);
	}, 120_000);
	afterAll(() => rmSync(consumer, { recursive: true, force: true }));

	describe.each(Object.entries(compilers))("%s", (_, compiler) => {
		const sources = ["core.ts", "servers.ts"];

		it("compiles what uses it, by nodenext, and CommonJS from 5.8 on", async () => {
			// the strictest of options, in which the declarations are checked as well
			const strictest = { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
			const options = { ...strictest, module: "nodenext", outDir: compiler };
			const refused = expect.stringMatching(/^required-types\.cts.* error TS1471: /);
			expect(await compile(compiler, [...sources, "required-types.cts"], options)).toEqual(
				compiler === "typescript-5.4" ? [refused, refused] : [],
			);
			expect(await run(["node/bin/node"], `${compiler}/core.js`, `${compiler}/servers.js`)).toEqual(
				[JSON.stringify(traces.core), JSON.stringify(traces.servers)],
			);
		});

		it("compiles what uses it, by bundler", async () => {
			// the declarations are the same, and have been checked
			const bundler = { module: "esnext", moduleResolution: "bundler", skipLibCheck: true };
			expect(await compile(compiler, sources, { ...bundler, noEmit: true })).toEqual([]);
		});
	});

	it.each(["typescript-5.4", "typescript-7"])(
		"needs no types of Node for the core: %s",
		async (compiler) => {
			const lib = ["es2022", "dom"]; // for AbortSignal
			const options = { module: "nodenext", lib, types: [], noEmit: true };
			expect(await compile(compiler, ["core.ts"], options)).toEqual([]);
		},
	);

	describe("code that a compiler has lowered", () => {
		beforeAll(async () => {
			const options = { module: "nodenext", outDir: "lowered" };
			await compile("typescript-7", ["core.ts", "servers.ts"], options);
		}, 60_000);

		it.each(Object.entries(runtimes))("runs on %s, as does require()", async (_, command) => {
			expect(await run(command, "lowered/core.js", "lowered/servers.js", "required.cjs")).toEqual(
				[traces.core, traces.servers, required].map((trace) => JSON.stringify(trace)),
			);
		});
	});

	it("TypeScript runs as it is on Bun and Deno, which finds the types", async () => {
		for (const name of ["Bun", "Deno"] as const)
			expect(await run(runtimes[name], "core.ts")).toEqual([JSON.stringify(traces.core)]);
		expect(await print(join(tools, ".bin/deno"), "check", "core.ts")).toEqual(["Check core.ts"]);
	});

	it("runs on Deno as JSR gets it, under the same entry points, and has its types there", async () => {
		fill(path("jsr"));
		const read = (file: string) => JSON.parse(readFileSync(file, "utf8"));
		const entries = Object.entries<string>(read(path("jsr/jsr.json")).exports);
		const { "./package.json": _, ...exports } = read(join(root, "package.json")).exports;
		expect(entries.map(([entry]) => entry)).toEqual(Object.keys(exports));
		const imports = entries.map(([entry, file]) => [
			join("yieldscope", entry),
			`./${join("jsr", file)}`,
		]);
		writeFileSync(path("jsr-map.json"), JSON.stringify({ imports: Object.fromEntries(imports) }));
		const deno = [...runtimes.Deno, "--import-map=jsr-map.json"] as const;
		expect(await run(deno, "core.ts", "servers.ts")).toEqual([
			JSON.stringify(traces.core),
			JSON.stringify(traces.servers),
		]);
		const check = ["check", "--import-map=jsr-map.json", "core.ts", "servers.ts"];
		expect(await print(join(tools, ".bin/deno"), ...check)).toEqual([
			"Check core.ts",
			"Check servers.ts",
		]);
		const fences = /^```[\s\S]*?^```/gm;
		const readme = readFileSync(path("jsr/README.md"), "utf8");
		expect(readme.match(fences)).toEqual(
			readFileSync(join(root, "README.md"), "utf8").match(fences),
		);
		expect(readme.replaceAll(fences, "").match(/\]\((?!https:)[^)]*\)/g)).toBe(null);
	});

	it("is bundled by esbuild, minified, as ES modules and as CommonJS", async () => {
		const options: esbuild.BuildOptions = {
			absWorkingDir: consumer,
			bundle: true,
			minify: true,
			platform: "node",
			target: "node22",
			external: peers,
			outdir: "esbuild",
		};
		const entryPoints = ["core.ts", "servers.ts"];
		const outExtension = { ".js": ".mjs" };
		await esbuild.build({ ...options, entryPoints, format: "esm", outExtension });
		await esbuild.build({
			...options,
			entryPoints: ["required.cjs"],
			outExtension: { ".js": ".cjs" },
		});
		const files = ["esbuild/core.mjs", "esbuild/servers.mjs", "esbuild/required.cjs"];
		expect(await run(runtimes["Node 24"], ...files)).toEqual(
			[traces.core, traces.servers, required].map((trace) => JSON.stringify(trace)),
		);
	});

	it("is bundled by Vite", async () => {
		await build({
			root: consumer,
			configFile: false,
			logLevel: "silent",
			ssr: { noExternal: ["yieldscope"] },
			build: {
				ssr: true,
				outDir: "vite",
				minify: true,
				rolldownOptions: { input: [path("core.ts"), path("servers.ts")] },
			},
		});
		expect(await run(runtimes["Node 24"], "vite/core.js", "vite/servers.js")).toEqual(
			[traces.core, traces.servers].map((trace) => JSON.stringify(trace)),
		);
	});
});
