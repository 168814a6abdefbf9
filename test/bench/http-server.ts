import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { resource, use, withScope } from "yieldscope";
import { onHead, RequestByHand, requestByHand } from "./by-hand.ts";

/**
 * A hello world, `http-server.ts FRAMEWORK VARIANT`, on a port of its own choice. Tells its parent process the port, and on
 * every message from it, the CPU time it has taken and the number of greetings that are open.
 */
export type Variant = "bare" | "byHand" | "inFull" | "core" | "ours" | "inspected";
export type Framework = "express" | "koa" | "hono";
export interface Usage {
	readonly microseconds: number;
	readonly opened: number;
	readonly open: number;
}

let opened = 0;
let closed = 0;

async function* greet() {
	opened++;
	try {
		yield "Hello, world!";
	} finally {
		closed++;
	}
}

const Greeting = resource(greet, { lifetime: "request" });

const storage = new AsyncLocalStorage<{ greeting: string }>();

/** What one writes without a library: a greeting that is released once the response is over. */
function byHand<R>(res: ServerResponse, next: () => R): R {
	const over = new Promise<void>((resolve) => res.once("close", resolve));
	const request = { greeting: "" };
	const lifetime = async () => {
		opened++;
		try {
			request.greeting = "Hello, world!";
			await over;
		} finally {
			closed++;
		}
	};
	void lifetime();
	return storage.run(request, next);
}

/** The same by the core, without an adapter: a scope around each request, until the response is over. */
function byCore<R>(res: ServerResponse, next: () => R): R {
	const over = new Promise<void>((resolve) => res.once("close", resolve));
	let result: R | undefined;
	void withScope({ lifetime: "request" }, () => {
		result = next();
		return over;
	});
	return result as R; // it ran at once
}

/** Runs the handlers, and releases what is theirs before the response. */
async function answered(request: RequestByHand, next: () => Promise<unknown>): Promise<void> {
	try {
		await next();
		const answer = request.answer();
		if (answer !== undefined) await answer;
	} catch (error) {
		await request.fail(error);
		throw error;
	}
}

const greeting = () => storage.getStore()?.greeting as string;

async function express(variant: Variant): Promise<Server> {
	const { default: express } = await import("express");
	const { handler, requestScope } = await import("yieldscope/express");
	const app = express();
	if (variant === "bare") {
		app.get("/", (_req, res) => void res.send("Hello, world!"));
	} else if (variant === "byHand") {
		app.use((_req, res, next) => byHand(res, next));
		app.get("/", async (_req, res) => void res.send(greeting()));
	} else if (variant === "inFull") {
		app.use((req, res, next) => {
			const request = new RequestByHand();
			onHead(res, () => void request.answer()?.catch(console.error));
			request.follow(req, res);
			request.run(next);
		});
		app.get("/", (_req, res, next) => {
			const request = requestByHand();
			request
				.work(async () => res.send(await request.use(greet)))
				.catch((error) => request.fail(error).then(() => next(error), next));
		});
	} else if (variant === "core") {
		app.use((_req, res, next) => byCore(res, next));
		app.get("/", async (_req, res) => void res.send(await use(Greeting)));
	} else {
		app.use(requestScope());
		app.get(
			"/",
			handler({ greeting: Greeting }, ({ greeting }, _req, res) => res.send(greeting)),
		);
	}
	return createServer(app);
}

async function koa(variant: Variant): Promise<Server> {
	const { default: Koa } = await import("koa");
	const { handler, requestScope } = await import("yieldscope/koa");
	const app = new Koa();
	if (variant === "bare") {
		app.use((ctx) => {
			ctx.body = "Hello, world!";
		});
	} else if (variant === "byHand") {
		app.use((ctx, next) => byHand(ctx.res, next));
		app.use(async (ctx) => {
			ctx.body = greeting();
		});
	} else if (variant === "inFull") {
		app.use((ctx, next) => {
			const request = new RequestByHand();
			request.follow(ctx.req, ctx.res);
			return request.run(() => request.work(() => answered(request, next)));
		});
		app.use(async (ctx) => {
			ctx.body = await requestByHand().use(greet);
		});
	} else if (variant === "core") {
		app.use((ctx, next) => byCore(ctx.res, next));
		app.use(async (ctx) => {
			ctx.body = await use(Greeting);
		});
	} else {
		app.use(requestScope());
		app.use(
			handler({ greeting: Greeting }, ({ greeting }, ctx) => {
				ctx.body = greeting;
			}),
		);
	}
	return createServer(app.callback());
}

async function hono(variant: Variant): Promise<Server> {
	const { Hono } = await import("hono");
	const { getRequestListener } = await import("@hono/node-server");
	const { handler, requestScope } = await import("yieldscope/hono");
	const app = new Hono<{ Bindings: { outgoing: ServerResponse } }>();
	if (variant === "bare") {
		app.get("/", (c) => c.text("Hello, world!"));
	} else if (variant === "byHand") {
		app.use((c, next) => byHand(c.env.outgoing, next));
		app.get("/", async (c) => c.text(greeting()));
	} else if (variant === "inFull") {
		app.use((c, next) => {
			const request = new RequestByHand();
			request.follow(undefined, c.env.outgoing);
			return request.run(() =>
				request.work(() =>
					answered(request, async () => {
						await next();
						if (c.error !== undefined) throw c.error;
					}),
				),
			);
		});
		app.get("/", async (c) => c.text(await requestByHand().use(greet)));
	} else if (variant === "core") {
		app.use((c, next) => byCore(c.env.outgoing, next));
		app.get("/", async (c) => c.text(await use(Greeting)));
	} else {
		app.use(requestScope());
		app.get(
			"/",
			handler({ greeting: Greeting }, async ({ greeting }, c) => c.text(greeting)),
		);
	}
	return createServer(getRequestListener(app.fetch) as RequestListener);
}

const frameworks = { express, koa, hono };
const [framework, variant] = process.argv.slice(2) as [Framework, Variant];
if (variant === "inspected") (await import("yieldscope/inspector")).openInspector();
const server = await frameworks[framework](variant);
server.listen(0, "127.0.0.1");
await once(server, "listening");
process.on("message", () => {
	const { user, system } = process.cpuUsage();
	process.send?.({ microseconds: user + system, opened, open: opened - closed } satisfies Usage);
});
process.on("disconnect", () => process.exit());
process.send?.((server.address() as AddressInfo).port);
