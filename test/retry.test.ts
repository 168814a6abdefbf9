import { readFileSync } from "node:fs";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openScope, provide, use, withScope } from "yieldscope";
import { handler, requestScope } from "yieldscope/hono";
import { database } from "../docs/examples/shop/schema.ts";
import { Database, Pool, Tx } from "../docs/examples/transaction/transaction.ts";
import { gate } from "./support.ts";

const suite = openScope({ name: "suite", lifetime: "process" });
const root = openScope({ parent: suite, lifetime: "app" });
beforeAll(async () => {
	root.bind(provide(Database, await suite.use(database("retry"))));
}, 60_000);
afterAll(() => suite.disposeAsync());

async function retrying<R>(work: () => Promise<R>, attempts = 5): Promise<R> {
	for (;;) {
		try {
			return await withScope({ lifetime: "handler" }, work);
		} catch (error) {
			if ((error as { code?: string }).code !== "40001" || --attempts === 0) throw error;
		}
	}
}

it("a transaction that PostgreSQL can't serialize is tried again as a whole", async () => {
	const pool = await root.use(Pool);
	const log: string[] = [];
	const both = gate();
	let reading = 0;
	const shop = new Hono();
	shop.use(requestScope({ parent: root }));
	shop.post(
		"/",
		handler(async (c) => {
			const count = await retrying(async () => {
				const tx = await use(Tx);
				await tx.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
				const { rows } = await tx.query("SELECT count(*)::int AS count FROM orders");
				log.push(`read ${rows[0].count}`);
				if (++reading === 2) both.open();
				await both.promise; // neither sees what the other is about to write
				await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ('ada', 1, 1)");
				return rows[0].count + 1;
			});
			return c.json(count, 201);
		}),
	);
	const responses = await Promise.all([1, 2].map(() => shop.request("/", { method: "POST" })));
	expect(responses.map(({ status }) => status)).toEqual([201, 201]);
	const counts = await Promise.all(responses.map((response) => response.json()));
	expect(counts.sort()).toEqual([1, 2]);
	expect(log).toEqual(["read 0", "read 0", "read 1"]);
	expect((await pool.query("SELECT FROM orders")).rowCount).toBe(2);
});

it("the guide shows how", () => {
	const shown = (file: string) =>
		/^async function retrying[\s\S]*?^}/m.exec(
			readFileSync(new URL(file, import.meta.url), "utf8"),
		)?.[0];
	expect(shown("../docs/guide/when-is-my-transaction-committed.md")).toBe(shown("retry.test.ts"));
});
