import { createServer, type Server } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import express, { type NextFunction, type Request, type Response } from "express";
import { provide, type Scope } from "yieldscope";
import { handler, releaseErrors, requestScope } from "yieldscope/express";
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

export function expressShop(app: Scope): Server {
	const shop = express();

	shop.use(
		requestScope({
			parent: app,
			bindings: (req) => [
				provide(RequestId, req.get("x-request-id") ?? ""),
				provide(CurrentUserId, req.get("x-user") ?? ""),
			],
		}),
	);
	shop.use(express.json());

	shop.post(
		"/orders",
		handler({ tx: Tx, user: CurrentUser, audit: AuditLog, log: Log }, async (deps, req, res) => {
			res.status(201).json(await placeOrder(deps, req.body));
		}),
	);

	shop.post(
		"/receipts",
		handler({ pool: Pool, audit: AuditLog, log: Log }, async (deps, req, res) => {
			res.status(202).json(await requestReceipt(deps, req.body.order));
		}),
	);

	shop.get(
		"/products",
		handler({ catalogue: Catalogue, log: Log }, async (deps, _req, res) => {
			res.type("application/x-ndjson");
			await pipeline(Readable.from(exportProducts(deps)), res);
		}),
	);

	shop.use(releaseErrors());
	shop.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
		if (res.closed) return; // nobody is there to be told
		if (res.headersSent) return next(error);
		const { status, message } = problemOf(error);
		res.status(status).json({ message });
	});

	return createServer(shop);
}
