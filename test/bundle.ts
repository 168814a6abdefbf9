import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Plugin, type Rolldown } from "vite";

/**
 * Bundles `source`, a module that stands in `src/`, with all it imports, minified. Built-ins and frameworks stay outside.
 */
export async function bundle(
	source: string,
	...plugins: readonly Plugin[]
): Promise<{ code: string; gzip: number; imports: string[] }> {
	const entry = fileURLToPath(new URL("../src/bundle-entry.ts", import.meta.url));
	const result = await build({
		configFile: false,
		logLevel: "silent",
		plugins: [
			{
				name: "entry",
				enforce: "pre",
				resolveId: (id) => (id === entry ? id : undefined),
				load: (id) => (id === entry ? source : undefined),
			},
			...plugins,
		],
		build: {
			write: false,
			target: "es2022",
			minify: "oxc",
			lib: { entry, formats: ["es"] },
			rolldownOptions: { external: [/^[^./]/], output: { minify: true } }, // whitespace too, which Vite leaves in libraries
		},
	});
	const [output] = [result].flat() as Rolldown.RolldownOutput[];
	const chunk = output?.output[0];
	if (chunk === undefined) throw new Error(`Nothing was built from ${source}`);
	const { code, imports } = chunk;
	return { code, gzip: gzipSync(code).byteLength, imports };
}
