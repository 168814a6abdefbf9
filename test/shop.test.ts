import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
	type Binding,
	openScope,
	override,
	provide,
	ReleaseTimeoutError,
	resource,
	type Scope,
	use,
	withScope,
} from "yieldscope";
import { freePort, Postgres } from "../docs/examples/shop/postgres.ts";
import { Database, Logger, Pool, RequestId, Tx } from "../docs/examples/shop/resources.ts";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { openShop, type Shop, servers } from "../docs/examples/shop/shops.ts";

const ORDER = { product: 1, quantity: 2 };

/** What must happen. Bun's server doesn't write to the socket, where the timeline looks for the first byte. */
function events(...all: unknown[]): unknown[] {
	return "Bun" in globalThis ? all.filter((event) => !/first byte/.test(`${event}`)) : all;
}

const suite = openScope({ name: "suite", lifetime: "process" });
beforeAll(() => suite.use(Postgres), 60_000);
afterAll(() => suite.disposeAsync());

describe.each(Object.entries(servers))("the shop on %s", (name, create) => {
	const start = (binding: Binding) => suite.run(() => openShop(name, create, binding));
	let shop: Shop;
	beforeAll(async () => {
		shop = await start(override(Database, database(name)));
	});
	afterAll(() => shop[Symbol.asyncDispose]());

	async function trace(id: string, { idle, timeline } = shop): Promise<string[]> {
		await idle();
		return timeline.of(id).map(({ text }) => text);
	}

	async function query(sql: string, ...values: unknown[]): Promise<unknown[]> {
		const pool = await shop.app.use(Pool);
		return (await pool.query({ text: sql, values, rowMode: "array" })).rows;
	}

	afterEach(async () => {
		await shop.idle();
		const { totalCount, idleCount, waitingCount } = await shop.app.use(Pool);
		expect({ idleCount, waitingCount }).toEqual({ idleCount: totalCount, waitingCount: 0 });
		const states = await query(
			"SELECT DISTINCT state FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()",
			(await shop.app.use(Database)).application_name,
		);
		expect(states.flat().filter((state) => state !== "idle")).toEqual([]);
		expect(shop.reported).toEqual([]);
	});

	it("commits an order before the first byte of its answer", async () => {
		const response = await shop.send("order", "/orders", ORDER);
		expect([response.status, await response.json()]).toEqual([201, { id: expect.any(Number) }]);
		expect(await trace("order")).toEqual(
			events(
				"POST /orders",
				"+ AuditLog",
				"+ Connection",
				"+ Tx: BEGIN",
				"  handler: order inserted",
				"- Tx: COMMIT",
				"- Connection",
				"201: first byte",
				"201: last byte",
				"- AuditLog: done",
			),
		);
	});

	it("commits 200 concurrent orders over 10 connections", async () => {
		const ids = Array.from({ length: 200 }, (_, i) => `concurrent-${i}`);
		const responses = await Promise.all(ids.map((id) => shop.send(id, "/orders", ORDER)));
		expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([201]));
		for (const id of ids) {
			const seen = await trace(id);
			expect(seen).toContain("- Tx: COMMIT");
			expect(seen.indexOf("- Tx: COMMIT")).toBeLessThan(
				seen.findIndex((event) => event.startsWith("201")),
			);
		}
		const orders = await query("SELECT customer FROM orders WHERE customer LIKE 'concurrent-%'");
		expect(orders.flat().sort()).toEqual(ids.sort());
	});

	it("answers with the error of a COMMIT that fails", async () => {
		const response = await shop.send("commit", "/orders", { ...ORDER, product: PRODUCTS + 1 });
		expect([response.status, await response.json()]).toEqual([409, { message: "No such product" }]);
		expect(await trace("commit")).toEqual(
			events(
				"POST /orders",
				"+ AuditLog",
				"+ Connection",
				"+ Tx: BEGIN",
				"  handler: order inserted",
				"- Tx: ROLLBACK, 23503",
				"- Connection",
				"- AuditLog: failed",
				"409: first byte",
				"409: last byte",
			),
		);
		expect(await query("SELECT id FROM orders WHERE customer = 'commit'")).toEqual([]);
		expect(await query("SELECT outcome FROM audit WHERE customer = 'commit'")).toEqual([
			["failed"],
		]);
	});

	it("rolls back what a handler wrote before it threw a 404", async () => {
		const response = await shop.send("throw", "/orders", { ...ORDER, replaces: 999_999 });
		expect([response.status, await response.json()]).toEqual([404, { message: "No order 999999" }]);
		expect(await trace("throw")).toEqual(
			events(
				"POST /orders",
				"+ AuditLog",
				"+ Connection",
				"+ Tx: BEGIN",
				"  handler: order inserted",
				"- Tx: ROLLBACK, 404",
				"- Connection",
				"- AuditLog: failed",
				"404: first byte",
				"404: last byte",
			),
		);
		expect(await query("SELECT id FROM orders WHERE customer = 'throw'")).toEqual([]);
		expect(await query("SELECT outcome FROM audit WHERE customer = 'throw'")).toEqual([["failed"]]);
	});

	it("keeps the cursor of a streamed export open to the last byte", async () => {
		const response = await shop.send("export", "/products");
		const lines = (await response.text()).trimEnd().split("\n");
		expect([response.status, lines.length]).toEqual([200, PRODUCTS]);
		expect(await trace("export")).toEqual(
			events(
				"GET /products",
				"+ Connection",
				"+ Catalogue: cursor",
				"200: first byte",
				`  body: ends, ${PRODUCTS} rows`,
				"200: last byte",
				"- Catalogue: cursor",
				"- Connection",
			),
		);
	});

	it("closes the cursor when the client leaves in mid-stream, after the body's own cleanup", async () => {
		const client = new AbortController();
		const response = await shop.send("leave", "/products", undefined, client.signal);
		await response.body?.getReader().read();
		client.abort();
		const seen = await trace("leave");
		expect(seen.indexOf("the client has gone")).toBeLessThan(seen.indexOf("- Catalogue: cursor"));
		expect(seen.filter((text) => text !== "the client has gone")).toEqual(
			events(
				"GET /products",
				"+ Connection",
				"+ Catalogue: cursor",
				"200: first byte",
				expect.stringMatching(/^ {2}body: ends, \d{3,4} rows$/),
				"- Catalogue: cursor",
				"- Connection",
			),
		);
	});

	it("does the work that comes after the response before it releases the request's resources", async () => {
		const { id } = (await (await shop.send("buyer", "/orders", ORDER)).json()) as { id: number };
		const response = await shop.send("receipt", "/receipts", { order: id });
		expect(response.status).toBe(202);
		expect(await trace("receipt")).toEqual(
			events(
				"POST /receipts",
				"+ AuditLog",
				"  handler: receipt queued",
				"202: first byte",
				"202: last byte",
				"  after: begins",
				"  after: receipt sent",
				"- AuditLog: done",
			),
		);
		expect(await query("SELECT receipt_sent FROM orders WHERE id = $1", id)).toEqual([[true]]);
		expect(await query("SELECT entries FROM audit WHERE customer = 'receipt'")).toEqual([
			[[`receipt ${id}`]],
		]);
	});

	it("answers 503 when the database is down, and leaves nothing open", async () => {
		const port = await freePort();
		await using down = await start(provide(Database, { host: "127.0.0.1", port }));
		const response = await down.send("down", "/orders", ORDER);
		expect([response.status, await response.json()]).toEqual([
			503,
			{ message: "The database can't be reached" },
		]);
		expect(await trace("down", down)).toEqual(
			events("POST /orders", "+ AuditLog", "- AuditLog: lost", "503: first byte", "503: last byte"),
		);
		const { totalCount, waitingCount } = await down.app.use(Pool);
		expect({ totalCount, waitingCount }).toEqual({ totalCount: 0, waitingCount: 0 });
		expect(down.app.inspect().resources.map((resource) => resource.name)).toEqual(["Pool"]);
		expect(down.reported).toEqual([]);
	});
});

describe("a COMMIT whose answer is lost", () => {
	let config: pg.PoolConfig;
	let admin: pg.Client;
	beforeAll(async () => {
		config = await suite.use(database("commit"));
		const { connectionString, options } = config;
		admin = new pg.Client({ connectionString, options });
		await admin.connect();
	});
	beforeEach(() => admin.query("TRUNCATE orders"));
	afterAll(() => admin.end());

	const openApp = (max: number, ...bindings: Binding[]) =>
		openScope({
			lifetime: "app",
			bindings: [provide(Database, { ...config, max }), provide(Logger, () => {}), ...bindings],
			onReleaseError: () => {}, // that a late COMMIT has lost its connection
		});

	/** Places an order as a handler does. */
	const order = (parent: Scope, customer: string, product: number, releaseTimeout?: number) =>
		withScope({ parent, lifetime: "request", bindings: [provide(RequestId, customer)] }, () =>
			withScope({ lifetime: "handler", releaseTimeout }, async () => {
				const tx = await use(Tx);
				await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, 1)", [
					customer,
					product,
				]);
			}),
		);

	async function orders(): Promise<string[]> {
		const { rows } = await admin.query("SELECT customer FROM orders ORDER BY 1");
		return rows.map(({ customer }) => customer);
	}

	it("because it outlasts its time: the connection doesn't go back into the pool", async () => {
		const app = openApp(1);
		// the check of the foreign key waits for the product
		await admin.query("BEGIN; SELECT FROM products WHERE id = 1 FOR UPDATE");
		await expect(order(app, "slow", 1, 200)).rejects.toThrow(ReleaseTimeoutError);
		await order(app, "next", 2);
		expect(await orders()).toEqual(["next"]);
		await admin.query("COMMIT");
		await vi.waitFor(async () => expect(await orders()).toEqual(["next", "slow"]), 5_000);
		await app.disposeAsync();
	});

	it("because its connection is: PostgreSQL can be asked what became of it", async () => {
		const AskingTx = resource(
			{ pool: Pool, request: RequestId },
			async function* AskingTx({ pool, request }) {
				const connection = await pool.connect();
				await connection.query("BEGIN");
				const { rows } = await connection.query("SELECT pg_current_xact_id()::text AS xid");
				yield connection;
				// while PostgreSQL is at it, or before it gets to it
				if (request === "killed") {
					const { rows } = await connection.query("SELECT pg_backend_pid() AS pid");
					await admin.query("SELECT pg_terminate_backend($1)", [rows[0].pid]);
				} else setImmediate(() => void connection.end());
				try {
					await connection.query("COMMIT");
				} catch (error) {
					const fate = () => pool.query("SELECT pg_xact_status($1::xid8) AS fate", [rows[0].xid]);
					await vi.waitUntil(async () => (await fate()).rows[0].fate !== "in progress");
					if ((await fate()).rows[0].fate !== "committed") throw error;
				} finally {
					connection.release(true);
				}
			},
			{ lifetime: "handler" },
		);
		const app = openApp(2, override(Tx, AskingTx));
		await order(app, "cut", 1);
		await expect(order(app, "killed", 1)).rejects.toThrow();
		expect(await orders()).toEqual(["cut"]);
		await app.disposeAsync();
	});
});
