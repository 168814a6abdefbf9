import { once } from "node:events";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import createError from "http-errors";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openScope, provide, resource, type Scope } from "yieldscope";
import { handler, releaseErrors, requestScope } from "yieldscope/hono";
import { Connections, Warehouse, WarehouseUrl } from "../docs/examples/http-client/warehouse.ts";
import { gate, rejection } from "./support.ts";

// undici is Node's
const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);

describe.skipIf(!onNode)("a client of another service", () => {
	let app: Scope;
	let warehouse: Server;
	let shop: Server;
	let answer: RequestListener;
	/** What the warehouse was asked. */
	let log: string[];
	let thrown: unknown;

	const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const start = async (listener: RequestListener) => {
		const server = createServer(listener);
		await once(server.listen(0, "127.0.0.1"), "listening");
		return server;
	};

	beforeEach(async () => {
		log = [];
		thrown = undefined;
		answer = (_request, response) => response.writeHead(204).end();
		warehouse = await start((request, response) => {
			log.push(String(request.method));
			answer(request, response);
		});
		app = openScope({
			lifetime: "app",
			bindings: [provide(WarehouseUrl, urlOf(warehouse))],
		});
		const routes = new Hono();
		routes.use(requestScope({ parent: app }));
		routes.post(
			"/orders",
			handler({ warehouse: Warehouse }, async ({ warehouse }, c) => {
				const products = await c.req.json<number[]>();
				await Promise.all(products.map(warehouse.reserve));
				if (products.includes(13)) throw createError(422, "No 13, please");
				return c.json({ ordered: products }, 201);
			}),
		);
		const Tx = resource(
			async function* Tx() {
				yield;
				throw createError(409, "COMMIT failed");
			},
			{ lifetime: "handler" },
		);
		routes.post(
			"/commit",
			handler({ warehouse: Warehouse, tx: Tx }, async ({ warehouse }, c) =>
				c.text(await warehouse.reserve(1), 201),
			),
		);
		routes.onError(
			releaseErrors((error, c) => {
				thrown = error;
				log.push("error handler");
				const { status = 500, message } = error as Partial<createError.HttpError>;
				return c.json({ message }, status as 500);
			}),
		);
		shop = await start(getRequestListener(routes.fetch));
	});
	afterEach(async () => {
		shop.close();
		shop.closeAllConnections();
		app.complete();
		await app.disposeAsync();
		// the pool has left no connection behind
		await vi.waitFor(async () => expect(await connections()).toBe(0), 5_000);
		warehouse.close();
	});

	const connections = () =>
		new Promise((resolve) => warehouse.getConnections((_error, count) => resolve(count)));

	const idle = () => vi.waitFor(() => expect(app.inspect().children).toEqual([]), 5_000);

	async function order(products: number[], signal: AbortSignal | null = null): Promise<unknown[]> {
		const body = JSON.stringify(products);
		const response = await fetch(`${urlOf(shop)}/orders`, { method: "POST", body, signal });
		return [response.status, await response.json()];
	}

	it("reserves, and keeps what it has reserved", async () => {
		expect(await order([1, 2])).toEqual([201, { ordered: [1, 2] }]);
		expect(log).toEqual(["PUT", "PUT"]);
	});

	it("gives back what it has reserved when the handler fails, before that is answered", async () => {
		expect(await order([1, 13])).toEqual([422, { message: "No 13, please" }]);
		expect(log).toEqual(["PUT", "PUT", "DELETE", "DELETE", "error handler"]);
	});

	it("gives back what it has reserved when what was used after it can't commit", async () => {
		const response = await fetch(`${urlOf(shop)}/commit`, { method: "POST" });
		expect([response.status, await response.json()]).toEqual([409, { message: "COMMIT failed" }]);
		expect(log).toEqual(["PUT", "DELETE", "error handler"]);
	});

	it("gives back what was asked for when the service refuses a part of it", async () => {
		const reserved = new Set<string>();
		answer = (request, response) => {
			const refused = request.method === "PUT" && reserved.size === 1;
			if (request.method === "PUT" && !refused) reserved.add(String(request.url));
			if (request.method === "DELETE") reserved.delete(String(request.url));
			response.writeHead(refused ? 409 : 204).end();
		};
		expect(await order([1, 2])).toEqual([409, { message: "Not in stock" }]);
		expect(reserved.size).toBe(0);
	});

	it("shares ten connections among 60 requests at once", async () => {
		let connections = 0;
		warehouse.on("connection", () => connections++);
		const waiting: ServerResponse[] = [];
		answer = (_request, response) => {
			waiting.push(response);
			if (waiting.length === 10) for (const each of waiting.splice(0)) each.writeHead(204).end();
		};
		const orders = Array.from({ length: 60 }, (_, product) => order([100 + product]));
		const statuses = (await Promise.all(orders)).map(([status]) => status);
		expect(new Set(statuses)).toEqual(new Set([201]));
		expect([log.length, connections]).toEqual([60, 10]);
	});

	it("gives up when the client has gone, and then gives back what it may have reserved", async () => {
		const asked = gate<ServerResponse>();
		answer = (request, response) => {
			if (request.method === "PUT") asked.open(response);
			else response.writeHead(204).end();
		};
		const client = new AbortController();
		const ordered = rejection(order([1], client.signal));
		const cut = once(await asked.promise, "close");
		client.abort();
		await ordered;
		await cut; // nobody waits for the answer
		await idle();
		expect(log).toEqual(["PUT", "DELETE", "error handler"]);
	});

	it("answers 503 when the service breaks off", async () => {
		const pool = await app.use(Connections);
		answer = ({ socket }) => socket.destroy();
		expect(await order([1])).toEqual([503, { message: "The warehouse can't be reached" }]);
		expect((thrown as Error).cause).toMatchObject({ code: "UND_ERR_SOCKET" });
		expect(pool.stats.running).toBe(0);
	});
});
