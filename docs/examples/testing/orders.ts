import pg from "pg";
import { resource, token } from "yieldscope";

/** Where the database is. */
export const DatabaseUrl = token<string>("DatabaseUrl");

export const Connection = resource({ url: DatabaseUrl }, async function* Connection({ url }) {
	const client = new pg.Client({ connectionString: url });
	await client.connect();
	try {
		yield client;
	} finally {
		await client.end();
	}
});

const Tx = resource({ connection: Connection }, async function* Tx({ connection }) {
	await connection.query("BEGIN");
	try {
		yield connection;
		await connection.query("COMMIT");
	} catch (error) {
		await connection.query("ROLLBACK");
		throw error;
	}
});

export const Clock = resource(() => ({ now: () => new Date() }), { name: "Clock" });

/** What the tests are about. */
export const Orders = resource({ tx: Tx, clock: Clock }, ({ tx, clock }) => ({
	async place(product: string): Promise<void> {
		await tx.query("INSERT INTO orders (product, placed_at) VALUES ($1, $2)", [
			product,
			clock.now(),
		]);
	},
	async list(): Promise<string[]> {
		const text = "SELECT product || ' of ' || extract(year FROM placed_at) FROM orders ORDER BY id";
		const { rows } = await tx.query<[string]>({ text, rowMode: "array" });
		return rows.flat();
	},
}));

export const SCHEMA = `
	CREATE TABLE orders (
		id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		product text NOT NULL,
		placed_at timestamptz NOT NULL
	);
	INSERT INTO orders (product, placed_at) VALUES ('book', '1999-06-01 UTC');
`;
