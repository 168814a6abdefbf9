import { defineConfig } from "vitest/config";
import base from "../../vitest.config.ts";

export default defineConfig({
	...base,
	test: {
		...base.test,
		exclude: [
			"test/http/**",
			"test/{bundle,examples,leak,links,load,nesting,shop,shutdown,types,types-extra,upload,websockets,worker,workerd}.test.ts",
		],
		env: { FUZZ_RUNS: "300" },
		execArgv: [],
		// one worker for all files, or starting workers would be most of what a run does
		isolate: false,
		setupFiles: ["test/mutation/setup.ts"],
		testTimeout: 4000,
	},
});
