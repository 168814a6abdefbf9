import { HTTPException } from "hono/http-exception";
import createError from "http-errors";
import { describe, expect, it } from "vitest";
import * as forExpress from "../../src/express.ts";
import * as forHono from "../../src/hono.ts";
import { currentScope, InvalidArgumentError, use } from "../../src/index.ts";
import * as forKoa from "../../src/koa.ts";
import { gate } from "../support.ts";
import { bare, eventually, httpError, kits, plain, route, stage, textOf, where } from "./kits.ts";

describe.each(kits)("failures on $name", (kit) => {
	const scene = stage(kit);
	const { sent } = kit;

	it("releases everything with the error before the app's error handler answers", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, () => {
				log.push("handler");
				throw new Error("boom");
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([500, { error: "boom" }]);
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+H",
			"handler",
			"-H boom",
			"-R boom",
			"errh boom",
			"head 500",
			...sent,
		]);
	});

	it("does so for handlers that know nothing of it", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": plain(async () => {
				await use(R);
				await use(H);
				throw new Error("boom");
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([500, { error: "boom" }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H boom", "-R boom", "errh boom", "head 500", ...sent]);
	});

	it("does so in sub-routers", async () => {
		const { log, R, H, open } = scene();
		const site = await open(
			{},
			{
				sub: {
					"/a": route({ r: R, h: H }, () => {
						throw new Error("boom");
					}),
					"/b": plain(async () => {
						await use(R);
						throw new Error("boom");
					}),
				},
			},
		);
		expect((await site.fetch("/sub/a")).status).toBe(500);
		expect((await site.fetch("/sub/b")).status).toBe(500);
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+H",
			"-H boom",
			"-R boom",
			"errh boom",
			"head 500",
			...sent,
			"+R",
			"-R boom",
			"errh boom",
			"head 500",
			...sent,
		]);
	});

	it.each([
		["an error with a status", () => httpError(418, "teapot")],
		["http-errors", () => createError(418, "teapot")],
		["Hono's HTTPException", () => new HTTPException(418, { message: "teapot" })],
	])("counts a thrown 4xx as a failure, and keeps its status: %s", async (_name, make) => {
		const { log, R, H, open } = scene();
		const error = make();
		const seen: unknown[] = [];
		const site = await open(
			{
				"/": route({ r: R, h: H }, () => {
					throw error;
				}),
			},
			{ onError: (each) => seen.push(each) },
		);
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([418, { error: "teapot" }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H teapot", "-R teapot", "errh teapot", "head 418", ...sent]);
		expect(seen[0]).toBe(error);
	});

	it("drops the response when the handler's release fails", async () => {
		const { log, R, traced, open } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const site = await open({ "/": route({ r: R, h: H }, () => ({ json: { ok: true } })) });
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([409, { error: "conflict" }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "-R conflict", "errh conflict", "head 409", ...sent]);
	});

	it("drops it for handlers that know nothing of it, too", async () => {
		const { log, R, traced, open } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const site = await open({
			"/": plain(async () => {
				await use(R);
				await use(H);
				return { json: { ok: true } };
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([409, { error: "conflict" }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "-R conflict", "errh conflict", "head 409", ...sent]);
	});

	it("leaves nothing of a dropped response in headers or body", async () => {
		const { log, traced, open } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const headers = {
			ETag: '"old"',
			"Cache-Control": "max-age=60",
			"Content-Disposition": "attachment",
			"Content-Language": "de",
			"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT",
			Expires: "Sun, 06 Nov 2094 08:49:37 GMT",
			Location: "/old",
			"Set-Cookie": "order=7",
			"X-Request-Id": "7",
		};
		const site = await open({
			"/": route({ h: H }, () => ({ json: { a: "longer body than the error's one" }, headers })),
		});
		const response = await site.fetch("/");
		const text = await response.text();
		expect([response.status, text]).toEqual([409, '{"error":"conflict"}']);
		expect([null, String(text.length)]).toContain(response.headers.get("content-length"));
		expect(response.headers.get("content-type")).toMatch(/^application\/json/);
		for (const name of Object.keys(headers)) {
			const own = name === "ETag" && kit.framework === "express" ? expect.any(String) : null;
			expect([name, response.headers.get(name)]).toEqual([name, own]);
		}
		expect(response.headers.get("etag")).not.toBe(headers.ETag);
		await site.idle();
		expect(log).toEqual(["+H", "-H", "errh conflict", "head 409", ...sent]);
	});

	it("ends a stream that is dropped with its response, none of it sent", async () => {
		const { log, R, traced, open } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		async function* chunks() {
			try {
				yield "one";
				yield "two";
			} finally {
				log.push("finally");
			}
		}
		const site = await open({ "/": route({ r: R, h: H }, () => ({ chunks: chunks() })) });
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([409, { error: "conflict" }]);
		await site.idle();
		// whether the stream was begun before it was dropped is the framework's affair
		expect(log.filter((line) => line !== "finally")).toEqual([
			"+R",
			"+H",
			"-H",
			"-R conflict",
			"errh conflict",
			"head 409",
			...sent,
		]);
	});

	it.skipIf(!kit.direct)(
		"lets a handler that goes on after its dropped answer finish first, and sends none of it",
		async () => {
			const { log, R, traced, open } = scene();
			const more = gate();
			const H = traced("H", "handler", {
				success: () => {
					throw httpError(409, "conflict");
				},
			});
			const site = await open({
				"/": route({ r: R, h: H }, () => ({
					direct: async (res) => {
						const { signal } = currentScope();
						res.setHeader("Set-Cookie", "secret=0");
						res.write("secret 1");
						await more.promise;
						log.push(`goes on, aborted: ${signal.aborted}`);
						res.write("secret 2");
						await new Promise<void>((resolve) => res.end("secret 3", resolve));
						log.push("done");
					},
				})),
			});
			const answer = site.fetch("/");
			await eventually(() => expect(log).toContain("-H"));
			for (let i = 0; i < 5; i++) await new Promise(setImmediate);
			more.open();
			const response = await answer;
			expect([response.status, await response.json()]).toEqual([409, { error: "conflict" }]);
			expect(response.headers.getSetCookie()).toEqual([]);
			await site.idle();
			expect(log).toEqual([
				"+R",
				"+H",
				"-H",
				"goes on, aborted: true",
				"done",
				"-R conflict",
				"errh conflict",
				"head 409",
				...sent,
			]);
		},
	);

	it.skipIf(!kit.direct)("gives such a handler abortGrace", async () => {
		const { log, R, traced, open } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const site = await open(
			{
				"/": route({ r: R, h: H }, () => ({
					direct: (res) => {
						res.write("secret");
						return new Promise(() => {});
					},
				})),
			},
			{ options: { abortGrace: 20 } },
		);
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([409, { error: "conflict" }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "-R conflict", "errh conflict", "head 409", ...sent]);
	});

	it("lets a resource translate the error, which decides the status", async () => {
		const { log, R, traced, open } = scene();
		const seen: unknown[] = [];
		const H = traced("H", "handler", { failure: () => httpError(404, "no such order") });
		const raw = new Error("no rows");
		const site = await open(
			{
				"/": route({ r: R, h: H }, () => {
					throw raw;
				}),
			},
			{ onError: (each) => seen.push(each) },
		);
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([404, { error: "no such order" }]);
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+H",
			"-H no rows",
			"-R no such order",
			"errh no such order",
			"head 404",
			...sent,
		]);
		expect((seen[0] as Error).cause).toBe(raw);
	});

	it("lets the request's resources translate it as well", async () => {
		const { log, H, traced, open } = scene();
		const R = traced("R", "request", { failure: () => httpError(503, "database down") });
		const site = await open({
			"/": route({ r: R, h: H }, () => {
				throw new Error("ECONNREFUSED");
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([503, { error: "database down" }]);
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+H",
			"-H ECONNREFUSED",
			"-R ECONNREFUSED",
			"errh database down",
			"head 503",
			...sent,
		]);
	});

	it("lets a resource translate the error of a release", async () => {
		const { log, traced, open } = scene();
		const R = traced("R", "request", { failure: () => httpError(409, "translated") });
		const H = traced("H", "handler", {
			success: () => {
				throw new Error("23505");
			},
		});
		const site = await open({ "/": route({ r: R, h: H }, () => ({ json: 1 })) });
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([409, { error: "translated" }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "-R 23505", "errh translated", "head 409", ...sent]);
	});

	it("shows the framework the work's error, and reports those of callbacks", async () => {
		const { log, reported, H, open } = scene();
		const site = await open({
			"/": route({ h: H }, () => {
				currentScope().defer(() => {
					throw new Error("cleanup");
				});
				throw httpError(418, "teapot");
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([418, { error: "teapot" }]);
		await site.idle();
		expect(log).toEqual(["+H", "-H teapot", "errh teapot", "head 418", ...sent]);
		expect(reported.splice(0)).toEqual([new Error("cleanup")]);
	});

	it("answers with the error of a callback that fails after successful work", async () => {
		const { log, R, open } = scene();
		const site = await open({
			"/": route({ r: R }, () => {
				currentScope().defer(() => {
					throw httpError(409, "cleanup");
				});
				return { json: 1 };
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([409, { error: "cleanup" }]);
		await site.idle();
		expect(log).toEqual(["+R", "-R cleanup", "errh cleanup", "head 409", ...sent]);
	});

	it("releases what was acquired when a setup fails", async () => {
		const { log, R, traced, open } = scene();
		const Bad = traced("bad", "handler", {
			setup: () => {
				throw httpError(503, "no connection");
			},
		});
		const site = await open({
			"/": route({ r: R, bad: Bad }, () => {
				log.push("handler");
				return { json: 1 };
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([503, { error: "no connection" }]);
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+bad",
			"-R no connection",
			"errh no connection",
			"head 503",
			...sent,
		]);
	});

	it("releases what was acquired when a guard's setup fails", async () => {
		const { log, R, traced, open } = scene();
		const Auth = traced("auth", "handler", {
			setup: () => {
				throw httpError(401, "who are you");
			},
		});
		const site = await open(
			{ "/": plain(() => ({ json: log.push("handler") })) },
			{ guards: [{ r: R }, { auth: Auth }] },
		);
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([401, { error: "who are you" }]);
		await site.idle();
		expect(log).toEqual([
			"+R",
			"guard R",
			"+auth",
			"-R who are you",
			"errh who are you",
			"head 401",
			...sent,
		]);
	});

	it.each([undefined, null, "a string", 0, { plain: true }])(
		"counts a thrown %j as a failure, and answers it",
		async (thrown) => {
			const { log, R, H, open } = scene();
			const site = await open({
				"/": route({ r: R, h: H }, () => {
					throw thrown;
				}),
				"/plain": plain(async () => {
					await use(R);
					throw thrown;
				}),
			});
			const response = await site.fetch("/");
			expect(response.status).toBe(500);
			await response.text();
			await site.idle();
			expect(log.splice(0)).toEqual([
				"+R",
				"+H",
				`-H ${String(thrown)}`,
				`-R ${String(thrown)}`,
				expect.stringContaining(`${String(thrown)}`),
				"head 500",
				...sent,
			]);
			// bare Express takes next(undefined) for "go on": there, only handler() can know
			if (kit.framework === "express" && !thrown) return;
			expect((await site.fetch("/plain")).status).toBe(500);
			await site.idle();
			expect(log).toEqual([
				"+R",
				`-R ${String(thrown)}`,
				expect.stringContaining(`${String(thrown)}`),
				"head 500",
				...sent,
			]);
		},
	);

	it("runs the app's error handler in the request's scope", async () => {
		const { log, R, open } = scene();
		const site = await open(
			{
				"/": route({ r: R }, () => {
					throw new Error("boom");
				}),
			},
			{ onError: () => log.push(`errh in ${where()}`) },
		);
		expect((await site.fetch("/")).status).toBe(500);
		await site.idle();
		// Koa's error middleware stands outside
		const place = kit.framework === "koa" ? "nowhere" : "GET /";
		expect(log).toEqual(["+R", "-R boom", "errh boom", `errh in ${place}`, "head 500", ...sent]);
	});

	it("reports the error of a release after the response, which stays", async () => {
		const { log, channel, reported, traced, H, open } = scene();
		const S = traced("S", "request");
		const R = traced("R", "request", {
			success: () => {
				throw new Error("late");
			},
		});
		const site = await open({ "/": route({ s: S, r: R, h: H }, () => ({ json: { ok: true } })) });
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([200, { ok: true }]);
		await site.idle();
		expect(log).toEqual(["+S", "+R", "+H", "-H", "head 200", ...sent, "-R", "-S late"]);
		const late = kit.framework === "koa" ? channel.splice(0) : reported.splice(0);
		expect(late.map(textOf)).toEqual(["late"]);
	});

	it("says how to add the middleware where it is missing", async () => {
		const { log, R, open } = scene();
		const site = await open({ "/": route({ r: R }, () => ({ json: 1 })) }, { mounts: 0 });
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([
			500,
			{
				error: `Cannot run this handler(): the request has no scope. Mount requestScope() of "yieldscope/${kit.framework}" before the routes: app.use(requestScope()).`,
			},
		]);
		expect(log).toEqual([expect.stringMatching(/^errh Cannot run/), "head 500", ...sent]);
	});

	it("passes on what making the bindings throws", async () => {
		const { log, open } = scene();
		const site = await open(
			{ "/": bare(() => ({ json: 1 })) },
			{
				options: {
					bindings: () => {
						throw httpError(400, "no tenant");
					},
				},
			},
		);
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([400, { error: "no tenant" }]);
		expect(log).toEqual(["errh no tenant", "head 400", ...sent]);
	});

	it("tells of a task's failure before the response", async () => {
		const { log, R, open } = scene();
		const site = await open({
			"/": route({ r: R }, () => {
				void currentScope().spawn(() => {
					throw httpError(502, "task");
				});
				return { json: 1 };
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([502, { error: "task" }]);
		await site.idle();
		expect(log).toEqual(["+R", "-R task", "errh task", "head 502", ...sent]);
	});
});

describe.each([
	["express", forExpress.handler as (...args: unknown[]) => unknown],
	["koa", forKoa.handler as (...args: unknown[]) => unknown],
	["hono", forHono.handler as (...args: unknown[]) => unknown],
])("handler() of %s", (_name, handler) => {
	it.each([
		[[{ a: undefined }, () => {}], /dependency `a` .* got undefined\. Is it used before/],
		[[{ a: 7 }], /dependency `a` .* got a number/],
		[[undefined, () => {}], /got undefined/],
		[[{}, undefined], /the last argument of handler\(\) to be a function/],
		[[], /got undefined/],
	] as const)("refuses wrong arguments at once: %j", (args, message) => {
		expect(() => handler(...args)).toThrow(InvalidArgumentError);
		expect(() => handler(...args)).toThrow(message);
	});
});
