import { randomUUID } from "node:crypto";
import createError from "http-errors";
import { type Dispatcher, Pool } from "undici";
import { resource, token } from "yieldscope";

/** Where the warehouse is. Bound once, on the app's scope. */
export const WarehouseUrl = token<string>("WarehouseUrl");

/** The connections to it, kept alive, which all requests share. */
export const Connections = resource(
	{ url: WarehouseUrl },
	async function* Connections({ url }) {
		const pool = new Pool(url, { connections: 10, headersTimeout: 2_000, bodyTimeout: 2_000 });
		try {
			yield pool;
		} finally {
			await pool.destroy(); // nobody uses it any more
		}
	},
	{ lifetime: "app" },
);

/** The warehouse, for one handler: what that has reserved is given back if it fails. */
export const Warehouse = resource(
	{ connections: Connections },
	async function* Warehouse({ connections }, { signal }) {
		const reservations: string[] = [];

		async function send(options: Dispatcher.RequestOptions): Promise<void> {
			const { statusCode, body } = await connections.request(options).catch((cause) => {
				if (signal.aborted) throw cause;
				throw createError(503, "The warehouse can't be reached", { cause });
			});
			await body.dump(); // a body that nobody reads would keep its connection
			if (statusCode === 409) throw createError(409, "Not in stock");
			if (statusCode >= 400) throw createError(502, `The warehouse says ${statusCode}`);
		}

		async function reserve(product: number): Promise<string> {
			const path = `/reservations/${randomUUID()}`;
			// before the answer: if that is lost, nobody knows whether it was done
			reservations.push(path);
			await send({ method: "PUT", path, body: JSON.stringify({ product }), signal });
			return path;
		}

		try {
			yield { reserve };
		} catch (error) {
			// without the signal, which may be why we are here
			const undone = reservations.map((path) => send({ method: "DELETE", path }));
			await Promise.allSettled(undone);
			throw error;
		}
	},
	{ lifetime: "handler" },
);
