import createError from "http-errors";
import type { WebSocket } from "ws";
import { override, provide, resource, type Scope, token, use } from "yieldscope";
import { type NewOrder, problemOf } from "../shop/orders.ts";
import { CurrentUserId, Log, Logger, Tx } from "../shop/resources.ts";
import { serveConnection } from "./serve-connection.ts";

const Socket = token<WebSocket>("Socket");

/** The shop's log, for a connection instead of a request. */
const ConnectionLog = resource(
	{ logger: Logger, customer: CurrentUserId },
	({ logger, customer }): Log =>
		(event) =>
			logger(customer, event),
	{ lifetime: "connection" },
);

/** Everybody who is there. */
export const Visitors = resource(() => new Set<WebSocket>(), { name: "Visitors", lifetime: "app" });

/** Makes a customer one of them, for as long as the connection lasts. */
const Visit = resource(
	{ socket: Socket, visitors: Visitors, log: Log },
	async function* Visit({ socket, visitors, log }) {
		visitors.add(socket);
		log("+ Visit");
		try {
			yield;
			log("- Visit: done");
		} catch (error) {
			log(`- Visit: ${(error as Error).message}`);
			throw error;
		} finally {
			visitors.delete(socket);
		}
	},
	{ lifetime: "connection" },
);

async function placeOrder({ product, quantity }: NewOrder): Promise<object> {
	// the shop's own transaction: here it lives as long as the message
	const tx = await use(Tx, { lifetime: "message" });
	const { rows } = await tx.query(
		"INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, $3) RETURNING id",
		[await use(CurrentUserId), product, quantity],
	);
	if (quantity > 100) throw createError(422, "Not that many");
	return { placed: rows[0].id };
}

/** Takes a customer's orders, one a message. */
export function takeOrders(
	socket: WebSocket,
	customer: string,
	app: Scope,
	stop: AbortSignal,
): Promise<void> {
	return serveConnection(socket, {
		parent: app,
		bindings: [
			provide(Socket, socket),
			provide(CurrentUserId, customer),
			override(Log, ConnectionLog),
		],
		stop,
		open: () => use(Visit),
		message: (content) => placeOrder(content as NewOrder),
		problem: problemOf,
	});
}
