import { AsyncLocalStorage } from "node:async_hooks";
import { createReadStream } from "node:fs";
import { type ClientHttp2Stream, connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import Koa3 from "koa";
import Koa2 from "koa2";
import { describe, expect, it } from "vitest";
import { resource, use } from "../../src/index.ts";
import { HttpContext, HttpRequest, HttpResponse, handler, requestScope } from "../../src/koa.ts";
import { gate } from "../support.ts";
import { eventually, httpError, kits, type Scene, stage, textOf, where } from "./kits.ts";

const koaKits = kits
	.filter((kit) => kit.name === "koa" || kit.name === "koa2")
	.map((kit) => ({ kit, name: kit.name, Koa: kit.name === "koa" ? Koa3 : Koa2 }));

describe.each(koaKits)("what only $name has", ({ kit, Koa }) => {
	const scene = stage(kit);

	const scoped = ({ app, reported }: Scene) =>
		requestScope({
			parent: app,
			abortGrace: 20,
			onReleaseError: (error) => void reported.push(error),
		});

	/** An app without error middleware: Koa's own `ctx.onerror` answers. */
	const application = (its: Scene) => {
		const app = new Koa();
		app.silent = true;
		app.on("error", (error) => its.channel.push(error));
		return app;
	};

	it("leaves the answer to Koa where there is no error middleware", async () => {
		const its = scene();
		const app = application(its);
		app.use(scoped(its));
		app.use(
			handler({ r: its.R, h: its.H }, () => {
				throw httpError(418, "teapot");
			}),
		);
		const site = await its.serve(app.callback());
		const response = await site.fetch("/");
		expect([response.status, await response.text()]).toEqual([418, "teapot"]);
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H teapot", "-R teapot", "head 418", "sent"]);
		expect(its.channel.map(textOf)).toEqual(["teapot"]);
	});

	it("runs listeners of the end in the request's scope: of the response and of the request", async () => {
		const its = scene();
		const app = application(its);
		// as loggers do, which are mounted first
		app.use((ctx, next) => {
			const early = () => {};
			ctx.res.on("close", early);
			ctx.res.on("finish", () => ctx.res.off("close", early));
			return next();
		});
		app.use(scoped(its));
		const told: string[] = [];
		app.use(
			handler((ctx) => {
				const { req, res } = ctx;
				for (const event of ["finish", "close"])
					res.on(event, () => told.push(`response ${event} in ${where()}`));
				req.on("close", () => told.push(`request close in ${where()}`));
				ctx.body = "x";
			}),
		);
		const site = await its.serve(app.callback());
		await (await site.fetch("/")).text();
		await its.idle();
		expect(told.sort()).toEqual([
			"request close in GET /",
			"response close in GET /",
			"response finish in GET /",
		]);
	});

	// Deno's run() restores all of them
	it.skipIf("Deno" in globalThis)("leaves other storages what a middleware enters", async () => {
		const its = scene();
		const app = application(its);
		const id = new AsyncLocalStorage<string>();
		const seen: unknown[] = [];
		app.use(async (_ctx, next) => {
			await next();
			seen.push(id.getStore());
		});
		app.use(scoped(its));
		app.use((ctx) => {
			id.enterWith("7");
			ctx.body = "x";
		});
		const site = await its.serve(app.callback());
		await (await site.fetch("/")).text();
		await its.idle();
		// as without requestScope()
		expect(seen).toEqual(["7"]);
	});

	it("ends a request whose next middleware throws at once, as none of Koa's does", async () => {
		const its = scene();
		const app = application(its);
		app.use((ctx) => {
			const next = () => {
				throw httpError(418, "teapot");
			};
			return scoped(its)(ctx, next);
		});
		const site = await its.serve(app.callback());
		expect((await site.fetch("/")).status).toBe(418);
		await its.idle();
	});

	it("rejects where it can't begin, rather than throw", async () => {
		const its = scene();
		const app = application(its);
		const failing = requestScope({
			bindings: () => {
				throw new Error("no bindings");
			},
		});
		const noScope = handler(() => {});
		app.use(async (ctx, next) => {
			const caught: unknown[] = [];
			for (const each of [failing, noScope])
				await each(ctx, next).catch((error: unknown) => caught.push(textOf(error)));
			ctx.body = caught;
		});
		const site = await its.serve(app.callback());
		expect(await (await site.fetch("/")).json()).toEqual([
			"no bindings",
			expect.stringMatching(/^Cannot run this handler\(\)/),
		]);
	});

	it.each([undefined, null])(
		"answers a thrown %s, which Koa itself leaves hanging",
		async (thrown) => {
			const its = scene();
			const app = application(its);
			app.use(scoped(its));
			app.use(async () => {
				await use(its.R);
				throw thrown;
			});
			const site = await its.serve(app.callback());
			expect((await site.fetch("/")).status).toBe(500);
			await its.idle();
			expect(its.log).toEqual(["+R", `-R ${thrown}`, "head 500", "sent"]);
			expect(its.channel).toHaveLength(1);
		},
	);

	it("(negative control) Koa itself leaves it hanging", async () => {
		const its = scene();
		const app = application(its);
		app.use(async () => {
			its.log.push("thrown");
			throw undefined;
		});
		const site = await its.serve(app.callback());
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(its.log).toEqual(["thrown"]));
		for (let i = 0; i < 5; i++) await new Promise(setImmediate);
		expect(client.received).toBe("");
	});

	it("isn't told of an error that middleware inside it swallows, unless by handler()", async () => {
		const its = scene();
		const app = application(its);
		app.use(scoped(its));
		app.use(async (ctx, next) => {
			try {
				await next();
			} catch (error) {
				ctx.body = `swallowed ${textOf(error)}`;
			}
		});
		app.use(async (ctx, next) => {
			await use(its.R);
			if (ctx.path === "/plain") throw new Error("boom");
			return next();
		});
		app.use(
			handler(() => {
				throw new Error("boom");
			}),
		);
		const site = await its.serve(app.callback());
		expect(await (await site.fetch("/plain")).text()).toBe("swallowed boom");
		await its.idle();
		expect(its.log.splice(0)).toEqual(["+R", "head 200", "sent", "-R"]);
		expect(await (await site.fetch("/handler")).text()).toBe("swallowed boom");
		await its.idle();
		expect(its.log).toEqual(["+R", "-R boom", "head 200", "sent"]);
	});

	it("holds back ctx.flushHeaders() until the handler's resources are released", async () => {
		const its = scene();
		const committed = gate();
		const H = its.traced("H", "handler", { success: () => committed.promise });
		const app = application(its);
		app.use(scoped(its));
		app.use(
			handler({ r: its.R, h: H }, async (_values, ctx) => {
				ctx.status = 200;
				ctx.type = "text/event-stream";
				ctx.flushHeaders();
				ctx.body = Readable.from(["data: 1\n\n"]);
			}),
		);
		const site = await its.serve(app.callback());
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(its.log).toContain("-H"));
		await new Promise(setImmediate);
		expect(client.received).toBe("");
		committed.open();
		await client.until("data: 1");
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "head 200", "sent", "-R"]);
	});

	it("answers for a file that isn't there, without an uncaught exception", async () => {
		const its = scene();
		const failed = gate();
		const H = its.traced("H", "handler", {
			// the file's error comes while nobody but us listens
			success: () => failed.promise,
		});
		const app = application(its);
		app.use(scoped(its));
		app.use(
			handler({ r: its.R, h: H }, (_values, ctx) => {
				ctx.body = createReadStream("/nowhere/at/all").once("close", failed.open);
			}),
		);
		const site = await its.serve(app.callback());
		const status = kit.name === "koa" ? 500 : 404; // Koa 2 knows ENOENT
		expect((await site.fetch("/")).status).toBe(status);
		await its.idle();
		expect(its.log.map((line) => line.replace(/ENOENT.*/, "ENOENT")).sort()).toEqual(
			["+R", "+H", "-H", "-R ENOENT", `head ${status}`, "sent"].sort(),
		);
		expect(its.channel.length).toBeGreaterThan(0);
	});

	it("provides the context, and lets release code change the response", async () => {
		const its = scene();
		const Header = resource(
			{ ctx: HttpContext, request: HttpRequest, response: HttpResponse },
			async function* ({ ctx, request, response }) {
				yield [ctx.path, request.method];
				response.set("X-Committed", "1");
			},
			{ lifetime: "handler", name: "Header" },
		);
		const app = application(its);
		app.use(scoped(its));
		app.use(
			handler({ header: Header }, ({ header }, ctx) => {
				ctx.body = header;
			}),
		);
		const site = await its.serve(app.callback());
		const response = await site.fetch("/a");
		expect([response.headers.get("x-committed"), await response.json()]).toEqual([
			"1",
			["/a", "GET"],
		]);
	});

	it("keeps out of the way of Koa's own async context", async () => {
		const its = scene();
		const app = new Koa({ asyncLocalStorage: true });
		app.use(scoped(its));
		app.use(
			handler({ r: its.R }, async (_values, ctx) => {
				await new Promise(setImmediate);
				ctx.body = [where(), app.currentContext === ctx];
			}),
		);
		const site = await its.serve(app.callback());
		expect(await (await site.fetch("/")).json()).toEqual(["handler", true]);
		await its.idle();
		expect(its.log).toEqual(["+R", "head 200", "sent", "-R"]);
	});

	it("cuts the connection where a direct writer's resource fails after its head was sent", async () => {
		const its = scene();
		const failed = gate();
		const app = application(its);
		app.use(scoped(its));
		app.use(
			handler({ r: its.R, h: its.H }, async (_values, ctx) => {
				ctx.respond = false;
				ctx.res.statusCode = 200;
				ctx.res.write("one");
				await failed.promise;
				throw new Error("too late");
			}),
		);
		const site = await its.serve(app.callback());
		const client = site.connect();
		client.get("/");
		await client.until("one");
		failed.open();
		await client.closed();
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "head 200", "-R too late", "gone"]);
		expect(its.channel.map(textOf)).toContain("too late");
	});

	it("lets a direct writer answer after its middleware has returned", async () => {
		const its = scene();
		const later = gate();
		const app = application(its);
		app.use(scoped(its));
		app.use(
			handler({ r: its.R, h: its.H }, (_values, ctx) => {
				ctx.respond = false;
				void later.promise.then(async () => {
					its.log.push(await use(its.R));
					ctx.res.statusCode = 200;
					ctx.res.end("later");
				});
			}),
		);
		const site = await its.serve(app.callback());
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(its.log).toEqual(["+R", "+H", "-H"]));
		later.open();
		await client.until("later");
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "R", "head 200", "sent", "-R"]);
	});

	it("serves HTTP/2, and releases once when a stream is reset", async () => {
		const its = scene();
		const app = application(its);
		app.use(scoped(its));
		async function* chunks() {
			try {
				for (;;) {
					yield "x".repeat(1024);
					await new Promise(setImmediate);
				}
			} finally {
				its.log.push("finally");
			}
		}
		app.use(
			handler({ r: its.R, h: its.H }, (_values, ctx) => {
				ctx.body = ctx.path === "/stream" ? Readable.from(chunks()) : "text";
			}),
		);
		const server = createServer(app.callback() as never); // HTTP/2's objects are compatible
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
		const read = async (stream: ClientHttp2Stream) => {
			let text = "";
			for await (const chunk of stream) text += chunk;
			return text;
		};
		expect(await read(session.request({ ":path": "/text" }))).toBe("text");
		await its.idle();
		expect(its.log.splice(0)).toEqual(["+R", "+H", "-H", "-R"]);
		const stream = session.request({ ":path": "/stream" });
		await new Promise((resolve) => stream.once("data", resolve));
		stream.close(8);
		await its.idle();
		session.destroy();
		await new Promise((resolve) => server.close(resolve));
		expect(its.log.map((line) => line.slice(0, 7))).toEqual([
			"+R",
			"+H",
			"-H",
			"finally",
			"-R The ",
		]);
		its.channel.splice(0);
	});
});
