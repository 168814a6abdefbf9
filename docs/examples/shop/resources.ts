import createError from "http-errors";
import pg from "pg";
import Cursor from "pg-cursor";
import { resource, token } from "yieldscope";

/** Where the database is. Bound once, on the app's scope. */
export const Database = token<pg.PoolConfig>("Database");

/** What the app logs to. Bound once, on the app's scope. */
export const Logger = token<(request: string, event: string) => void>("Logger");

/** Bound by each server from the request's headers. */
export const RequestId = token<string>("RequestId");
export const CurrentUserId = token<string>("CurrentUserId");

export type Log = (event: string) => void;

/** The request's own log. */
export const Log = resource(
	{ logger: Logger, request: RequestId },
	({ logger, request }): Log =>
		(event) =>
			logger(request, event),
	{ name: "Log", lifetime: "request" },
);

export const CurrentUser = resource(
	{ id: CurrentUserId },
	({ id }) => {
		if (id === "") throw createError(401, "Say who you are: x-user");
		return { id };
	},
	{ name: "CurrentUser", lifetime: "request" },
);

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
const Connection = resource({ pool: Pool, log: Log }, async function* Connection({ pool, log }) {
	const client = await pool.connect().catch((cause) => {
		throw createError(503, "The database can't be reached", { cause });
	});
	log("+ Connection");
	try {
		yield client;
	} finally {
		// what nobody has seen end is still under way: it must not go on under the next one's statements
		client.release(client.getTransactionStatus() !== "I");
		log("- Connection");
	}
});

const FOREIGN_KEY_VIOLATION = "23503";

/** Commits before the response leaves; a COMMIT that fails becomes the response. */
export const Tx = resource(
	{ connection: Connection, log: Log },
	async function* Tx({ connection, log }) {
		await connection.query("BEGIN");
		log("+ Tx: BEGIN");
		try {
			yield connection;
			const { command } = await connection.query("COMMIT");
			if (command !== "COMMIT") throw new Error("A failed statement had ended the transaction");
			log("- Tx: COMMIT");
		} catch (error) {
			await connection.query("ROLLBACK");
			log(`- Tx: ROLLBACK, ${codeOf(error)}`);
			if (codeOf(error) !== FOREIGN_KEY_VIOLATION) throw error;
			throw createError(409, "No such product", { cause: error });
		}
	},
	{ lifetime: "handler" },
);

export type Audit = (entry: string) => void;

/** One row a request, whether it succeeded or not; so it doesn't use the request's transaction. */
export const AuditLog = resource(
	{ pool: Pool, user: CurrentUser, log: Log },
	async function* AuditLog({ pool, user, log }) {
		const entries: string[] = [];
		const write = async (outcome: string) => {
			await pool.query("INSERT INTO audit (customer, entries, outcome) VALUES ($1, $2, $3)", [
				user.id,
				entries,
				outcome,
			]);
			log(`- AuditLog: ${outcome}`);
		};
		const audit: Audit = (entry) => entries.push(entry);
		log("+ AuditLog");
		try {
			yield audit;
			await write("done");
		} catch (error) {
			// a lost row must not hide what went wrong
			await write("failed").catch(() => log("- AuditLog: lost"));
			throw error;
		}
	},
	{ lifetime: "request" },
);

export interface Product {
	readonly id: number;
	readonly name: string;
}

/** A cursor over all products, open until the last byte of the response is out. */
export const Catalogue = resource(
	{ connection: Connection, log: Log },
	async function* Catalogue({ connection, log }) {
		const cursor = connection.query(
			new Cursor<Product>("SELECT id, name FROM products ORDER BY id"),
		);
		log("+ Catalogue: cursor");
		try {
			yield cursor;
		} finally {
			await cursor.close();
			log("- Catalogue: cursor");
		}
	},
	{ lifetime: "request" },
);

function codeOf(error: unknown): string {
	const { code, status, message } = error as { code?: string; status?: number; message?: string };
	return String(code ?? status ?? message);
}
