import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import pg from "pg";
import { currentScope, resource, use } from "yieldscope";
import { HttpContext, handler, releaseErrors, requestScope } from "yieldscope/hono";

/** What wrangler.jsonc binds. */
interface Env {
	readonly Bindings: { readonly HYPERDRIVE: { readonly connectionString: string } };
}

/** A connection of one's own: a worker can't share it between requests. Hyperdrive has the pool. */
const Connection = resource({ context: HttpContext }, async function* Connection({ context }) {
	const { HYPERDRIVE }: Env["Bindings"] = context.env;
	const client = new pg.Client(HYPERDRIVE);
	await client.connect();
	try {
		yield client;
	} finally {
		await client.end();
	}
});

/** Commits before the response leaves; a COMMIT that fails becomes the response. */
const Tx = resource(
	{ connection: Connection },
	async function* Tx({ connection }) {
		await connection.query("BEGIN");
		try {
			yield connection;
			const { command } = await connection.query("COMMIT");
			if (command !== "COMMIT") throw new Error("A failed statement had ended the transaction");
		} catch (error) {
			// if even that fails, the connection is closed, and the server rolls back
			await connection.query("ROLLBACK").catch(() => {});
			throw error;
		}
	},
	{ lifetime: "handler" },
);

const shop = new Hono<Env>();
shop.use(requestScope());

shop.post(
	"/orders",
	handler({ tx: Tx }, async ({ tx }, c) => {
		const { customer, product } = await c.req.json<{ customer: string; product: number }>();
		await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, 1)", [
			customer,
			product,
		]);
		if (customer === "mallory") throw new HTTPException(402, { message: "No money" });
		// the response doesn't wait for this; requestScope() asks for the time by waitUntil()
		currentScope().after(async () => {
			const connection = await use(Connection);
			await connection.query(
				"INSERT INTO audit (customer, entries, outcome) VALUES ($1, $2, 'done')",
				[customer, [`product ${product}`]],
			);
		});
		return c.json({ customer, product }, 201);
	}),
);

shop.onError(
	releaseErrors((error, c) =>
		error instanceof HTTPException ? error.getResponse() : c.text(error.message, 500),
	),
);

export default shop;
