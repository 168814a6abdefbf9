import type { Queue } from "bullmq";
import { Hono } from "hono";
import createError from "http-errors";
import type { Redis as Client } from "ioredis";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { openScope, provide, type Scope } from "yieldscope";
import { handler, releaseErrors, requestScope } from "yieldscope/hono";
import { Checkout, Customer } from "../docs/examples/checkout/checkout.ts";
import { OUTBOX, relay } from "../docs/examples/checkout/outbox.ts";
import { Mails, Redis, RedisUrl } from "../docs/examples/checkout/resources.ts";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { Database, Pool } from "../docs/examples/transaction/transaction.ts";
import { hasRedis, RedisServer } from "./redis.ts";

const runs = !("Bun" in globalThis) && !("Deno" in globalThis) && hasRedis();

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!runs)("PostgreSQL, Redis and a queue at once", () => {
	let app: Scope;
	let shop: Hono;
	let pool: pg.Pool;
	let redis: Client;
	let mails: Queue;
	let reported: unknown[];

	beforeAll(async () => {
		const config = await suite.use(database("checkout"));
		const { host, port } = await suite.use(RedisServer);
		reported = [];
		app = openScope({
			lifetime: "app",
			bindings: [provide(Database, config), provide(RedisUrl, `redis://${host}:${port}`)],
			onReleaseError: (error) => reported.push(error),
		});
		[pool, redis, mails] = await Promise.all([app.use(Pool), app.use(Redis), app.use(Mails)]);
		await pool.query(OUTBOX);

		shop = new Hono();
		shop.use(
			requestScope({
				parent: app,
				bindings: (c) => [provide(Customer, c.req.header("x-user") ?? "")],
			}),
		);
		shop.post(
			"/checkout",
			handler({ checkout: Checkout, customer: Customer }, async ({ checkout, customer }, c) => {
				await checkout.order();
				if (customer === "mallory") throw createError(402, "No money");
				return c.json({}, 201);
			}),
		);
		shop.onError(
			releaseErrors((error, c) => c.text(error.message, createError(500, error).status as 500)),
		);
	}, 60_000);
	beforeEach(async () => {
		await redis.flushall();
		await pool.query("TRUNCATE orders, outbox");
	});
	afterAll(async () => {
		app.complete();
		await app.disposeAsync();
		expect(reported).toEqual([]);
	});

	const fill = (customer: string, ...products: number[]) =>
		redis.rpush(`cart:${customer}`, ...products);

	/** The status of the answer, when everything is done. */
	async function checkOut(customer: string): Promise<number> {
		const headers = { "x-user": customer };
		const response = await shop.request("/checkout", { method: "POST", headers });
		await response.text();
		return response.status;
	}

	const idle = () => vi.waitFor(() => expect(app.inspect().children).toEqual([]), 5_000);

	/** What all three have. */
	async function state() {
		await idle();
		const orders = await pool.query(
			"SELECT customer || ' ' || product AS text FROM orders ORDER BY id",
		);
		const outbox = await pool.query("SELECT FROM outbox");
		const carts = await redis.keys("cart:*");
		const jobs = await mails.getJobs();
		return {
			orders: orders.rows.map(({ text }) => text),
			outbox: outbox.rowCount,
			carts: carts.sort(),
			mails: jobs.map(({ name, data }) => `${name} to ${data.customer}`),
		};
	}

	it("orders what is in the cart, empties it, and queues a mail", async () => {
		await fill("ada", 1, 2);
		expect(await checkOut("ada")).toBe(201);
		expect(await state()).toEqual({
			orders: ["ada 1", "ada 2"],
			outbox: 0,
			carts: [],
			mails: ["confirmation to ada"],
		});
	});

	it.each([
		["the handler fails", "mallory", 1, 402],
		["the COMMIT fails", "ada", PRODUCTS + 1, 500],
	])("leaves everything as it was when %s", async (_what, customer, product, status) => {
		await fill(customer, 1, product);
		expect(await checkOut(customer)).toBe(status);
		expect(await state()).toEqual({
			orders: [],
			outbox: 0,
			carts: [`cart:${customer}`],
			mails: [],
		});
		expect(await redis.lrange(`cart:${customer}`, 0, -1)).toEqual(["1", `${product}`]);
	});

	it("orders once when somebody clicks three times", async () => {
		await fill("ada", 1);
		const statuses = await Promise.all([checkOut("ada"), checkOut("ada"), checkOut("ada")]);
		expect(statuses.sort()).toEqual([201, 409, 409]);
		expect(await state()).toEqual({
			orders: ["ada 1"],
			outbox: 0,
			carts: [],
			mails: ["confirmation to ada"],
		});
	});

	it("keeps in the outbox what the queue doesn't take", async () => {
		await fill("ada", 1);
		await redis.config("SET", "maxmemory", 1); // it takes nothing any more
		expect(await checkOut("ada")).toBe(201);
		await idle();
		expect(reported.splice(0)).toMatchObject([{ message: expect.stringContaining("OOM") }]);
		await redis.config("SET", "maxmemory", 0);
		const before = { orders: ["ada 1"], carts: [] };
		expect(await state()).toEqual({ ...before, outbox: 1, mails: [] });
		await app.run(relay);
		expect(await state()).toEqual({ ...before, outbox: 0, mails: ["confirmation to ada"] });
	});

	it("hands over what a killed process has left, and no job twice", async () => {
		const leave = `INSERT INTO outbox VALUES (
			'9d7a4f7e-0000-4000-8000-000000000000', 'confirmation', '{"customer":"bob"}')`;
		for (let times = 0; times < 2; times++) {
			await pool.query(leave);
			await app.run(relay);
		}
		expect(await state()).toMatchObject({ outbox: 0, mails: ["confirmation to bob"] });
	});
});
