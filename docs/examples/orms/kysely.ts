import { type Generated, Kysely, PostgresDialect } from "kysely";
import { resource } from "yieldscope";
import { Pool } from "../transaction/transaction.ts";

interface Tables {
	orders: { id: Generated<number>; customer: string; product: number; quantity: number };
}

const Db = resource(
	{ pool: Pool },
	function* Db({ pool }) {
		// yielded, not returned: it disposes of itself, and would end the pool, which isn't its own
		yield new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
	},
	{ lifetime: "app" },
);

/** A controlled transaction; `tx.savepoint()` makes savepoints. */
export const Tx = resource(
	{ db: Db },
	async function* Tx({ db }) {
		const tx = await db.startTransaction().execute();
		try {
			yield tx;
			await tx.commit().execute();
		} catch (error) {
			// if even that fails, the connection is closed, and the server rolls back
			await tx
				.rollback()
				.execute()
				.catch(() => {});
			throw error;
		}
	},
	{ lifetime: "handler" },
);

export const Orders = resource(
	{ tx: Tx },
	({ tx }) => ({
		async place(customer: string, product: number): Promise<number> {
			const order = { customer, product, quantity: 1 };
			const { id } = await tx
				.insertInto("orders")
				.values(order)
				.returning("id")
				.executeTakeFirstOrThrow();
			return id;
		},
	}),
	{ name: "Orders", lifetime: "handler" },
);
