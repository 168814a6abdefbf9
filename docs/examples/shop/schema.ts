import pg from "pg";
import { type Resource, resource } from "yieldscope";
import { Postgres } from "./postgres.ts";

/** An empty shop in a schema of its own, dropped at the end. */
export function database(shop: string): Resource<pg.PoolConfig> {
	return resource({ url: Postgres }, async function* database({ url }) {
		const name = `shop_${shop.toLowerCase()}_${process.pid}`;
		await execute(url, `CREATE SCHEMA ${name}; SET search_path TO ${name}; ${TABLES}`);
		try {
			yield {
				connectionString: url,
				application_name: name,
				options: `-c search_path=${name}`,
				max: 10,
				connectionTimeoutMillis: 5_000,
			};
		} finally {
			await execute(url, `SET client_min_messages TO warning; DROP SCHEMA ${name} CASCADE`);
		}
	});
}

/** More than a socket's buffers hold, if all are exported. */
export const PRODUCTS = 10_000;

// an order for an unknown product is refused by the COMMIT, not by the INSERT
const TABLES = `
	CREATE TABLE products (id integer PRIMARY KEY, name text NOT NULL);
	CREATE TABLE orders (
		id serial PRIMARY KEY,
		customer text NOT NULL,
		product integer NOT NULL REFERENCES products DEFERRABLE INITIALLY DEFERRED,
		quantity integer NOT NULL,
		receipt_sent boolean NOT NULL DEFAULT false
	);
	CREATE TABLE audit (
		id serial PRIMARY KEY,
		customer text NOT NULL,
		entries text[] NOT NULL,
		outcome text NOT NULL
	);
	INSERT INTO products
		SELECT n, 'Product ' || n || ', ' || repeat(md5(n::text), 20) FROM generate_series(1, ${PRODUCTS}) n;
`;

async function execute(connectionString: string, sql: string): Promise<void> {
	const client = new pg.Client({ connectionString });
	await client.connect();
	try {
		await client.query(sql);
	} finally {
		await client.end();
	}
}
