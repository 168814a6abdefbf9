import pg from "pg";
import { PgBoss } from "pg-boss";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openScope } from "yieldscope";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { Child } from "./child.ts";

// the workers are Node's; Windows has no signals
const runs = !("Bun" in globalThis) && !("Deno" in globalThis) && process.platform !== "win32";

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!runs)("workers on a queue", { timeout: 60_000 }, () => {
	let config: pg.PoolConfig;
	let boss: PgBoss;
	let client: pg.Client;

	beforeAll(async () => {
		config = await suite.use(database("worker"));
		client = new pg.Client({ connectionString: config.connectionString, options: config.options });
		await client.connect();
		suite.defer(async () => {
			await client.query("SET client_min_messages TO warning");
			await client.query(`DROP SCHEMA ${config.application_name}_jobs CASCADE`);
			await client.end();
		});
		// finds out soon which jobs have been taken too long ago
		const { connectionString = "", application_name } = config;
		boss = new PgBoss({
			connectionString,
			schema: `${application_name}_jobs`,
			superviseIntervalSeconds: 1,
			monitorIntervalSeconds: 1,
		});
		await boss.start();
		suite.defer(() => boss.stop({ graceful: false }));
		await boss.createQueue("orders", { expireInSeconds: 2, retryLimit: 20 });
	}, 60_000);

	const children: Child[] = [];
	afterEach(() => {
		for (const child of children.splice(0)) child.kill("SIGKILL"); // should a test have failed
	});

	function start(): Child {
		const child = new Child("worker/worker.ts", JSON.stringify(config));
		children.push(child);
		return child;
	}

	async function orders(): Promise<string[]> {
		const { rows } = await client.query({
			text: "SELECT customer FROM orders ORDER BY customer",
			rowMode: "array",
		});
		return rows.flat();
	}

	/** Puts jobs on the queue, and gives their names. */
	async function enqueue(name: string, count: number, product = 1): Promise<string[]> {
		const customers = Array.from({ length: count }, (_, i) => `${name} ${i + 10}`);
		for (const customer of customers) await boss.send("orders", { customer, product });
		return customers;
	}

	it("does every job exactly once, though one of three workers is killed at work", async () => {
		const customers = await enqueue("killed", 30);
		await client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
		const workers = [start(), start(), start()] as const;
		for (const worker of workers) await worker.until(/^takes/);
		workers[0].kill("SIGKILL");
		await workers[0].exited;
		await client.query("COMMIT");
		await vi.waitFor(
			async () => {
				expect(await orders()).toEqual(customers);
			},
			{ timeout: 40_000, interval: 500 },
		);
		for (const worker of workers.slice(1)) {
			worker.kill("SIGTERM");
			expect(await worker.exited).toEqual({ code: 0, stderr: "" });
			expect(worker.lines.at(-1)).toBe("closed");
			const begun = worker.lines.filter((line) => line.includes("BEGIN")).length;
			const ended = worker.lines.filter((line) => /COMMIT|ROLLBACK/.test(line)).length;
			expect(ended).toBe(begun);
		}
		expect(await orders()).toEqual(customers);
		await client.query("TRUNCATE orders");
	});

	it("leaves nothing of a job that fails, and tries it again", async () => {
		const worker = start();
		await worker.until("ready");
		const id = await boss.send(
			"orders",
			{ customer: "x", product: PRODUCTS + 1 },
			{ retryLimit: 1 },
		);
		await worker.until("- Tx: ROLLBACK, 23503", 2);
		await vi.waitFor(async () => {
			const [job] = await boss.findJobs("orders", { id: String(id) });
			expect(job).toMatchObject({ state: "failed", retryCount: 1 });
		}, 10_000);
		expect(await orders()).toEqual([]);
		worker.kill("SIGTERM");
		expect(await worker.exited).toEqual({ code: 0, stderr: "" });
	});

	it("rolls back what takes too long, and does it again", async () => {
		const worker = start();
		await worker.until("ready");
		await client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
		const order = { customer: "late", product: 1 };
		await boss.send("orders", order, { expireInSeconds: 1, retryLimit: 20 });
		await worker.until("takes late", 2);
		await client.query("COMMIT");
		await worker.until("- Tx: COMMIT");
		await worker.until(/ROLLBACK/);
		worker.kill("SIGTERM");
		expect(await worker.exited).toEqual({ code: 0, stderr: "" });
		expect(await orders()).toEqual(["late"]);
		await client.query("TRUNCATE orders");
	});

	it("ends what it has begun when it is told to stop", async () => {
		const worker = start();
		await worker.until("ready");
		await client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
		const [customer] = await enqueue("stopped", 1);
		await worker.until(`takes ${customer}`);
		worker.kill("SIGTERM");
		await client.query("COMMIT");
		expect(await worker.exited).toEqual({ code: 0, stderr: "" });
		expect(worker.lines).toEqual([
			"ready",
			"+ Connection",
			"+ Tx: BEGIN",
			`takes ${customer}`,
			"- Tx: COMMIT",
			"- Connection",
			"closed",
		]);
		expect(await orders()).toEqual([customer]);
	});
});
