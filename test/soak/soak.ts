import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { resource, use } from "yieldscope";
import { database } from "../../docs/examples/shop/schema.ts";
import { seeded } from "../load/random.ts";
import { Clients } from "./clients.ts";
import { type Books, fatesOf, killSession, openBooks, readBooks, sessionsOf } from "./ledger.ts";
import { Lives } from "./lives.ts";
import type { Visit } from "./plan.ts";
import type { Answer } from "./send.ts";
import { type Check, fateOf, judge, type Marks, presenceOf } from "./verdict.ts";

interface SoakOptions {
	/** The server's. */
	readonly name: string;
	readonly seconds: number;
	readonly seed: number;
}

/** How many there are, by two properties. */
type Tally = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** What was thrown at a server, and what was found. */
export interface Report {
	/** Requests by kind and by what the client saw. */
	readonly answers: Tally;
	/** Orders by what the client may conclude and by what there is. */
	readonly orders: Tally;
	/** Those in doubt by kind and by what there is. */
	readonly inDoubt: Tally;
	readonly sessionsKilled: number;
	readonly ended: Lives["ended"];
	/** The statuses of plain orders but 201. */
	readonly refusedPlain: readonly (number | undefined)[];
	/** In bytes, before and after most of the last process's requests. */
	readonly heap: readonly [before: number, after: number];
	readonly checks: readonly Check[];
}

const POOL = 4;

/**
 * Sends a shop all that the plan has, while its sessions in PostgreSQL are killed and its process is; then, to a process
 * that lives on, the same again, to see whether that keeps what it has used.
 */
export async function soak({ name, seconds, seed }: SoakOptions): Promise<Report> {
	const database = await use(smallDatabase(name));
	const application = String(database.application_name);
	const client = await use(clientOf(database));
	await openBooks(client);
	const lives = await use(livesOf(name, database));
	await lives.start();
	const clients = new Clients(lives, seed);
	const { answers } = clients;

	const random = seeded(seed);
	let sessionsKilled = 0;
	const kill = async () => {
		await setTimeout(random() * 2_000);
		sessionsKilled += await killSession(client, application, random());
	};
	const restart = async () => {
		await setTimeout(2_000 + random() * 6_000);
		await lives.end(random() < 0.5 ? "SIGTERM" : "SIGKILL");
		await lives.start();
	};
	const sessionsOnce = (open: number) =>
		settled(
			() => sessionsOf(client, application),
			(sessions) => sessions.open === open,
		);

	await during(during(clients.load(0.5 * seconds), kill), restart);
	await lives.end("SIGTERM");
	await lives.start();
	await during(clients.load(0.1 * seconds), kill);
	const before = await lives.state();
	await during(clients.load(0.4 * seconds), kill);
	const after = await lives.state();
	const sessions = await sessionsOnce(after.connections);
	const plain = await clients.placePlain(POOL);
	clients.leave();
	await lives.end("SIGTERM");
	const { open: sessionsAtEnd } = await sessionsOnce(0);

	const marks = lives.marks();
	const xids = [...marks.values()].map(({ xid }) => xid);
	const [fates, books] = [await fatesOf(client, xids), await readBooks(client)];
	return {
		...tallies(answers, marks, books),
		sessionsKilled,
		ended: lives.ended,
		refusedPlain: plain.filter((status) => status !== 201),
		heap: [before.heap, after.heap],
		checks: judge({
			answers,
			marks,
			fates,
			books,
			states: [before, after],
			sessions,
			sessionsAtEnd,
			strays: lives.strays(),
			exits: lives.exits,
			plain,
		}),
	};
}

/** A database whose shop has fewer connections than clients. */
function smallDatabase(name: string) {
	return resource({ database: database(`${name}_soak`) }, ({ database }) => ({
		...database,
		max: POOL,
		connectionTimeoutMillis: 500,
	}));
}

function clientOf({ connectionString, options }: pg.PoolConfig) {
	return resource(async function* client() {
		const client = new pg.Client({ connectionString, options });
		await client.connect();
		try {
			yield client;
		} finally {
			await client.end();
		}
	});
}

function livesOf(name: string, database: pg.PoolConfig) {
	return resource(async function* lives() {
		const lives = new Lives(name, database);
		try {
			yield lives;
		} finally {
			lives.kill(); // should the soak have failed
		}
	});
}

/** Repeats `fault` while `work` goes on. */
async function during(work: Promise<void>, fault: () => Promise<void>): Promise<void> {
	let isOver = false;
	const faults = async () => {
		while (!isOver) await fault();
	};
	const over = work.finally(() => {
		isOver = true;
	});
	await Promise.all([over, faults()]);
}

/** Looks until it is so, for ten seconds at most. */
async function settled<T>(look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
	for (let tries = 0; ; tries++) {
		const seen = await look();
		if (isSo(seen) || tries === 100) return seen;
		await setTimeout(100);
	}
}

function tallies(
	answers: ReadonlyMap<Visit, Answer>,
	marks: ReadonlyMap<string, Marks>,
	{ entries }: Books,
): Pick<Report, "answers" | "orders" | "inDoubt"> {
	const tables = { answers: {}, orders: {}, inDoubt: {} };
	for (const [visit, answer] of answers) {
		const { id, kind, amount } = visit;
		count(tables.answers, kind, answer.reached ? String(answer.status ?? "none") : "not sent");
		if (amount === undefined) continue;
		const fate = fateOf(answer, marks.get(id));
		const presence = presenceOf(entries.get(id), amount);
		count(tables.orders, fate, presence);
		if (fate === "in doubt") count(tables.inDoubt, kind, presence);
	}
	return tables;
}

function count(table: Record<string, Record<string, number>>, row: string, column: string): void {
	table[row] ??= {};
	table[row][column] = (table[row][column] ?? 0) + 1;
}
