import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { openScope } from "yieldscope";
import { database } from "../docs/examples/shop/schema.ts";
import { Child } from "./child.ts";

// the processes are Node's; Windows has no signals
const runs = !("Bun" in globalThis) && !("Deno" in globalThis) && process.platform !== "win32";

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!runs)("a lock", { timeout: 120_000 }, () => {
	let config: pg.PoolConfig;
	let client: pg.Client;
	let key: string;

	beforeAll(async () => {
		config = await suite.use(database("lock"));
		client = new pg.Client({ connectionString: config.connectionString, options: config.options });
		await client.connect();
		suite.defer(() => client.end());
		await client.query(`CREATE TABLE rounds (
			id serial PRIMARY KEY,
			holder text NOT NULL,
			began timestamptz NOT NULL DEFAULT clock_timestamp(),
			ended timestamptz
		)`);
	}, 60_000);

	const children: Child[] = [];
	beforeEach(({ task }) => {
		key = task.name;
	});
	afterEach(async () => {
		for (const child of children.splice(0)) {
			child.kill("SIGKILL"); // should a test have failed
			await child.exited;
		}
		await vi.waitFor(async () => expect(await sessions()).toEqual([]), 5_000);
	});

	function start(module: string, ...args: string[]): Child {
		const child = new Child(module, JSON.stringify(config), key, ...args);
		children.push(child);
		return child;
	}

	/** The sessions that have the lock or wait for it. */
	const SESSIONS = `SELECT pid, granted FROM pg_locks WHERE locktype = 'advisory'
		AND (classid::bigint << 32) | objid::bigint = hashtextextended($1, 0) ORDER BY granted DESC`;

	/** Whether each of them has it. */
	async function sessions(): Promise<boolean[]> {
		const { rows } = await client.query<{ granted: boolean }>(SESSIONS, [key]);
		return rows.map(({ granted }) => granted);
	}

	const until = (expected: boolean[]) =>
		vi.waitFor(async () => expect(await sessions()).toEqual(expected), 10_000);

	/** Two processes: one has the lock, the other waits for it. */
	async function startTwo(): Promise<{ holder: Child; waiter: Child }> {
		const holder = start("lock/holder.ts");
		await holder.until("has it");
		const waiter = start("lock/holder.ts");
		await waiter.until("asks");
		await until([true, false]);
		return { holder, waiter };
	}

	async function expectEnd(child: Child, ...lines: string[]): Promise<void> {
		expect(await child.exited).toEqual({ code: 0, stderr: "" });
		expect(child.lines).toEqual(lines);
	}

	it.each([
		["success", "succeed", "succeeded"],
		["failure", "fail", "Error: told to fail"],
		["abort", "abort", "Error: told to stop"],
	])("goes to whoever waits for it on %s", async (_outcome, command, end) => {
		const { holder, waiter } = await startTwo();
		holder.send(command);
		await waiter.until("has it");
		await expectEnd(holder, "asks", "has it", end);
		expect(await sessions()).toEqual([true]);
		waiter.send("succeed");
		await expectEnd(waiter, "asks", "has it", "succeeded");
	});

	it("is no longer waited for after an abort", async () => {
		const { holder, waiter } = await startTwo();
		waiter.send("abort");
		await expectEnd(waiter, "asks", "Error: told to stop");
		await until([true]);
		holder.send("succeed");
		await expectEnd(holder, "asks", "has it", "succeeded");
	});

	it("is freed by the server when its holder is killed", async () => {
		const { holder, waiter } = await startTwo();
		holder.kill("SIGKILL");
		await waiter.until("has it");
		expect(await holder.exited).toEqual({ code: "SIGKILL", stderr: "" });
		waiter.send("succeed");
		await expectEnd(waiter, "asks", "has it", "succeeded");
	});

	it("is no longer waited for by a process that was killed", async () => {
		const { holder, waiter } = await startTwo();
		waiter.kill("SIGKILL");
		await until([true]);
		holder.send("succeed");
		await expectEnd(holder, "asks", "has it", "succeeded");
	});

	it("aborts the scope of a holder that loses it", async () => {
		const { holder, waiter } = await startTwo();
		await client.query(
			`SELECT pg_terminate_backend(pid) FROM (${SESSIONS}) AS session WHERE granted`,
			[key],
		);
		await waiter.until("has it");
		await expectEnd(
			holder,
			"asks",
			"has it",
			`LockLostError: Lost the lock "${key}", terminating connection due to administrator command`,
		);
		waiter.send("succeed");
		await expectEnd(waiter, "asks", "has it", "succeeded");
	});

	it("is refused to whoever doesn't want to wait", async () => {
		const holder = start("lock/holder.ts");
		await holder.until("has it");
		const refused = start("lock/holder.ts", "no");
		await expectEnd(refused, "asks", `LockTakenError: Somebody else has the lock "${key}"`);
		holder.send("succeed");
		await holder.exited;
		const next = start("lock/holder.ts", "no");
		await next.until("has it");
		next.send("succeed");
		await expectEnd(next, "asks", "has it", "succeeded");
	});

	const KILLS = 10;

	it(`is held by one of three processes at a time, though ${KILLS} are killed`, async () => {
		const survivors = [start("lock/rounds.ts", "a"), start("lock/rounds.ts", "b")] as const;
		for (let i = 1; i <= KILLS; i++) {
			const victim = start("lock/rounds.ts", "victim");
			await victim.until(`round ${i}`);
			victim.kill("SIGKILL");
			await victim.exited;
			for (const survivor of survivors) {
				const rounds = survivor.lines.length;
				await survivor.until(`round ${rounds + 2}`); // the first may have begun before
			}
		}
		for (const survivor of survivors) {
			survivor.kill("SIGTERM");
			expect(await survivor.exited).toEqual({ code: 0, stderr: "" });
		}
		const { rows } = await client.query(`SELECT
			count(*)::int AS rounds,
			count(*) FILTER (WHERE ended IS NULL)::int AS interrupted,
			count(*) FILTER (WHERE began < previous)::int AS overlaps
			FROM (SELECT *, max(coalesce(ended, began)) OVER (
				ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
			) AS previous FROM rounds) AS each`);
		expect(rows[0].overlaps).toBe(0);
		expect(rows[0].interrupted).toBeGreaterThan(0);
	});
});
