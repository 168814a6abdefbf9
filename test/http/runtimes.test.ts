import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import { afterEach, describe, expect, it } from "vitest";
import { currentScope, use } from "../../src/index.ts";
import { gate } from "../support.ts";
import { eventually, httpError, type Kit, kits, plain, route, stage, where } from "./kits.ts";

const GONE = "The client closed the connection before the response was complete.";

interface Listening {
	readonly url: string;
	close(): Promise<unknown>;
}

/** What is used of the other runtimes' own servers. */
interface Runtimes {
	readonly Bun?: {
		serve(options: { port: number; hostname: string; idleTimeout: number; fetch: Hono["fetch"] }): {
			readonly port: number;
			stop(closeConnections: boolean): Promise<void>;
		};
	};
	readonly Deno?: {
		serve(
			options: { port: number; hostname: string; onListen(): void },
			fetch: Hono["fetch"],
		): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
	};
}
const { Bun, Deno } = globalThis as Runtimes;

/** Serves an app with the runtime's own server. */
async function serve(app: Hono): Promise<Listening> {
	const hostname = "127.0.0.1";
	if (Bun !== undefined) {
		const server = Bun.serve({ port: 0, hostname, idleTimeout: 60, fetch: app.fetch });
		return { url: `http://${hostname}:${server.port}`, close: () => server.stop(true) };
	}
	if (Deno !== undefined) {
		const server = Deno.serve({ port: 0, hostname, onListen() {} }, app.fetch);
		return { url: `http://${hostname}:${server.addr.port}`, close: () => server.shutdown() };
	}
	const server = createAdaptorServer({ fetch: app.fetch });
	await new Promise<void>((resolve) => server.listen(0, hostname, resolve));
	const { port } = server.address() as { port: number };
	return {
		url: `http://${hostname}:${port}`,
		close: () => new Promise((resolve) => server.close(resolve)),
	};
}

const kit = kits.find((each) => each.name === "hono") as Kit;

describe(`Hono on the server of ${Bun ? "Bun" : Deno ? "Deno" : "Node"}`, () => {
	const scene = stage(kit);
	let listening: Listening | undefined;
	afterEach(async () => {
		await listening?.close();
		listening = undefined;
	});
	const listen = async (app: Hono) => {
		listening = await serve(app);
		const { url } = listening;
		return (path = "/", init: RequestInit = {}) =>
			fetch(url + path, { redirect: "manual", ...init });
	};
	const endless = (log: string[]) =>
		(async function* () {
			try {
				for (;;) {
					yield "x".repeat(1024);
					await new Promise((resolve) => setTimeout(resolve, 1));
				}
			} finally {
				log.push(`finally in ${where()}`);
			}
		})();

	it("releases the handler's resources, then answers, then releases the request's", async () => {
		const { log, R, H, hono, idle } = scene();
		const committed = gate();
		const get = await listen(
			hono({
				"/": route({ r: R, h: H }, async ({ r, h }) => {
					const { signal } = currentScope();
					currentScope().after(async () => {
						log.push(`after ${await use(R)}, aborted: ${signal.aborted}`);
						await committed.promise;
					});
					return { json: [r, h] };
				}),
			}),
		);
		const response = await get();
		expect([response.status, await response.json()]).toEqual([200, ["R", "H"]]);
		await eventually(() => expect(log).toHaveLength(4));
		committed.open();
		await idle();
		expect(log).toEqual(["+R", "+H", "-H", "after R, aborted: false", "-R"]);
	});

	it("releases with the error before the error handler answers", async () => {
		const { log, R, H, hono, idle } = scene();
		const get = await listen(
			hono({
				"/": route({ r: R, h: H }, () => {
					throw httpError(418, "teapot");
				}),
			}),
		);
		const response = await get();
		expect([response.status, await response.json()]).toEqual([418, { error: "teapot" }]);
		await idle();
		expect(log).toEqual(["+R", "+H", "-H teapot", "-R teapot", "errh teapot"]);
	});

	it("leaves nothing of a response that is dropped", async () => {
		const { log, R, traced, hono, idle } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});
		const headers = { "Set-Cookie": "order=7", ETag: '"1"', "X-Order": "7" };
		const get = await listen(
			hono({
				"/": route({ r: R, h: H }, () => ({ json: "longer than the error's body", headers })),
				"/stream": route({ r: R, h: H }, () => ({ chunks: endless(log) })),
			}),
		);
		for (const path of ["/", "/stream"]) {
			const response = await get(path);
			expect([response.status, await response.json()]).toEqual([409, { error: "conflict" }]);
			for (const name of Object.keys(headers)) expect(response.headers.get(name)).toBeNull();
			await idle();
			expect(log.splice(0).filter((line) => !line.startsWith("finally"))).toEqual([
				...["+R", "+H", "-H", "-R conflict", "errh conflict"],
			]);
		}
	});

	it("keeps the request's resources open until a stream and its cleanup are done, in context", async () => {
		const { log, R, H, hono, idle } = scene();
		const more = gate();
		async function* chunks() {
			try {
				yield "one";
				await more.promise;
				yield `two in ${where()}`;
			} finally {
				log.push(`finally in ${where()}`);
			}
		}
		const get = await listen(hono({ "/": route({ r: R, h: H }, () => ({ chunks: chunks() })) }));
		const response = await get();
		expect(log).toEqual(["+R", "+H", "-H"]);
		more.open();
		expect(await response.text()).toBe("onetwo in GET /");
		await idle();
		expect(log).toEqual(["+R", "+H", "-H", "finally in GET /", "-R"]);
	});

	it("ends the body of a client that leaves in mid-stream, in context, then the request has failed", async () => {
		const { log, R, H, hono, idle } = scene();
		let signal: AbortSignal | undefined;
		const get = await listen(
			hono({
				"/": route({ r: R, h: H }, () => {
					({ signal } = currentScope());
					return { chunks: endless(log) };
				}),
			}),
		);
		const leaving = new AbortController();
		const response = await get("/", { signal: leaving.signal });
		await response.body?.getReader().read();
		leaving.abort();
		await idle();
		expect(log).toEqual(["+R", "+H", "-H", "finally in GET /", `-R ${GONE}`]);
		expect(signal?.aborted).toBe(true);
	});

	it("waits for the handler of a client that leaves before the answer", async () => {
		const { log, R, H, hono, idle } = scene();
		const work = gate();
		const get = await listen(
			hono({
				"/": route({ r: R, h: H }, async () => {
					await work.promise;
					log.push("answers");
					return { json: 1 };
				}),
			}),
		);
		const leaving = new AbortController();
		const answer = get("/", { signal: leaving.signal }).catch(() => "left");
		await eventually(() => expect(log).toEqual(["+R", "+H"]));
		leaving.abort();
		expect(await answer).toBe("left");
		for (let i = 0; i < 10; i++) await new Promise((resolve) => setTimeout(resolve, 1));
		expect(log).toEqual(["+R", "+H"]);
		work.open();
		await idle();
		expect(log).toEqual(["+R", "+H", "answers", "-H", "-R"]);
	});

	it("tells the resources of a body that fails half-way", async () => {
		const { log, R, hono, idle } = scene();
		const sent = gate();
		async function* chunks() {
			yield "x";
			await sent.promise;
			throw new Error("half-way");
		}
		const get = await listen(hono({ "/": route({ r: R }, () => ({ chunks: chunks() })) }));
		const response = await get();
		sent.open();
		await response.text().catch(() => {}); // whether the client is told is the server's affair
		await idle();
		expect(log).toEqual(["+R", "-R half-way"]);
	});

	it.each([
		["HEAD", "/json", 200],
		["HEAD", "/stream", 200],
		["GET", "/empty", 204],
		["GET", "/moved", 302],
		["GET", "/nowhere", 404],
	] as const)("commits %s %s, and leaves nothing open", async (method, path, status) => {
		const { log, R, H, hono, idle } = scene();
		const get = await listen(
			hono({
				"/json": route({ r: R, h: H }, () => ({ json: 1 })),
				"/stream": route({ r: R, h: H }, () => ({ chunks: endless(log) })),
				"/empty": route({ r: R, h: H }, () => ({ empty: 204 })),
				"/moved": route({ r: R, h: H }, () => ({ redirect: "/json" })),
				"/nowhere": route({ r: R, h: H }, () => ({ none: true })),
			}),
		);
		const response = await get(path, { method });
		expect(response.status).toBe(status);
		await response.text();
		await idle();
		expect(log.filter((line) => !line.startsWith("finally"))).toEqual(["+R", "+H", "-H", "-R"]);
	});

	it("serves handlers that know nothing of it, and 20 requests at once", async () => {
		const { log, R, H, hono, idle } = scene();
		const get = await listen(
			hono({
				"/": plain(async () => {
					await use(R);
					await use(H);
					await new Promise((resolve) => setTimeout(resolve, 1));
					return { json: where() };
				}),
			}),
		);
		const all = await Promise.all(Array.from({ length: 20 }, async () => (await get()).json()));
		expect(new Set(all)).toEqual(new Set(["handler"]));
		await idle();
		expect([...log].sort()).toEqual(
			["+H", "+R", "-H", "-R"].flatMap((line) => new Array<string>(20).fill(line)),
		);
	});
});
