import type { Server } from "node:http";
import { WebSocketServer } from "ws";
import type { Scope } from "yieldscope";
import { takeOrders } from "./orders.ts";

/** Adds the socket `/live` to any server of Node's: Express, Koa and others have no part in it. */
export function addSockets(server: Server, app: Scope, stop: AbortSignal): void {
	const options = { server, path: "/live", closeTimeout: 5_000 };
	const sockets = new WebSocketServer(options);
	sockets.on("connection", (socket, request) => {
		const customer = String(request.headers["x-user"]);
		takeOrders(socket, customer, app, stop).catch((error) => app.report(error));
	});
}
