import { resource } from "yieldscope";
import { Tx } from "./transaction.ts";

/** A repository: what the rest of the app sees of the database. It lives no longer than its transaction. */
export const Orders = resource(
	{ tx: Tx },
	({ tx }) => ({
		async place(customer: string, product: number): Promise<number> {
			const { rows } = await tx.query<{ id: number }>(
				"INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, 1) RETURNING id",
				[customer, product],
			);
			return (rows[0] as { id: number }).id; // an INSERT without conflict returns its row
		},
	}),
	{ name: "Orders", lifetime: "handler" },
);
