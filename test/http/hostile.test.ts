import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { Hono } from "hono";
import Koa from "koa";
import { describe, expect, it } from "vitest";
import * as forExpress from "../../src/express.ts";
import * as forHono from "../../src/hono.ts";
import { currentScope, openScope, resource, type Scope, use } from "../../src/index.ts";
import * as forKoa from "../../src/koa.ts";
import { ownServer } from "./server.ts";

/** A server whose every route does `work`, and says what it gives, or 500. */
type Make = (app: Scope, work: () => Promise<string>) => RequestListener;

const sayFailed: express.ErrorRequestHandler = (_error, _req, res, _next) => {
	res.status(500).send("failed");
};

const frameworks: readonly (readonly [name: string, make: Make])[] = [
	[
		"Express",
		(parent, work) => {
			const app = express();
			app.use(forExpress.requestScope({ parent }));
			app.use(
				forExpress.handler({}, async (_deps, _req, res) => {
					res.send(await work());
				}),
			);
			app.use(forExpress.releaseErrors());
			app.use(sayFailed);
			return app;
		},
	],
	[
		"Koa",
		(parent, work) => {
			const app = new Koa();
			app.use(async (ctx, next) => {
				try {
					await next();
				} catch {
					ctx.status = 500;
					ctx.body = "failed";
				}
			});
			app.use(forKoa.requestScope({ parent }));
			app.use(
				forKoa.handler({}, async (_deps, ctx) => {
					ctx.body = await work();
				}),
			);
			return app.callback();
		},
	],
	[
		"Hono",
		(parent, work) => {
			const app = new Hono();
			app.onError(forHono.releaseErrors((_error, c) => c.text("failed", 500)));
			app.use(forHono.requestScope({ parent }));
			app.all(
				"*",
				forHono.handler({}, async (_deps, c) => c.text(await work())),
			);
			return getRequestListener(app.fetch);
		},
	],
];

/** What a second error is told by. */
const secondErrors: readonly (readonly [string, () => unknown])[] = [
	["a revoked proxy", () => unreadable()],
	[
		"an error with a code that can't be read",
		() =>
			Object.defineProperty(new Error("hostile"), "code", {
				get() {
					throw new Error("unreadable");
				},
			}),
	],
];

/** Sends one request as it is, and gives the whole answer once everything is released. */
async function exchange(
	make: Make,
	head: string,
	work: () => Promise<string>,
): Promise<{ answer: string; reported: unknown[] }> {
	const reported: unknown[] = [];
	const app = openScope({ lifetime: "app", onReleaseError: (error) => void reported.push(error) });
	const server = createServer(make(app, work));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
	socket.write(Buffer.from(`${head}\r\nHost: x\r\nConnection: close\r\n\r\n`, "latin1"));
	const answer = await text(socket);
	server.close();
	app.complete();
	await app.disposeAsync();
	return { answer, reported };
}

const unreadable = () => {
	const { proxy, revoke } = Proxy.revocable(new Error("revoked"), {});
	revoke();
	return proxy;
};

describe.skipIf(ownServer !== undefined).each(frameworks)("%s", (_name, make) => {
	it.each<[string, () => unknown]>([
		["a revoked proxy", unreadable],
		["an object without a prototype", () => Object.create(null)],
		[
			"an object that can't be text",
			() => ({
				toString() {
					throw new Error("unprintable");
				},
			}),
		],
		["a symbol", () => Symbol("thrown")],
		["undefined", () => undefined],
		["a promise that never settles", () => new Promise(() => {})],
		["a promise that is fulfilled", () => Promise.resolve("no error")],
		["a frozen error", () => Object.freeze(new Error("frozen"))],
	])("answers a handler that throws %s, and releases with that", async (_what, thrown) => {
		const error = thrown();
		const seen: unknown[] = [];
		const Tx = resource(async function* () {
			try {
				yield "tx";
			} catch (caught) {
				seen.push(caught);
				throw caught;
			}
		});
		const { answer } = await exchange(make, "GET / HTTP/1.1", async () => {
			await use(Tx);
			throw error;
		});
		expect(answer).toMatch(/^HTTP\/1.1 500 .*failed/s);
		expect(seen.length === 1 && Object.is(seen[0], error)).toBe(true);
	});

	it.each([
		"/%0a%0d%1b[31m%e2%80%ae%00?%0a",
		"/%ff%fe%",
		"/__proto__/constructor",
		`/${"a".repeat(8000)}`,
		"//..//..%2f..%5c",
	])("names the scope of GET %j so that a log can bear it", async (path) => {
		let name = "";
		const { answer } = await exchange(make, `GET ${path} HTTP/1.1`, async () => {
			name = currentScope().parent?.name ?? "";
			return "done";
		});
		expect(answer).toMatch(/^HTTP\/1.1 200 .*done/s);
		expect(name).toMatch(/^GET \//);
		expect(name).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]|\p{Surrogate}/u);
		expect(name.length).toBeLessThanOrEqual(200);
	});

	it("keeps what comes after the path out of the scope's name", async () => {
		let name = "";
		await exchange(
			make,
			"GET /reset?token=hunter2 HTTP/1.1\r\nAuthorization: Bearer hunter2",
			async () => {
				name = currentScope().parent?.name ?? "";
				return "done";
			},
		);
		expect(name).toBe("GET /reset");
	});
});

describe.skipIf(ownServer !== undefined)("Express", () => {
	it.each(secondErrors)(
		"reports %s that a handler throws behind another error",
		async (_what, thrown) => {
			const error = thrown();
			const make: Make = (parent) => {
				const app = express();
				app.use(forExpress.requestScope({ parent }));
				app.use(
					forExpress.handler({}, async (_deps, _req, _res, next) => {
						next(new Error("first"));
						throw error;
					}),
				);
				app.use(forExpress.releaseErrors());
				app.use(sayFailed);
				return app;
			};
			const { answer, reported } = await exchange(make, "GET / HTTP/1.1", async () => "unused");
			expect(answer).toMatch(/^HTTP\/1.1 500 .*failed/s);
			expect(reported.length === 1 && Object.is(reported[0], error)).toBe(true);
		},
	);
});
