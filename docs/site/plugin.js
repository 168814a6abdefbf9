import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Comment, Converter, JSX, KindRouter, PageEvent, ReflectionKind, Renderer } from "typedoc";
import { keywords } from "./keywords.ts";
import { llms } from "./llms.ts";
import { readOn } from "./read-on.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const fileOf = (page) => relative(root, page.project.files.getReflectionPath(page));
const isImage = (file) => /\.(?:png|svg)$/.test(file);

/**
 * A plugin for TypeDoc. Pages are called as they call themselves, grouped as in the README, and described to search engines
 * by how they begin; modules are called as they are imported, and links to files that are no pages lead to GitHub, where
 * they are shown: TypeDoc would copy them, and a browser take a `.ts` for a video. The search knows the start page as well,
 * other words for what is on a page, and thinks more of pages than of types.
 *
 * @param {import("typedoc").Application} app
 */
export function load(app) {
	const groups = readOn();

	app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, page) => {
		const file = fileOf(page);
		page.frontmatter.group = groups.find(({ pages }) =>
			pages.some((each) => each.file === file),
		).title;
		const [, heading] = /^# (.+)$/m.exec(Comment.combineDisplayParts(page.content)) ?? [];
		page.name = heading?.replaceAll("`", "") ?? page.name;
	});

	app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
		project.comment = new Comment([], [], new Set(["@showGroups"]));
	});

	// the menu's first group is open until a reader closes it
	const open = `localStorage["tsd-accordion-${groups[0].title}"] ??= "true"`;
	app.renderer.hooks.on("body.begin", () =>
		JSX.createElement("script", null, JSX.createElement(JSX.Raw, { html: open })),
	);

	app.renderer.on(Renderer.EVENT_BEGIN, ({ project }) => {
		project.groups.find(({ title }) => title === "Modules").title = "API";
		for (const module of project.getChildrenByKind(ReflectionKind.Module))
			module.name = module.name === "index" ? "yieldscope" : `yieldscope/${module.name}`;

		const { files } = project;
		const pages = [project.readme, ...project.documents.map(({ content }) => content)];
		for (const part of pages.flat()) {
			if (part.kind !== "relative-link" || typeof part.target !== "number") continue;
			const file = files.resolve(part.target, project);
			if (typeof file !== "string" || isImage(file)) continue;
			const anchor = part.targetAnchor ? `#${part.targetAnchor}` : "";
			part.kind = "text";
			part.text = `https://github.com/yieldscope/yieldscope/blob/main/${relative(root, file)}${anchor}`;
		}
	});

	app.renderer.defineRouter("site", Router);

	app.renderer.on(Renderer.EVENT_PREPARE_INDEX, ({ searchResults, searchFields, ...index }) => {
		const [{ project }] = searchResults;
		index.searchFieldWeights.keywords = index.searchFieldWeights.name;
		for (const [at, found] of searchResults.entries()) {
			if (found.isDocument()) searchFields[at].keywords = keywords[fileOf(found)];
			found.relevanceBoost = found.isDocument() ? 3 : isDetail(found) ? 0.1 : 1;
		}
		project.relevanceBoost = 3;
		searchResults.push(project);
		searchFields.push({
			document: Comment.combineDisplayParts(project.readme),
			keywords: keywords["README.md"],
		});
	});

	app.renderer.on(PageEvent.END, (page) => {
		const { model, project } = page;
		const { summary } = model.signatures?.[0].comment ?? model.comment ?? {};
		const text = model === project ? project.readme : (model.content ?? summary);
		const start = firstParagraph(Comment.combineDisplayParts(text));
		if (start !== "")
			page.contents = page.contents.replace(/(?<=name="description" content=")[^"]*/, () => start);
	});

	app.renderer.on(Renderer.EVENT_END, ({ outputDirectory }) => {
		writeFileSync(join(outputDirectory, "llms.txt"), llms());
	});
}

/** TypeDoc's own leads to a list of the modules, not to the start page. */
class Router extends KindRouter {
	buildPages(project) {
		const pages = super.buildPages(project);
		this.fullUrls.set(project, pages[0].url);
		return pages;
	}
}

/** Whether it is a type, part of one, a property such as each error has, or stands elsewhere already. */
function isDetail(reflection) {
	const { Interface, TypeAlias, Property, Reference } = ReflectionKind;
	return (
		reflection.kindOf(Interface | TypeAlias | Property | Reference) ||
		reflection.parent?.kindOf(Interface)
	);
}

/** The first paragraph of a page, without its markup, to stand in an attribute. */
function firstParagraph(markdown) {
	const paragraph = markdown.split(/\n{2,}/).find((each) => /^(?!```)[\w`[*]/.test(each)) ?? "";
	return paragraph
		.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
		.replaceAll(/\{@link (?:\w+\.)?([^}]*)\}/g, "$1")
		.replaceAll(/[`*]/g, "")
		.replaceAll(/\s+/g, " ")
		.replaceAll("&", "&amp;")
		.replaceAll('"', "&quot;")
		.trim();
}
