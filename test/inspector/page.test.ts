import { setTimeout } from "node:timers/promises";
import type { AxeResults } from "axe-core";
import axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openScope, resource } from "../../src/index.ts";
import { noChromium, openChromium } from "../chromium.ts";
import { conflictOnHono, openShop, secret } from "./shop.ts";

const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);

type Shop = Awaited<ReturnType<typeof openShop>>;

describe.skipIf(!onNode || noChromium !== "")(`the page, in Chromium${noChromium}`, () => {
	let browser: Browser;
	beforeAll(async () => {
		browser = await openChromium();
	}, 60_000);
	afterAll(() => browser?.close());

	const cleanups: (() => Promise<void>)[] = [];
	const complaints: string[] = [];
	afterEach(async () => {
		for (const clean of cleanups.splice(0).reverse()) await clean();
		expect(complaints.splice(0)).toEqual([]);
	});

	async function start(): Promise<Shop> {
		const shop = await openShop();
		cleanups.push(() => shop[Symbol.asyncDispose]());
		return shop;
	}

	async function show(shop: Shop, width = 1280): Promise<Page> {
		const page = await browser.newPage({ viewport: { width, height: 800 } });
		cleanups.push(() => page.close());
		page.on("pageerror", (error) => complaints.push(String(error)));
		// a refused style, script or request, too
		page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
		page.on("request", (request) => {
			if (!request.url().startsWith(`${shop.url}/inspector`) && !request.url().startsWith("data:"))
				complaints.push(`asks for ${request.url()}`);
		});
		await page.addInitScript(axe.source);
		await page.goto(`${shop.url}/inspector`);
		await page.getByText("Live.").waitFor();
		return page;
	}

	/** The page of a shop that has succeeded and failed once, and the names in its list. */
	async function showTwo() {
		const shop = await start();
		await shop.get("/orders");
		await shop.get("/conflict");
		const page = await show(shop);
		const names = () => page.locator("#rows button").allInnerTexts();
		expect(await names()).toEqual(["GET /conflict", "GET /orders"]);
		return { page, names };
	}

	const select = (page: Page, name: string) =>
		page.locator("#rows").getByRole("button", { name, exact: true }).click();
	const verdict = (page: Page) => page.getByRole("list", { name: "In short" });

	async function sees(page: Page, text: RegExp): Promise<void> {
		await verdict(page).getByText(text).first().waitFor({ timeout: 20_000 });
	}

	it("says which resource made a request slow", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/orders");
		const page = await show(shop);
		await select(page, "GET /orders");
		await sees(page, /^Took .+ m?s, (?:most of it|the longest part) the setup of Pool: /);
		const cells = await page.locator("#entries tr").allInnerTexts();
		expect(cells.map((text) => text.split(/\t/).filter((each) => !/\d m?s$/.test(each)))).toEqual([
			["Tx", "released: success", "handler", "Connection"],
			["Connection", "released: success", "handler", "Pool"],
			["Pool", "in use", "shop", "", ""],
		]);
		expect(await page.locator("#phases").innerText()).toMatch(
			/setup[\s\S]+work[\s\S]+handler release[\s\S]+response[\s\S]+release/,
		);
	});

	it("says that a request waits for a setup that another has asked for", {
		timeout: 30_000,
	}, async () => {
		const shop = await start();
		const page = await show(shop);
		const first = shop.get("/newsletter");
		await select(page, "GET /newsletter");
		const second = shop.get("/confirmation");
		await select(page, "GET /confirmation");
		const wait = "the wait for the setup of Templates, which GET /newsletter had asked for";
		await sees(page, new RegExp(`^Kept open by ${wait}, for .+ so far\\.$`));
		await sees(page, /^Letter waits for Templates\.$/);
		await page.locator("#open").getByText("waited for", { exact: true }).waitFor();
		expect(await page.locator("#chart .bar.wait.running").count()).toBe(1);
		expect(await page.locator("#chart .bar.waits.running").count()).toBe(1);
		shop.templates.open("");
		await Promise.all([first, second]);
		await sees(page, new RegExp(`, (?:most of it|the longest part) ${wait}: `));
	});

	it("tells what a setup took from what it waited for", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/orders");
		const page = await show(shop);
		await select(page, "GET /orders");
		await sees(page, /the setup of Pool/);
		const right = async (name: string, bars: string) => {
			const row = page.locator("#chart .row", { hasText: name });
			const box = await row.locator(bars).boundingBox();
			return Math.round((box?.x ?? 0) + (box?.width ?? 0));
		};
		const pool = await right("Pool", ".bar.setup");
		expect(await right("Connection", ".bar.waits")).toBeCloseTo(pool, -0.5);
		expect(await right("Tx", ".bar.waits")).toBe(await right("Connection", ".bar.setup"));
	});

	it("says that a time is a setup's own", { timeout: 30_000 }, async () => {
		const shop = await start();
		const scope = openScope({ name: "job", lifetime: "task" });
		const First = resource(async () => secret, { name: "First" });
		await scope.use(resource({ First }, () => setTimeout(50), { name: "Second" }));
		await scope.disposeAsync();
		const page = await show(shop);
		await select(page, "job");
		await sees(page, /the setup of Second: [\d.]+ ms in its own code \(\d+ %\)\.$/);
	});

	it("calls tasks by one word", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/receipt");
		const page = await show(shop);
		await select(page, "GET /receipt");
		await page.locator("#phases").getByText("tasks").waitFor();
		expect(await page.locator("#phases").innerText()).not.toContain("after");
	});

	it("draws to scale, and lines from what is used", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/orders");
		const page = await show(shop);
		await select(page, "GET /orders");
		const bars = await page.locator("#chart .bar.setup:not(.phase)").evaluateAll((all) =>
			all.map((bar) => {
				const { x, width } = bar.getBoundingClientRect();
				return { x, width, ms: Number.parseFloat(/([\d.]+) ms/.exec(bar.title)?.[1] ?? "") };
			}),
		);
		expect(bars).toHaveLength(3);
		const perMs = bars.map(({ width, ms }) => width / ms);
		for (const each of perMs) expect(each / (perMs[0] ?? 0)).toBeCloseTo(1, 1);
		const [tx, connection, pool] = bars;
		expect(tx?.x).toBeLessThanOrEqual(connection?.x ?? 0);
		expect(connection?.x).toBeLessThanOrEqual(pool?.x ?? 0);
		expect(await page.locator("#chart line").count()).toBe(2);
	});

	it("says what keeps a request open: a slow release", { timeout: 30_000 }, async () => {
		const shop = await start();
		const page = await show(shop);
		await shop.get("/audited");
		await select(page, "GET /audited");
		await sees(page, /^Kept open by the release of AuditLog, for .+ so far\.$/);
		await page.locator("#open").getByText("releasing").waitFor();
		expect(await page.locator("#chart .bar.release.running").count()).toBe(1);
		shop.audited.open();
		await sees(page, /^Kept open for .+ after the response, most of it by the release of AuditLog/);
		await page.locator("#rows tr", { hasText: "GET /audited" }).getByText("success").waitFor();
	});

	it.each([1280, 390])(
		"puts what is waited for before what is only in use, %i pixels wide",
		{
			timeout: 30_000,
		},
		async (width) => {
			const shop = await start();
			await using jobs = openScope({ parent: shop.app, name: "jobs", lifetime: "process" });
			await using quiet = openScope({ parent: shop.app, name: "quiet", lifetime: "request" });
			for (let i = 0; i < 30; i++) {
				await shop.app.use(resource(() => secret, { name: `Client ${i}`, lifetime: "app" }));
				await jobs.use(resource(() => secret, { name: `Queue ${i}` }));
			}
			await shop.get("/audited");
			const answer = shop.get("/mail");
			const page = await show(shop, width);
			const items = page.locator("#open > li > ul > li");
			await expect.poll(() => items.count()).toBe(34);
			const shown = await items.evaluateAll((all) =>
				all.map((item) => (item.querySelector("button") ?? item.firstChild)?.textContent),
			);
			const clients = Array.from({ length: 30 }, (_, i) => `Client ${i}`);
			expect(shown).toEqual(["GET /audited", "GET /mail", "quiet", ...clients, "jobs"]);
			const mail = items.nth(1).locator("li");
			await expect(mail.allInnerTexts()).resolves.toEqual([
				expect.stringMatching(/^Mailer pending, waits for Smtp/),
				expect.stringMatching(/^Smtp pending/),
			]);
			const cut = await page.locator("#open").boundingBox();
			for (const each of await page.locator("#open .waiting").all()) {
				const box = await each.boundingBox();
				expect(box?.y).toBeGreaterThan(cut?.y ?? 0);
				expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThan((cut?.y ?? 0) + (cut?.height ?? 0));
			}
			shop.mail.open("");
			await answer;
			await quiet.disposeAsync();
		},
	);

	it("shows a failing commit", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/conflict");
		const page = await show(shop);
		await select(page, "GET /conflict");
		await sees(page, /^The release of FailingTx failed: ConflictError, and the request with it\.$/);
		const said = await verdict(page).getByRole("listitem").allInnerTexts();
		expect(said.map((each) => /^The release|^Took/.exec(each)?.[0])).toEqual([
			"The release",
			"Took",
		]);
		expect(await page.locator("#chart .bar.error").innerText()).toBe("✕");
		await page.locator("#rows tr", { hasText: "GET /conflict" }).getByText("500 failure").waitFor();
		await page.locator("#about").getByText("answered with 500").waitFor();
		expect(await page.content()).not.toContain(secret);
	});

	it("shows a stuck setup, and what waits for it", { timeout: 30_000 }, async () => {
		const shop = await start();
		const page = await show(shop);
		const answer = shop.get("/mail");
		await select(page, "GET /mail");
		await sees(page, /^Kept open by the setup of Smtp, for .+ so far\.$/);
		await sees(page, /^Mailer waits for Smtp\.$/);
		await page.locator("#open").getByText("pending, waits for Smtp").waitFor();
		const row = page
			.locator("#entries tr")
			.filter({ has: page.getByText("Mailer", { exact: true }) });
		expect(await row.locator("td").last().innerText()).toBe("Smtp");
		const before = await verdict(page).innerText();
		await expect.poll(() => verdict(page).innerText()).not.toBe(before);
		shop.mail.open("");
		await answer;
		await sees(page, /(?:most of it|the longest part) the setup of Smtp: [\d.]+ m?s \(/);
	});

	it("shows an aborted stream", { timeout: 30_000 }, async () => {
		const shop = await start();
		const client = new AbortController();
		const response = await fetch(`${shop.url}/export`, { signal: client.signal });
		const reader = response.body?.getReader();
		await reader?.read();
		const page = await show(shop);
		await select(page, "GET /export");
		await sees(page, /^Kept open by the response, which isn't completely sent/);
		await reader?.read();
		client.abort();
		await sees(page, /^The client left before the response was complete/);
	});

	it("shows a pipeline whose client has left", { timeout: 30_000 }, async () => {
		const shop = await start();
		const client = new AbortController();
		const response = await fetch(`${shop.url}/pipeline`, { signal: client.signal });
		await response.body?.getReader().read();
		const page = await show(shop);
		await select(page, "GET /pipeline");
		client.abort();
		await sees(
			page,
			/^The connection closed before the response was complete, as a rule by the client: ERR_STREAM_PREMATURE_CLOSE\.$/,
		);
		await page.locator("#rows").getByText("200 failure").waitFor();
	});

	it("shows that nobody knows with what Hono replaced a response", {
		timeout: 30_000,
	}, async () => {
		const shop = await start();
		expect(await conflictOnHono(shop.app)).toBe(409);
		const page = await show(shop);
		await select(page, "GET /hono");
		await page.locator("#rows tr").getByText("status unknown, failure").waitFor();
		await page.getByText("status unknown: the response was replaced").waitFor();
	});

	it("shows a release that timed out", { timeout: 30_000 }, async () => {
		const shop = await start();
		const page = await show(shop);
		const stuck = openScope({
			name: "job",
			lifetime: "task",
			releaseTimeout: 20,
			onReleaseError() {},
		});
		await stuck.use(
			resource(
				async function* Session() {
					yield secret;
					await new Promise(() => {});
				},
				{ name: "Session" },
			),
		);
		stuck.complete();
		await stuck.disposeAsync().catch(() => {});
		await select(page, "job");
		await sees(
			page,
			/^The release of Session timed out: ReleaseTimeoutError, and the scope with it\.$/,
		);
		expect(await page.locator("#chart .bar.error").innerText()).toBe("⏱");
	});

	it("searches by the names of scopes and resources, and by outcome", {
		timeout: 30_000,
	}, async () => {
		const { page, names } = await showTwo();
		await page.getByLabel("Find").fill("failingtx");
		expect(await names()).toEqual(["GET /conflict"]);
		await page.getByLabel("Find").fill("get /");
		await page.getByLabel("Outcome").selectOption("success");
		expect(await names()).toEqual(["GET /orders"]);
		await page.getByLabel("Outcome").selectOption("error");
		expect(await names()).toEqual(["GET /conflict"]);
		expect(await page.locator("#count").innerText()).toBe("1 of 3 scopes.");
	});

	it("finds by app, status and error, and tells several apps apart", {
		timeout: 30_000,
	}, async () => {
		const { page, names } = await showTwo();
		await using other = openScope({ name: "Koa", lifetime: "app" });
		const request = openScope({ parent: other, name: "GET /", lifetime: "request" });
		await openScope({ parent: request, name: "POST /", lifetime: "request" }).disposeAsync();
		await request.disposeAsync();
		const inKoa = ["POST / Koa", "GET / Koa"];
		await expect.poll(names).toEqual([...inKoa, "GET /conflict shop", "GET /orders shop"]);
		const query = page.getByLabel("Find");
		for (const [text, found] of [
			["koa", inKoa],
			["500", ["GET /conflict shop"]],
			["conflicterror", ["GET /conflict shop"]],
			["200", ["GET /orders shop"]],
			["post koa", ["POST / Koa"]],
			["shop FAILURE", ["GET /conflict shop"]],
			["get nothing", []],
		] as const) {
			await query.fill(text);
			expect(await names()).toEqual(found);
		}
	});

	it("puts the longest first, without what lives as long as the app unless it is asked for", {
		timeout: 30_000,
	}, async () => {
		const shop = await start();
		await using job = openScope({ name: "job", lifetime: "process" });
		await shop.get("/orders");
		await shop.get("/conflict");
		const page = await show(shop);
		const names = () => page.locator("#rows button").allInnerTexts();
		expect(await names()).toEqual(["GET /conflict", "GET /orders"]);
		expect(await page.locator("#count").innerText()).toBe("2 of 4 scopes.");
		await page.getByLabel("Sort by").selectOption("longest first");
		expect(await names()).toEqual(["GET /orders", "GET /conflict"]);
		await page.getByLabel("app and process scopes, too").check();
		expect(await names()).toEqual(["shop", "job", "GET /orders", "GET /conflict"]);
		await job.disposeAsync();
		await page.getByLabel("app and process scopes, too").uncheck();
		expect(await names()).toEqual(["GET /orders", "GET /conflict"]);
	});

	it("begins with what took longest, and stays with what is selected", {
		timeout: 30_000,
	}, async () => {
		const shop = await start();
		const page = await show(shop);
		expect(await page.locator("#name").innerText()).toBe("No scope selected");
		const waiting = shop.get("/mail");
		await page.getByRole("region", { name: "GET /mail" }).waitFor();
		await page
			.locator("#about")
			.getByText(/^the longest open, request scope/)
			.waitFor();
		shop.mail.open("");
		await waiting;
		await page.reload();
		await page.getByRole("region", { name: "GET /mail" }).waitFor();
		await page
			.locator("#about")
			.getByText(/^the longest recorded, request scope/)
			.waitFor();
		await shop.get("/orders"); // waits for the pool
		await shop.get("/conflict");
		await page.locator("#rows tr", { hasText: "GET /conflict" }).waitFor();
		expect(await page.locator("#rows [aria-current=true]").allInnerTexts()).toEqual(["GET /mail"]);
		await select(page, "GET /conflict");
		expect(await page.locator("#about").innerText()).toMatch(/^request scope, in shop/);
		await shop.get("/audited");
		await page.locator("#rows tr", { hasText: "GET /audited" }).waitFor();
		expect(await page.locator("#name").innerText()).toBe("GET /conflict");
	});

	it("is worked by keyboard, also while it updates", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/orders");
		await shop.get("/conflict");
		const page = await show(shop);
		const focused = () => page.locator(":focus").innerText();
		await page.getByLabel("Sort by").focus();
		await page.keyboard.press("Tab");
		await page.keyboard.press("Tab");
		expect(await focused()).toBe("GET /orders"); // what is selected
		await page.keyboard.press("ArrowUp");
		expect(await focused()).toBe("GET /conflict");
		await page.keyboard.press("ArrowDown");
		expect(await focused()).toBe("GET /orders");
		expect(await page.locator("#name").innerText()).toBe("GET /orders");
		expect(await page.locator("#rows [aria-current=true]").count()).toBe(1);
		await shop.get("/orders");
		await expect.poll(() => page.locator("#rows tr").count()).toBe(3);
		expect(await focused()).toBe("GET /orders");
		const isAt = (end: "first" | "last") =>
			page.locator(`#rows tr:${end}-child :focus`).isVisible();
		expect([await isAt("first"), await isAt("last")]).toEqual([false, true]);
		await page.keyboard.press("Home");
		expect([await isAt("first"), await isAt("last")]).toEqual([true, false]);
		await page.keyboard.press("End");
		expect([await isAt("first"), await isAt("last")]).toEqual([false, true]);
		// one stop for the whole list
		await page.keyboard.press("Shift+Tab");
		expect(await page.locator(":focus").getAttribute("id")).toBe("lasting");
	});

	it("names what it shows for who doesn't see it", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/orders");
		const page = await show(shop);
		await select(page, "GET /orders");
		await page.getByRole("region", { name: "Open now" }).waitFor();
		await page.getByRole("region", { name: "GET /orders" }).waitFor();
		await page.getByRole("table", { name: "Recorded" }).waitFor();
		await page.getByRole("img", { name: /Waterfall/ }).waitFor();
		const row = page.getByRole("row", { name: /^Pool in use shop / });
		expect(await row.getByRole("rowheader").innerText()).toBe("Pool");
		expect(await page.getByRole("status").first().innerText()).toBe("Live.");
	});

	it("takes hostile names for text", { timeout: 30_000 }, async () => {
		const shop = await start();
		const name = `</script><img src=x onerror="document.title='pwned'">\u0000\u202e"'\``;
		const scope = openScope({ name });
		await scope.use(resource(() => secret, { name }));
		const page = await show(shop);
		await page.locator("#rows button").first().click();
		const shown = await page.locator("#name").textContent();
		expect(shown).toBe(scope.name);
		expect(shown).toContain("<img src=x");
		expect(await page.locator("main img").count()).toBe(0);
		expect(await page.title()).toBe("yieldscope");
		await scope.disposeAsync();
	});

	it("goes on where it was when the connection comes back", { timeout: 30_000 }, async () => {
		const shop = await start();
		const page = await show(shop);
		await page.getByRole("button", { name: "Pause" }).click();
		await page.getByText("Paused.").waitFor();
		await shop.get("/orders");
		expect(await page.locator("#rows button").allInnerTexts()).toEqual([]);
		await page.getByRole("button", { name: "Resume" }).click();
		await page.locator("#rows").getByText("GET /orders").waitFor();
		await page.getByRole("button", { name: "Pause" }).waitFor();
	});

	it.each([
		["light", 1280],
		["dark", 1280],
		["light", 390],
		["dark", 390],
	] as const)(
		"is for everybody in %s, %i pixels wide",
		{ timeout: 60_000 },
		async (scheme, width) => {
			const shop = await start();
			await shop.get("/orders");
			await shop.get("/conflict");
			await shop.get("/audited");
			const page = await show(shop, width);
			await page.emulateMedia({ colorScheme: scheme });
			const complaintsOf = async () => {
				const { violations } = await page.evaluate<AxeResults>("axe.run()");
				return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
			};
			expect(await complaintsOf()).toEqual([]);
			await select(page, "GET /conflict");
			await sees(page, /ConflictError/);
			expect(await complaintsOf()).toEqual([]);
			await select(page, "GET /audited");
			await sees(page, /AuditLog/);
			expect(await complaintsOf()).toEqual([]);
			expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
			// no empty label above it on a phone
			const axis = await page.evaluate<number>(
				'document.querySelector("#chart .axis").offsetHeight',
			);
			expect(axis).toBeLessThan(35);
		},
	);

	it("shows on a phone what was tapped on", { timeout: 30_000 }, async () => {
		const shop = await start();
		await shop.get("/orders");
		for (let i = 0; i < 20; i++) await shop.get("/audited");
		const page = await show(shop, 390);
		await select(page, "GET /orders");
		expect((await page.locator("#name").boundingBox())?.y).toBeLessThan(400);
	});
});
