import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const src = (name: string) => fileURLToPath(new URL(`src/${name}.ts`, import.meta.url));

export default defineConfig({
	resolve: {
		alias: [
			{ find: /^yieldscope$/, replacement: src("index") },
			{ find: /^yieldscope\/(\w+)$/, replacement: src("$1") },
		],
	},
	test: { include: ["test/**/*.test.ts"], execArgv: ["--expose-gc"] },
});
