import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import * as api from "../src/index.ts";

const guide = readFileSync(
	new URL("../docs/guide/what-does-this-error-mean.md", import.meta.url),
	"utf8",
);

/** The sections by their headings, which are codes. */
const sections = new Map(
	guide
		.split(/^## /m)
		.slice(1)
		.map((section) => [section.slice(0, section.indexOf("\n")), section]),
);

/** The classes that have a code. Other classes that the package exports are no errors, or JavaScript's. */
const classes = Object.values(api as object)
	.filter((each) => each?.prototype instanceof Error && each !== api.SuppressedError)
	.map((Class) => new Class("") as Error & { code: string });

it("has a section for each error, and none for others", () => {
	expect([...sections.keys()].sort()).toEqual(classes.map(({ code }) => code).sort());
});

it.each(classes)("says of $name what it is, what to do, and shows it", ({ name, code }) => {
	const section = sections.get(code) ?? "";
	expect(section).toMatch(new RegExp(`^${code}\\n\\n\`${name}\``));
	expect(section).toMatch(/^- /m);
	const [, example = ""] = section.match(/^```ts\n([\s\S]*?)^```/m) ?? [];
	expect(example).toContain(`"${code}"`);
	expect(example).toContain("message");
});
