import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { Database, Pool } from "./resources.ts";
import { PRODUCTS } from "./schema.ts";
import type { Shop } from "./shops.ts";

/** Makes a request that the inspector has something to say about. `wait` is over when it has gone on for long enough. */
type Trouble = (shop: Shop, wait: () => Promise<unknown>) => Promise<void>;

async function order(shop: Shop, id: string, product = 1): Promise<void> {
	const response = await shop.send(id, "/orders", { product, quantity: 2 });
	await response.text();
}

export const troubles: Readonly<Record<string, Trouble>> = {
	/** Another session has locked the table into which AuditLog writes when it is released. */
	async slowRelease(shop, wait) {
		const client = new pg.Client(await shop.app.use(Database));
		await client.connect();
		try {
			await client.query("BEGIN; LOCK TABLE audit");
			await order(shop, "slow release");
			await wait();
		} finally {
			await client.end();
		}
	},

	/** There is no such product, and it is the COMMIT that finds out. */
	async failingCommit(shop) {
		await order(shop, "failing commit", PRODUCTS + 1);
	},

	/** Somebody else has all connections of the pool. */
	async stuckSetup(shop, wait) {
		const pool = await shop.app.use(Pool);
		const clients = await Promise.all(
			Array.from({ length: pool.options.max }, () => pool.connect()),
		);
		const hold = async () => {
			try {
				await wait();
			} finally {
				for (const client of clients) client.release();
			}
		};
		await Promise.all([order(shop, "stuck setup"), hold()]);
	},

	/** The client reads the beginning of an export, and the rest later. */
	async slowClient(shop, wait) {
		const request = get(`${shop.url}/products`, { headers: { "x-request-id": "slow client" } });
		const [response] = (await once(request, "response")) as [IncomingMessage];
		try {
			await once(response, "readable");
			await wait();
		} finally {
			response.resume();
			await once(response, "end");
		}
	},
};

/** Makes all trouble there is, in one shop after the other, until `signal` says that it is enough. */
export async function makeTrouble(shops: readonly Shop[], signal: AbortSignal): Promise<void> {
	for (;;) {
		for (const shop of shops) {
			for (const make of Object.values(troubles))
				await make(shop, () => setTimeout(2_000, undefined, { signal }));
		}
	}
}
