import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const guide = new URL("../docs/guide/what-goes-wrong.md", import.meta.url);
const text = readFileSync(guide, "utf8");

const slugOf = (heading: string) =>
	heading
		.toLowerCase()
		.replaceAll(/[^\w\s-]/g, "")
		.replaceAll(" ", "-");

/** The code in a section of a guide: it has run, so its messages are those that came. */
function codeOf(link: string): string {
	const { href, hash } = new URL(link, guide);
	const sections = readFileSync(new URL(href.replace(hash, "")), "utf8").split(/^## /m);
	const section =
		sections.find((each) => `#${slugOf(each.split("\n", 1)[0] ?? "")}` === hash) ?? "";
	return [...section.matchAll(/^```\w+\n([\s\S]*?)^```/gm)].map(([, code]) => code).join("\n");
}

const rows = [...text.matchAll(/^\| (.+) \| \[.+\]\((\S+)\) \| (.+) \|$/gm)].map(
	([, symptom = "", link = "", says = ""]) => ({ symptom, link, says }),
);

it("each row of what goes wrong can be read here", () => {
	const table = text.slice(0, text.indexOf("\n## ")).match(/^\|/gm);
	const head = 2; // the titles, and the line below them
	expect(table).toHaveLength(rows.length + head);
});

it("each section of what goes wrong is in its table", () => {
	const sections = [...text.matchAll(/^## (.+)$/gm)].map(
		([, heading = ""]) => `#${slugOf(heading)}`,
	);
	expect(sections.length).toBeGreaterThan(0);
	expect(sections.filter((section) => !rows.some(({ link }) => link === section))).toEqual([]);
});

describe("the message in the table is a real one", () => {
	it.each(rows)("$symptom", ({ link, says }) => {
		const messages = [...says.matchAll(/`([^`]{25,})`/g)].map(([, message = ""]) => message);
		const parts = messages.flatMap((message) => message.split("…")).map((part) => part.trim());
		const code = codeOf(link).replaceAll("\\", "").replaceAll(/\s+/g, " ");
		expect(parts.filter((part) => !code.includes(part))).toEqual([]);
	});
});
