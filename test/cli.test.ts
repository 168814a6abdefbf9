import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openScope } from "yieldscope";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { Child } from "./child.ts";

// the commands are Node's; Windows has no signals
const runs = !("Bun" in globalThis) && !("Deno" in globalThis) && process.platform !== "win32";

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!runs)("a command", { timeout: 60_000 }, () => {
	let url: URL;
	let client: pg.Client;

	beforeAll(async () => {
		const config = await suite.use(database("cli"));
		url = new URL(config.connectionString ?? "");
		url.searchParams.set("options", config.options ?? "");
		url.searchParams.set("application_name", config.application_name ?? "");
		client = new pg.Client({ connectionString: config.connectionString, options: config.options });
		await client.connect();
		suite.defer(() => client.end());
	}, 60_000);

	let command: Child;
	afterEach(async () => {
		command.kill("SIGKILL"); // should a test have failed
		await client.query("ROLLBACK; TRUNCATE orders");
	});

	function start(): void {
		command = new Child("cli/import-orders.ts", url.href);
	}

	const send = (customer: string, product = 1) =>
		command.send(JSON.stringify({ customer, product, quantity: 1 }));

	async function orders(): Promise<string[]> {
		const { rows } = await client.query("SELECT customer FROM orders ORDER BY customer");
		return rows.map(({ customer }) => customer);
	}

	const noConnections = () =>
		vi.waitFor(async () => {
			const { rowCount } = await client.query(
				"SELECT FROM pg_stat_activity WHERE application_name = $1",
				[url.searchParams.get("application_name")],
			);
			expect(rowCount).toBe(0);
		}, 5_000);

	it("commits and exits with 0 when it has succeeded", async () => {
		start();
		send("ada");
		send("bob");
		command.end();
		expect(await command.exited).toEqual({
			code: 0,
			stderr: "+ Connection\n+ Tx\n- Tx: success\n- Connection: success\n",
		});
		expect(await orders()).toEqual(["ada", "bob"]);
	});

	it("rolls back and exits with 1 when it has failed", async () => {
		start();
		send("ada");
		send("bob", PRODUCTS + 1);
		command.end();
		const { code, stderr } = await command.exited;
		expect(code).toBe(1);
		expect(stderr).toMatch(
			/^\+ Connection\n\+ Tx\n- Tx: error\n- Connection: failure\nerror: .* violates foreign key constraint/,
		);
		expect(await orders()).toEqual([]);
	});

	it.each(["SIGINT", "SIGTERM"] as const)(
		"rolls back and ends by the %s that it gets",
		async (signal) => {
			start();
			send("ada");
			send("bob");
			await command.until("2");
			command.kill(signal);
			expect(await command.exited).toEqual({
				code: signal,
				stderr: "+ Connection\n+ Tx\n- Tx: failure\n- Connection: failure\n",
			});
			expect(await orders()).toEqual([]);
			await noConnections();
		},
	);

	it("ends at once at a second signal", async () => {
		await client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
		start();
		send("ada");
		await vi.waitFor(async () => {
			const { rowCount } = await client.query(
				"SELECT FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted",
			);
			expect(rowCount).toBe(1);
		}, 10_000);
		command.kill("SIGINT");
		command.kill("SIGTERM");
		const { code, stderr } = await command.exited;
		expect(["SIGINT", "SIGTERM"]).toContain(code); // the kernel may turn them round
		expect(stderr).toBe("+ Connection\n+ Tx\n");
		await client.query("ROLLBACK");
		await noConnections();
	});
});
