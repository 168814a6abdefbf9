import { setTimeout } from "node:timers/promises";
import createError from "http-errors";
import type pg from "pg";
import type Cursor from "pg-cursor";
import { currentScope } from "yieldscope";
import type { Audit, Log, Product } from "./resources.ts";

export interface NewOrder {
	readonly product: number;
	readonly quantity: number;
	/** An earlier order that this one replaces. */
	readonly replaces?: number;
}

export async function placeOrder(
	deps: { tx: pg.ClientBase; user: { id: string }; audit: Audit; log: Log },
	order: NewOrder,
): Promise<{ id: number }> {
	const { tx, user, audit, log } = deps;
	const { rows } = await tx.query<{ id: number }>(
		"INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, $3) RETURNING id",
		[user.id, order.product, order.quantity],
	);
	const placed = rows[0] as { id: number }; // an INSERT without conflict returns its row
	log("  handler: order inserted");
	audit(`order ${placed.id}`);
	if (order.replaces !== undefined) {
		const { rowCount } = await tx.query("DELETE FROM orders WHERE id = $1", [order.replaces]);
		if (rowCount === 0) throw createError(404, `No order ${order.replaces}`);
		audit(`replaces ${order.replaces}`);
	}
	return placed;
}

/** The receipt goes out after the response, and only if that went well. */
export async function requestReceipt(
	deps: { pool: pg.Pool; audit: Audit; log: Log },
	order: number,
): Promise<{ message: string }> {
	const { pool, audit, log } = deps;
	const { rowCount } = await pool.query("SELECT FROM orders WHERE id = $1", [order]);
	if (rowCount === 0) throw createError(404, `No order ${order}`);
	log("  handler: receipt queued");
	currentScope().after(async () => {
		log("  after: begins");
		await setTimeout(5); // the mail server
		await pool.query("UPDATE orders SET receipt_sent = true WHERE id = $1", [order]);
		audit(`receipt ${order}`);
		log("  after: receipt sent");
	});
	return { message: "The receipt will follow" };
}

/** All products, one JSON line each. */
export async function* exportProducts(deps: {
	catalogue: Cursor<Product>;
	log: Log;
}): AsyncGenerator<Buffer, void, undefined> {
	const { catalogue, log } = deps;
	let count = 0;
	try {
		for (;;) {
			const rows = await catalogue.read(100);
			if (rows.length === 0) return;
			count += rows.length;
			yield Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
		}
	} finally {
		log(`  body: ends, ${count} rows`);
	}
}

/** What a client is told about an error. */
export function problemOf(error: unknown): { status: number; message: string } {
	return createError.isHttpError(error)
		? { status: error.status, message: error.message }
		: { status: 500, message: "Internal Server Error" };
}
