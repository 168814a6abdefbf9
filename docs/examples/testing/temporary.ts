import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { resource } from "yieldscope";
import { Postgres } from "../shop/postgres.ts";
import { Connection, SCHEMA } from "./orders.ts";

/** An empty folder, removed with all that is in it. */
export const TemporaryDirectory = resource(async function* TemporaryDirectory() {
	const path = await mkdtemp(join(tmpdir(), "test-"));
	try {
		yield path;
	} finally {
		await rm(path, { recursive: true, force: true });
	}
});

/** A connection that creates databases and drops them. */
const Admin = resource(
	{ url: Postgres },
	async function* Admin({ url }) {
		const client = new pg.Client({ connectionString: url });
		await client.connect();
		try {
			yield client;
		} finally {
			await client.end();
		}
	},
	{ lifetime: "process" },
);

/** A database with all tables, made once. */
const Template = resource(
	{ admin: Admin, url: Postgres },
	async function* Template({ admin, url }) {
		const name = uniqueName("template");
		await admin.query(`CREATE DATABASE ${name}`);
		try {
			const client = new pg.Client({ connectionString: urlOf(url, name) });
			await client.connect();
			// nobody may be connected to what is copied
			await client.query(SCHEMA).finally(() => client.end());
			yield name;
		} finally {
			await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
		}
	},
	{ lifetime: "process" },
);

/** The address of a database of one's own, a copy of the template. */
export const TemporaryDatabase = resource(
	{ admin: Admin, template: Template, url: Postgres },
	async function* TemporaryDatabase({ admin, template, url }) {
		const name = uniqueName("test");
		await admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
		try {
			yield urlOf(url, name);
		} finally {
			await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
		}
	},
);

/** One for as long as a scope of the lifetime `"file"` is open. */
export const SharedDatabase = resource({ url: TemporaryDatabase }, ({ url }) => url, {
	name: "SharedDatabase",
	lifetime: "file",
});

/** An empty `orders` in front of the real one, for whoever uses the same connection. */
export const TemporaryTable = resource(
	{ connection: Connection },
	async function* TemporaryTable({ connection }) {
		await connection.query("CREATE TEMPORARY TABLE orders (LIKE public.orders INCLUDING ALL)");
		try {
			yield "orders";
		} finally {
			await connection.query("DROP TABLE pg_temp.orders");
		}
	},
);

function uniqueName(kind: string): string {
	return `${kind}_${randomBytes(6).toString("hex")}`;
}

function urlOf(server: string, database: string): string {
	return Object.assign(new URL(server), { pathname: database }).href;
}
