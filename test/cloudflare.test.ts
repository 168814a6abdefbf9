import { builtinModules } from "node:module";
import { fileURLToPath } from "node:url";
import type { Miniflare } from "miniflare";
import pg from "pg";
import { build, esmExternalRequirePlugin, type Rolldown } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openScope } from "yieldscope";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";

// miniflare is driven from Node
const runs = !("Bun" in globalThis) && !("Deno" in globalThis);

/** The shop as one module, with pg's own code for workers. */
async function bundle(): Promise<string> {
	const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));
	const result = await build({
		configFile: false,
		logLevel: "silent",
		resolve: {
			conditions: ["workerd", "worker", "module", "default"],
			alias: [
				{ find: /^yieldscope$/, replacement: path("../src/index.ts") },
				{ find: /^yieldscope\/(\w+)$/, replacement: path("../src/$1.ts") },
			],
		},
		plugins: [esmExternalRequirePlugin({ external: [/^(?:node|cloudflare):/, ...builtinModules] })],
		build: {
			write: false,
			target: "es2022",
			lib: { entry: path("../docs/examples/cloudflare/worker.ts"), formats: ["es"] },
		},
	});
	const [output] = [result].flat() as Rolldown.RolldownOutput[];
	const chunk = output?.output[0];
	if (chunk === undefined) throw new Error("Nothing was built");
	return chunk.code;
}

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!runs)("Hono on Workers with a database", () => {
	let miniflare: Miniflare;
	let client: pg.Client;
	let user: string;

	beforeAll(async () => {
		const { connectionString, options, application_name } = await suite.use(database("cloudflare"));
		client = new pg.Client({ connectionString, options });
		await client.connect();
		suite.defer(() => client.end());

		// Hyperdrive hands on no options: the user tells which schema
		user = `${application_name}_user`;
		await client.query(`CREATE ROLE ${user} LOGIN PASSWORD '${user}';
			ALTER ROLE ${user} SET search_path TO ${application_name};
			GRANT ALL ON SCHEMA ${application_name} TO ${user};
			GRANT ALL ON ALL TABLES IN SCHEMA ${application_name} TO ${user};
			GRANT ALL ON ALL SEQUENCES IN SCHEMA ${application_name} TO ${user}`);
		suite.defer(async () => void (await client.query(`DROP OWNED BY ${user}; DROP ROLE ${user}`)));
		const url = Object.assign(new URL(String(connectionString)), {
			username: user,
			password: user,
		});

		const { Miniflare } = await import("miniflare");
		miniflare = new Miniflare({
			modules: true,
			script: await bundle(),
			compatibilityDate: "2026-04-01",
			compatibilityFlags: ["nodejs_compat"],
			hyperdrives: { HYPERDRIVE: url.href },
		});
		suite.defer(() => miniflare.dispose());
		await miniflare.ready;
	}, 60_000);

	const order = async (customer: string, product: number) => {
		const response = await miniflare.dispatchFetch("http://shop/orders", {
			method: "POST",
			body: JSON.stringify({ customer, product }),
		});
		return [response.status, await response.text()];
	};
	const customers = async (table: string) => {
		const { rows } = await client.query(`SELECT customer FROM ${table} ORDER BY id`);
		return rows.map(({ customer }) => customer);
	};

	afterEach(async () => {
		await client.query("ROLLBACK");
		// no connection is left behind
		await vi.waitFor(async () => {
			const { rowCount } = await client.query("SELECT FROM pg_stat_activity WHERE usename = $1", [
				user,
			]);
			expect(rowCount).toBe(0);
		}, 5_000);
		await client.query("TRUNCATE orders, audit");
	});

	it("commits before the answer, and does the rest after it, by waitUntil", async () => {
		await client.query("BEGIN; LOCK TABLE audit IN EXCLUSIVE MODE");
		expect(await order("ada", 1)).toEqual([201, '{"customer":"ada","product":1}']);
		expect(await customers("orders")).toEqual(["ada"]);
		await client.query("COMMIT");
		await vi.waitFor(async () => expect(await customers("audit")).toEqual(["ada"]), 5_000);
	});

	it("rolls back when the handler fails, and does nothing after that", async () => {
		expect(await order("mallory", 1)).toEqual([402, "No money"]);
		expect(await customers("orders")).toEqual([]);
		expect(await customers("audit")).toEqual([]);
	});

	it("answers with the error of a COMMIT that fails, and does nothing after that", async () => {
		const [status, text] = await order("ada", PRODUCTS + 1);
		expect(status).toBe(500);
		expect(text).toContain("violates foreign key constraint");
		expect(await customers("orders")).toEqual([]);
		expect(await customers("audit")).toEqual([]);
	});

	it("serves 20 requests at once", async () => {
		const answers = await Promise.all(Array.from({ length: 20 }, () => order("ada", 1)));
		expect(new Set(answers.map(([status]) => status))).toEqual(new Set([201]));
		expect(await customers("orders")).toHaveLength(20);
		await vi.waitFor(async () => expect(await customers("audit")).toHaveLength(20), 5_000);
	});
});
