import type pg from "pg";
import { STOCK } from "./plan.ts";
import { RELEASE_TIMEOUT } from "./transfer.ts";

// nothing is unique: what is written twice is to be seen
const TABLES = `
	CREATE TABLE ledger (
		id bigserial PRIMARY KEY,
		customer text NOT NULL,
		account text NOT NULL,
		amount bigint NOT NULL
	);
	INSERT INTO orders (customer, product, quantity) VALUES ('${STOCK}', 1, 1);
	CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(${(1.5 * RELEASE_TIMEOUT) / 1000}); RETURN NULL; END $$;
	-- before the check of the foreign key: triggers go by their names
	CREATE CONSTRAINT TRIGGER "A linger" AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.customer LIKE 'stuck%') EXECUTE FUNCTION linger();
`;

/** Adds the books to a shop's schema. */
export async function openBooks(client: pg.Client): Promise<void> {
	await client.query(TABLES);
}

/** What is there of one customer: the quantities ordered, and what was written on the two sides. */
export interface Entry {
	readonly orders: readonly number[];
	readonly debits: readonly number[];
	readonly credits: readonly number[];
}

/** What PostgreSQL knows. */
export interface Books {
	/** By customer. */
	readonly entries: ReadonlyMap<string, Entry>;
	/** The sum of the ledger. */
	readonly balance: number;
}

export async function readBooks(client: pg.Client): Promise<Books> {
	const { rows } = await client.query({ text: ENTRIES, values: [STOCK], rowMode: "array" });
	const sum = await client.query("SELECT coalesce(sum(amount), 0)::float8 AS balance FROM ledger");
	return {
		entries: new Map(
			rows.map(([customer, orders, debits, credits]) => [customer, { orders, debits, credits }]),
		),
		balance: sum.rows[0].balance,
	};
}

const ENTRIES = `
	SELECT
		customer,
		coalesce(array_agg(amount) FILTER (WHERE account = 'order'), '{}'),
		coalesce(array_agg(amount) FILTER (WHERE account = 'customer'), '{}'),
		coalesce(array_agg(amount) FILTER (WHERE account = 'shop'), '{}')
	FROM (
		SELECT customer, account, amount::float8 FROM ledger
		UNION ALL SELECT customer, 'order', quantity FROM orders WHERE customer <> $1
	) AS entries
	GROUP BY customer
`;

/** What became of transactions, by their ids: `committed`, `aborted`, `in progress`. */
export async function fatesOf(
	client: pg.Client,
	xids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
	const { rows } = await client.query({
		text: "SELECT xid, pg_xact_status(xid::xid8) FROM unnest($1::text[]) AS xid",
		values: [xids],
		rowMode: "array",
	});
	return new Map(rows as [string, string][]);
}

/** How many sessions an application has, and how many of them are at something. */
export async function sessionsOf(
	client: pg.Client,
	application: string,
): Promise<{ readonly open: number; readonly busy: number }> {
	const { rows } = await client.query(
		"SELECT count(*)::integer AS open, count(*) FILTER (WHERE state <> 'idle')::integer AS busy FROM pg_stat_activity WHERE application_name = $1",
		[application],
	);
	return rows[0];
}

/** Kills one of an application's sessions: the one that is so far down the list, from 0 to 1. */
export async function killSession(
	client: pg.Client,
	application: string,
	share: number,
): Promise<number> {
	const { rows } = await client.query(
		`SELECT pg_terminate_backend(pid) AS killed FROM pg_stat_activity WHERE application_name = $1
			ORDER BY pid OFFSET floor($2::float8 * (SELECT count(*) FROM pg_stat_activity WHERE application_name = $1)) LIMIT 1`,
		[application, share],
	);
	return rows[0]?.killed ? 1 : 0;
}
