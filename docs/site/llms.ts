import { readFileSync } from "node:fs";

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
const raw = "https://raw.githubusercontent.com/yieldscope/yieldscope/main";

/** What stands in `llms.txt`: how the README begins, and all pages that it links, as Markdown that a model can fetch. */
export function llms(): string {
	const readme = read("README.md");
	const { name, description } = JSON.parse(read("package.json"));
	const [start = ""] = readme.replace(/^# .+\n/, "").split(/^## /m);
	const pages = [...readme.matchAll(/^- \[(.+?)\]\((\S+?)\):? ?(.*)$/gm)].map(
		([, title, page, note]) => `- [${title}](${raw}/${page})${note && `: ${note}`}`,
	);
	const parts = [`# ${name}`, `> ${description}`, start.trim(), "## Pages", pages.join("\n")];
	return `${parts.join("\n\n")}\n`;
}

if (import.meta.main) process.stdout.write(llms());
