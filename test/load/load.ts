import { once } from "node:events";
import { Agent, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { openScope, override, provide, resource, type Scope } from "yieldscope";
import { Database, Logger, Pool } from "../../docs/examples/shop/resources.ts";
import { database } from "../../docs/examples/shop/schema.ts";
import { Fault, faults } from "./faults.ts";
import { plan, type Visit } from "./plan.ts";
import { type Answer, send } from "./send.ts";

export interface LoadOptions {
	readonly name: string;
	readonly create: (app: Scope) => Server;
	readonly requests: number;
	readonly seed: number;
}

/** Something that must be so, and what is. */
interface Check {
	readonly label: string;
	readonly found: number;
	readonly expected: number;
}

/** What became of a load. */
export interface Report {
	readonly seconds: number;
	/** How many answers there were of each sort, by kind of request. */
	readonly answers: Readonly<Record<string, Readonly<Record<string, number>>>>;
	readonly checks: readonly Check[];
}

const CONCURRENCY = 50;

/** Sends `requests` requests to a shop of its own, {@link CONCURRENCY} at a time, and asks PostgreSQL what is left of them. */
export async function load({ name, create, requests, seed }: LoadOptions): Promise<Report> {
	const reported: unknown[] = [];
	const app = openScope({
		name,
		lifetime: "app",
		bindings: [override(Database, database(`${name}_load`)), provide(Logger, () => {}), ...faults],
		onReleaseError: (error) => reported.push(error),
	});
	try {
		const printed = await app.use(Printed);
		const pool = await app.use(Pool);
		await pool.query(
			"INSERT INTO orders (customer, product, quantity) SELECT 'stock', 1, 1 FROM generate_series(1, $1)",
			[requests],
		);
		const server = await listen(create(app));
		const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
		const visits = plan(requests, seed);
		const answers = new Map<Visit, Answer>();
		const start = performance.now();
		const { port } = server.address() as AddressInfo; // it listens on TCP
		await inParallel(visits, async (visit) => {
			answers.set(visit, await send(visit, port, agent));
		});
		const seconds = (performance.now() - start) / 1000;
		agent.destroy();
		server.closeAllConnections();
		await new Promise((resolve) => server.close(resolve));
		await idle(app);
		return {
			seconds,
			answers: tally(answers),
			checks: await check(app, answers, [...reported, ...printed]),
		};
	} finally {
		await app.disposeAsync();
	}
}

/** What `console.error` is given: Koa's and Hono's servers tell it of bodies that fail. */
const Printed = resource(function* Printed() {
	const { error } = console;
	const printed: unknown[] = [];
	console.error = (first: unknown) => printed.push(first);
	yield printed;
	console.error = error;
});

async function listen(server: Server): Promise<Server> {
	await once(server.listen(0, "127.0.0.1"), "listening");
	return server;
}

async function inParallel<T>(items: readonly T[], fn: (item: T) => Promise<void>): Promise<void> {
	const queue = items.values();
	const worker = async () => {
		for (const item of queue) await fn(item);
	};
	await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

async function idle(app: Scope): Promise<void> {
	for (let tries = 0; app.inspect().children.length > 0 && tries < 2000; tries++)
		await setTimeout(5);
}

function tally(answers: ReadonlyMap<Visit, Answer>): Report["answers"] {
	const counts: Record<string, Record<string, number>> = {};
	for (const [{ kind }, { status, complete }] of answers) {
		const sort = `${status ?? "none"}${status === undefined || complete ? "" : ", cut"}`;
		counts[kind] ??= {};
		counts[kind][sort] = (counts[kind][sort] ?? 0) + 1;
	}
	return counts;
}

async function check(
	app: Scope,
	answers: ReadonlyMap<Visit, Answer>,
	told: readonly unknown[],
): Promise<Check[]> {
	const pool = await app.use(Pool);
	const { connectionString, options, application_name } = await app.use(Database);
	const client = new pg.Client({ connectionString, options });
	await client.connect();
	const left = await leftIn(client, String(application_name)).finally(() => client.end());

	const visits = [...answers];
	const count = (test: (visit: Visit, answer: Answer) => boolean) =>
		visits.filter(([visit, answer]) => test(visit, answer)).length;
	const placed = ({ id }: Visit) => left.orders.get(id) ?? 0;
	const replaced = ({ replaces }: Visit) => !left.stock.has(Number(replaces));
	const audited = ({ id }: Visit) => left.audit.get(id) ?? "";
	const ofKind = (...kinds: Visit["kind"][]) => count(({ kind }) => kinds.includes(kind));
	const zero = (label: string, found: number): Check => ({ label, found, expected: 0 });

	return [
		zero(
			"answers of another status",
			count(({ kind, status }, answer) => kind !== "abort" && answer.status !== status),
		),
		zero(
			"answers cut short, but for streams that fail",
			count(({ kind }, { complete }) => kind !== "abort" && complete === (kind === "stream")),
		),
		zero(
			"orders acknowledged that aren't there exactly once",
			count((visit, { status }) => status === 201 && placed(visit) !== 1),
		),
		zero(
			"orders refused that are there",
			count((visit, { status }) => Number(status) >= 400 && placed(visit) !== 0),
		),
		zero(
			"orders there without the deletion of what they replace, or more than once, or the reverse",
			count((visit) => visit.replaces !== undefined && placed(visit) !== Number(replaced(visit))),
		),
		zero(
			"orders that nobody placed",
			[...left.orders.keys()].length - count((visit) => placed(visit) > 0),
		),
		zero(
			"receipts promised and not sent",
			count(
				({ kind, body }) =>
					kind === "receipt" && !left.receipts.has((body as { order: number }).order),
			),
		),
		{
			label: "audit rows of what went well",
			found: count((visit) => visit.kind !== "abort" && audited(visit) === "done"),
			expected: ofKind("order", "receipt"),
		},
		{
			label: "audit rows of what failed",
			found: count((visit) => visit.kind !== "abort" && audited(visit) === "failed"),
			expected: ofKind("setup", "handler", "commit", "after"),
		},
		zero(
			"other audit rows, or more than one of a request",
			left.auditRows - count((visit) => audited(visit) !== ""),
		),
		{ label: "sessions of the pool", found: left.sessions, expected: pool.totalCount },
		zero("... that aren't idle", left.busySessions),
		{ label: "connections idle in the pool", found: pool.idleCount, expected: pool.totalCount },
		zero("requests waiting for one", pool.waitingCount),
		zero("request scopes open", app.inspect().children.length),
		zero("other errors reported or printed", told.filter((error) => !isExpected(error)).length),
	];
}

/** What Koa reports of a client that leaves, in mid-upload or before it has read all: the socket's own errors. */
const departures = ["HPE_INVALID_EOF_STATE", "ECONNRESET"];

function isExpected(error: unknown): boolean {
	const { code } = error as { code?: string };
	return error instanceof Fault || departures.includes(String(code));
}

/** What PostgreSQL knows. */
interface Left {
	/** How many there are of each customer's. */
	readonly orders: ReadonlyMap<string, number>;
	/** Those that nobody has replaced. */
	readonly stock: ReadonlySet<number>;
	readonly receipts: ReadonlySet<number>;
	/** The outcome, by customer. */
	readonly audit: ReadonlyMap<string, string>;
	readonly auditRows: number;
	readonly sessions: number;
	readonly busySessions: number;
}

async function leftIn(client: pg.Client, application: string): Promise<Left> {
	const rows = async (sql: string, ...values: unknown[]) =>
		(await client.query({ text: sql, values, rowMode: "array" })).rows;
	const audit = await rows("SELECT customer, outcome FROM audit");
	const [sessions] = await rows(
		"SELECT count(*)::integer, count(*) FILTER (WHERE state <> 'idle')::integer FROM pg_stat_activity WHERE application_name = $1",
		application,
	);
	return {
		orders: new Map(
			(await rows(
				"SELECT customer, count(*)::integer FROM orders WHERE customer <> 'stock' GROUP BY customer",
			)) as [string, number][],
		),
		stock: new Set((await rows("SELECT id FROM orders WHERE customer = 'stock'")).flat()),
		receipts: new Set((await rows("SELECT id FROM orders WHERE receipt_sent")).flat()),
		audit: new Map(audit as [string, string][]),
		auditRows: audit.length,
		sessions: sessions?.[0],
		busySessions: sessions?.[1],
	};
}
