import { readFileSync } from "node:fs";
import { readOn } from "./read-on.ts";

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
const raw = "https://raw.githubusercontent.com/yieldscope/yieldscope/main";

/** What stands in `llms.txt`: how the README begins, and all pages that it links, as Markdown that a model can fetch. */
export function llms(): string {
	const readme = read("README.md");
	const { name, description } = JSON.parse(read("package.json"));
	const [start = ""] = readme
		.replace(/^# .+\n/, "")
		.replaceAll("](docs/", `](${raw}/docs/`)
		.split(/^## /m);
	const groups = readOn().flatMap(({ title: group, pages }) => [
		`## ${group}`,
		pages
			.map(({ title, file, note }) => `- [${title}](${raw}/${file})${note && `: ${note}`}`)
			.join("\n"),
	]);
	const parts = [`# ${name}`, `> ${description}`, start.trim(), ...groups];
	return `${parts.join("\n\n")}\n`;
}

if (import.meta.main) process.stdout.write(llms());
