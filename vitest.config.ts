import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig } from "vitest/config";

const src = (name: string) => fileURLToPath(new URL(`src/${name}.ts`, import.meta.url));

const entries = ["index", "express", "koa", "hono", "inspector", "opentelemetry", "testing"];

/** What is about processes that are killed, a browser or this repository, and not about a version of Node. */
const once = [
	"test/{cli,consumers,contributing,cron,error-guide,links,lock,package,pitfalls,site,worker}.test.ts",
	"test/inspector/{demo,page}.test.ts",
];
/** CI runs that on the pinned version alone. */
const leftOut = process.env.CI && !process.versions.node.startsWith("24.") ? once : [];

export default defineConfig({
	resolve: {
		alias: [
			{ find: /^yieldscope$/, replacement: src("index") },
			{ find: /^yieldscope\/(\w+)$/, replacement: src("$1") },
		],
	},
	// one file for the core: importing one for each module took four times as long
	build: {
		target: "es2022",
		minify: false,
		sourcemap: true,
		emptyOutDir: false,
		lib: { entry: entries.map(src), formats: ["es"] },
		rolldownOptions: {
			external: [/^node:/, "@opentelemetry/api", "hono/streaming"],
			output: { chunkFileNames: ({ name }) => (name === "src" ? "core.js" : "[name].js") },
		},
	},
	test: {
		exclude: [...configDefaults.exclude, ...leftOut],
		include: ["test/**/*.test.ts", "docs/examples/**/*.test.ts"],
		css: true, // or the page of the inspector has none
		execArgv: ["--expose-gc"],
		maxWorkers: availableParallelism() + 1, // many tests wait for other processes
		testTimeout: 20_000, // of a machine that does other things as well
	},
});
