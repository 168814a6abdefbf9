import { readFileSync } from "node:fs";

/** A page that the README links, with what it says of it. */
export interface Page {
	readonly title: string;
	readonly file: string;
	readonly note: string;
}

/** What the README lists under "Read on", by its headings: they are the groups of the site's menu, in this order. */
export function readOn(): { readonly title: string; readonly pages: readonly Page[] }[] {
	const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
	const [, ...groups] = (readme.split("\n## Read on\n")[1] ?? "").split(/^### /m);
	return groups.map((group) => ({
		title: group.slice(0, group.indexOf("\n")),
		pages: [...group.matchAll(/^- \[(.+?)\]\((\S+?)\) ?(.*)$/gm)].map(
			([, title = "", file = "", note = ""]) => ({ title, file, note }),
		),
	}));
}
