import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import koaMulter from "@koa/multer";
import compression from "compression";
import express5, { type Express, type NextFunction, type Request, type Response } from "express";
import session from "express-session";
import express4 from "express4";
import { Hono, type MiddlewareHandler } from "hono";
import { compress } from "hono/compress";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { timeout } from "hono/timeout";
import Koa3, { type Middleware } from "koa";
import koaCompress from "koa-compress";
import conditionalGet from "koa-conditional-get";
import koaEtag from "koa-etag";
import koaStatic from "koa-static";
import Koa2 from "koa2";
import multer from "multer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as forExpress from "../../src/express.ts";
import * as forHono from "../../src/hono.ts";
import { use } from "../../src/index.ts";
import * as forKoa from "../../src/koa.ts";
import { gate } from "../support.ts";
import { eventually, httpError, type Kit, kits, type Scene, stage, textOf, where } from "./kits.ts";

const page = "<p>letters</p>".repeat(500);

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "yieldscope-"));
	writeFileSync(join(folder, "page.html"), page);
});
afterAll(() => rmSync(folder, { recursive: true }));

const kitOf = (name: string) => kits.find((kit) => kit.name === name) as Kit;

function options({ app, reported }: Scene) {
	return { parent: app, onReleaseError: (error: unknown) => void reported.push(error) };
}

function conflicting({ traced }: Scene) {
	return traced("H", "handler", {
		success: () => {
			throw httpError(409, "conflict");
		},
	});
}

function form(): FormData {
	const data = new FormData();
	data.append("title", "letters");
	data.append("file", new Blob([page], { type: "text/html" }), "page.html");
	return data;
}

/** What the runtimes' own clients accept differs. */
const zipped = { headers: { "Accept-Encoding": "gzip" } };

const success = ["+R", "+H", "-H", "head 200", "sent", "-R"];
const dropped = ["+R", "+H", "-H", "-R conflict", "errh conflict", "head 409", "sent"];

describe.each([
	["express", express5],
	["express4", express4],
])("middleware of others with %s", (name, express) => {
	const scene = stage(kitOf(name));

	const site = (its: Scene, before: (app: Express) => void, define: (app: Express) => void) => {
		const app = express();
		before(app);
		app.use(forExpress.requestScope(options(its)));
		define(app);
		app.use(forExpress.releaseErrors());
		app.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
			its.log.push(`errh ${textOf(error)}`);
			if (res.headersSent) next(error);
			else res.status((error as { status?: number }).status ?? 500).json({ error: textOf(error) });
		});
		return its.serve(app);
	};

	const sessions = () => session({ secret: "s", resave: false, saveUninitialized: true });
	const others: Record<string, (app: Express) => void> = {
		compression: (app) => void app.use(compression({ threshold: 0 })),
		"express-session": (app) => void app.use(sessions()),
		both: (app) => void app.use(sessions(), compression({ threshold: 0 })),
	};
	const cases = Object.keys(others).flatMap((other) => [
		[other, "before"] as const,
		[other, "after"] as const,
	]);

	it.each(cases)("%s %s us: whole answers, whole errors", async (other, place) => {
		const its = scene();
		const { log, R, H, idle } = its;
		const add = others[other] as (app: Express) => void;
		const H409 = conflicting(its);
		const nothing = () => {};
		const server = await site(its, place === "before" ? add : nothing, (app) => {
			if (place === "after") add(app);
			for (const [path, h] of [
				["/ok", H],
				["/bad", H409],
			] as const) {
				const dependencies = { r: its.R, h };
				app.get(
					`${path}/send`,
					forExpress.handler(dependencies, (_v, _req, res) => res.send(page)),
				);
				app.get(
					`${path}/file`,
					forExpress.handler(dependencies, (_v, _req, res) =>
						res.sendFile(join(folder, "page.html")),
					),
				);
				app.get(
					`${path}/pipe`,
					forExpress.handler(dependencies, (_v, _req, res) => {
						Readable.from([page.slice(0, 10), page.slice(10)]).pipe(res.type("html"));
					}),
				);
			}
			app.get("/plain", async (_req, res) => {
				await use(R);
				await use(H);
				res.send(page);
			});
		});
		for (const path of ["/ok/send", "/ok/file", "/ok/pipe", "/plain"]) {
			const response = await server.fetch(path, zipped);
			expect([path, response.status, await response.text()]).toEqual([path, 200, page]);
			const encoding = other === "express-session" ? null : "gzip";
			expect(response.headers.get("content-encoding")).toBe(encoding);
			expect(response.headers.getSetCookie()).toHaveLength(other === "compression" ? 0 : 1);
			await idle();
			expect(log.splice(0)).toEqual(success);
		}
		for (const path of ["/bad/send", "/bad/file", "/bad/pipe"]) {
			const response = await server.fetch(path);
			expect([path, response.status, await response.json()]).toEqual([
				path,
				409,
				{ error: "conflict" },
			]);
			expect(response.headers.get("etag")).not.toBe('"old"');
			await idle();
			expect(log.splice(0)).toEqual(dropped);
		}
		const head = await server.fetch("/ok/send", { method: "HEAD" });
		expect([head.status, await head.text()]).toEqual([200, ""]);
		await idle();
		expect(log.splice(0)).toEqual(success);
	});

	it("compression before us: five bytes of a file arrive", async () => {
		const its = scene();
		const server = await site(its, others.compression as never, (app) => {
			app.get(
				"/",
				forExpress.handler({ r: its.R, h: its.H }, (_values, _req, res) =>
					res.sendFile(join(folder, "page.html")),
				),
			);
		});
		const response = await server.fetch("/", { headers: { Range: "bytes=3-7" } });
		expect([response.status, await response.text()]).toEqual([206, "lette"]);
		await its.idle();
		expect(its.log).toEqual(success.map((line) => line.replace("200", "206")));
	});

	it("express.static: files, and 304 for fresh ones", async () => {
		const its = scene();
		const server = await site(
			its,
			() => {},
			(app) => {
				app.use(forExpress.handler({ r: its.R, h: its.H }), express.static(folder));
			},
		);
		const file = await server.fetch("/page.html");
		expect([file.status, await file.text()]).toEqual([200, page]);
		await its.idle();
		expect(its.log.splice(0)).toEqual(success);
		const fresh = server.connect();
		fresh.send(
			`GET /page.html HTTP/1.1\r\nHost: x\r\nIf-None-Match: ${file.headers.get("etag")}\r\n\r\n`,
		);
		await fresh.until("304 Not Modified");
		await its.idle();
		expect(its.log).toEqual(success.map((line) => line.replace("200", "304")));
	});

	it("multer: an uploaded file, in context", async () => {
		const its = scene();
		const server = await site(
			its,
			() => {},
			(app) => {
				app.post(
					"/",
					multer().single("file"),
					async (req, res) =>
						void res.json([
							req.body.title,
							req.file?.size,
							await use(its.R),
							await use(its.H),
							where(),
						]),
				);
			},
		);
		const response = await server.fetch("/", { method: "POST", body: form() });
		expect(await response.json()).toEqual(["letters", page.length, "R", "H", "handler"]);
		await its.idle();
		expect(its.log).toEqual(success);
	});

	it("a proxy: what the upstream sends is piped, what it fails with is an error", async () => {
		const its = scene();
		let socketOf: ((text: string) => void) | undefined;
		const upstream = createServer((socket) => {
			socket.on("error", () => {});
			socket.once("data", (data) => {
				if (String(data).includes("/refuse")) socket.destroy();
				else {
					socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none");
					socketOf = (text) => (text === "" ? socket.destroy() : socket.end(text));
				}
			});
		});
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
		const { port } = upstream.address() as AddressInfo;
		const server = await site(
			its,
			() => {},
			(app) => {
				app.use(
					forExpress.handler({ r: its.R, h: its.H }, (_values, req, res, next) => {
						const proxied = httpRequest({ port, path: req.url, method: req.method });
						proxied.on("response", (answer: IncomingMessage) => {
							res.writeHead(answer.statusCode ?? 502, answer.headers);
							answer.pipe(res);
						});
						proxied.on("error", next);
						req.pipe(proxied);
					}),
				);
			},
		);
		const answer = server.fetch("/ok");
		await eventually(() => expect(socketOf).toBeDefined());
		socketOf?.("two");
		expect(await (await answer).text()).toBe("onetwo");
		await its.idle();
		expect(its.log.splice(0)).toEqual(success);

		expect((await server.fetch("/refuse")).status).toBe(500);
		await its.idle();
		expect(its.log.splice(0)).toEqual([
			...["+R", "+H", "-H socket hang up", "-R socket hang up"],
			...["errh socket hang up", "head 500", "sent"],
		]);

		socketOf = undefined;
		const client = server.connect();
		client.get("/cut");
		await client.until("one");
		(socketOf as unknown as (text: string) => void)("");
		await client.closed();
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "head 200", "gone", "-R aborted"]);
		await new Promise((resolve) => upstream.close(resolve));
	});
});

describe.each([
	["koa", Koa3],
	["koa2", Koa2],
])("middleware of others with %s", (name, Koa) => {
	const scene = stage(kitOf(name));

	const site = (its: Scene, before: Middleware[], after: Middleware[]) => {
		const app = new Koa();
		app.on("error", (error) => its.channel.push(error));
		app.use(async (ctx, next) => {
			try {
				await next();
			} catch (error) {
				its.log.push(`errh ${textOf(error)}`);
				ctx.status = (error as { status?: number }).status ?? 500;
				ctx.body = { error: textOf(error) };
			}
		});
		for (const each of [...before, forKoa.requestScope(options(its)), ...after]) app.use(each);
		return its.serve(app.callback());
	};

	it.each(["before", "after"])("koa-compress and koa-etag %s us", async (place) => {
		const its = scene();
		const H409 = conflicting(its);
		const others = [
			koaCompress({ threshold: 0, br: false }),
			conditionalGet(),
			koaEtag(),
		] as Middleware[];
		const routes: Middleware = (ctx, next) =>
			forKoa.handler({ r: its.R, h: ctx.path.startsWith("/bad") ? H409 : its.H }, () => {
				ctx.type = "html";
				ctx.body = ctx.path.endsWith("stream") ? Readable.from([page]) : page;
			})(ctx as never, next);
		const server = await site(
			its,
			place === "before" ? others : [],
			place === "after" ? [...others, routes] : [routes],
		);
		for (const path of ["/text", "/stream"]) {
			const response = await server.fetch(path, zipped);
			expect([path, response.status, await response.text()]).toEqual([path, 200, page]);
			expect(response.headers.get("content-encoding")).toBe("gzip");
			await its.idle();
			expect(its.log.splice(0)).toEqual(success);
		}
		for (const path of ["/bad/text", "/bad/stream"]) {
			const response = await server.fetch(path);
			expect([path, response.status, await response.json()]).toEqual([
				path,
				409,
				{ error: "conflict" },
			]);
			await its.idle();
			expect(its.log.splice(0)).toEqual(dropped);
		}
		const tag = (await server.fetch("/text")).headers.get("etag");
		await its.idle();
		its.log.length = 0;
		const fresh = server.connect();
		fresh.send(`GET /text HTTP/1.1\r\nHost: x\r\nIf-None-Match: ${tag}\r\n\r\n`);
		await fresh.until("304 Not Modified");
		await its.idle();
		expect(its.log).toEqual(success.map((line) => line.replace("200", "304")));
	});

	it("koa-static: files", async () => {
		const its = scene();
		const guard = forKoa.handler({ r: its.R, h: its.H });
		const server = await site(its, [], [guard, koaStatic(folder) as Middleware]);
		const file = await server.fetch("/page.html");
		expect([file.status, await file.text()]).toEqual([200, page]);
		await its.idle();
		expect(its.log).toEqual(success);
	});

	it("@koa/multer: an uploaded file, in context", async () => {
		const its = scene();
		const answer: Middleware = async (ctx) => {
			const { body } = ctx.request as unknown as { body: { title: string } };
			ctx.body = [body.title, ctx.file.size, await use(its.R), await use(its.H), where()];
		};
		const server = await site(
			its,
			[],
			[koaMulter().single("file") as unknown as Middleware, answer],
		);
		const response = await server.fetch("/", { method: "POST", body: form() });
		expect(await response.json()).toEqual(["letters", page.length, "R", "H", "handler"]);
		await its.idle();
		expect(its.log).toEqual(success);
	});
});

describe("middleware of others with hono", () => {
	const scene = stage(kitOf("hono"));

	const application = (its: Scene, before: MiddlewareHandler[], after: MiddlewareHandler[]) => {
		const app = new Hono();
		for (const each of [...before, forHono.requestScope(options(its)), ...after]) app.use(each);
		app.onError(
			forHono.releaseErrors((error, c) => {
				its.log.push(`errh ${error.message}`);
				return c.json(
					{ error: error.message },
					((error as { status?: number }).status ?? 500) as 500,
				);
			}),
		);
		return app;
	};
	const serve = (its: Scene, app: Hono) => its.serve(getRequestListener(app.fetch));

	it.each(["before", "after"])("compress, etag and cors %s us", async (place) => {
		const its = scene();
		const others = [cors(), compress({ threshold: 0 }), etag()];
		const app = application(its, place === "before" ? others : [], place === "after" ? others : []);
		for (const [path, h] of [
			["/ok", its.H],
			["/bad", conflicting(its)],
		] as const) {
			app.get(
				`${path}/text`,
				forHono.handler({ r: its.R, h }, (_values, c) => c.html(page)),
			);
			app.get(
				`${path}/stream`,
				forHono.handler({ r: its.R, h }, (_values, c) =>
					c.body(
						Readable.toWeb(Readable.from([Buffer.from(page)])) as ReadableStream<Uint8Array>,
						200,
						{
							"Content-Type": "text/html",
						},
					),
				),
			);
		}
		const server = await serve(its, app);
		for (const path of ["/ok/text", "/ok/stream"]) {
			const response = await server.fetch(path, zipped);
			expect([path, response.status, await response.text()]).toEqual([path, 200, page]);
			expect(response.headers.get("content-encoding")).toBe("gzip");
			expect(response.headers.get("access-control-allow-origin")).toBe("*");
			await its.idle();
			expect(its.log.splice(0)).toEqual(success);
		}
		for (const path of ["/bad/text", "/bad/stream"]) {
			const response = await server.fetch(path);
			expect([path, response.status, await response.json()]).toEqual([
				path,
				409,
				{ error: "conflict" },
			]);
			expect(response.headers.get("access-control-allow-origin")).toBe("*");
			await its.idle();
			expect(its.log.splice(0)).toEqual(dropped);
		}
	});

	it("serveStatic: files", async () => {
		const its = scene();
		const guard = forHono.handler({ r: its.R, h: its.H });
		const server = await serve(its, application(its, [], [guard, serveStatic({ root: folder })]));
		const file = await server.fetch("/page.html");
		expect([file.status, await file.text()]).toEqual([200, page]);
		await its.idle();
		expect(its.log).toEqual(success);
	});

	it("parseBody: an uploaded file, in context", async () => {
		const its = scene();
		const app = application(its, [], []);
		app.post("/", async (c) => {
			const { title, file } = await c.req.parseBody();
			return c.json([title, (file as File).size, await use(its.R), await use(its.H), where()]);
		});
		const server = await serve(its, app);
		const response = await server.fetch("/", { method: "POST", body: form() });
		expect(await response.json()).toEqual(["letters", page.length, "R", "H", "handler"]);
		await its.idle();
		expect(its.log).toEqual(success);
	});

	it("timeout: its error releases everything, though the handler goes on", async () => {
		const its = scene();
		const app = application(its, [], [timeout(20)]);
		const late = gate();
		app.get(
			"/",
			forHono.handler({ r: its.R, h: its.H }, async (_values, c) => {
				await late.promise;
				its.log.push("goes on");
				return c.json(1);
			}),
		);
		const server = await serve(its, app);
		expect((await server.fetch("/")).status).toBe(504);
		late.open();
		await eventually(() => expect(its.log).toContain("goes on"));
		await its.idle();
		expect(its.log.filter((line) => line !== "goes on")).toEqual([
			...["+R", "+H", "-H Gateway Timeout", "-R Gateway Timeout"],
			...["errh Gateway Timeout", "head 504", "sent"],
		]);
	});
});
