import { expect, it } from "vitest";
import { bundle } from "./bundle.ts";

// Bun and Deno have a gzip of their own
it.skipIf("Bun" in globalThis || "Deno" in globalThis).each([
	["index.ts", 17.65 * 1024, []],
	["express.ts", 21 * 1024, []],
	["koa.ts", 21.4 * 1024, []],
	["hono.ts", 20.75 * 1024, ["hono/streaming"]],
])("%s stays under %i bytes gzipped and imports built-ins and %j", async (entry, limit, others) => {
	const { gzip, imports } = await bundle(`export * from "./${entry}";`);
	expect(gzip).toBeLessThan(limit);
	expect(imports.filter((name) => !name.startsWith("node:"))).toEqual(others);
});
