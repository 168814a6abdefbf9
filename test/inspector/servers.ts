import { createServer, type RequestListener } from "node:http";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import express4 from "express4";
import { Hono } from "hono";
import Koa from "koa";
import Koa2 from "koa2";
import { requestScope as expressScope, handler as forExpress } from "../../src/express.ts";
import { handler as forHono, requestScope as honoScope } from "../../src/hono.ts";
import { resource, type Scope } from "../../src/index.ts";
import type { Inspector } from "../../src/inspector.ts";
import { handler as forKoa, requestScope as koaScope } from "../../src/koa.ts";

const Greeting = resource(() => "hello", { name: "Greeting", lifetime: "request" });

type Mount = (inspector: Inspector, app: Scope, isBehind: boolean) => RequestListener;

function onExpress(create: typeof express): Mount {
	return (inspector, parent, isBehind) => {
		const app = create();
		if (isBehind) app.use(expressScope({ parent }));
		app.use("/inspector", inspector.listener);
		app.use(expressScope({ parent }));
		app.get(
			"/hello",
			forExpress({ greeting: Greeting }, async ({ greeting }, _req, res) => {
				res.send(greeting);
			}),
		);
		return app;
	};
}

function onKoa(Framework: typeof Koa): Mount {
	return (inspector, parent, isBehind) => {
		const app = new Framework();
		if (isBehind) app.use(koaScope({ parent }));
		app.use(inspector.koa("/inspector"));
		app.use(koaScope({ parent }));
		app.use(
			forKoa({ greeting: Greeting }, async ({ greeting }, ctx) => {
				ctx.body = greeting;
			}),
		);
		return app.callback();
	};
}

const onHono: Mount = (inspector, parent, isBehind) => {
	const app = new Hono();
	if (isBehind) app.use(honoScope({ parent }));
	app.get("/inspector/*", (c) => inspector.fetch(c.req.raw, c.env));
	app.use(honoScope({ parent }));
	app.get(
		"/hello",
		forHono({ greeting: Greeting }, ({ greeting }, c) => c.text(greeting)),
	);
	return getRequestListener(app.fetch);
};

/** The inspector in each framework, as the documentation mounts it, beside `GET /hello`. */
export const mounts: Readonly<Record<string, Mount>> = {
	"node:http": (inspector, parent) => {
		const app = onExpress(express)(inspector, parent, false);
		return (req, res) =>
			(req.url === "/hello" ? app : (inspector.listener as RequestListener))(req, res);
	},
	"express 4": onExpress(express4 as unknown as typeof express),
	"express 5": onExpress(express),
	"koa 2": onKoa(Koa2),
	"koa 3": onKoa(Koa),
	hono: onHono,
};

/** Serves on a free port of the loopback interface. */
export async function serve(listener: RequestListener) {
	const server = createServer(listener);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return server;
}
