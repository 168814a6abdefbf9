import { createServer, type Server } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { provide, type Scope } from "yieldscope";
import { handler, releaseErrors, requestScope } from "yieldscope/hono";
import { exportProducts, placeOrder, problemOf, requestReceipt } from "./orders.ts";
import {
	AuditLog,
	Catalogue,
	CurrentUser,
	CurrentUserId,
	Log,
	Pool,
	RequestId,
	Tx,
} from "./resources.ts";

export function honoShop(app: Scope): Server {
	const shop = new Hono();

	shop.use(
		requestScope({
			parent: app,
			bindings: (c) => [
				provide(RequestId, c.req.header("x-request-id") ?? ""),
				provide(CurrentUserId, c.req.header("x-user") ?? ""),
			],
		}),
	);

	shop.post(
		"/orders",
		handler({ tx: Tx, user: CurrentUser, audit: AuditLog, log: Log }, async (deps, c) =>
			c.json(await placeOrder(deps, await c.req.json()), 201),
		),
	);

	shop.post(
		"/receipts",
		handler({ pool: Pool, audit: AuditLog, log: Log }, async (deps, c) => {
			const { order } = await c.req.json();
			return c.json(await requestReceipt(deps, order), 202);
		}),
	);

	shop.get(
		"/products",
		handler({ catalogue: Catalogue, log: Log }, (deps, c) =>
			c.body(ReadableStream.from(exportProducts(deps)), 200, {
				"content-type": "application/x-ndjson",
			}),
		),
	);

	shop.onError(
		releaseErrors((error, c) => {
			const { status, message } = problemOf(error);
			return c.json({ message }, status as ContentfulStatusCode);
		}),
	);

	return createServer(getRequestListener(shop.fetch));
}
