import { createServer, type Server } from "node:http";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import Koa from "koa";
import { provide, type Scope } from "yieldscope";
import { handler, requestScope } from "yieldscope/koa";
import { exportProducts, type NewOrder, placeOrder, problemOf, requestReceipt } from "./orders.ts";
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

export function koaShop(app: Scope): Server {
	const shop = new Koa();

	shop.use(async (ctx, next) => {
		try {
			await next();
		} catch (error) {
			const { status, message } = problemOf(error);
			ctx.status = status;
			ctx.body = { message };
		}
	});
	shop.use(
		requestScope({
			parent: app,
			bindings: (ctx) => [
				provide(RequestId, ctx.get("x-request-id")),
				provide(CurrentUserId, ctx.get("x-user")),
			],
		}),
	);

	const routes: Record<string, Koa.Middleware> = {
		"POST /orders": handler(
			{ tx: Tx, user: CurrentUser, audit: AuditLog, log: Log },
			async (deps, ctx) => {
				ctx.body = await placeOrder(deps, (await json(ctx.req)) as NewOrder);
				ctx.status = 201;
			},
		),

		"POST /receipts": handler({ pool: Pool, audit: AuditLog, log: Log }, async (deps, ctx) => {
			const { order } = (await json(ctx.req)) as { order: number };
			ctx.body = await requestReceipt(deps, order);
			ctx.status = 202;
		}),

		"GET /products": handler({ catalogue: Catalogue, log: Log }, (deps, ctx) => {
			ctx.type = "application/x-ndjson";
			ctx.body = Readable.from(exportProducts(deps));
		}),
	};
	shop.use((ctx, next) => routes[`${ctx.method} ${ctx.path}`]?.(ctx, next) ?? next());

	shop.on("error", (error, { res }: Koa.Context) => {
		// Koa 3 reports each client that leaves in mid-stream
		const hasLeft = !res.writableFinished && (res.destroyed || res.socket?.destroyed !== false);
		if (!hasLeft) console.error(error);
	});
	return createServer(shop.callback());
}
