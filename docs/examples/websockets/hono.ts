import type { Server } from "node:http";
import { createAdaptorServer, upgradeWebSocket, type WebSocketServerLike } from "@hono/node-server";
import { Hono } from "hono";
import { type WebSocket, WebSocketServer } from "ws";
import type { Scope } from "yieldscope";
import { takeOrders } from "./orders.ts";

/** A Hono app with the socket `/live`. */
export function honoSockets(app: Scope, stop: AbortSignal): Server {
	const shop = new Hono();
	shop.get(
		"/live",
		upgradeWebSocket((c) => ({
			onOpen(_event, { raw }) {
				const customer = String(c.req.header("x-user"));
				const socket = raw as WebSocket; // made by the server below
				takeOrders(socket, customer, app, stop).catch((error) => app.report(error));
			},
		})),
	);
	const options = { noServer: true, closeTimeout: 5_000 };
	const sockets = new WebSocketServer(options) as WebSocketServerLike; // but for an optional property it is one
	const server = createAdaptorServer({ fetch: shop.fetch, websocket: { server: sockets } });
	return server as Server; // not one for HTTP/2
}
