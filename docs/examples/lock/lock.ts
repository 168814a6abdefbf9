import pg from "pg";
import { type Resource, resource } from "yieldscope";
import { Database } from "../transaction/transaction.ts";

/** Somebody else has the lock, and one wasn't to wait. */
export class LockTakenError extends Error {
	override readonly name = "LockTakenError";
}

/** The connection to the database is lost, and the lock with it. */
export class LockLostError extends Error {
	override readonly name = "LockLostError";
}

export interface LockOptions {
	/**
	 * Whether to wait until whoever has it is done, or to throw a {@link LockTakenError}.
	 *
	 * @defaultValue `true`
	 */
	readonly wait?: boolean;
}

/**
 * A lock in PostgreSQL, which one scope has at a time, in whatever process: from the `use` until the scope closes. Make
 * it once for a key; two of them wait for each other even in the same scope.
 *
 * It has a connection of its own. Whatever ends that frees the lock, a killed process too; and nothing can bring it back
 * to a pool with the lock on it, or leave the holder without a connection, because the pool's are all taken by those who
 * wait. If it is lost, the scope is aborted with a {@link LockLostError}.
 */
export function lock(key: string, { wait = true }: LockOptions = {}): Resource<void> {
	return resource(
		{ database: Database },
		async function* ({ database }, { scope, signal }) {
			const client = new pg.Client({ ...database, keepAlive: true });
			let held = false;
			client.on("error", (cause) => {
				if (held) scope.abort(new LockLostError(`Lost the lock "${key}"`, { cause }));
			});
			try {
				await client.connect();
				// the server leaves the queue for a client that is gone; else it finds out when it has got the lock
				await client.query("SET client_connection_check_interval = '1s'");
				held = await take(client, key, wait, signal);
				if (!held) throw new LockTakenError(`Somebody else has the lock "${key}"`);
				yield;
			} finally {
				held = false;
				await client.end();
			}
		},
		{ name: `lock "${key}"` },
	);
}

async function take(
	client: pg.Client,
	key: string,
	wait: boolean,
	signal: AbortSignal,
): Promise<boolean> {
	const disconnect = () => void client.end();
	signal.throwIfAborted();
	signal.addEventListener("abort", disconnect);
	try {
		const sql = wait
			? "SELECT true AS held FROM pg_advisory_lock(hashtextextended($1, 0))"
			: "SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS held";
		const { rows } = await client.query<{ held: boolean }>(sql, [key]);
		return rows[0]?.held === true;
	} catch (error) {
		signal.throwIfAborted();
		throw error;
	} finally {
		signal.removeEventListener("abort", disconnect);
	}
}
