import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { compress } from "hono/compress";
import { etag } from "hono/etag";
import { HTTPException } from "hono/http-exception";
import { stream as ownStream } from "hono/streaming";
import { Hono as OldestHono } from "hono-oldest";
import { describe, expect, it } from "vitest";
import {
	HttpContext,
	HttpRequest,
	handler,
	releaseErrors,
	requestScope,
	stream,
	streamSSE,
	streamText,
} from "../../src/hono.ts";
import { currentScope, resource, use } from "../../src/index.ts";
import { gate, ticks } from "../support.ts";
import {
	eventually,
	httpError,
	type Kit,
	kits,
	route,
	type Scene,
	stage,
	textOf,
	webStreamOf,
	where,
} from "./kits.ts";

const kit = kits.find((each) => each.framework === "hono") as Kit;

function scoped({ app, reported }: Scene, abortGrace = 20) {
	return requestScope({
		parent: app,
		abortGrace,
		onReleaseError: (error) => void reported.push(error),
	});
}

describe("Hono's app.request(), on every runtime", () => {
	const scene = stage(kit);

	it("releases in order, the request's resources once the body is read", async () => {
		const { log, R, H, hono, app } = scene();
		const server = hono({
			"/": route({ r: R, h: H }, ({ r, h }) => {
				log.push(`handler ${r} ${h}`);
				return { json: { ok: true } };
			}),
		});
		const response = await server.request("/");
		expect(log).toEqual(["+R", "+H", "handler R H", "-H"]);
		expect(app.inspect().children).toHaveLength(1);
		expect(await response.json()).toEqual({ ok: true });
		await eventually(() => expect(log).toEqual(["+R", "+H", "handler R H", "-H", "-R"]));
	});

	it("releases with the error before the error handler", async () => {
		const { log, R, H, hono } = scene();
		const server = hono({
			"/": route({ r: R, h: H }, () => {
				throw httpError(418, "teapot");
			}),
		});
		const response = await server.request("/");
		expect([response.status, await response.json()]).toEqual([418, { error: "teapot" }]);
		expect(log).toEqual(["+R", "+H", "-H teapot", "-R teapot", "errh teapot"]);
	});

	it("drops the response of a handler whose release fails", async () => {
		const { log, R, traced, hono } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const server = hono({
			"/": route({ r: R, h: H }, () => ({
				json: "a longer body than the other",
				headers: { ETag: '"1"', "X-A": "1" },
			})),
		});
		const response = await server.request("/");
		expect([response.status, await response.json()]).toEqual([409, { error: "conflict" }]);
		expect([response.headers.get("etag"), response.headers.get("x-a")]).toEqual([null, null]);
		expect(log).toEqual(["+R", "+H", "-H", "-R conflict", "errh conflict"]);
	});

	it("takes back the handler's headers behind a server, too", async () => {
		const its = scene();
		const H = its.traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const server = new Hono();
		server.use(async (c, next) => {
			c.header("X-Request-Id", "7");
			await next();
		});
		server.use(scoped(its));
		server.get(
			"/",
			handler({ h: H }, (_values, c) => {
				c.header("Set-Cookie", "order=7");
				c.header("X-Handler", "1");
				return c.json({ ok: true });
			}),
		);
		server.onError(releaseErrors((error, c) => c.text(error.message, 409)));
		const node = createHttpServer(getRequestListener(server.fetch)).listen(0, "127.0.0.1");
		await once(node, "listening");
		try {
			const { port } = node.address() as AddressInfo;
			const response = await fetch(`http://127.0.0.1:${port}/`);
			expect([response.status, await response.text()]).toEqual([409, "conflict"]);
			const { headers } = response;
			expect([headers.get("x-request-id"), headers.get("x-handler")]).toEqual(["7", null]);
			expect(headers.getSetCookie()).toEqual([]);
		} finally {
			node.close();
		}
	});

	it.each([
		["the newest", Hono],
		["the oldest", OldestHono],
	])(
		"keeps what the error handler adds to a dropped response, and nothing else: %s",
		async (_name, App) => {
			const its = scene();
			const H = its.traced("H", "handler", {
				success: () => {
					throw httpError(409, "conflict");
				},
			});
			const server = new App();
			server.use("/cookie", async (c, next) => {
				c.header("Set-Cookie", "middleware=1", { append: true });
				await next();
			});
			server.use(scoped(its));
			server.get(
				"*",
				handler({ h: H }, (_values, c) => {
					c.header("X-Handler", "1");
					if (c.req.path === "/cookie") c.header("Set-Cookie", "order=7", { append: true });
					return c.json({ ok: true }, 201, { ETag: '"1"' });
				}),
			);
			server.onError(
				releaseErrors((error, c) => {
					c.header("Set-Cookie", "error=1", { append: true });
					c.header("Set-Cookie", "error=2", { append: true });
					return c.text(error.message, 409, { "X-Error": "1" });
				}),
			);
			for (const [path, cookies] of [
				["/cookie", ["middleware=1", "error=1", "error=2"]],
				["/", ["error=1", "error=2"]],
			] as const) {
				const { status, headers } = await server.request(path);
				expect([path, status, headers.getSetCookie()]).toEqual([path, 409, cookies]);
				expect([...headers.keys()].filter((name) => name !== "set-cookie")).toEqual([
					"content-type",
					"x-error",
				]);
			}
		},
	);

	it("refuses releaseErrors without the app's error handler", () => {
		expect(() => Reflect.apply(releaseErrors, undefined, [])).toThrow(
			/app\.onError\(releaseErrors/,
		);
	});

	it("keeps the cookies and CORS headers of middleware around a dropped response", async () => {
		const its = scene();
		const H = its.traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const server = new Hono();
		server.use(async (c, next) => {
			c.res.headers.set("Access-Control-Allow-Origin", "*");
			c.header("Set-Cookie", "a=1", { append: true });
			c.header("Set-Cookie", "b=2", { append: true });
			await next();
		});
		server.use(scoped(its));
		server.get(
			"/",
			handler({ h: H }, (_values, c) => {
				c.status(201);
				return c.json(1);
			}),
		);
		server.onError(releaseErrors((error, c) => c.text(error.message)));
		const response = await server.request("/");
		expect([response.status, await response.text()]).toEqual([500, "conflict"]);
		expect(response.headers.get("access-control-allow-origin")).toBe("*");
		expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
		expect(its.log).toEqual(["+H", "-H"]);
	});

	it("runs stream bodies in the request's scope, their cleanup too", async () => {
		const { log, R, hono, app } = scene();
		async function* chunks() {
			try {
				yield `one in ${where()} `;
				await ticks();
				yield `two in ${where()}`;
			} finally {
				log.push(`finally in ${where()}`);
			}
		}
		const server = hono({ "/": route({ r: R }, () => ({ chunks: chunks() })) });
		const response = await server.request("/");
		await ticks();
		expect(app.inspect().children).toHaveLength(1);
		// the source is read ahead once, when it is made
		expect(await response.text()).toBe("one in handler two in GET /");
		await eventually(() => expect(log).toEqual(["+R", "finally in GET /", "-R"]));
	});

	it("tells the resources of a reader that cancels", async () => {
		const { log, R, hono } = scene();
		async function* chunks() {
			try {
				for (;;) yield "x";
			} finally {
				log.push("finally");
			}
		}
		const server = hono({ "/": route({ r: R }, () => ({ chunks: chunks() })) });
		const reader = (await server.request("/")).body?.getReader();
		await reader?.read();
		await reader?.cancel();
		await eventually(() =>
			expect(log).toEqual([
				"+R",
				"finally",
				"-R The client closed the connection before the response was complete.",
			]),
		);
	});

	it("tells the resources of a body that fails", async () => {
		const { log, R, hono } = scene();
		async function* chunks() {
			yield "x";
			throw new Error("half-way");
		}
		const server = hono({ "/": route({ r: R }, () => ({ chunks: chunks() })) });
		await expect((await server.request("/")).text()).rejects.toThrow("half-way");
		await eventually(() => expect(log).toEqual(["+R", "-R half-way"]));
	});

	it.each(["HEAD", "GET"])("releases after %s without a body that is read", async (method) => {
		const { log, R, H, hono } = scene();
		const server = hono({
			"/": route({ r: R, h: H }, () => (method === "GET" ? { empty: 204 } : { json: 1 })),
		});
		expect((await server.request("/", { method })).status).toBe(method === "GET" ? 204 : 200);
		await eventually(() => expect(log).toEqual(["+R", "+H", "-H", "-R"]));
	});

	it("gives a nested app.request() a scope of its own", async () => {
		const its = scene();
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/outer",
			handler({ r: its.R }, async (_values, c) => {
				const inner = await server.request("/inner");
				return c.json([await inner.json(), currentScope().parent?.name]);
			}),
		);
		server.get(
			"/inner",
			handler({ r: its.R }, (_values, c) => c.json(currentScope().parent?.name)),
		);
		const response = await server.request("/outer");
		expect(await response.json()).toEqual(["GET /inner", "GET /outer"]);
		await eventually(() => expect(its.log).toHaveLength(4));
		expect(its.log).toEqual(["+R", "+R", "-R", "-R"]);
	});

	it("counts a handler that returns nothing as a failure", async () => {
		const its = scene();
		const server = new Hono();
		server.use(scoped(its));
		server.get("/", (async () => {
			await use(its.R);
		}) as never);
		server.onError(
			releaseErrors((error, c) => {
				its.log.push(`errh ${error.message}`);
				return c.text("no", 500);
			}),
		);
		expect((await server.request("/")).status).toBe(500);
		const message = "The handler returned no response. Return one, or await next().";
		expect(its.log).toEqual(["+R", `-R ${message}`, `errh ${message}`]);
	});

	it("releases before anything is sent where onError isn't wrapped, but after it ran", async () => {
		const its = scene();
		const server = new Hono();
		server.use(scoped(its));
		server.get("/plain", async () => {
			await use(its.R);
			throw new HTTPException(418, { message: "teapot" });
		});
		server.get(
			"/handler",
			handler({ r: its.R }, () => {
				throw new HTTPException(418, { message: "teapot" });
			}),
		);
		server.onError((error, c) => {
			its.log.push(`errh ${error.message}`);
			return error instanceof HTTPException ? error.getResponse() : c.text("no", 500);
		});
		expect((await server.request("/plain")).status).toBe(418);
		expect(its.log.splice(0)).toEqual(["+R", "errh teapot", "-R teapot"]);
		// handler() knows of the error at its source
		expect((await server.request("/handler")).status).toBe(418);
		expect(its.log).toEqual(["+R", "-R teapot", "errh teapot"]);
	});

	it("runs an unwrapped onError again for a translation", async () => {
		const its = scene();
		const R = its.traced("R", "request", { failure: () => httpError(404, "translated") });
		const server = new Hono();
		server.use(scoped(its));
		server.get("/", async () => {
			await use(R);
			throw new Error("raw");
		});
		server.onError((error, c) => {
			its.log.push(`errh ${error.message}`);
			return c.text(error.message, 404);
		});
		expect(await (await server.request("/")).text()).toBe("translated");
		expect(its.log).toEqual(["+R", "errh raw", "-R raw", "errh translated"]);
	});

	it("reaches sub-apps, with error handlers of their own", async () => {
		const its = scene();
		const sub = new Hono();
		sub.get("/", async () => {
			await use(its.R);
			throw new Error("boom");
		});
		sub.onError(
			releaseErrors((error, c) => {
				its.log.push(`sub ${error.message}`);
				return c.text("sub", 418);
			}),
		);
		const server = new Hono();
		server.use(scoped(its));
		server.route("/sub", sub);
		expect((await server.request("/sub")).status).toBe(418);
		expect(its.log).toEqual(["+R", "-R boom", "sub boom"]);
	});

	it("gives an app under mount() a request scope of its own, if it asks for one", async () => {
		const its = scene();
		const inner = new Hono();
		inner.use(scoped(its));
		inner.get(
			"/",
			handler({ r: its.R }, (_values, c) => c.json(where())),
		);
		const server = new Hono();
		server.use(scoped(its));
		server.mount("/inner", inner.fetch);
		expect(await (await server.request("/inner")).json()).toBe("handler");
		await eventually(() => expect(its.log).toEqual(["+R", "-R"]));
	});

	it("keeps the scope in the stream helpers", async () => {
		const its = scene();
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/stream",
			handler({ h: its.H }, (_values, c) =>
				stream(c, async (writer) => {
					await writer.write(await use(its.R));
				}),
			),
		);
		server.get(
			"/text",
			handler({ h: its.H }, (_values, c) =>
				streamText(c, async (writer) => {
					await writer.write(await use(its.R));
				}),
			),
		);
		server.get(
			"/sse",
			handler({ h: its.H }, (_values, c) =>
				streamSSE(c, async (writer) => {
					await writer.writeSSE({ data: await use(its.R) });
				}),
			),
		);
		for (const path of ["/stream", "/text", "/sse"]) {
			expect(await (await server.request(path)).text()).toContain("R");
			await eventually(() => expect(its.log).toHaveLength(4));
			expect(its.log.splice(0).sort()).toEqual(["+H", "+R", "-H", "-R"]);
		}
	});

	it("makes what a stream helper's callback throws the request's failure", async () => {
		const its = scene();
		const server = new Hono();
		server.use(scoped(its));
		const helpers = { stream, streamText, streamSSE };
		for (const [path, helper] of Object.entries(helpers)) {
			server.get(
				`/${path}`,
				handler({ r: its.R }, (_values, c) =>
					helper(
						c,
						async () => {
							throw new Error(`${path} half-way`);
						},
						async (error) => void its.log.push(`told ${error.message}`),
					),
				),
			);
		}
		for (const path of Object.keys(helpers)) {
			expect(await (await server.request(`/${path}`)).text()).toBe(
				path === "streamSSE" ? `event: error\ndata: ${path} half-way\n\n` : "",
			);
			await eventually(() => expect(its.log).toHaveLength(3));
			expect(its.log.splice(0)).toEqual(["+R", `told ${path} half-way`, `-R ${path} half-way`]);
		}
	});

	it("rejects where a request's scope can't be opened, rather than throw", async () => {
		const failing = requestScope({
			bindings: () => {
				throw new Error("no bindings");
			},
		});
		const app = new Hono();
		app.get("/", async (c) => {
			let caught: unknown;
			await failing(c, async () => {}).catch((error: Error) => {
				caught = error.message;
			});
			return c.json(caught);
		});
		expect(await (await app.request("/")).json()).toBe("no bindings");
	});

	it("refuses a stream helper outside of a request scope", async () => {
		const server = new Hono();
		server.get("/", (c) => stream(c, async () => {}));
		server.onError((error, c) => c.text((error as { code?: string }).code ?? "none"));
		expect(await (await server.request("/")).text()).toBe("YS_ERR_NO_SCOPE");
	});

	it("hears of the error of Hono's own stream helpers by scope.fail()", async () => {
		const its = scene();
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/",
			handler({ r: its.R }, (_values, c) =>
				ownStream(
					c,
					async () => {
						throw new Error("half-way");
					},
					async (error) => currentScope().fail(error),
				),
			),
		);
		expect(await (await server.request("/")).text()).toBe("");
		await eventually(() => expect(its.log).toHaveLength(2));
		expect(its.log).toEqual(["+R", "-R half-way"]);
		its.reported.splice(0);
	});

	it("hands Workers what they must wait for", async () => {
		const its = scene();
		const { R } = its;
		const waited: Promise<unknown>[] = [];
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/",
			handler({ r: R }, (_values, c) => c.text("x")),
		);
		const response = await server.fetch(new Request("http://x/"), {}, {
			waitUntil: (promise: Promise<unknown>) => waited.push(promise),
			passThroughOnException() {},
			props: {},
		} as never);
		expect(waited).toHaveLength(1);
		expect(its.log).toEqual(["+R"]);
		await response.text();
		await Promise.all(waited);
		expect(its.log).toEqual(["+R", "-R"]);
	});

	it("takes Deno's word for when a response is complete", async () => {
		const its = scene();
		const completed = gate();
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/",
			handler({ r: its.R }, (_values, c) => c.text("x")),
		);
		// Deno aborts a request's signal after each successful response
		const aborting = new AbortController();
		const request = new Request("http://x/", { signal: aborting.signal });
		const response = await server.fetch(request, { completed: completed.promise });
		expect(await response.text()).toBe("x");
		aborting.abort();
		await ticks();
		expect(its.log).toEqual(["+R"]);
		completed.open();
		await eventually(() => expect(its.log).toEqual(["+R", "-R"]));
	});

	it("provides the context and the request, and lets release code add headers", async () => {
		const its = scene();
		const Header = resource(
			{ c: HttpContext, req: HttpRequest },
			async function* ({ c, req }) {
				yield req.path;
				c.header("X-Committed", "1");
			},
			{ lifetime: "handler", name: "Header" },
		);
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/a",
			handler({ path: Header }, ({ path }, c) => c.text(path)),
		);
		const response = await server.request("/a");
		expect([response.headers.get("x-committed"), await response.text()]).toEqual(["1", "/a"]);
	});
});

describe("Hono on @hono/node-server", () => {
	const scene = stage(kit);

	it("tells a stream helper's onAbort of a client that leaves, in context", async () => {
		const its = scene();
		const server = new Hono();
		server.use(scoped(its, 1000));
		server.get(
			"/",
			handler({ r: its.R, h: its.H }, (_values, c) =>
				stream(c, async (writer) => {
					writer.onAbort(() => {
						its.log.push(`aborted in ${where()}`);
					});
					while (!writer.aborted) {
						await writer.write("x".repeat(1024));
						await new Promise(setImmediate);
					}
				}),
			),
		);
		const site = await its.serve(getRequestListener(server.fetch));
		const client = site.connect();
		client.get("/");
		await client.until("xxx");
		client.leave();
		await eventually(() => expect(its.log).toContain("gone"));
		await its.idle();
		expect(its.log.filter((line) => !line.startsWith("aborted"))).toEqual([
			"+R",
			"+H",
			"-H",
			"head 200",
			"gone",
			"-R The client closed the connection before the response was complete.",
		]);
		expect(its.log).toContain("aborted in GET /");
	});

	it("waits for a stream helper's callback that goes on when the client has gone", async () => {
		const its = scene();
		const work = gate();
		const server = new Hono();
		server.use(scoped(its, 1000));
		server.get(
			"/",
			handler({ r: its.R }, (_values, c) =>
				streamSSE(c, async (writer) => {
					await writer.writeSSE({ data: "first" });
					await new Promise<void>((resolve) => writer.onAbort(resolve));
					await work.promise;
					its.log.push(`done in ${where()}`);
				}),
			),
		);
		const site = await its.serve(getRequestListener(server.fetch));
		const client = site.connect();
		client.get("/");
		await client.until("first");
		client.leave();
		await eventually(() => expect(its.log).toContain("gone"));
		for (let i = 0; i < 5; i++) await new Promise(setImmediate);
		expect(its.log).toEqual(["+R", "head 200", "gone"]);
		work.open();
		await its.idle();
		expect(its.log).toEqual([
			"+R",
			"head 200",
			"gone",
			"done in GET /",
			"-R The client closed the connection before the response was complete.",
		]);
	});

	it("doesn't count as an error of the callback's that it gives up when the client goes", async () => {
		const its = scene();
		const told: unknown[] = [];
		const server = new Hono();
		server.use(scoped(its, 1000));
		for (const [path, wait] of Object.entries({
			"/reason": (signal: AbortSignal) =>
				new Promise((_resolve, reject) => {
					signal.addEventListener("abort", () => reject(signal.reason), { once: true });
				}),
			"/timer": (signal: AbortSignal) => setTimeout(10_000, undefined, { signal }),
		})) {
			server.get(
				path,
				handler({ r: its.R }, (_values, c) =>
					streamSSE(
						c,
						async (writer) => {
							const { signal } = currentScope();
							await writer.writeSSE({ data: "first" });
							await wait(signal);
						},
						async (error) => void told.push(error),
					),
				),
			);
		}
		const site = await its.serve(getRequestListener(server.fetch));
		for (const path of ["/reason", "/timer"]) {
			const client = site.connect();
			client.get(path);
			await client.until("first");
			client.leave();
			await eventually(() => expect(its.log).toContain("gone"));
			await its.idle();
			expect(its.log.splice(0).at(-1)).toBe(
				"-R The client closed the connection before the response was complete.",
			);
		}
		// nobody has gone, but the answer isn't what it was to be
		const client = site.connect();
		client.get("/reason");
		await client.until("first");
		its.app.cancel(new Error("shutting down"));
		await client.until("\r\n0\r\n");
		await its.idle();
		expect(its.log).toEqual(["+R", "head 200", "sent", "-R shutting down"]);
		expect(told).toEqual([]);
	});

	it.each(["HEAD", "GET"])(
		"gives a stream helper's callback no longer than abortGrace when nobody reads: %s",
		async (method) => {
			const its = scene();
			const server = new Hono();
			server.use(async (c, next) => {
				await next();
				if (c.req.method === "GET") c.res = new Response("another");
			});
			server.use(scoped(its, 20));
			server.get(
				"/",
				handler({ r: its.R }, (_values, c) => streamText(c, () => new Promise(() => {}))),
			);
			const site = await its.serve(getRequestListener(server.fetch));
			expect((await site.fetch("/", { method })).status).toBe(200);
			await its.idle();
			expect(its.log).toEqual(["+R", "head 200", "sent", "-R"]);
		},
	);

	it("leaves the body of an answer to HEAD to the middleware before it", async () => {
		const its = scene();
		const server = new Hono();
		server.use(etag());
		server.use(scoped(its));
		server.get(
			"/",
			handler({ r: its.R, h: its.H }, (_values, c) => c.text("hello")),
		);
		const site = await its.serve(getRequestListener(server.fetch));
		for (const method of ["HEAD", "GET"]) {
			const response = await site.fetch("/", { method });
			expect([response.status, response.headers.has("etag")]).toEqual([200, true]);
			expect(await response.text()).toBe(method === "GET" ? "hello" : "");
		}
		await its.idle();
	});

	it("takes a response that is given again and again", async () => {
		const its = scene();
		const kept = new Response("hello");
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/",
			handler({ r: its.R }, () => kept),
		);
		const site = await its.serve(getRequestListener(server.fetch));
		for (const method of ["GET", "HEAD", "GET"]) {
			const response = await site.fetch("/", { method });
			expect(await response.text()).toBe(method === "GET" ? "hello" : "");
		}
		await its.idle();
	});

	it("waits for the handler's own stream where a middleware behind compresses it", async () => {
		const its = scene();
		const cleanup = gate();
		async function* chunks() {
			try {
				for (;;) {
					yield "x".repeat(100_000) + Math.random();
					await new Promise(setImmediate);
				}
			} finally {
				await cleanup.promise;
				its.log.push("finally");
			}
		}
		const server = new Hono();
		server.use(scoped(its, 1000));
		server.use(compress({ threshold: 0 }));
		server.get(
			"/",
			handler({ r: its.R }, () => {
				return new Response(webStreamOf(chunks()), { headers: { "Content-Type": "text/plain" } });
			}),
		);
		const site = await its.serve(getRequestListener(server.fetch));
		const client = site.connect();
		client.send("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
		await client.until("gzip");
		client.leave();
		await eventually(() => expect(its.log).toContain("gone"));
		for (let i = 0; i < 10; i++) await new Promise(setImmediate);
		expect(its.log).toEqual(["+R", "head 200", "gone"]);
		cleanup.open();
		await its.idle();
		expect(its.log.slice(3)).toEqual([
			"finally",
			"-R The client closed the connection before the response was complete.",
		]);
	});

	it("cancels a stream helper's body that is dropped", async () => {
		const its = scene();
		const H = its.traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const server = new Hono();
		server.use(scoped(its));
		server.get(
			"/",
			handler({ h: H }, (_values, c) =>
				stream(c, async (writer) => {
					await new Promise<void>((resolve) => writer.onAbort(resolve));
					its.log.push("aborted");
				}),
			),
		);
		server.onError(releaseErrors((error, c) => c.text(textOf(error), 409)));
		const site = await its.serve(getRequestListener(server.fetch));
		const response = await site.fetch("/");
		expect([response.status, await response.text()]).toEqual([409, "conflict"]);
		await its.idle();
		expect(its.log.filter((line) => line !== "aborted")).toEqual(["+H", "-H", "head 409", "sent"]);
		expect(its.log).toContain("aborted");
	});

	it("serves HTTP/2, and releases once when a stream is reset", async () => {
		const its = scene();
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
		const app = new Hono();
		app.use(scoped(its, 1000));
		app.get(
			"/:path",
			handler({ r: its.R, h: its.H }, (_values, c) =>
				c.req.param("path") === "stream" ? c.body(webStreamOf(chunks())) : c.text("text"),
			),
		);
		const server = createServer(getRequestListener(app.fetch) as never); // HTTP/2's objects are compatible
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
		let text = "";
		for await (const chunk of session.request({ ":path": "/text" })) text += chunk;
		expect(text).toBe("text");
		await its.idle();
		expect(its.log.splice(0)).toEqual(["+R", "+H", "-H", "-R"]);
		const stream = session.request({ ":path": "/stream" });
		await new Promise((resolve) => stream.once("data", resolve));
		stream.close(8);
		await its.idle();
		session.destroy();
		await new Promise((resolve) => server.close(resolve));
		expect(its.log).toEqual(["+R", "+H", "-H", "finally", expect.stringMatching(/^-R The client/)]);
	});

	it("isn't kept open by a body that nobody reads", async () => {
		const its = scene();
		async function* chunks() {
			yield "x";
		}
		const app = new Hono();
		app.use(scoped(its));
		app.get(
			"/",
			handler({ r: its.R, h: its.H }, (_values, c) => {
				c.body(webStreamOf(chunks()));
				return c.text("another");
			}),
		);
		const site = await its.serve(getRequestListener(app.fetch));
		expect(await (await site.fetch("/")).text()).toBe("another");
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "head 200", "sent", "-R"]);
	});
});
