import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openScope } from "yieldscope";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { Child } from "./child.ts";

// the processes are Node's; Windows has no signals
const runs = !("Bun" in globalThis) && !("Deno" in globalThis) && process.platform !== "win32";

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!runs)("a cron job", { timeout: 60_000 }, () => {
	let config: pg.PoolConfig;
	let client: pg.Client;

	beforeAll(async () => {
		config = await suite.use(database("cron"));
		client = new pg.Client({ connectionString: config.connectionString, options: config.options });
		await client.connect();
		suite.defer(() => client.end());
	}, 60_000);

	const children: Child[] = [];
	afterEach(async () => {
		for (const child of children.splice(0)) child.kill("SIGKILL"); // should a test have failed
		await client.query("ROLLBACK; TRUNCATE orders");
	});

	function start(product = 1): Child {
		const child = new Child("cron/scheduler.ts", JSON.stringify(config), `${product}`);
		children.push(child);
		return child;
	}

	const BEGIN = "restock + Tx";
	const COMMIT = "restock - Tx: success";
	const VIOLATION =
		'error: insert or update on table "orders" violates foreign key constraint "orders_product_fkey"';
	const LEFT_OUT = "restock left out";

	it("never runs twice at a time, though three processes are to run it, and one is killed", async () => {
		await client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
		const first = start();
		await first.until(BEGIN);
		const others = [start(), start()] as const;
		for (const scheduler of [first, ...others]) await scheduler.until(LEFT_OUT, 2);
		expect(others.map(({ lines }) => lines.includes(BEGIN))).toEqual([false, false]);
		expect(first.lines.filter((line) => line === BEGIN)).toHaveLength(1);
		first.kill("SIGKILL");
		const count = (line: string) =>
			others.flatMap(({ lines }) => lines).filter((each) => each === line).length;
		await vi.waitFor(() => expect(count(BEGIN)).toBe(1), 10_000);
		await client.query("COMMIT");
		await vi.waitFor(() => expect(count(COMMIT)).toBeGreaterThan(0), 10_000);
		for (const scheduler of others) {
			scheduler.kill("SIGTERM");
			expect(await scheduler.exited).toEqual({ code: 0, stderr: "" });
		}
		expect((await client.query("SELECT FROM orders")).rowCount).toBe(count(COMMIT));
	});

	it("ends the run at work when it is told to stop", async () => {
		await client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
		const scheduler = start();
		await scheduler.until(BEGIN);
		await scheduler.until(LEFT_OUT);
		scheduler.kill("SIGTERM");
		await client.query("COMMIT");
		expect(await scheduler.exited).toEqual({ code: 0, stderr: "" });
		expect(scheduler.lines.filter((line) => line !== LEFT_OUT)).toEqual([
			"restock + Connection",
			BEGIN,
			COMMIT,
			"restock - Connection: success",
			"closed",
		]);
		expect((await client.query("SELECT FROM orders")).rowCount).toBe(1);
	});

	it("rolls back a run that fails, reports it, and runs again", async () => {
		const scheduler = start(PRODUCTS + 1);
		await scheduler.until(VIOLATION, 2);
		scheduler.kill("SIGTERM");
		expect(await scheduler.exited).toEqual({ code: 0, stderr: "" });
		expect(scheduler.lines.slice(0, 5)).toEqual([
			"restock + Connection",
			BEGIN,
			"restock - Tx: error",
			"restock - Connection: failure",
			VIOLATION,
		]);
		expect((await client.query("SELECT FROM orders")).rowCount).toBe(0);
	});
});
