import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { Hono } from "hono";
import Koa from "koa";
import { resource } from "yieldscope";
import * as forExpress from "yieldscope/express";
import * as forHono from "yieldscope/hono";
import * as forKoa from "yieldscope/koa";

// `young-requests.ts FRAMEWORK`: serves, and collects the young generation when it is sent "young"; when it is sent "old",
// all of the heap, and prints how much garbage was in the old generation.
setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as (options?: { type: "minor" }) => void;

const One = resource(async function* One() {
	yield "1";
});
const Tx = resource(
	async function* Tx() {
		yield "tx";
	},
	{ lifetime: "handler" },
);
const dependencies = { one: One, tx: Tx };

const frameworks: Record<string, () => RequestListener> = {
	express: () =>
		express()
			.use(forExpress.requestScope())
			.get(
				"/",
				forExpress.handler(dependencies, ({ tx }, _req, res) => res.send(tx)),
			),
	koa: () =>
		new Koa()
			.use(forKoa.requestScope())
			.use(
				forKoa.handler(dependencies, ({ tx }, ctx) => {
					ctx.body = tx;
				}),
			)
			.callback(),
	hono: () => {
		const app = new Hono();
		app.use(forHono.requestScope());
		app.get(
			"/",
			forHono.handler(dependencies, ({ tx }, c) => c.text(tx)),
		);
		return getRequestListener(app.fetch);
	},
};

const listener = frameworks[process.argv[2] as string]?.() as RequestListener;
const server = createServer(listener);
server.listen(0, "127.0.0.1");
await once(server, "listening");
console.log(`port ${(server.address() as AddressInfo).port}`);

const used = () =>
	getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")?.space_used_size ??
	0;
for await (const line of createInterface(process.stdin)) {
	if (line === "young") {
		for (let i = 0; i < 10; i++) await new Promise(setImmediate); // the request is over by then
		gc({ type: "minor" });
		console.log("collected");
	} else {
		const before = used();
		gc();
		console.log(`garbage ${before - used()}`);
	}
}
process.exit();
