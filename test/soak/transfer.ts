import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import type pg from "pg";
import type Cursor from "pg-cursor";
import { type Binding, override, resource } from "yieldscope";
import {
	AuditLog,
	Catalogue,
	type Product,
	RequestId,
	Tx,
} from "../../docs/examples/shop/resources.ts";
import type { Kind } from "./plan.ts";

/** What a fault throws. */
class Fault extends Error {
	override readonly name = "Fault";
}

/** What a release may take, in milliseconds. */
export const RELEASE_TIMEOUT = 1_000;

/** What a server tells of an order: before its first row, before the COMMIT, and when PostgreSQL has confirmed that. */
export type Mark = "begun" | "commits" | "committed";

/** The parts of a request's name: its kind, and the number that is the amount. */
function partsOf(request: string): { kind: Kind; amount: number } {
	const [, kind, amount] = /^(.+)-(\d+)$/.exec(request) ?? [];
	return { kind: kind as Kind, amount: Number(amount) }; // the plan made it
}

async function hang(): Promise<never> {
	await setTimeout(2 * RELEASE_TIMEOUT);
	throw new Fault("in a release that nobody waits for any more");
}

/**
 * Makes of an order a transfer: the debit is written before the handler, the credit when it has succeeded, in the shop's
 * own transaction. So an order that is there without its legs, or with one of them, was committed when it ought not be.
 */
function transfer(mark: (mark: Mark, request: string, xid?: string) => void) {
	return resource(
		{ tx: Tx, request: RequestId },
		async function* Transfer({ tx, request }) {
			const { kind, amount } = partsOf(request);
			const write = (account: string, change: number) =>
				tx.query("INSERT INTO ledger (customer, account, amount) VALUES ($1, $2, $3)", [
					request,
					account,
					change,
				]);
			const { rows } = await tx.query<{ xid: string }>("SELECT pg_current_xact_id()::text AS xid");
			mark("begun", request, rows[0]?.xid);
			await write("customer", -amount);
			if (kind === "setup") throw new Fault("in a setup");
			yield tx;
			await write("shop", amount);
			if (kind === "release") throw new Fault("in a release");
			if (kind === "hang") await hang();
			mark("commits", request);
			// ends a connection that has a query under way by cutting it
			if (kind === "cut") setImmediate(() => void tx.end());
		},
		{ lifetime: "handler" },
	);
}

const FailingAuditLog = resource(
	{ audit: AuditLog, request: RequestId },
	async function* FailingAuditLog({ audit, request }) {
		yield audit;
		const { kind } = partsOf(request);
		if (kind === "audit") throw new Fault("in a release after the response");
		if (kind === "audit-hang") await hang();
	},
	{ lifetime: "request" },
);

/** pg-cursor never settles some reads whose connection is lost: https://github.com/brianc/node-postgres/issues/2468 */
const MortalCatalogue = resource(
	{ catalogue: Catalogue },
	async function* MortalCatalogue({ catalogue }) {
		const { connection } = catalogue as unknown as { connection: pg.Connection | null };
		if (connection === null) {
			yield catalogue; // it couldn't be submitted any more
			return;
		}
		const listening = new AbortController();
		const lost = once(connection, "end", listening).then((): never => {
			throw new Error("Connection terminated in mid-export");
		});
		lost.catch(() => {}); // when nobody reads
		const read = (count: number) => Promise.race([catalogue.read(count), lost]);
		try {
			yield { read } as Cursor<Product>; // nobody calls anything else
		} finally {
			listening.abort();
		}
	},
	{ lifetime: "request" },
);

/** Keeps the books, and makes the shop fail for the requests whose name says so. */
export function transfers(
	mark: (mark: Mark, request: string, xid?: string) => void,
): readonly Binding[] {
	return [
		override(Tx, transfer(mark)),
		override(AuditLog, FailingAuditLog),
		override(Catalogue, MortalCatalogue),
	];
}
