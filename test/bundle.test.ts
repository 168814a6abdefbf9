import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { expect, it } from "vitest";

/** Bundles one entry point with all it imports, minified. Built-ins and frameworks stay outside. */
async function bundle(entry: string): Promise<{ gzip: number; imports: string[] }> {
	const result = await build({
		configFile: false,
		logLevel: "silent",
		build: {
			write: false,
			target: "es2022",
			minify: "oxc",
			lib: { entry: fileURLToPath(new URL(`../src/${entry}`, import.meta.url)), formats: ["es"] },
			rolldownOptions: { external: [/^[^./]/] },
		},
	});
	const [output] = [result].flat() as Rolldown.RolldownOutput[];
	const chunk = output?.output[0];
	if (chunk === undefined) throw new Error(`Nothing was built from ${entry}`);
	return { gzip: gzipSync(chunk.code).byteLength, imports: chunk.imports };
}

it.each([
	["index.ts", 16 * 1024],
	["express.ts", 19 * 1024],
	["koa.ts", 19.5 * 1024],
	["hono.ts", 18.5 * 1024],
])("%s stays under %i bytes gzipped and imports only built-ins", async (entry, limit) => {
	const { gzip, imports } = await bundle(entry);
	expect(gzip).toBeLessThan(limit);
	expect(imports.filter((name) => !name.startsWith("node:"))).toEqual([]);
});
