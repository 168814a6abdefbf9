import { sql } from "drizzle-orm";
import { drizzle as drizzleOn } from "drizzle-orm/node-postgres";
import { Hono } from "hono";
import type { PoolConfig } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
	openScope,
	provide,
	type Resource,
	resource,
	type Scope,
	use,
	withScope,
} from "yieldscope";
import { handler, releaseErrors, requestScope } from "yieldscope/hono";
import * as drizzle from "../docs/examples/orms/drizzle.ts";
import { fromCallback } from "../docs/examples/orms/from-callback.ts";
import * as kysely from "../docs/examples/orms/kysely.ts";
import { freePort } from "../docs/examples/shop/postgres.ts";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import * as plain from "../docs/examples/transaction/orders.ts";
import { Database, Pool, Tx } from "../docs/examples/transaction/transaction.ts";
import { rejection } from "./support.ts";

const suite = openScope({ name: "suite", lifetime: "process" });
let config: PoolConfig;
beforeAll(async () => {
	config = await suite.use(database("orms"));
}, 60_000);
afterAll(() => suite.disposeAsync());

/** A repository on a transaction. */
type Orders = Resource<{ place(customer: string, product: number): Promise<number> }>;

const repositories: Record<string, Orders> = {
	pg: plain.Orders,
	Drizzle: drizzle.Orders,
	Kysely: kysely.Orders,
};

describe.each(Object.entries(repositories))("a transaction of %s", (_name, Orders) => {
	let app: Scope;
	let shop: Hono;
	let thrown: unknown;
	let reported: unknown[];

	beforeEach(() => {
		reported = [];
		thrown = undefined;
		app = openScope({
			lifetime: "app",
			bindings: [provide(Database, config)],
			onReleaseError: (error) => reported.push(error),
		});
		shop = new Hono();
		shop.use(requestScope({ parent: app }));
		shop.onError(
			releaseErrors((error, c) => {
				thrown = error;
				return c.text(error.message, 500);
			}),
		);
	});
	afterEach(async () => {
		const pool = await app.use(Pool);
		expect(pool.idleCount).toBe(pool.totalCount);
		await pool.query("TRUNCATE orders");
		app.complete();
		await app.disposeAsync();
		expect(reported).toEqual([]);
	});

	async function customers(): Promise<string[]> {
		const pool = await app.use(Pool);
		const { rows } = await pool.query("SELECT customer FROM orders ORDER BY id");
		return rows.map(({ customer }) => customer);
	}

	it("commits before the answer", async () => {
		shop.post(
			"/",
			handler({ orders: Orders }, async ({ orders }, c) => {
				const ids = [await orders.place("ada", 1), await orders.place("bob", 2)];
				expect(await customers()).toEqual([]); // nobody else sees them yet
				return c.json(ids, 201);
			}),
		);
		const response = await shop.request("/", { method: "POST" });
		expect(response.status).toBe(201);
		expect(await customers()).toEqual(["ada", "bob"]);
		expect(await response.json()).toEqual([expect.any(Number), expect.any(Number)]);
	});

	it("rolls back when the handler fails, and hands on its very error", async () => {
		const failure = new Error("out of stock");
		shop.post(
			"/",
			handler({ orders: Orders }, async ({ orders }) => {
				await orders.place("ada", 1);
				throw failure;
			}),
		);
		const response = await shop.request("/", { method: "POST" });
		expect([response.status, await response.text()]).toEqual([500, "out of stock"]);
		expect(thrown).toBe(failure);
		expect(await customers()).toEqual([]);
	});

	it("is nothing that a handler can still write with when it has answered", async () => {
		let late: () => Promise<unknown> = async () => undefined;
		shop.post(
			"/",
			handler({ orders: Orders }, async ({ orders }, c) => {
				await orders.place("ada", 1);
				late = () => orders.place("bob", 2);
				return c.text("thanks", 201);
			}),
		);
		expect(await (await shop.request("/", { method: "POST" })).text()).toBe("thanks");
		expect(await rejection(late())).toBeInstanceOf(Error);
		expect(await customers()).toEqual(["ada"]);
	});

	it("answers with the error of a COMMIT that fails", async () => {
		shop.post(
			"/",
			handler({ orders: Orders }, async ({ orders }, c) =>
				c.json(await orders.place("ada", PRODUCTS + 1), 201),
			),
		);
		const response = await shop.request("/", { method: "POST" });
		expect([response.status, await response.text()]).toEqual([500, (thrown as Error).message]);
		expect((thrown as Error).cause ?? thrown).toMatchObject({ code: "23503" });
		expect(await customers()).toEqual([]);
	});

	it("says no 201 after a failed statement that the handler has caught", async () => {
		shop.post(
			"/",
			handler({ orders: Orders }, async ({ orders }, c) => {
				await orders.place("ada", 1);
				const error = await rejection(orders.place("bob", 2 ** 40));
				expect((error as Error).cause ?? error).toMatchObject({ code: "22003" });
				return c.json({}, 201);
			}),
		);
		const response = await shop.request("/", { method: "POST" });
		expect([response.status, await response.text()]).toEqual([500, (thrown as Error).message]);
		expect(await customers()).toEqual([]);
	});

	it("serves 100 requests at once over 10 connections", async () => {
		shop.post(
			"/",
			handler({ orders: Orders }, async ({ orders }, c) => {
				const id = await orders.place("ada", 1);
				if (id % 2 === 1) throw new Error("odd");
				return c.json(id, 201);
			}),
		);
		const responses = await Promise.all(
			Array.from({ length: 100 }, () => shop.request("/", { method: "POST" })),
		);
		const placed = responses.filter(({ status }) => status === 201);
		expect(placed.length).toBeGreaterThan(0);
		expect(placed.length).toBeLessThan(100);
		expect(await customers()).toHaveLength(placed.length);
		await Promise.all(responses.map((response) => response.text())); // or the requests stay open
	});

	it("fails when there is no database", async () => {
		const bindings = [provide(Database, { host: "127.0.0.1", port: await freePort() })];
		const error = await rejection(
			withScope({ parent: app, lifetime: "app", bindings }, () =>
				withScope({ lifetime: "handler" }, () => use(Orders)),
			),
		);
		expect((error as Error).cause ?? error).toMatchObject({ code: "ECONNREFUSED" });
	});
});

describe("beside the repository", () => {
	let app: Scope;
	beforeEach(() => {
		app = openScope({ lifetime: "app", bindings: [provide(Database, config)] });
	});
	afterEach(async () => {
		const pool = await app.use(Pool);
		await pool.query("TRUNCATE orders");
		await app.disposeAsync();
	});
	const handle = <R>(fn: () => R) => withScope({ parent: app, lifetime: "handler" }, fn);
	const count = async () => (await (await app.use(Pool)).query("SELECT FROM orders")).rowCount;

	it("Drizzle has savepoints: what fails in one may be caught", async () => {
		await handle(async () => {
			const [orders, tx] = [await use(drizzle.Orders), await use(drizzle.Tx)];
			await orders.place("ada", 1);
			const error = await rejection(tx.transaction(() => orders.place("bob", 2 ** 40)));
			expect((error as Error).cause).toMatchObject({ code: "22003" });
		});
		expect(await count()).toBe(1);
	});

	it("Kysely has savepoints: what fails after one may be caught", async () => {
		await handle(async () => {
			const [orders, tx] = [await use(kysely.Orders), await use(kysely.Tx)];
			await orders.place("ada", 1);
			const inner = await tx.savepoint("bob").execute();
			expect(await rejection(orders.place("bob", 2 ** 40))).toMatchObject({ code: "22003" });
			await inner.rollbackToSavepoint("bob").execute();
		});
		expect(await count()).toBe(1);
	});

	it("Drizzle may share the transaction of pg", async () => {
		const failure = new Error("out of stock");
		const failing = handle(async () => {
			const orders = await use(plain.Orders);
			await orders.place("ada", 1);
			const db = drizzleOn({ client: await use(Tx) });
			const { rowCount } = await db.execute(sql`SELECT FROM orders`);
			expect([rowCount, await count()]).toEqual([1, 0]);
			throw failure;
		});
		expect(await rejection(failing)).toBe(failure);
		expect(await count()).toBe(0);
	});
});

it("a callback that is never called is an error", async () => {
	const Silent = resource(() => fromCallback(async () => {}), { name: "Silent" });
	const error = await rejection(withScope(() => use(Silent)));
	expect(error).toMatchObject({ message: "The callback was not called" });
});
