import express, { type NextFunction, type Request, type Response } from "express";
import { Hono, type MiddlewareHandler } from "hono";
import Koa, { type Middleware } from "koa";
import { describe, expect, it } from "vitest";
import * as forExpress from "../../src/express.ts";
import * as forHono from "../../src/hono.ts";
import * as forKoa from "../../src/koa.ts";
import { type Kit, kits, type Scene, stage, textOf } from "./kits.ts";

const handlers = {
	express: forExpress.handler(() => {}) as unknown,
	koa: forKoa.handler(() => {}) as unknown,
	hono: forHono.handler(() => new Response()) as unknown,
};

/** What the error handler of an app is given that has `handler` for a middleware. */
const answers = {
	express: async (handler: unknown, { serve }: Scene) => {
		const app = express();
		app.use(handler as express.RequestHandler);
		app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
			res.send(textOf(error));
		});
		return (await (await serve(app)).fetch("/")).text();
	},
	koa: async (handler: unknown, { serve }: Scene) => {
		const app = new Koa();
		app.use(async (ctx, next) => {
			await next().catch((error) => {
				ctx.body = textOf(error);
			});
		});
		app.use(handler as Middleware);
		return (await (await serve(app.callback())).fetch("/")).text();
	},
	hono: async (handler: unknown) => {
		const app = new Hono();
		app.use(handler as MiddlewareHandler);
		app.onError((error, c) => c.text(textOf(error)));
		return (await app.request("/")).text();
	},
};

describe("handler() of another framework", () => {
	const scene = stage(kits[0] as Kit);
	const names = ["express", "koa", "hono"] as const;

	it.each(names.flatMap((on) => names.map((of) => [of, on] as const)))(
		"says where it belongs: %s's on %s, without its requestScope()",
		async (of, on) => {
			expect(await answers[on](handlers[of], scene())).toBe(
				`Cannot run this handler(): the request has no scope. Mount requestScope() of "yieldscope/${of}" before the routes: app.use(requestScope()).`,
			);
		},
	);
});
