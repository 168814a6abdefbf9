import { stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import express, { type NextFunction, type Request, type Response } from "express";
import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import createError from "http-errors";
import Koa from "koa";
import { provide, type Scope } from "yieldscope";
import * as forExpress from "yieldscope/express";
import * as forHono from "yieldscope/hono";
import * as forKoa from "yieldscope/koa";
import { Incoming, type UploadedFile, Uploads } from "./upload.ts";

/** What a client is told about an error. */
function problemOf(error: unknown): { status: number; message: string } {
	const { status, message } = createError.isHttpError(error) ? error : createError(500);
	return { status, message };
}

/** What is done with the files; here, they are measured. */
async function measure({ files }: { files: UploadedFile[] }): Promise<object> {
	const sizes = files.map(async ({ name, path }) => [name, (await stat(path)).size]);
	return Object.fromEntries(await Promise.all(sizes));
}

export function expressUploads(app: Scope): Server {
	const server = express();
	server.use(forExpress.requestScope({ parent: app, bindings: (req) => [provide(Incoming, req)] }));
	server.post(
		"/",
		forExpress.handler({ files: Uploads }, async (deps, _req, res) => {
			res.json(await measure(deps));
		}),
	);
	server.use(forExpress.releaseErrors());
	server.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
		res.status(problemOf(error).status).json(problemOf(error));
	});
	return createServer(server);
}

export function koaUploads(app: Scope): Server {
	const server = new Koa();
	server.silent = true;
	server.use(async (ctx, next) => {
		try {
			await next();
		} catch (error) {
			ctx.status = problemOf(error).status;
			ctx.body = problemOf(error);
		}
	});
	server.use(forKoa.requestScope({ parent: app, bindings: (ctx) => [provide(Incoming, ctx.req)] }));
	server.use(
		forKoa.handler({ files: Uploads }, async (deps, ctx) => {
			ctx.body = await measure(deps);
		}),
	);
	return createServer(server.callback());
}

export function honoUploads(app: Scope): Server {
	const server = new Hono();
	server.use(
		forHono.requestScope({
			parent: app,
			bindings: (c: Context) => [provide(Incoming, (c.env as HttpBindings).incoming)],
		}),
	);
	server.post(
		"/",
		forHono.handler({ files: Uploads }, async (deps, c) => c.json(await measure(deps))),
	);
	server.onError(
		forHono.releaseErrors((error, c) =>
			c.json(problemOf(error), problemOf(error).status as ContentfulStatusCode),
		),
	);
	return createServer(getRequestListener(server.fetch));
}
