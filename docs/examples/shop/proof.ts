import pg from "pg";
import { Database, Pool } from "./resources.ts";
import type { Shop } from "./shops.ts";

/** How many orders the demo places that must succeed. */
export const ORDERS = 200;

/** Something that must be so, and what is. */
export interface Proof {
	readonly label: string;
	readonly found: number | undefined;
	readonly expected: number;
}

/** Asks PostgreSQL, the pool and the scopes what the requests have left behind. */
export async function prove(shop: Shop): Promise<Proof[]> {
	const { app, answers, reported, timeline } = shop;
	const pool = await app.use(Pool);
	const { connectionString, options, application_name } = await app.use(Database);

	const having = (test: (status: number) => boolean) =>
		[...answers].filter(([, status]) => test(status)).map(([id]) => id);
	const created = having((status) => status === 201);
	const failed = having((status) => status >= 400);
	const exported = having((status) => status === 200);
	const committed = created.filter((id) => timeline.isOrdered(id, /COMMIT/, /first byte/));
	const held = exported.filter((id) =>
		timeline.isOrdered(id, /last byte|client has gone/, /- Catalogue/),
	);

	const client = new pg.Client({ connectionString, options });
	await client.connect();
	try {
		const { rows } = await client.query(COUNTS, [failed, application_name]);
		const counts: Record<string, number> = rows[0];
		const proof = (label: string, found: number | undefined, expected: number) => ({
			label,
			found,
			expected,
		});
		return [
			proof("answers 201", created.length, ORDERS),
			proof("orders committed", counts.orders, ORDERS),
			proof("... before the first byte", committed.length, ORDERS),
			proof("answers 4xx", failed.length, 2),
			proof("orders of theirs", counts.failed_orders, 0),
			proof("audit rows: done", counts.audit_done, ORDERS + 1),
			proof("audit rows: failed", counts.audit_failed, 2),
			proof("receipts sent after the response", counts.receipts, 1),
			proof("cursors open to the last byte", held.length, 2),
			proof("sessions of the pool", counts.sessions, pool.totalCount),
			proof("... in a transaction", counts.in_transaction, 0),
			proof("connections idle in the pool", pool.idleCount, pool.totalCount),
			proof("requests waiting for one", pool.waitingCount, 0),
			proof("request scopes open", app.inspect().children.length, 0),
			proof("errors reported", reported.length, 0),
		];
	} finally {
		await client.end();
	}
}

const COUNTS = `
	SELECT
		(SELECT count(*) FROM orders)::integer AS orders,
		(SELECT count(*) FROM orders WHERE customer = ANY($1))::integer AS failed_orders,
		(SELECT count(*) FROM orders WHERE receipt_sent)::integer AS receipts,
		(SELECT count(*) FROM audit WHERE outcome = 'done')::integer AS audit_done,
		(SELECT count(*) FROM audit WHERE outcome = 'failed')::integer AS audit_failed,
		count(*)::integer AS sessions,
		count(*) FILTER (WHERE state <> 'idle')::integer AS in_transaction
	FROM pg_stat_activity WHERE application_name = $2
`;
