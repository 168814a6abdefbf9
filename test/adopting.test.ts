import { once } from "node:events";
import { readFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";
import { afterAll, test as base, beforeAll, expect } from "vitest";
import { openScope, provide, resource } from "yieldscope";
import { createShop, openRoot } from "../docs/examples/adopting/shop.ts";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { Tx } from "../docs/examples/transaction/transaction.ts";

const suite = openScope({ name: "suite", lifetime: "process" });
let config: pg.PoolConfig;
beforeAll(async () => {
	config = await suite.use(database("adopting"));
}, 60_000);
afterAll(() => suite.disposeAsync());

const test = base
	.extend("pool", async ({ task: _ }, { onCleanup }) => {
		const pool = new pg.Pool(config);
		onCleanup(async () => {
			await pool.query("TRUNCATE orders");
			expect(pool.idleCount).toBe(pool.totalCount);
			await pool.end();
		});
		return pool;
	})
	.extend("mails", (): string[] => [])
	.extend("root", async ({ pool, mails }, { onCleanup }) => {
		const root = openRoot(pool, async (to, text) => void mails.push(`${to}: ${text}`));
		onCleanup(() => root.disposeAsync());
		return root;
	})
	.extend("url", async ({ pool, root }, { onCleanup }) => {
		const server = createShop(pool, root).listen(0, "127.0.0.1");
		await once(server, "listening");
		onCleanup(() => void server.close());
		return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	});

const order = (product: number) => ({
	method: "POST",
	headers: { "content-type": "application/json" },
	body: JSON.stringify({ customer: "ada", product }),
});

test("a route that has not moved works as before", async ({ url }) => {
	const found = await fetch(`${url}/products/7`);
	expect([found.status, await found.json()]).toEqual([
		200,
		{ name: expect.stringMatching(/^Product 7,/) },
	]);
	const missing = await fetch(`${url}/products/0`);
	expect([missing.status, await missing.json()]).toEqual([404, { message: "No such product" }]);
});

test("an order is committed, answered, and confirmed by mail", async ({
	url,
	pool,
	root,
	mails,
}) => {
	const response = await fetch(`${url}/orders`, order(7));
	const { id } = (await response.json()) as { id: number };
	expect(response.status).toBe(201);
	const { rows } = await pool.query("SELECT id, customer, product FROM orders");
	expect(rows).toEqual([{ id, customer: "ada", product: 7 }]);
	await root.disposeAsync(); // waits for what comes after the response
	expect(mails).toEqual([`ada: We have your order ${id}`]);
	expect(pool.ended).toBe(false);
});

test("an order that the COMMIT refuses is a 500, without a mail", async ({
	url,
	pool,
	root,
	mails,
}) => {
	const response = await fetch(`${url}/orders`, order(PRODUCTS + 1));
	expect([response.status, await response.json()]).toEqual([500, { message: "Sorry" }]);
	await root.disposeAsync();
	expect(mails).toEqual([]);
	expect((await pool.query("SELECT FROM orders")).rowCount).toBe(0);
});

test("what is invalid takes no connection", async ({ url, pool }) => {
	const response = await fetch(`${url}/orders`, { ...order(7), body: "{}" });
	expect([response.status, await response.json()]).toEqual([400, { message: "Who orders?" }]);
	expect(pool.totalCount).toBe(0);
});

test("orders are streamed, and a client that leaves keeps no connection", async ({
	url,
	pool,
	root,
}) => {
	await pool.query(
		"INSERT INTO orders (customer, product, quantity) SELECT repeat('ada', 50), 1, 1 FROM generate_series(1, 50000)",
	);
	const lines = (await (await fetch(`${url}/orders`)).text()).trimEnd().split("\n");
	expect(lines).toHaveLength(50_000);

	const [response] = (await once(get(`${url}/orders`), "response")) as [IncomingMessage];
	response.destroy();
	await root.disposeAsync(); // waits for the request
	expect(pool.idleCount).toBe(pool.totalCount);
});

test("places an order, and leaves nothing behind", async ({ pool, root, url }) => {
	const TestTx = resource(async function* TestTx() {
		const connection = await pool.connect();
		await connection.query("BEGIN");
		try {
			yield connection;
		} finally {
			await connection.query("ROLLBACK");
			connection.release();
		}
	});
	root.bind(provide(Tx, await root.use(TestTx)));

	const placed = await fetch(`${url}/orders`, order(7));
	expect(placed.status).toBe(201);
	const orders = await fetch(`${url}/orders`);
	expect(await orders.text()).toContain('"customer":"ada"');

	await root.disposeAsync();
	expect((await pool.query("SELECT FROM orders")).rowCount).toBe(0);
});

base("the guide shows that last test", () => {
	const read = (file: string) => readFileSync(new URL(file, import.meta.url), "utf8");
	const [, shown = "none"] =
		/^```js\n(test\([\s\S]*?^}\);\n)```/m.exec(
			read("../docs/guide/how-do-i-put-it-into-my-service.md"),
		) ?? [];
	expect(read("adopting.test.ts")).toContain(shown);
});
