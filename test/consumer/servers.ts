import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import express, { type Request } from "express";
import { Hono } from "hono";
import Koa from "koa";
import { resource } from "yieldscope";
import * as forExpress from "yieldscope/express";
import * as forHono from "yieldscope/hono";
import { openInspector } from "yieldscope/inspector";
import * as forKoa from "yieldscope/koa";
import { instrument } from "yieldscope/opentelemetry";

const log: string[] = [];
const Tx = resource(
	async function* Tx() {
		yield { id: 7 };
		log.push("commit");
	},
	{ lifetime: "handler" },
);

const onExpress = express();
onExpress.use(forExpress.requestScope());
onExpress.get(
	"/:product",
	forExpress.handler({ tx: Tx }, async ({ tx }, req: Request<{ product: string }>, res) => {
		// @ts-expect-error what a transaction has is inferred
		void tx.name;
		res.send(`express: ${req.params.product} ${tx.id.toFixed(1)}`);
	}),
);
onExpress.use(forExpress.releaseErrors());

const onKoa = new Koa();
onKoa.use(forKoa.requestScope());
onKoa.use(
	forKoa.handler({ tx: Tx }, async ({ tx }, ctx) => {
		// @ts-expect-error what a transaction has is inferred
		void tx.name;
		ctx.body = `koa: ${ctx.path} ${tx.id.toFixed(1)}`;
	}),
);

const onHono = new Hono();
onHono.use(forHono.requestScope());
onHono.get(
	"/:product",
	forHono.handler({ tx: Tx }, async ({ tx }, c) => {
		// @ts-expect-error what a transaction has is inferred
		void tx.name;
		return c.text(`hono: ${c.req.param("product")} ${tx.id.toFixed(1)}`);
	}),
);

async function answer(listener: RequestListener): Promise<void> {
	const server = createServer(listener);
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	const response = await fetch(`http://127.0.0.1:${port}/book`);
	log.push(await response.text());
	server.close();
}

const inspector = openInspector({ allow: () => true });
const instrumentation = instrument();
await answer(onExpress);
await answer(onKoa.callback());
log.push(await (await onHono.request("/book")).text());
const page = await (await inspector.fetch(new Request("http://localhost/"))).text();
log.push(`inspector: ${/<title>(.*)<\/title>/.exec(page)?.[1]}`);
instrumentation[Symbol.dispose]();
inspector[Symbol.dispose]();
console.log(JSON.stringify(log));
