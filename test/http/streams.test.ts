import { Readable } from "node:stream";
import { describe, expect, it, vi } from "vitest";
import { currentScope, use } from "../../src/index.ts";
import { gate } from "../support.ts";
import { eventually, plain, route, stage, streamKits, textOf, webStreamOf, where } from "./kits.ts";

describe.each(streamKits)("streams on $name", (kit) => {
	const scene = stage(kit);
	const { sent, cut } = kit;

	it("keeps the request's resources open until the body and its cleanup are done, in context", async () => {
		const { log, R, H, open } = scene();
		async function* chunks() {
			try {
				log.push(`first in ${where()}`);
				yield "one";
				await new Promise(setImmediate);
				log.push(`second in ${where()}`);
				yield "two";
			} finally {
				log.push(`finally in ${where()}`);
			}
		}
		const site = await open({ "/": route({ r: R, h: H }, () => ({ chunks: chunks() })) });
		const response = await site.fetch("/");
		expect([response.status, await response.text()]).toEqual([200, "onetwo"]);
		await site.idle();
		// a stream may be read ahead while the handler's resources are being released
		const first = log.find((line) => line.startsWith("first"));
		expect(["first in GET /", "first in handler"]).toContain(first);
		expect(log.filter((line) => line !== first)).toEqual([
			"+R",
			"+H",
			"-H",
			"head 200",
			"second in GET /",
			"finally in GET /",
			...sent,
			"-R",
		]);
	});

	it("lets bodies use resources of their own", async () => {
		const { log, R, H, open } = scene();
		async function* chunks() {
			await new Promise(setImmediate);
			yield await use(R);
		}
		const site = await open({ "/": route({ h: H }, () => ({ chunks: chunks() })) });
		expect(await (await site.fetch("/")).text()).toBe("R");
		await site.idle();
		// Express sends nothing before the first chunk
		expect(log.filter((line) => !/H|head/.test(line))).toEqual(["+R", ...sent, "-R"]);
		expect(log.indexOf("-H")).toBeLessThan(log.indexOf("head 200"));
	});

	it("waits for the body's slow cleanup", async () => {
		const finish = gate();
		const { log, R, open } = scene();
		async function* chunks() {
			try {
				yield "one";
				yield "two";
			} finally {
				log.push("finally");
				await finish.promise;
				log.push("done");
			}
		}
		const site = await open({ "/": route({ r: R }, () => ({ chunks: chunks() })) });
		const client = site.connect();
		client.get("/");
		await client.until("two");
		await eventually(() => expect(log).toContain("finally"));
		expect(log).not.toContain("-R");
		finish.open();
		await site.idle();
		expect(log).toEqual(["+R", "head 200", "finally", "done", ...sent, "-R"]);
	});

	it("lets a stream give back what it no longer needs", async () => {
		const { log, traced, R, open } = scene();
		const Pool = traced("pool", "request");
		async function* chunks() {
			await new Promise(setImmediate);
			await currentScope().release(Pool);
			yield "one";
		}
		const site = await open({
			"/": route({ r: R, pool: Pool }, () => ({ chunks: chunks() })),
		});
		expect(await (await site.fetch("/")).text()).toBe("one");
		await site.idle();
		expect(log.filter((line) => line !== "head 200")).toEqual([
			"+R",
			"+pool",
			"-pool",
			...sent,
			"-R",
		]);
	});

	// the helper itself ends the body properly
	const itCuts = it.skipIf(kit.name.startsWith("hono-helper"));

	itCuts("cuts the connection when a body fails half-way, and tells the resources", async () => {
		const { log, channel, R, H, open } = scene();
		const sent = gate();
		async function* chunks() {
			try {
				yield "one";
				await sent.promise;
				throw new Error("half-way");
			} finally {
				log.push("finally");
			}
		}
		const site = await open({ "/": route({ r: R, h: H }, () => ({ chunks: chunks() })) });
		const client = site.connect();
		client.get("/");
		await client.until("one");
		sent.open();
		await client.closed();
		await site.idle();
		expect(client.received).not.toContain("\r\n0\r\n");
		expect(log).toEqual(["+R", "+H", "-H", "head 200", "finally", ...cut, "-R half-way"]);
		const told = channel.splice(0).map(textOf);
		// Koa's own: none, one or two reports of it, by version
		if (kit.framework === "koa")
			expect(new Set([...told, "half-way"])).toEqual(new Set(["half-way"]));
		else expect(told).toEqual([]);
	});

	it("finishes the handler's releases before the first byte of a stream", async () => {
		const committed = gate();
		const { log, traced, open } = scene();
		const H = traced("H", "handler", {
			success: async () => {
				await committed.promise;
				log.push("committed");
			},
		});
		async function* chunks() {
			yield "one";
		}
		const site = await open({ "/": route({ h: H }, () => ({ chunks: chunks() })) });
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toContain("-H"));
		await new Promise(setImmediate);
		expect(client.received).toBe("");
		committed.open();
		await client.until("one");
		await site.idle();
		expect(log).toEqual(["+H", "-H", "committed", "head 200", ...sent]);
	});

	it("answers HEAD for a stream, and ends the stream", async () => {
		const { log, R, H, open } = scene();
		async function* chunks() {
			try {
				yield "one";
				yield "two";
			} finally {
				log.push("finally");
			}
		}
		const site = await open({ "/": route({ r: R, h: H }, () => ({ chunks: chunks() })) });
		const response = await site.fetch("/", { method: "HEAD" });
		expect([response.status, await response.text()]).toEqual([200, ""]);
		await site.idle();
		expect(log.filter((line) => line !== "finally")).toEqual([
			"+R",
			"+H",
			"-H",
			"head 200",
			...sent,
			"-R",
		]);
	});

	it("keeps back-pressure and the resources while a slow client reads", async () => {
		const { log, R, H, open } = scene();
		const chunk = "x".repeat(64 * 1024);
		const count = 400;
		let made = 0;
		async function* chunks() {
			for (; made < count; made++) yield chunk;
		}
		const site = await open({ "/": route({ r: R, h: H }, () => ({ chunks: chunks() })) });
		const client = site.connect();
		client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
		await client.until("\r\n\r\n");
		client.pause();
		let before = -1;
		await vi.waitFor(
			() => {
				const now = made;
				const stalled = now === before;
				before = now;
				expect(stalled).toBe(true);
			},
			{ interval: 30 },
		);
		expect(made).toBeLessThan(count);
		expect(log).not.toContain("-R");
		client.resume();
		await client.closed();
		await site.idle();
		expect(client.received.slice(-7)).toBe("\r\n0\r\n\r\n");
		expect(made).toBe(count);
		expect(log).toEqual(["+R", "+H", "-H", "head 200", ...sent, "-R"]);
	});

	it("keeps the app scope's close waiting for a stream", async () => {
		const finish = gate();
		const { log, R, app, open } = scene();
		async function* chunks() {
			yield "one";
			await finish.promise;
			yield "two";
		}
		const site = await open({ "/": route({ r: R }, () => ({ chunks: chunks() })) });
		const client = site.connect();
		client.get("/");
		await client.until("one");
		const closed = app.disposeAsync().then(() => log.push("app closed"));
		await new Promise(setImmediate);
		finish.open();
		await client.until("two");
		await closed;
		expect(log).toEqual(["+R", "head 200", ...sent, "-R", "app closed"]);
	});

	it("answers with the error of a stream that fails before its first byte, if anything can", async () => {
		const { log, channel, reported, R, traced, open } = scene();
		const held = gate();
		const H = traced("H", "handler", { success: () => held.promise });
		const node = new Readable({ read() {} });
		const site = await open({ "/": route({ r: R, h: H }, () => ({ node })) });
		const client = site.connect();
		client.get("/");
		// Express begins to send with the first chunk, the others with the response
		if (kit.framework !== "express") await eventually(() => expect(log).toContain("-H"));
		else await eventually(() => expect(log).toContain("+H"));
		node.destroy(Object.assign(new Error("ENOENT"), { status: 404 }));
		held.open();
		if (kit.framework === "hono") await client.closed();
		else await client.until('{"error":"ENOENT"}');
		await site.idle();
		expect(log.filter((line) => line !== "-H ENOENT" && line !== "-H")).toEqual(
			kit.framework === "hono"
				? ["+R", "+H", "head 200", ...cut, "-R ENOENT"]
				: ["+R", "+H", "-R ENOENT", "errh ENOENT", "head 404", ...sent],
		);
		channel.splice(0);
		reported.splice(0);
	});

	it.skipIf(!kit.web)("sends web streams, in context", async () => {
		const { log, R, H, open } = scene();
		async function* chunks() {
			try {
				yield "one";
				await new Promise(setImmediate);
				log.push(`second in ${where()}`);
				yield "two";
			} finally {
				log.push("finally");
			}
		}
		const site = await open({
			"/": route({ r: R, h: H }, () => ({ web: webStreamOf(chunks()) })),
		});
		expect(await (await site.fetch("/")).text()).toBe("onetwo");
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+H",
			"-H",
			"head 200",
			"second in GET /",
			"finally",
			...sent,
			"-R",
		]);
	});

	// nothing is sent before the first chunk in Express: this is of frameworks that know of the body
	const knowsBody = kit.web && kit.framework !== "express";
	it.skipIf(!knowsBody)("cancels a web stream that is dropped with its response", async () => {
		const { log, traced, open } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw new Error("commit");
			},
		});
		const web = new ReadableStream<Uint8Array>(
			{
				pull: () => new Promise(() => {}),
				cancel: () => void log.push("cancelled"),
			},
			{ highWaterMark: 0 },
		);
		const site = await open({
			"/": route({ h: H }, () => ({ web })),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([500, { error: "commit" }]);
		await eventually(() => expect(log).toContain("cancelled"));
		await site.idle();
		expect(log.filter((line) => line !== "cancelled")).toEqual([
			"+H",
			"-H",
			"errh commit",
			"head 500",
			...sent,
		]);
	});

	it.skipIf(!kit.direct)("holds back what is written to the response itself", async () => {
		const committed = gate();
		const { log, R, traced, open } = scene();
		const H = traced("H", "handler", { success: () => committed.promise });
		const site = await open({
			"/": route({ r: R, h: H }, () => ({
				direct: (res) => {
					res.writeHead(201, { "X-A": "1" });
					res.write("one");
					res.end("two");
				},
			})),
		});
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toContain("-H"));
		await new Promise(setImmediate);
		expect(client.received).toBe("");
		committed.open();
		await client.until(/two\r\n0\r\n/);
		expect(client.received).toMatch(/^HTTP\/1\.1 201 Created\r\n(X-Powered.*\r\n)?X-A: 1\r\n/);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "head 201", ...sent, "-R"]);
	});

	it.skipIf(!kit.direct)("drops what is written to the response itself", async () => {
		const { log, R, traced, open } = scene();
		const H = traced("H", "handler", {
			success: () => {
				throw new Error("commit");
			},
		});
		const site = await open({
			"/": route({ r: R, h: H }, () => ({
				direct: (res) => {
					res.writeHead(201, { ETag: '"1"' });
					res.end("two");
				},
			})),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([500, { error: "commit" }]);
		expect(response.headers.get("etag")).not.toBe('"1"');
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "-R commit", "errh commit", "head 500", ...sent]);
	});

	it.skipIf(!kit.direct)("sends server-sent events as they come", async () => {
		const next = gate();
		const { log, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, () => ({
				direct: async (res) => {
					res.writeHead(200, { "Content-Type": "text/event-stream" });
					res.flushHeaders();
					res.write("data: 1\n\n");
					await next.promise;
					log.push(`second in ${where()}`);
					res.end("data: 2\n\n");
				},
			})),
		});
		const client = site.connect();
		client.get("/");
		await client.until("data: 1");
		expect(log).toEqual(["+R", "+H", "-H", "head 200"]);
		next.open();
		await client.until("data: 2");
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "head 200", "second in GET /", ...sent, "-R"]);
	});

	it.skipIf(!kit.direct)(
		"cuts the connection when a handler fails with the head sent",
		async () => {
			const { log, channel, R, H, open } = scene();
			const fail = gate();
			const site = await open({
				"/": plain(async () => {
					await use(R);
					await use(H);
					return {
						direct: async (res) => {
							res.statusCode = 200;
							res.flushHeaders();
							res.write("one");
							await fail.promise;
							throw new Error("too late");
						},
					};
				}),
			});
			const client = site.connect();
			client.get("/");
			await client.until("one");
			fail.open();
			await client.closed();
			await site.idle();
			channel.splice(0);
			expect(log.filter((line) => !line.startsWith("errh"))).toEqual([
				"+R",
				"+H",
				"-H",
				"head 200",
				"-R too late",
				"gone",
			]);
		},
	);
});
