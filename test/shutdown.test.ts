import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openScope } from "yieldscope";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { servers } from "../docs/examples/shop/shops.ts";
import type { ShutdownTimes } from "../docs/examples/shutdown/shut-down.ts";
import { Child } from "./child.ts";

// the recipe is for Node; Windows has no signals
const runs = !("Bun" in globalThis) && !("Deno" in globalThis) && process.platform !== "win32";
const NEVER = 600_000;

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!runs).each(Object.keys(servers))(
	"a signal to the shop on %s",
	{
		timeout: 30_000,
	},
	(name) => {
		let config: pg.PoolConfig;
		let client: pg.Client;
		let agent: Agent;
		let child: Child | undefined;
		let port = 0;

		beforeAll(async () => {
			config = await suite.use(database(`${name}_shutdown`));
		}, 60_000);
		beforeEach(async () => {
			client = new pg.Client({
				connectionString: config.connectionString,
				options: config.options,
			});
			await client.connect();
			await client.query("TRUNCATE orders, audit");
			agent = new Agent({ keepAlive: true });
		});
		afterEach(async () => {
			agent.destroy();
			child?.kill("SIGKILL");
			await client.end();
		});

		async function start(times: ShutdownTimes): Promise<Child> {
			const args = [name, JSON.stringify(config), JSON.stringify(times)];
			child = new Child("shutdown/server.ts", ...args);
			await child.until(/^listening/);
			port = Number(child.lines[0]?.split(" ")[1]);
			return child;
		}

		const order = (id: string) => send(port, id, agent);

		async function orders(): Promise<string[]> {
			const { rows } = await client.query({
				text: "SELECT customer FROM orders ORDER BY 1",
				rowMode: "array",
			});
			return rows.flat();
		}

		it("under load: whatever is committed is acknowledged, and nothing is refused", async () => {
			const server = await start({ abortAt: NEVER, cutAt: NEVER, exitAt: NEVER });
			const acknowledged: string[] = [];
			const refused: unknown[] = [];
			const customer = async (customer: number) => {
				for (let i = 0; ; i++) {
					const id = `customer-${customer}-${i}`;
					const answer = await order(id).catch(() => undefined);
					if (answer === undefined) return; // no connection any more
					if (answer.statusCode === 201) acknowledged.push(id);
					else refused.push(answer.statusCode);
					if (acknowledged.length === 100) server.kill("SIGTERM");
				}
			};
			await Promise.all(Array.from({ length: 20 }, (_, i) => customer(i)));
			expect(await server.exited).toEqual({ code: 0, stderr: "" });
			expect(refused).toEqual([]);
			expect(acknowledged.length).toBeGreaterThanOrEqual(100);
			expect(await orders()).toEqual(acknowledged.sort());
			expect(server.lines.at(-1)).toBe("closed, pool ended: true");
		});

		it("takes no new connections, and lets the requests end that it has", async () => {
			const server = await start({ abortAt: NEVER, cutAt: NEVER, exitAt: NEVER });
			await client.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
			const ids = Array.from({ length: 14 }, (_, i) => `locked-${i}`);
			const answers = Promise.all(ids.map((id) => order(id)));
			// ten wait for the table, four for a connection
			for (const id of ids) await server.until(`${id} + AuditLog`);
			await server.until(/BEGIN/, 10);
			server.kill("SIGTERM");
			await server.until("stopping");
			expect(await refusal(port)).toBe("ECONNREFUSED");
			await client.query("COMMIT");
			expect((await answers).map(seen)).toEqual(ids.map(() => [201, "close"]));
			expect(await server.exited).toEqual({ code: 0, stderr: "" });
			expect(await orders()).toEqual(ids.sort());
			expect(server.lines.at(-1)).toBe("closed, pool ended: true");
		});

		it("sends to its end what it has begun to send, and then closes the connection", async () => {
			const server = await start({ abortAt: NEVER, cutAt: NEVER, exitAt: NEVER });
			const headers = { "x-request-id": "export" };
			const answer = await fetch(`http://127.0.0.1:${port}/products`, { headers });
			expect(answer.headers.get("connection")).toBe("keep-alive");
			server.kill("SIGTERM");
			await server.until("stopping");
			expect(server.lines).not.toContain("export - Catalogue: cursor");
			const lines = (await answer.text()).trimEnd().split("\n");
			expect(lines.length).toBe(PRODUCTS);
			expect(await server.exited).toEqual({ code: 0, stderr: "" });
		});

		it("aborts the requests that take too long, and rolls them back", async () => {
			const server = await start({ abortAt: 1, cutAt: NEVER, exitAt: NEVER });
			const answer = order("patient");
			await server.until("patient   waits");
			server.kill("SIGTERM");
			expect(seen(await answer)).toEqual([503, "close"]);
			expect(await server.exited).toEqual({ code: 0, stderr: "" });
			expect(await orders()).toEqual([]);
			expect(server.lines.slice(1)).toEqual([
				"patient + AuditLog",
				"patient + Connection",
				"patient + Tx: BEGIN",
				"patient   waits",
				"stopping",
				"patient - Tx: ROLLBACK, 503",
				"patient - Connection",
				"patient - AuditLog: failed",
				"closed, pool ended: true",
			]);
		});

		it("aborts what goes on after the response", async () => {
			const server = await start({ abortAt: 1, cutAt: NEVER, exitAt: NEVER });
			expect((await order("background")).statusCode).toBe(201);
			server.kill("SIGTERM");
			expect(await server.exited).toEqual({ code: 0, stderr: "" });
			expect(server.lines.at(-1)).toBe("closed, pool ended: true");
		});

		it("cuts those that take no notice, and exits with an error if they go on", async () => {
			const server = await start({ abortAt: 1, cutAt: 2, exitAt: 300 });
			const answer = order("stubborn");
			await server.until("stubborn   waits");
			server.kill("SIGTERM");
			await expect(answer).rejects.toThrow("socket hang up");
			expect(await server.exited).toEqual({ code: 1, stderr: "killed by timeout (300ms)\n" });
			expect(await orders()).toEqual([]);
			expect(server.lines.at(-1)).toBe("stopping");
		});

		it("ends at once at a second signal", async () => {
			const server = await start({ abortAt: NEVER, cutAt: NEVER, exitAt: NEVER });
			const answer = order("stubborn");
			await server.until("stubborn   waits");
			server.kill("SIGTERM");
			await server.until("stopping");
			server.kill("SIGTERM");
			await expect(answer).rejects.toThrow("socket hang up");
			expect(await server.exited).toEqual({ code: 1, stderr: "second SIGTERM, exiting\n" });
			expect(await orders()).toEqual([]);
		});
	},
);

function send(port: number, id: string, agent: Agent): Promise<IncomingMessage> {
	const body = JSON.stringify({ product: 1, quantity: 1 });
	const headers = {
		"x-request-id": id,
		"x-user": id,
		"content-type": "application/json",
		"content-length": body.length,
	};
	return new Promise((resolve, reject) => {
		const options = { port, host: "127.0.0.1", method: "POST", path: "/orders", headers, agent };
		const req = request(options, (response) => {
			response.resume();
			response.on("end", () => resolve(response));
			response.on("error", reject);
		});
		req.on("error", reject);
		req.end(body);
	});
}

function seen({ statusCode, headers }: IncomingMessage): unknown[] {
	return [statusCode, headers.connection];
}

/** Why no connection can be made. */
async function refusal(port: number): Promise<string | undefined> {
	const socket = connect(port, "127.0.0.1");
	try {
		await once(socket, "connect");
		return undefined;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code;
	} finally {
		socket.destroy();
	}
}
