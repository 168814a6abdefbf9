import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openScope } from "yieldscope";
import { database } from "../docs/examples/shop/schema.ts";
import { fatesOf, openBooks, readBooks, sessionsOf } from "./soak/ledger.ts";
import { plainOrder, plan, type Visit } from "./soak/plan.ts";
import type { Answer } from "./soak/send.ts";
import { type Evidence, judge, type Marks, NOISE, STALLED, type State } from "./soak/verdict.ts";

const suite = openScope({ name: "suite", lifetime: "process" });
let config: pg.PoolConfig;
let client: pg.Client;
beforeAll(async () => {
	config = await suite.use(database("soak"));
	client = new pg.Client({ connectionString: config.connectionString, options: config.options });
	await client.connect();
	await openBooks(client);
}, 60_000);
afterAll(async () => {
	await client.end();
	await suite.disposeAsync();
});

describe("what the soak finds, in a real ledger", () => {
	const answers = new Map<Visit, Answer>();
	const marks = new Map<string, Marks>();
	beforeEach(async () => {
		answers.clear();
		marks.clear();
		await client.query("TRUNCATE orders, ledger");
	});

	/** Asks for an order; gives its name. */
	function ask(number: number, status: number | undefined, reached = true): string {
		const visit = plainOrder(number);
		answers.set(visit, { reached, status, hung: false });
		return visit.id;
	}

	const order = (id: string, amount: number) =>
		client.query("INSERT INTO orders (customer, product, quantity) VALUES ($1, 1, $2)", [
			id,
			amount,
		]);
	const leg = (id: string, account: string, amount: number) =>
		client.query("INSERT INTO ledger (customer, account, amount) VALUES ($1, $2, $3)", [
			id,
			account,
			amount,
		]);
	async function write(id: string, amount: number): Promise<void> {
		await leg(id, "customer", -amount);
		await order(id, amount);
		await leg(id, "shop", amount);
	}

	const calm: State = { scopes: 0, connections: 2, idle: 2, waiting: 0, heap: 20_000_000 };

	/** What is found, where all but this is as it should be. */
	async function found(more: Partial<Evidence> = {}): Promise<Record<string, readonly string[]>> {
		const checks = judge({
			answers,
			marks,
			fates: await fatesOf(
				client,
				[...marks.values()].map(({ xid }) => xid),
			),
			books: await readBooks(client),
			states: [calm, calm],
			sessions: { open: 2, busy: 0 },
			sessionsAtEnd: 0,
			strays: [],
			exits: [],
			plain: [201],
			...more,
		});
		return Object.fromEntries(
			checks
				.filter(({ offenders }) => offenders.length > 0)
				.map(({ label, offenders }) => [label, offenders]),
		);
	}

	/** Writes an order in a transaction whose COMMIT the server sends, but doesn't see answered. */
	async function inDoubt(number: number, end: "COMMIT" | "ROLLBACK"): Promise<string> {
		const id = ask(number, 500);
		await client.query("BEGIN");
		const { rows } = await client.query("SELECT pg_current_xact_id()::text AS xid");
		marks.set(id, { xid: rows[0].xid, commits: true, committed: false });
		await write(id, number);
		await client.query(end);
		return id;
	}

	it("nothing, when all is as it was promised", async () => {
		await write(ask(1, 201), 1);
		ask(2, 500);
		ask(3, 503);
		ask(4, undefined);
		await write(ask(5, undefined), 5);
		ask(6, undefined, false);
		await inDoubt(7, "COMMIT");
		await inDoubt(8, "ROLLBACK");
		expect(await found()).toEqual({});
	});

	it("an order that was acknowledged and is lost", async () => {
		await write(ask(1, 201), 1);
		const id = ask(2, 201);
		expect(await found()).toEqual({ "orders acknowledged and not there": [id] });
	});

	it("an order that is there twice", async () => {
		const id = ask(1, 201);
		await write(id, 1);
		await write(id, 1);
		expect(await found()).toEqual({ "orders there more than once": [id] });
	});

	it("an order that is half there, whatever its client was told", async () => {
		for (const status of [201, undefined]) {
			const id = ask(3, status);
			await client.query("TRUNCATE orders, ledger");
			await leg(id, "customer", -3);
			await order(id, 3);
			expect(await found()).toEqual({
				"the ledger doesn't balance": ["-3"],
				"orders half there": [id],
			});
			answers.clear();
		}
	});

	it("legs without an order, an order without legs, and one of another's amount", async () => {
		const [legs, bare, mixed] = [ask(1, undefined), ask(2, undefined), ask(3, undefined)];
		await leg(legs, "customer", -1);
		await leg(legs, "shop", 1);
		await order(bare, 2);
		await write(mixed, 2);
		expect(await found()).toEqual({ "orders half there": [legs, bare, mixed] });
	});

	it("an order that was refused, or never sent, and is there", async () => {
		const [refused, unsent] = [ask(1, 500), ask(2, undefined, false)];
		await write(refused, 1);
		await write(unsent, 2);
		expect(await found()).toEqual({
			"orders refused and there": [refused],
			"orders never sent and there": [unsent],
		});
	});

	it("an order refused though the server had seen its COMMIT succeed", async () => {
		const id = await inDoubt(1, "COMMIT");
		marks.set(id, { ...(marks.get(id) as Marks), committed: true });
		expect(await found()).toEqual({ "orders refused and there": [id] });
	});

	it("an order in doubt of whose transaction PostgreSQL says something else", async () => {
		const [lost, there] = [await inDoubt(1, "COMMIT"), await inDoubt(2, "ROLLBACK")];
		await client.query("DELETE FROM orders WHERE customer = $1", [lost]);
		await client.query("DELETE FROM ledger WHERE customer = $1", [lost]);
		await write(there, 2);
		expect(await found()).toEqual({
			"orders in doubt that aren't as PostgreSQL says": [lost, there],
		});
	});

	it("entries that nobody has asked for", async () => {
		await write("order-9", 9);
		expect(await found()).toEqual({ "entries of orders that nobody placed": ["order-9"] });
	});

	it("a connection that isn't back in its pool, and its transaction", async () => {
		const pool = new pg.Pool({ ...config, application_name: "leaking", max: 2 });
		const [leaked, other] = [await pool.connect(), await pool.connect()];
		await leaked.query("BEGIN");
		other.release();
		const { totalCount: connections, idleCount: idle, waitingCount: waiting } = pool;
		const evidence: Partial<Evidence> = {
			states: [calm, { ...calm, connections, idle, waiting }],
			sessions: await sessionsOf(client, "leaking"),
		};
		leaked.release(true);
		await pool.end();
		expect(await found(evidence)).toEqual({
			"connections not back in the pool": ["1"],
			"sessions that aren't idle": ["1"],
		});
	});

	it("sessions that no pool knows of", async () => {
		expect(await found({ sessions: { open: 3, busy: 0 }, sessionsAtEnd: 1 })).toEqual({
			"sessions that PostgreSQL has beside the pool's": ["1"],
			"sessions when all servers have ended": ["1"],
		});
	});

	it("scopes that are open, clients that wait, and heap that is kept", async () => {
		const left = { ...calm, scopes: 1, waiting: 2, heap: calm.heap + NOISE + 1 };
		expect(await found({ states: [calm, left] })).toEqual({
			"scopes open": ["1"],
			"requests that wait for a connection": ["2"],
			"more heap than noise explains": [`${NOISE + 1} bytes`],
		});
	});

	it("answers that can't be, and such as don't come", async () => {
		const odd = ask(1, 404);
		answers.set(plainOrder(2), { reached: true, status: undefined, hung: true });
		expect(await found()).toEqual({
			"answers that no fault explains": [`${odd}: 404`],
			"answers that didn't come": ["order-2: undefined"],
		});
	});

	it("errors, exits and refusals that no fault explains", async () => {
		const stalled = new Array(STALLED).fill(503);
		expect(await found({ plain: [201, ...stalled] })).toEqual({});
		expect(Object.values(await found({ plain: [201, 404] }))).toEqual([["404"]]); // that is no timeout
		expect(
			await found({
				strays: ["stray TypeError"],
				exits: ["SIGTERM: code 1"],
				plain: [201, ...stalled, 500],
			}),
		).toEqual({
			"unhandled rejections, and errors that no fault explains": ["stray TypeError"],
			"servers that ended otherwise than told": ["SIGTERM: code 1"],
			"orders without a fault that weren't answered with 201, beyond one stall of the machine": [
				...stalled,
				500,
			].map(String),
		});
	});
});

describe("the soak's plan", () => {
	function visits(seed: number, first: number): Visit[] {
		const all = plan(seed, first, 24);
		return Array.from({ length: 2_000 }, () => all.next().value);
	}

	it("is the same for the same seed", () => {
		expect(visits(42, 1)).toEqual(visits(42, 1));
		expect(visits(42, 1)).not.toEqual(visits(43, 1));
	});

	it("has everything in it, and no two requests of a name", () => {
		const all = [...visits(42, 1), ...visits(42, 2)];
		expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
		expect(new Set(all.map(({ kind }) => kind)).size).toBe(15);
		const departures = all.flatMap(({ departure }) => departure ?? []);
		expect(new Set(departures.map(({ from, resets }) => `${from} ${resets}`)).size).toBe(4);
		expect(departures.some(({ from, at }) => from === "request" && at === 1)).toBe(true);
	});
});
