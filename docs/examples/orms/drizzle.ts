import { sql } from "drizzle-orm";
import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import { integer, pgTable, serial, text } from "drizzle-orm/pg-core";
import { resource } from "yieldscope";
import { Pool } from "../transaction/transaction.ts";
import { fromCallback } from "./from-callback.ts";

const orders = pgTable("orders", {
	id: serial().primaryKey(),
	customer: text().notNull(),
	product: integer().notNull(),
	quantity: integer().notNull(),
});

type Transaction = Parameters<Parameters<NodePgDatabase["transaction"]>[0]>[0];

/** Drizzle's own transaction; its `transaction()` makes savepoints. */
export const Tx = resource(
	{ pool: Pool },
	({ pool }) =>
		fromCallback<Transaction>((work) =>
			drizzle({ client: pool }).transaction(async (tx) => {
				await work(tx);
				// fails after a failed statement, where PostgreSQL answers COMMIT by rolling back, without a word
				await tx.execute(sql`SELECT`);
			}),
		),
	{ name: "Tx", lifetime: "handler" },
);

export const Orders = resource(
	{ tx: Tx },
	({ tx }) => ({
		async place(customer: string, product: number): Promise<number> {
			const order = { customer, product, quantity: 1 };
			const [placed] = await tx.insert(orders).values(order).returning({ id: orders.id });
			return (placed as { id: number }).id; // an INSERT without conflict returns its row
		},
	}),
	{ name: "Orders", lifetime: "handler" },
);
