import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, it } from "vitest";
import { openScope, override } from "yieldscope";
import { openInspector } from "yieldscope/inspector";
import { Postgres } from "../../docs/examples/shop/postgres.ts";
import { Database } from "../../docs/examples/shop/resources.ts";
import { database } from "../../docs/examples/shop/schema.ts";
import { openShop, type Shop, servers } from "../../docs/examples/shop/shops.ts";
import { troubles } from "../../docs/examples/shop/trouble.ts";
import { noChromium, openChromium } from "../chromium.ts";
import { gate } from "../support.ts";

const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);

describe.skipIf(!onNode || noChromium !== "")(`the page, of the demo${noChromium}`, () => {
	const suite = openScope({ name: "suite", lifetime: "process" });
	let browser: Browser;
	let url: string;
	beforeAll(async () => {
		const inspector = openInspector();
		suite.defer(() => inspector[Symbol.dispose]());
		await suite.use(Postgres);
		browser = await openChromium();
		suite.defer(() => browser.close());
		const server = createServer(inspector.listener).listen(0, "127.0.0.1");
		await once(server, "listening");
		suite.defer(() => {
			server.close();
			server.closeAllConnections();
		});
		url = `http://localhost:${(server.address() as AddressInfo).port}/`;
	}, 60_000);
	afterAll(() => suite.disposeAsync());

	/** The page while `name` goes on in `shop`, and when that is over. */
	async function follow(
		shop: Shop,
		name: string,
		during: (page: Page) => Promise<unknown>,
	): Promise<Page> {
		// a wide one in the light, and a phone in the dark
		const isPhone = shop.name === "Koa";
		const page = await browser.newPage({
			viewport: { width: isPhone ? 390 : 1280, height: 800 },
			colorScheme: isPhone ? "dark" : "light",
		});
		suite.defer(() => page.close());
		await page.goto(url);
		const enough = gate();
		const making = troubles[name]?.(shop, () => enough.promise);
		// long enough to be most of it, however slow the machine is with the rest
		await Promise.all([during(page), setTimeout(2_000)]).finally(() => enough.open());
		await making;
		await shop.idle();
		return page;
	}

	const sees = (page: Page, text: RegExp) =>
		page.getByRole("list", { name: "In short" }).getByText(text).waitFor({ timeout: 20_000 });
	const open = (page: Page, text: string) => page.locator("#open").getByText(text).first();
	const selectNewest = (page: Page) => page.locator("#rows button").first().click();

	describe.each(Object.entries(servers))("on %s", (name, create) => {
		let shop: Shop;
		beforeAll(async () => {
			shop = await suite.run(() => openShop(name, create, override(Database, database(name))));
			suite.defer(() => shop[Symbol.asyncDispose]());
		});

		it("tells of a slow release", { timeout: 60_000 }, async () => {
			const page = await follow(shop, "slowRelease", async (page) => {
				await open(page, "POST /orders").click();
				await sees(page, /^Kept open by the release of AuditLog, for .+ so far\.$/);
			});
			await sees(
				page,
				/^Kept open for .+ after the response, most of it by the release of AuditLog/,
			);
		});

		it("tells of a failing commit", { timeout: 60_000 }, async () => {
			// on Hono nobody follows what is sent in the place of a dropped response
			const outcome = name === "Hono" ? "status unknown, failure" : "409 failure";
			const page = await follow(shop, "failingCommit", (page) =>
				page.locator("#rows tr").first().getByText(outcome).waitFor({ timeout: 20_000 }),
			);
			await selectNewest(page);
			await sees(page, /^The release of Tx failed: ConflictError, and the request with it\.$/);
		});

		it("tells of a stuck setup", { timeout: 60_000 }, async () => {
			const page = await follow(shop, "stuckSetup", async (page) => {
				await open(page, "POST /orders").click();
				await sees(page, /^Kept open by the setup of Connection, for .+ so far\.$/);
				await sees(page, /^Tx waits for Connection\.$/);
			});
			await sees(page, /^Took .+, most of it the setup of Connection/);
		});

		it("tells of a client that doesn't read", { timeout: 60_000 }, async () => {
			const page = await follow(shop, "slowClient", async (page) => {
				await open(page, "GET /products").click();
				await sees(
					page,
					/^Kept open by the (?:handler or its )?response, which isn't completely sent/,
				);
			});
			await sees(page, /^Took .+, most of it (?:the handler's own work and )?sending the response/);
		});
	});
});
