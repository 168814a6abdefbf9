import { fileURLToPath } from "node:url";
import { readOn } from "./read-on.ts";

const repository = "https://github.com/yieldscope/yieldscope";
const path = (file) => fileURLToPath(new URL(`../../${file}`, import.meta.url));
const groups = readOn();

/** TypeDoc makes anchors and the page's menu only of what is text in a heading, and passes over its code. */
function codeInHeadings({ tokens }) {
	for (const heading of tokens.filter((_, index) => tokens[index - 1]?.type === "heading_open"))
		for (const part of heading.children)
			if (part.type === "code_inline")
				part.children = [{ type: "text", content: part.content, children: null }];
}

/** @type {Partial<import("typedoc").TypeDocOptions>} */
export default {
	entryPoints: ["index", "express", "koa", "hono", "testing", "inspector", "opentelemetry"].map(
		(entry) => path(`src/${entry}.ts`),
	),
	tsconfig: path("src/tsconfig.json"),
	readme: path("README.md"),
	projectDocuments: groups
		.flatMap(({ pages }) => pages.map(({ file }) => file))
		.filter((file) => file.endsWith(".md"))
		.map(path),
	out: path("docs/api"),
	plugin: [path("docs/site/plugin.js")],
	router: "site",

	name: "yieldscope",
	hostedBaseUrl: "https://yieldscope.github.io/yieldscope/",
	favicon: path("docs/site/favicon.svg"),
	customCss: path("docs/site/style.css"),
	headings: { readme: false },
	navigationLinks: { GitHub: repository, npm: "https://www.npmjs.com/package/yieldscope" },
	searchInDocuments: true,
	markdownItLoader: (parser) => parser.core.ruler.push("code_in_headings", codeInHeadings),
	customFooterHtml: `MIT licensed. <a href="${repository}/issues">Questions and bugs</a>.`,
	hideGenerator: true,
	highlightLanguages: ["bash", "javascript", "json", "python", "typescript"],
	sortEntryPoints: false,
	groupOrder: [
		...groups.map(({ title }) => title),
		"Modules",
		"Constructors",
		"Functions",
		"Classes",
		"Variables",
		"*",
	],
	sort: ["kind", "instance-first", "alphabetical-ignoring-documents"],
	kindSortOrder: ["Document", "Module", "Function", "Class", "Interface", "TypeAlias", "Variable"],

	disableGit: true,
	sourceLinkTemplate: `${repository}/blob/{gitRevision}/src/{path}#L{line}`,
	gitRevision: "main",
	excludeExternals: true, // what errors inherit from Error
	excludeInternal: true,
	excludePrivate: true,
	intentionallyNotExported: ["src/contextual.ts:Contextual", "src/contextual.ts:Uninferred"],
	requiredToBeDocumented: [
		"Class",
		"Function",
		"Interface",
		"TypeAlias",
		"Variable",
		"Method",
		"Property",
		"Accessor",
	],
	validation: { notDocumented: true },
	treatWarningsAsErrors: true,
};
