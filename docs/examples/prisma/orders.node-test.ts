import assert from "node:assert/strict";
import { after, afterEach, beforeEach, test } from "node:test";
import { openScope, provide, type Scope, use, withScope } from "yieldscope";
import { TemporaryDatabase } from "../testing/temporary.ts";
import { Database, Pool } from "../transaction/transaction.ts";
import { Orders } from "./orders.ts";

const suite = openScope({ name: "suite", lifetime: "process" });
after(() => suite.disposeAsync());

let app: Scope;
beforeEach(async () => {
	const connectionString = await suite.use(TemporaryDatabase, { fresh: true });
	const bindings = [provide(Database, { connectionString })];
	app = openScope({ parent: suite, lifetime: "app", bindings });
});
afterEach(() => app.disposeAsync());

async function products(): Promise<string[]> {
	const pool = await app.use(Pool);
	const { rows } = await pool.query("SELECT product FROM orders ORDER BY id");
	return rows.map(({ product }) => product);
}

/** As the adapters do. */
const handle = (fn: () => Promise<void>) => withScope({ parent: app, lifetime: "handler" }, fn);

test("commits what succeeds", async () => {
	await handle(async () => {
		const orders = await use(Orders);
		await orders.place("pen");
		await orders.place("ink");
		assert.deepEqual(await products(), ["book"]);
	});
	assert.deepEqual(await products(), ["book", "pen", "ink"]);
});

test("rolls back what fails, and hands on the very error", async () => {
	const failure = new Error("out of stock");
	const failing = handle(async () => {
		const orders = await use(Orders);
		await orders.place("pen");
		throw failure;
	});
	await assert.rejects(failing, (error) => error === failure);
	assert.deepEqual(await products(), ["book"]);
});

test("fails when the COMMIT does", async () => {
	const pool = await app.use(Pool);
	await pool.query("ALTER TABLE orders ADD UNIQUE (product) DEFERRABLE INITIALLY DEFERRED");
	const failing = handle(async () => {
		const orders = await use(Orders);
		await orders.place("book");
	});
	await assert.rejects(failing, /UniqueConstraintViolation/);
	assert.deepEqual(await products(), ["book"]);
});

test("fails after a failed statement that somebody has caught", async () => {
	const failing = handle(async () => {
		const orders = await use(Orders);
		await orders.place("pen");
		await assert.rejects(orders.place("\0")); // no text for PostgreSQL
	});
	await assert.rejects(failing, /current transaction is aborted/);
	assert.deepEqual(await products(), ["book"]);
});

test("gives every connection back", async () => {
	await Promise.allSettled(
		Array.from({ length: 50 }, (_, i) =>
			handle(async () => {
				const orders = await use(Orders);
				await orders.place(`${i}`);
				if (i % 2 === 1) throw new Error("odd");
			}),
		),
	);
	assert.equal((await products()).length, 26);
	const pool = await app.use(Pool);
	const { rows } = await pool.query(
		"SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
	);
	assert.deepEqual([...new Set(rows.map(({ state }) => state))], ["idle"]);
});
