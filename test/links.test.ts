import { existsSync, globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = new URL("..", import.meta.url);

/** Without fences: what is in them is no markdown. */
function textOf(file: URL): string {
	return readFileSync(file, "utf8").replaceAll(/^```[\s\S]*?^```/gm, "");
}

/** The anchors of a file's headings, as GitHub makes them. */
function anchorsOf(file: URL): string[] {
	return [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
		heading
			.toLowerCase()
			.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
			.replaceAll(" ", "-"),
	);
}

const pages = globSync(["*.md", "docs/*.md", "docs/guide/*.md"], { cwd: fileURLToPath(root) }).map(
	(page) => page.replaceAll("\\", "/"),
);

it.each(pages)("the links of %s lead somewhere", (page) => {
	const file = new URL(page, root);
	const broken = [...textOf(file).matchAll(/\]\(([^)\s]+)\)/g)]
		.map(([, link = ""]) => link)
		.filter((link) => !/^[a-z]+:/.test(link))
		.filter((link) => {
			const target = new URL(link, file);
			const anchor = decodeURIComponent(target.hash.slice(1));
			target.hash = "";
			return !existsSync(target) || (anchor !== "" && !anchorsOf(target).includes(anchor));
		});
	expect(broken).toEqual([]);
});

it("recipes can be copied without the demo's shop", () => {
	const files = globSync("docs/examples/{[!s]*,shutdown}/*.ts", { cwd: fileURLToPath(root) });
	const bound = files.filter((file) =>
		readFileSync(new URL(file.replaceAll("\\", "/"), root), "utf8").includes('"../shop/'),
	);
	expect(files.length).toBeGreaterThan(20);
	// the one is an app that uses a recipe, the others ask only for the address of PostgreSQL
	expect(bound.map((file) => file.replaceAll("\\", "/")).sort()).toEqual([
		"docs/examples/testing/orders.node-test.ts",
		"docs/examples/testing/orders.test.ts",
		"docs/examples/testing/temporary.ts",
		"docs/examples/websockets/orders.ts",
	]);
});

it("each guide can be reached from the README", () => {
	const links = textOf(new URL("README.md", root));
	const guides = pages.filter((page) => page.startsWith("docs/guide/"));
	expect(guides.length).toBeGreaterThan(0);
	expect(guides.filter((guide) => !links.includes(`](${guide})`))).toEqual([]);
});
