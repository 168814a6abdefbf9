import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Comment, Converter, JSX, PageEvent, ReflectionKind, Renderer } from "typedoc";
import { llms } from "./llms.ts";
import { readOn } from "./read-on.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const isImage = (file) => /\.(?:png|svg)$/.test(file);

/**
 * A plugin for TypeDoc. Pages are called as they call themselves, grouped as in the README, and described to search engines
 * by how they begin; modules are called as they are imported, and links to files that are no pages lead to GitHub, where
 * they are shown: TypeDoc would copy them, and a browser take a `.ts` for a video.
 *
 * @param {import("typedoc").Application} app
 */
export function load(app) {
	const groups = readOn();

	app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, page) => {
		const file = relative(root, page.project.files.getReflectionPath(page));
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
