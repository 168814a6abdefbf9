import { spawnSync } from "node:child_process";
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const github = "https://github.com/yieldscope/yieldscope";
const { name, version, license, exports, peerDependencies, devDependencies } = JSON.parse(
	readFileSync(join(root, "package.json"), "utf8"),
);

const typesOf = (framework: string) =>
	`npm:@types/${framework}@^${devDependencies[`@types/${framework}`]}`;
const peer = (of: string) => `npm:${of}@${peerDependencies[of].replace(">=", "^")}`;

/** Where JSR's modules, which have no package.json, find what the sources import. */
const specifiers = Object.entries({
	"#contextual": "./contextual.ts",
	express: typesOf("express"), // as for Koa, nothing else is imported
	koa: typesOf("koa"),
	hono: peer("hono"),
	"@opentelemetry/api": peer("@opentelemetry/api"),
});

/** Fills a folder with what JSR gets: the sources, with the texts in them that they import, under the same entry points. */
export function fill(folder: string): void {
	const isPublic = (file: string) =>
		!/(?:\.d\.ts|contextual-ts5\.ts|tsconfig\.json|page\.(?:css|html|js))$/.test(file);
	cpSync(join(root, "src"), folder, { recursive: true, filter: isPublic });
	cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
	for (const file of globSync("**/*.ts", { cwd: folder })) {
		const code = readFileSync(join(folder, file), "utf8")
			.replaceAll(/^import (\w+) from "(\S+)\?raw";$/gm, (_, text, path) => {
				const from = join(root, "src", dirname(file), path);
				return `const ${text} = ${JSON.stringify(readFileSync(from, "utf8"))};`;
			})
			// not where an example in a comment does
			.replaceAll(/^(?! \*)(.* from )"([^."][^"]*)";$/gm, (line, start, from) => {
				const [of, to] = specifiers.find(([of]) => from === of || from.startsWith(`${of}/`)) ?? [];
				return of === undefined ? line : `${start}"${to}${from.slice(of.length)}";`;
			});
		writeFileSync(join(folder, file), code);
	}
	const readme = readFileSync(join(root, "README.md"), "utf8")
		.replaceAll("](docs/images/", `](${github}/raw/main/docs/images/`)
		.replaceAll(/\]\((?=docs\/|[A-Z]+\.md)/g, `](${github}/blob/main/`);
	writeFileSync(join(folder, "README.md"), readme);
	const entries = Object.entries<string>(exports).filter(([, file]) => file.endsWith(".js"));
	const config = {
		name: `@${name}/${name}`,
		version,
		license,
		exports: Object.fromEntries(
			entries.map(([entry, file]) => [entry, `./${basename(file, ".js")}.ts`]),
		),
	};
	writeFileSync(join(folder, "jsr.json"), JSON.stringify(config, undefined, "\t"));
}

if (import.meta.main) {
	const folder = mkdtempSync(join(tmpdir(), "yieldscope-jsr-"));
	fill(folder);
	const deno = join(root, "node_modules/.bin/deno");
	const { status } = spawnSync(deno, ["publish", ...process.argv.slice(2)], {
		cwd: folder,
		stdio: "inherit",
	});
	rmSync(folder, { recursive: true });
	process.exitCode = status ?? 1;
}
