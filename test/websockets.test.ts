import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { openScope, provide, type Scope } from "yieldscope";
import { expressShop } from "../docs/examples/shop/express.ts";
import { koaShop } from "../docs/examples/shop/koa.ts";
import { Database, Logger, Pool } from "../docs/examples/shop/resources.ts";
import { database, PRODUCTS } from "../docs/examples/shop/schema.ts";
import { honoSockets } from "../docs/examples/websockets/hono.ts";
import { addSockets } from "../docs/examples/websockets/node.ts";
import { Visitors } from "../docs/examples/websockets/orders.ts";

const withSockets = (create: (app: Scope) => Server) => (app: Scope, stop: AbortSignal) => {
	const server = create(app);
	addSockets(server, app, stop);
	return server;
};
const servers: Record<string, (app: Scope, stop: AbortSignal) => Server> = {
	Express: withSockets(expressShop),
	Koa: withSockets(koaShop),
	Hono: honoSockets,
	"Node alone": withSockets(() => createServer()),
};

// ws and upgrades are Node's; Bun and Deno have their own
const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

describe.skipIf(!onNode).each(Object.entries(servers))("WebSockets on %s", (name, create) => {
	let config: pg.PoolConfig;
	let app: Scope;
	let pool: pg.Pool;
	let visitors: ReadonlySet<WebSocket>;
	let server: Server;
	let stop: AbortController;
	let log: string[];
	let reported: unknown[];
	let clients: WebSocket[];

	beforeAll(async () => {
		config = await suite.use(database(`${name.replace(" ", "_")}_sockets`));
	}, 60_000);
	beforeEach(async () => {
		log = [];
		reported = [];
		clients = [];
		stop = new AbortController();
		app = openScope({
			lifetime: "app",
			bindings: [provide(Database, config), provide(Logger, (_who, event) => log.push(event))],
			onReleaseError: (error) => reported.push(error),
		});
		pool = await app.use(Pool);
		visitors = await app.use(Visitors);
		await pool.query("TRUNCATE orders RESTART IDENTITY");
		server = create(app, stop.signal);
		await once(server.listen(0, "127.0.0.1"), "listening");
	});
	afterEach(async () => {
		for (const client of clients) client.terminate();
		server.close();
		server.closeAllConnections();
		await closed();
		expect(pool.idleCount).toBe(pool.totalCount);
		expect(visitors.size).toBe(0);
		await app.disposeAsync();
	});

	/** Waits until no connection's scope is open. */
	const closed = () => vi.waitFor(() => expect(app.inspect().children).toEqual([]), 5_000);

	async function connect(): Promise<WebSocket> {
		const { port } = server.address() as AddressInfo;
		const client = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers: { "x-user": "ada" } });
		clients.push(client);
		await once(client, "open");
		return client;
	}

	async function answer(client: WebSocket): Promise<unknown> {
		const [data] = await once(client, "message");
		return JSON.parse(String(data));
	}

	function send(client: WebSocket, product: number, quantity: number): void {
		client.send(JSON.stringify({ product, quantity }));
	}

	async function orders(): Promise<number[]> {
		const { rows } = await pool.query("SELECT quantity FROM orders ORDER BY id");
		return rows.map((row) => row.quantity);
	}

	/** Keeps messages waiting. */
	async function lock(): Promise<() => Promise<void>> {
		const blocker = await pool.connect();
		await blocker.query("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE");
		return async () => {
			await blocker.query("COMMIT");
			blocker.release();
		};
	}

	const message = (end: string) => ["+ Connection", "+ Tx: BEGIN", `- Tx: ${end}`, "- Connection"];

	it("commits each message by itself, before it is answered", async () => {
		const client = await connect();
		send(client, 1, 5);
		expect(await answer(client)).toEqual({ placed: 1 });
		expect(log).toEqual(["+ Visit", ...message("COMMIT")]);
		expect(visitors.size).toBe(1);
		send(client, 1, 6);
		expect(await answer(client)).toEqual({ placed: 2 });
		client.close(1000);
		await closed();
		expect(log).toEqual(["+ Visit", ...message("COMMIT"), ...message("COMMIT"), "- Visit: done"]);
		expect(await orders()).toEqual([5, 6]);
		expect(reported).toEqual([]);
	});

	it("rolls back a message that fails, and goes on with the next", async () => {
		const client = await connect();
		send(client, 1, 101);
		expect(await answer(client)).toEqual({ status: 422, message: "Not that many" });
		send(client, PRODUCTS + 1, 1);
		expect(await answer(client)).toEqual({ status: 409, message: "No such product" });
		client.send("no JSON");
		expect(await answer(client)).toEqual({ status: 500, message: "Internal Server Error" });
		send(client, 1, 7);
		expect(await answer(client)).toEqual({ placed: 3 });
		client.close();
		await closed();
		expect(log).toEqual([
			"+ Visit",
			...message("ROLLBACK, 422"),
			...message("ROLLBACK, 23503"),
			...message("COMMIT"),
			"- Visit: done",
		]);
		expect(await orders()).toEqual([7]);
		expect(reported).toEqual([]);
	});

	it("takes messages one after the other, and all that have come before a close", async () => {
		const client = await connect();
		const quantities = Array.from({ length: 100 }, (_, i) => i + 1);
		for (const quantity of quantities) send(client, 1, quantity);
		client.close(1000);
		await closed();
		expect(await orders()).toEqual(quantities);
		expect(log).toEqual([
			"+ Visit",
			...quantities.flatMap(() => message("COMMIT")),
			"- Visit: done",
		]);
		expect(reported).toEqual([]);
	});

	it("tells the connection's resources of a connection that breaks", async () => {
		const client = await connect();
		send(client, 1, 5);
		await answer(client);
		client.terminate();
		await closed();
		expect(log.at(-1)).toBe("- Visit: The connection broke: 1006");
		expect(reported.map(String)).toEqual(["ConnectionLostError: The connection broke: 1006"]);
		expect(await orders()).toEqual([5]);
	});

	it("releases nothing of a connection that breaks under a message at work", async () => {
		const client = await connect();
		const unlock = await lock();
		send(client, 1, 5);
		await vi.waitFor(() => expect(log).toContain("+ Tx: BEGIN"));
		client.terminate();
		await vi.waitFor(() => expect([...visitors][0]?.readyState).toBe(WebSocket.CLOSED));
		expect(log).toEqual(["+ Visit", "+ Connection", "+ Tx: BEGIN"]);
		await unlock();
		await closed();
		expect(log).toEqual(["+ Visit", ...message("COMMIT"), "- Visit: The connection broke: 1006"]);
		expect(reported.map(String)).toEqual(["ConnectionLostError: The connection broke: 1006"]);
	});

	it("tells them of an error of the connection: a frame that is none", async () => {
		const client = await connect();
		send(client, 1, 5);
		await answer(client);
		socketOf(client).write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
		await closed();
		expect(reported).toEqual([expect.objectContaining({ code: "WS_ERR_UNEXPECTED_RSV_2_3" })]);
		expect(log.at(-1)).toBe(`- Visit: ${(reported[0] as Error).message}`);
	});

	it("answers what has come when the server stops, and closes the connection", async () => {
		const client = await connect();
		const gone = once(client, "close");
		const unlock = await lock();
		send(client, 1, 5);
		await vi.waitFor(() => expect(log).toContain("+ Tx: BEGIN"));
		send(client, 1, 6);
		client.ping();
		await once(client, "pong"); // both have come
		stop.abort();
		const closing = app.disposeAsync();
		const answers: string[] = [];
		client.on("message", (data) => answers.push(String(data)));
		await unlock();
		expect((await gone)[0]).toBe(1001);
		expect(answers).toEqual(['{"placed":1}', '{"placed":2}']);
		await closing;
		expect(log).toEqual(["+ Visit", ...message("COMMIT"), ...message("COMMIT"), "- Visit: done"]);
		expect(reported).toEqual([]);
	});

	it("closes a connection on which nothing happens when the server stops", async () => {
		const client = await connect();
		const gone = once(client, "close");
		await vi.waitFor(() => expect(log).toEqual(["+ Visit"]));
		stop.abort();
		expect((await gone)[0]).toBe(1001);
		await closed();
		expect(log).toEqual(["+ Visit", "- Visit: done"]);
		expect(reported).toEqual([]);
	});

	it("closes connections when their scope is cancelled", async () => {
		const client = await connect();
		const gone = once(client, "close");
		await vi.waitFor(() => expect(log).toEqual(["+ Visit"]));
		app.cancel();
		expect((await gone)[0]).toBe(1001);
		await closed();
		expect(log).toEqual(["+ Visit", "- Visit: done"]);
		expect(reported).toEqual([]);
	});
});

/** What is below the frames. */
function socketOf(client: WebSocket): NodeJS.WritableStream {
	return (client as unknown as { _socket: NodeJS.WritableStream })._socket; // ws has no public name for it
}
