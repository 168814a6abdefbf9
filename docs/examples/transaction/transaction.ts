import pg from "pg";
import { resource, token } from "yieldscope";

/** Where the database is. Bound once, on the app's scope. */
export const Database = token<pg.PoolConfig>("Database");

export const Pool = resource(
	{ database: Database },
	async function* Pool({ database }) {
		const pool = new pg.Pool(database);
		// a lost connection rejects its query; without a listener it would end the process, too
		pool.on("error", () => {});
		pool.on("connect", (client) => client.on("error", () => {}));
		try {
			yield pool;
		} finally {
			await pool.end();
		}
	},
	{ lifetime: "app" },
);

/** A connection for whoever asks: it lives as long as what uses it. */
const Connection = resource({ pool: Pool }, async function* Connection({ pool }) {
	const client = await pool.connect();
	try {
		yield client;
	} finally {
		// what nobody has seen end is still under way: it must not go on under the next one's statements
		client.release(client.getTransactionStatus() !== "I");
	}
});

/** Commits before the response leaves; a COMMIT that fails becomes the response. */
export const Tx = resource(
	{ connection: Connection },
	async function* Tx({ connection }) {
		await connection.query("BEGIN");
		// a statement that comes when this is over, on a connection that may be another's, is an error
		const { proxy: tx, revoke } = Proxy.revocable(connection, {});
		try {
			try {
				yield tx;
			} finally {
				revoke();
			}
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
