import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AxeResults } from "axe-core";
import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { keywords } from "../docs/site/keywords.ts";
import { noChromium, openChromium } from "./chromium.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const types: Readonly<Record<string, string>> = {
	".css": "text/css",
	".html": "text/html",
	".js": "text/javascript",
	".png": "image/png",
	".svg": "image/svg+xml",
};
const phone = { viewport: { width: 390, height: 844 } };

/** What readers look for, and what is to be among the first three results. */
const searches = [
	["openScopeSync", "yieldscope.openScopeSync"],
	["Scope", "yieldscope.Scope"],
	["handler", "yieldscope/express.handler"],
	["after", "yieldscope.Scope.after"],
	["RequestScopeOptions", "yieldscope/express.RequestScopeOptions"],
	["install", "yieldscope"],
	["mail after response", "How do I run work concurrently, or later?"],
	["email", "How do I use resources in a job worker?"],
	["error handler", "What happens when something fails?"],
	["test", "How do I test this?"],
	["rollback test", "How do I test this?"],
	["mock", "How do I test this?"],
	["connection leak", "What goes wrong?"],
	["performance", "Benchmarks"],
	["overhead", "Benchmarks"],
	["logging", "How do I see what my resources do?"],
	["MySQL", "How do I use Drizzle, Kysely or Prisma?"],
	["gradually", "Coming from awilix?"],
	["deadlock", "When is my transaction committed?"],
	["graceful shutdown", "How do I shut down without losing a request?"],
] as const;

// TypeDoc makes the same of it on all of them
const isNode24 =
	process.version.startsWith("v24.") && !("Bun" in globalThis || "Deno" in globalThis);

describe.runIf(isNode24)("the site", { timeout: 60_000 }, () => {
	let site: string;
	let pages: readonly string[];
	beforeAll(() => {
		site = mkdtempSync(join(tmpdir(), "yieldscope-site-"));
		const options = ["--options", "docs/site/typedoc.config.js", "--out", site];
		execFileSync(process.execPath, ["node_modules/typedoc/bin/typedoc", ...options], {
			cwd: root,
			stdio: "pipe",
		});
		pages = globSync("**/*.html", { cwd: site });
	}, 60_000);
	afterAll(() => rmSync(site, { recursive: true, force: true }));

	it("has no link that leads nowhere", () => {
		const anchors = new Map<string, Set<string>>();
		for (const page of pages) {
			const html = readFileSync(join(site, page), "utf8");
			anchors.set(
				`/${page}`,
				new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id = ""]) => id)),
			);
		}
		const broken = pages.flatMap((page) => {
			const html = readFileSync(join(site, page), "utf8");
			const links = [...html.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, link = ""]) => link);
			return links
				.filter((link) => !/^(?:https:|data:)/.test(link))
				.filter((link) => {
					const { pathname, hash } = new URL(link, `http://site/${page}`);
					const target = decodeURIComponent(pathname);
					const anchor = decodeURIComponent(hash.slice(1));
					if (!existsSync(join(site, target))) return true;
					return anchor !== "" && target.endsWith(".html") && !anchors.get(target)?.has(anchor);
				})
				.map((link) => `${page}: ${link}`);
		});
		expect(broken).toEqual([]);
	});

	it("shows on GitHub what is no page", () => {
		expect(
			globSync("media/*", { cwd: site }).filter((file) => !/\.(?:png|svg)$/.test(file)),
		).toEqual([]);
		const links = pages.flatMap((page) => {
			const html = readFileSync(join(site, page), "utf8");
			return [...html.matchAll(/yieldscope\/blob\/main\/([^"#]+)/g)].map(([, file = ""]) => file);
		});
		expect(links).toContain("docs/examples/shop/resources.ts");
		const isOurs = (file: string) => !file.includes("..") && !file.includes("node_modules");
		expect(links.filter((file) => !isOurs(file) || !existsSync(join(root, file)))).toEqual([]);
	});

	it("has other words only for pages that there are", () => {
		expect(Object.keys(keywords).filter((file) => !existsSync(join(root, file)))).toEqual([]);
	});

	it("names the code in headings, in anchors and in the page's menu", () => {
		const html = readFileSync(
			join(site, "documents/When_is_my_transaction_committed_.html"),
			"utf8",
		);
		expect(html).toContain('<h2 id="by-hand-with-await-using"');
		expect(html).toContain("By hand, with <code>await using</code>");
		expect(html).toContain('href="#by-hand-with-await-using"><span>By hand, with await using<');
	});

	it("tells search engines of each page how it begins, and where all of them are", () => {
		const described = pages.map((page) => {
			const html = readFileSync(join(site, page), "utf8");
			return [page, /<meta name="description" content="([^"]*)"/.exec(html)?.[1] ?? ""] as const;
		});
		const generic = described.filter(([, text]) => text === "Documentation for yieldscope");
		expect(generic).toEqual([]);
		expect(described.filter(([, text]) => /[`*]|\{@|\]\(/.test(text))).toEqual([]);
		expect(Object.fromEntries(described)["documents/What_goes_wrong_.html"]).toMatch(
			/^The same few things, in every code base\. Most are refused/,
		);
		const sitemap = readFileSync(join(site, "sitemap.xml"), "utf8");
		const listed = [...sitemap.matchAll(/<loc>\S+?\/yieldscope\/(\S+)<\/loc>/g)];
		expect(listed.map(([, page = ""]) => decodeURIComponent(page)).sort()).toEqual(
			[...pages].sort(),
		);
	});

	describe.skipIf(noChromium !== "")(`in Chromium${noChromium}`, () => {
		let browser: Browser;
		let server: Server;
		let origin: string;
		beforeAll(async () => {
			browser = await openChromium();
			server = createServer(async (req, res) => {
				const { pathname } = new URL(req.url ?? "", "http://site");
				const file = join(site, decodeURIComponent(pathname));
				const body = await readFile(file).catch(() => undefined);
				res.writeHead(body ? 200 : 404, { "content-type": types[extname(file)] ?? "text/plain" });
				res.end(body);
			});
			server.listen(0, "127.0.0.1");
			await once(server, "listening");
			origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
		}, 60_000);
		afterAll(async () => {
			await browser?.close();
			server?.close();
		});

		const complaints: string[] = [];
		afterEach(() => expect(complaints.splice(0)).toEqual([]));

		async function show(path: string, options: BrowserContextOptions = {}): Promise<Page> {
			const page = await browser.newPage(options);
			page.on("pageerror", (error) => complaints.push(`${path}: ${error}`));
			page.on("console", (message) => {
				if (message.type() === "error") complaints.push(`${path}: ${message.text()}`);
			});
			page.on("request", (request) => {
				if (!request.url().startsWith(origin)) complaints.push(`${path} asks for ${request.url()}`);
			});
			await page.goto(`${origin}/${path}`);
			return page;
		}

		it("fits on a phone, page by page", async () => {
			const page = await show("index.html", phone);
			const wide = [];
			const guides = pages.filter((path) => /^(?:documents|modules)\//.test(path));
			const reference = ["Scope", "LifetimeError"].map((name) => `classes/index.${name}.html`);
			for (const path of ["index.html", "functions/index.family.html", ...guides, ...reference]) {
				await page.goto(`${origin}/${path}`);
				const width = await page.evaluate<number>("document.documentElement.scrollWidth");
				if (width > phone.viewport.width) wide.push(`${path}: ${width}`);
			}
			expect(wide).toEqual([]);
			await page.close();
		});

		it("groups the guides in its menu as the README does, the first group open", async () => {
			const page = await show("index.html");
			const groups = page.locator("#tsd-nav-container > li > details");
			await groups.first().waitFor();
			const menu = await groups.evaluateAll((all) =>
				all.map((each) => {
					const items = [...each.querySelectorAll(":scope > div > ul > li")];
					const titles = items.map((item) => item.querySelector("a")?.textContent);
					return [each.querySelector("summary")?.textContent, titles, each.hasAttribute("open")];
				}),
			);
			const heading = (file: string) =>
				/^# (.+)$/m.exec(readFileSync(join(root, file), "utf8"))?.[1]?.replaceAll("`", "");
			const readme = readFileSync(join(root, "README.md"), "utf8");
			const [, ...listed] = readme.slice(readme.indexOf("\n## Read on")).split(/^### /m);
			const guides = listed.map((group, index) => {
				const files = [...group.matchAll(/^- \[.+?\]\((\S+\.md)\)/gm)];
				return [/.*/.exec(group)?.[0], files.map(([, file = ""]) => heading(file)), index === 0];
			});
			expect(guides.length).toBe(5);
			const modules = ["express", "koa", "hono", "testing", "inspector", "opentelemetry"];
			const imported = ["yieldscope", ...modules.map((name) => `yieldscope/${name}`)];
			expect(menu).toEqual([...guides, ["API", imported, false]]);
			await page.close();
		});

		it("shows all names in its menu whole", async () => {
			const page = await show("modules/index.html");
			await page.locator(".site-menu details").first().waitFor();
			const cut = await page.evaluate<string[]>(`(() => {
				const menu = document.querySelector(".site-menu");
				for (const each of menu.querySelectorAll("details")) each.open = true;
				const { right } = menu.getBoundingClientRect();
				const names = [...menu.querySelectorAll("a > span")];
				if (names.length < 100) throw new Error("Only " + names.length + " names.");
				return names.filter((name) => name.getBoundingClientRect().right > right)
					.map((name) => name.textContent);
			})()`);
			expect(cut).toEqual([]);
			await page.close();
		});

		it("shades the edge where a table is cut off, and no other", async () => {
			const page = await show("documents/What_goes_wrong_.html", phone);
			const table = page.locator(".tsd-typography table").first();
			const box = await table.boundingBox();
			if (box === null) throw new Error("There is no table.");
			/** How light the page is at both edges of the table's head. */
			const edges = async () => {
				const strip = { y: box.y + 4, width: 1, height: 1 };
				const at = (x: number) => page.screenshot({ clip: { ...strip, x } });
				return [await at(box.x + 2), await at(box.x + box.width - 2)].map((png) =>
					png.toString("base64"),
				);
			};
			const scroll = (to: string) =>
				page.evaluate(`document.querySelector("table").scrollLeft = ${to}`);
			const [plain, shaded] = await edges();
			expect(shaded).not.toBe(plain);
			await scroll("1e5");
			const [left, right] = await edges();
			expect(left).not.toBe(plain);
			expect(right).toBe(plain);
			await page.close();
		});

		it("says on a phone's first screen what it is, and shows code", async () => {
			const page = await show("index.html", phone);
			const [code, links] = await page.evaluate<[number, number]>(`(() => {
				const { top } = document.querySelector(".col-content pre").getBoundingClientRect();
				const links = [...document.querySelectorAll(".tsd-typography a:not(.tsd-anchor-icon)")];
				return [top, links.filter((link) => link.getBoundingClientRect().top < innerHeight).length];
			})()`);
			expect(code).toBeLessThan(phone.viewport.height / 2);
			expect(links).toBe(0);
			await page.close();
		});

		it("finds functions by name, and guides by what readers call it", async () => {
			const page = await show("index.html");
			const results = page.locator("#tsd-search-results a");
			const find = async (text: string) => {
				await page.evaluate('document.querySelector("#tsd-search-results").replaceChildren()');
				await page.locator("#tsd-search-input").fill(text);
				await results.first().waitFor();
				return results.evaluateAll((all) => all.map((each) => each.textContent.trim()));
			};
			await page.keyboard.press("/");
			const missed = [];
			for (const [text, expected] of searches) {
				const found = (await find(text)).slice(0, 3);
				if (!found.includes(expected)) missed.push({ text, expected, found });
			}
			expect(missed).toEqual([]);

			await find("install");
			const start = new URL((await results.first().getAttribute("href")) ?? "", page.url());
			expect(start.pathname).toBe("/index.html");

			expect(await find("thenable")).toContain("What goes wrong?");
			await results.getByText("What goes wrong?").click();
			await page.getByRole("heading", { name: "What goes wrong?" }).waitFor();
			await page.close();
		});

		it.each(["light", "dark"] as const)("can be read in %s mode", async (colorScheme) => {
			for (const path of [
				"index.html",
				"documents/What_goes_wrong_.html",
				"classes/index.Scope.html",
			]) {
				const page = await show(path, { colorScheme });
				const back = await page.evaluate("getComputedStyle(document.body).backgroundColor");
				expect(back).toBe(colorScheme === "dark" ? "rgb(43, 46, 51)" : "rgb(242, 244, 248)");
				await page.evaluate(axe.source);
				const run = 'axe.run({ runOnly: ["color-contrast"] })';
				const { violations } = await page.evaluate<AxeResults>(run);
				expect([path, ...violations.flatMap(({ nodes }) => nodes.map(({ html }) => html))]).toEqual(
					[path],
				);
				await page.close();
			}
		});

		it("keeps lines of code in one piece, and colours them", async () => {
			const page = await show("documents/What_goes_wrong_.html", phone);
			const [style, colours] = await page.evaluate<[object, number]>(`(() => {
				const code = document.querySelector("pre");
				const { overflowX, whiteSpace, tabSize } = getComputedStyle(code);
				const colours = [...code.querySelectorAll("span")].map((each) => getComputedStyle(each).color);
				return [{ overflowX, whiteSpace, tabSize }, new Set(colours).size];
			})()`);
			expect(style).toEqual({ overflowX: "auto", whiteSpace: "pre", tabSize: "2" });
			expect(colours).toBeGreaterThan(4);
			await page.close();
		});
	});
});
