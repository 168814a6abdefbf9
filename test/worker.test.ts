import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openScope, type Resource } from "yieldscope";
import { PRODUCTS } from "../docs/examples/shop/schema.ts";
import { Child } from "./child.ts";
import { hasRedis } from "./redis.ts";
import { Boss, Bull, type OrderQueue } from "./worker/queues.ts";

// the workers are Node's; Windows has no signals
const runs = !("Bun" in globalThis) && !("Deno" in globalThis) && process.platform !== "win32";
const redis = runs && hasRedis();

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

let queue: OrderQueue;
const open = (resource: Resource<OrderQueue>) => async () => {
	queue = await suite.use(resource);
};

const children: Child[] = [];
afterEach(() => {
	for (const child of children.splice(0)) child.kill("SIGKILL"); // should a test have failed
});

function start(): Child {
	const child = new Child("worker/worker.ts", JSON.stringify(queue.database), ...queue.args);
	children.push(child);
	return child;
}

/** Stops a worker, as it should be. */
async function stop(worker: Child): Promise<void> {
	worker.kill("SIGTERM");
	expect(await worker.exited).toEqual({ code: 0, stderr: "" });
	expect(worker.lines.at(-1)).toBe("closed");
	expect(count(worker, /^- Tx/)).toBe(count(worker, /^\+ Tx/));
}

const count = ({ lines }: Child, line: RegExp) => lines.filter((each) => line.test(each)).length;

/** Who has ordered. */
async function orders(): Promise<string[]> {
	const { rows } = await queue.client.query("SELECT customer FROM orders ORDER BY customer");
	return rows.map(({ customer }) => customer);
}

const lock = () => queue.client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
const unlock = () => queue.client.query("COMMIT");
afterEach(async () => {
	await queue?.client.query("ROLLBACK; TRUNCATE orders");
});

/** How many connections the workers have: each may hold locks. */
async function connections(): Promise<number> {
	const { rows } = await queue.client.query(
		"SELECT count(*)::int FROM pg_stat_activity WHERE application_name = $1",
		[queue.database.application_name],
	);
	return rows[0].count;
}

function behaviour(): void {
	const KILLS = 10;
	const JOBS = 20 * KILLS;

	it(`does ${JOBS} jobs exactly once, though ${KILLS} workers are killed at work`, async () => {
		const customers = Array.from({ length: JOBS }, (_, i) => `customer ${1_000 + i}`);
		const jobs = customers.map((customer, i) => ({ customer, product: 1 + (i % 5) }));
		const survivors = [start(), start()];
		let lost = 0;
		for (let kill = 0; kill < KILLS; kill++) {
			const victim = start();
			await victim.until("ready");
			await lock(); // nobody gets further than to take what he can
			await queue.add(jobs.splice(0, 20), 20);
			await victim.until(/^takes/, 2);
			const atCommit = kill % 2 === 1;
			if (atCommit) {
				await unlock();
				await victim.until("- Tx: success");
			}
			victim.kill("SIGKILL");
			expect(await victim.exited).toEqual({ code: "SIGKILL", stderr: "" });
			if (!atCommit) await unlock();
			lost += count(victim, /^takes/) - count(victim, /- Tx: success/);
		}
		await vi.waitFor(async () => expect(await queue.states()).toEqual({ completed: JOBS }), {
			timeout: 90_000,
			interval: 200,
		});
		expect(await orders()).toEqual(customers);
		expect(lost).toBeGreaterThanOrEqual(KILLS);
		for (const survivor of survivors) {
			await stop(survivor);
			expect(count(survivor, /- Tx: success/)).toBeGreaterThan(0);
		}
		expect(await connections()).toBe(0);
	});

	it("leaves nothing of a job that fails, and tries it again", async () => {
		const worker = start();
		await worker.until("ready");
		const { failed = 0 } = await queue.states();
		await queue.add([{ customer: "x", product: PRODUCTS + 1 }], 1);
		await worker.until("- Tx: error", 2);
		await vi.waitFor(async () => {
			expect(await queue.states()).toMatchObject({ failed: failed + 1 });
		}, 10_000);
		expect(await orders()).toEqual([]);
		await stop(worker);
	});

	it("ends what it has begun when it is told to stop", async () => {
		const worker = start();
		await worker.until("ready");
		await lock();
		await queue.add([{ customer: "stopped", product: 1 }], 0);
		await worker.until("takes stopped");
		worker.kill("SIGTERM");
		await unlock();
		expect(await worker.exited).toEqual({ code: 0, stderr: "" });
		expect(worker.lines).toEqual([
			"ready",
			"+ Connection",
			"+ Tx",
			"takes stopped",
			"- Tx: success",
			"- Connection: success",
			"closed",
		]);
		expect(await orders()).toEqual(["stopped"]);
	});
}

describe.skipIf(!runs)("workers on a queue of pg-boss", { timeout: 120_000 }, () => {
	beforeAll(open(Boss), 60_000);

	behaviour();

	it("rolls back what takes too long, and does it again", async () => {
		const worker = start();
		await worker.until("ready");
		await lock();
		await queue.add([{ customer: "late", product: 1 }], 20);
		await worker.until("takes late", 2);
		await unlock();
		await worker.until("- Tx: success");
		await worker.until("- Tx: failure");
		await stop(worker);
		expect(await orders()).toEqual(["late"]);
	});
});

describe.skipIf(!redis)(
	`workers on a queue of BullMQ${redis || !runs ? "" : " (no redis-server on the PATH)"}`,
	{ timeout: 120_000 },
	() => {
		beforeAll(open(Bull), 60_000);

		behaviour();

		it("rolls back what was given to another worker while its own slept", async () => {
			const sleeper = start();
			await sleeper.until("ready");
			await lock();
			await queue.add([{ customer: "late", product: 1 }], 0);
			await sleeper.until("takes late");
			sleeper.kill("SIGSTOP");
			const other = start();
			await other.until("+ Tx");
			sleeper.kill("SIGCONT");
			await sleeper.until("gives up late");
			await unlock();
			await other.until("- Tx: success");
			expect(await orders()).toEqual(["late"]);
			await stop(other);
			sleeper.kill("SIGTERM");
			const { code, stderr } = await sleeper.exited;
			expect(code).toBe(0);
			expect(stderr).toContain("could not renew lock for job");
			expect(sleeper.lines.slice(3)).toEqual([
				"takes late",
				"gives up late",
				"- Tx: failure",
				"- Connection: failure",
				"closed",
			]);
		});
	},
);
