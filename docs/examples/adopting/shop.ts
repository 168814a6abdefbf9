import { pipeline } from "node:stream/promises";
import express, { type NextFunction, type Request, type Response } from "express";
import type pg from "pg";
import Cursor from "pg-cursor";
import {
	currentScope,
	openScope,
	provide,
	type Scope,
	token,
	tryCurrentScope,
	use,
} from "yieldscope";
import { handler, releaseErrors, requestScope } from "yieldscope/express";
import { Pool, Tx } from "../transaction/transaction.ts";

/** Sends a mail. */
const SendMail = token<(to: string, text: string) => Promise<void>>("SendMail");

/** The scope around all requests. What it is given stays yours, and isn't released with it. */
export function openRoot(
	pool: pg.Pool,
	sendMail: (to: string, text: string) => Promise<void>,
): Scope {
	return openScope({
		lifetime: "app",
		releaseTimeout: 10_000,
		bindings: [provide(Pool, pool), provide(SendMail, sendMail)],
		onReleaseError: (error) => console.error(tryCurrentScope()?.name, error), // your logger
	});
}

export function createShop(pool: pg.Pool, root: Scope): express.Express {
	const shop = express();
	shop.use(express.json(), requestScope({ parent: root }));

	// as it was
	shop.get("/products/:id", async (req, res) => {
		const { rows } = await pool.query("SELECT name FROM products WHERE id = $1", [req.params.id]);
		if (rows.length > 0) res.json(rows[0]);
		else res.status(404).json({ message: "No such product" });
	});

	// the first to move
	shop.post(
		"/orders",
		handler(async (req, res) => {
			const { customer, product } = req.body;
			if (typeof customer !== "string") {
				res.status(400).json({ message: "Who orders?" }); // no connection was needed for that
				return;
			}
			const tx = await use(Tx);
			const { rows } = await tx.query(
				"INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, 1) RETURNING id",
				[customer, product],
			);
			currentScope().after(async () => {
				const sendMail = await use(SendMail);
				await sendMail(customer, `We have your order ${rows[0].id}`);
			});
			res.status(201).json(rows[0]); // sent when it is committed
		}),
	);

	// a stream
	shop.get(
		"/orders",
		handler(async (_req, res) => {
			res.type("application/x-ndjson");
			await pipeline(exportOrders(), res);
		}),
	);

	shop.use(releaseErrors()); // before your own
	shop.use((error: { status?: number }, _req: Request, res: Response, next: NextFunction) => {
		if (res.closed) return; // nobody is there to be told
		if (res.headersSent) return next(error);
		res.status(error.status ?? 500).json({ message: "Sorry" });
	});
	return shop;
}

async function* exportOrders(): AsyncGenerator<string, void, undefined> {
	const tx = await use(Tx, { lifetime: "request" }); // a handler's ends before the first byte
	const cursor = tx.query(new Cursor("SELECT id, customer, product FROM orders ORDER BY id"));
	try {
		for (;;) {
			const rows = await cursor.read(100);
			if (rows.length === 0) return;
			yield rows.map((row) => `${JSON.stringify(row)}\n`).join("");
		}
	} finally {
		await cursor.close();
	}
}
