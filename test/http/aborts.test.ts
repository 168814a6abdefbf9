import { describe, expect, it } from "vitest";
import { AcquireAbortedError, currentScope, use } from "../../src/index.ts";
import { gate } from "../support.ts";
import { bare, eventually, plain, route, stage, streamKits, textOf, where } from "./kits.ts";

const GONE = "The client closed the connection before the response was complete.";

describe.each(streamKits)("clients that leave $name", (kit) => {
	const scene = stage(kit);
	const { sent } = kit;

	it("before the answer: the handler goes on, and what it answers is committed", async () => {
		const { log, R, H, open } = scene();
		const work = gate();
		const site = await open({
			"/": route({ r: R, h: H }, async () => {
				const { signal } = currentScope();
				await work.promise;
				log.push(`answers, aborted: ${signal.aborted}`);
				return { json: 1 };
			}),
		});
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R", "+H"]));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await new Promise(setImmediate);
		await new Promise(setImmediate);
		expect(log).toEqual(["+R", "+H", "gone"]);
		work.open();
		await site.idle();
		expect(log.filter((line) => !line.startsWith("head"))).toEqual([
			"+R",
			"+H",
			"gone",
			"answers, aborted: true",
			"-H",
			"-R",
		]);
	});

	it("before the answer: a stream that comes too late is ended", async () => {
		const { log, R, H, open } = scene();
		const work = gate();
		async function* chunks() {
			try {
				for (;;) {
					yield "x";
					await new Promise(setImmediate);
				}
			} finally {
				log.push("finally");
			}
		}
		const site = await open({
			"/": route({ r: R, h: H }, async () => {
				await work.promise;
				return { chunks: chunks() };
			}),
		});
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R", "+H"]));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		work.open();
		await site.idle();
		const ends = {
			express: [expect.stringMatching(/^-H \S/), expect.stringMatching(/^-R \S/)],
			koa: ["-H", "-R"], // which doesn't begin with it
			// elsewhere a Response doesn't say whether it is made of a stream or of a text, which is complete
			hono: ["-H", kit.name.startsWith("hono-response on") ? "-R" : `-R ${GONE}`],
		}[kit.framework];
		expect(log.filter((line) => /^[-+]/.test(line))).toEqual(["+R", "+H", ...ends]);
		// who pipes by hand when all is over, and doesn't wait for it, isn't waited for either
		if (kit.framework !== "hono") return;
		expect(log).toContain("finally");
		expect(log.indexOf("finally")).toBeLessThan(log.findIndex((line) => line.startsWith("-R")));
	});

	it("before the answer: the resources get what the handler throws later", async () => {
		const { log, R, H, open } = scene();
		const work = gate();
		const site = await open({
			"/": route({ r: R, h: H }, async () => {
				await work.promise;
				throw new Error("later");
			}),
		});
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R", "+H"]));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		work.open();
		await site.idle();
		expect(log.filter((line) => !line.startsWith("head"))).toEqual([
			"+R",
			"+H",
			"gone",
			"-H later",
			"-R later",
			"errh later",
		]);
	});

	it("before the answer: the signal tells the handler, which may give up", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, async () => {
				const { signal } = currentScope();
				await new Promise((_resolve, reject) => {
					signal.addEventListener("abort", () => reject(signal.reason), { once: true });
				});
				return { json: 1 };
			}),
		});
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R", "+H"]));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await site.idle();
		expect(log.filter((line) => !line.startsWith("head"))).toEqual([
			"+R",
			"+H",
			"gone",
			`-H ${GONE}`,
			`-R ${GONE}`,
			`errh ${GONE}`,
		]);
	});

	it("and a handler that never ends: everything is released after abortGrace", async () => {
		const { log, R, H, open } = scene();
		const site = await open(
			{ "/": route({ r: R, h: H }, () => new Promise<never>(() => {})) },
			{ options: { abortGrace: 20 } },
		);
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R", "+H"]));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await site.idle();
		expect(log).toEqual(["+R", "+H", "gone", `-H ${GONE}`, `-R ${GONE}`]);
	});

	it("and a handler that fails after abortGrace: its error still reaches the app's error handler", async () => {
		const { log, R, open } = scene();
		const work = gate();
		const site = await open(
			{
				"/": route({ r: R }, async () => {
					await work.promise;
					throw new Error("much later");
				}),
			},
			{ options: { abortGrace: 20 } },
		);
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R"]));
		client.leave();
		await eventually(() => expect(log).toContain(`-R ${GONE}`));
		work.open();
		await eventually(() => expect(log).toContain("errh much later"));
		expect(log.filter((line) => !line.startsWith("head"))).toEqual([
			"+R",
			"gone",
			`-R ${GONE}`,
			"errh much later",
		]);
	});

	it("while a resource is being acquired: whoever waits is told", async () => {
		const { log, R, traced, open } = scene();
		const connected = gate();
		const Slow = traced("slow", "request", { setup: () => connected.promise });
		let seen: unknown;
		const site = await open({
			"/": route({ r: R }, async () => {
				await use(Slow).catch((error) => {
					seen = error;
					throw error;
				});
				return { json: 1 };
			}),
		});
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R", "+slow"]));
		client.leave();
		await eventually(() => expect(seen).toBeInstanceOf(AcquireAbortedError));
		expect((seen as Error).cause).toMatchObject({ name: "AbortError", message: GONE });
		connected.open();
		await site.idle();
		expect(log.filter((line) => !/^(head|errh)/.test(line))).toEqual([
			"+R",
			"+slow",
			"gone",
			`-slow ${textOf(seen)}`,
			`-R ${textOf(seen)}`,
		]);
	});

	it("in mid-stream: the body is ended, in context, then the request has failed", async () => {
		const { log, channel, R, H, open } = scene();
		async function* chunks() {
			try {
				for (;;) {
					yield "x".repeat(1024);
					await new Promise(setImmediate);
				}
			} finally {
				log.push(`finally in ${where()}`);
			}
		}
		const site = await open({ "/": route({ r: R, h: H }, () => ({ chunks: chunks() })) });
		const client = site.connect();
		client.get("/");
		await client.until("xxx");
		client.leave();
		await eventually(() => expect(log).toContain(`-R ${GONE}`));
		expect(log.filter((line) => !line.startsWith("finally"))).toEqual([
			"+R",
			"+H",
			"-H",
			"head 200",
			"gone",
			`-R ${GONE}`,
		]);
		expect(log.indexOf(`-R ${GONE}`)).toBe(log.length - 1);
		// Deno loses the context of a generator whose return() comes while its next() is running
		const place = "Deno" in globalThis && kit.server === "node:http" ? "nowhere" : "GET /";
		expect(log).toContain(`finally in ${place}`);
		channel.splice(0); // Koa 3 reports a premature close
	});

	it("in mid-stream: a signal that was taken before the first byte tells the body", async () => {
		const { log, channel, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, () => {
				const { signal } = currentScope();
				async function* events() {
					yield "data: 1\n\n";
					await new Promise((resolve) => signal.addEventListener("abort", resolve));
					log.push(`aborted ${textOf(signal.reason)}`);
				}
				return { chunks: events() };
			}),
		});
		const client = site.connect();
		client.get("/");
		await client.until("data: 1");
		client.leave();
		await eventually(() => expect(log).toContain(`aborted ${GONE}`));
		await site.idle();
		expect(log.slice(0, 6)).toEqual(["+R", "+H", "-H", "head 200", "gone", `aborted ${GONE}`]);
		// Deno lets Koa 3 end a response that nobody gets any more
		const end = "Deno" in globalThis && kit.name === "koa" ? "-R" : `-R ${GONE}`;
		expect(log.slice(6)).toEqual([end]);
		channel.splice(0); // Koa 3 reports a premature close
	});

	it("in mid-stream: the body's slow cleanup is waited for", async () => {
		const { log, channel, R, open } = scene();
		const finish = gate();
		async function* chunks() {
			try {
				for (;;) {
					yield "x".repeat(1024);
					await new Promise(setImmediate);
				}
			} finally {
				await finish.promise;
				log.push("finally");
			}
		}
		const site = await open({ "/": route({ r: R }, () => ({ chunks: chunks() })) });
		const client = site.connect();
		client.get("/");
		await client.until("xxx");
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await new Promise(setImmediate);
		expect(log).toEqual(["+R", "head 200", "gone"]);
		finish.open();
		await site.idle();
		expect(log).toEqual(["+R", "head 200", "gone", "finally", `-R ${GONE}`]);
		channel.splice(0);
	});

	it("in mid-stream: a cleanup that never ends is given abortGrace", async () => {
		const { log, channel, R, open } = scene();
		async function* chunks() {
			try {
				for (;;) {
					yield "x".repeat(1024);
					await new Promise(setImmediate);
				}
			} finally {
				await new Promise(() => {});
			}
		}
		const site = await open(
			{ "/": route({ r: R }, () => ({ chunks: chunks() })) },
			{ options: { abortGrace: 20 } },
		);
		const client = site.connect();
		client.get("/");
		await client.until("xxx");
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await site.idle();
		expect(log).toEqual(["+R", "head 200", "gone", `-R ${GONE}`]);
		channel.splice(0);
	});

	it("while the handler's resources are being released: the release is finished", async () => {
		const { log, R, traced, open } = scene();
		const committed = gate();
		const H = traced("H", "handler", {
			success: async () => {
				await committed.promise;
				log.push("committed");
			},
		});
		const site = await open({ "/": route({ r: R, h: H }, () => ({ json: 1 })) });
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toContain("-H"));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await new Promise(setImmediate);
		expect(log).toEqual(["+R", "+H", "-H", "gone"]);
		committed.open();
		await site.idle();
		expect(log.filter((line) => !line.startsWith("head"))).toEqual([
			"+R",
			"+H",
			"-H",
			"gone",
			"committed",
			"-R",
		]);
	});

	it("half-closed: counts as gone", async () => {
		const { log, R, open } = scene();
		const site = await open({
			"/": route({ r: R }, async () => {
				const { signal } = currentScope();
				await new Promise<void>((resolve) => {
					signal.addEventListener("abort", () => resolve(), { once: true });
				});
				throw new Error("given up");
			}),
		});
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R"]));
		client.halfClose();
		await eventually(() => expect(log).toContain("-R given up"));
		expect(log.slice(0, 3)).toEqual(["+R", "gone", "-R given up"]);
	});

	it("with their request still coming: the resources are released", async () => {
		const { log, R, open } = scene();
		const site = await open(
			{ "/": plain(() => ({ json: 1 })) },
			{ parse: true, guards: [{ r: R }], options: { abortGrace: 20 } },
		);
		const client = site.connect();
		client.send(
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 70\r\n\r\n[1,",
		);
		await eventually(() => expect(site.app().children).toHaveLength(1));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await site.idle();
		// where the parser stands before the guard, nothing was ever acquired
		expect(log.filter((line) => /^[-+]/.test(line))).toHaveLength(log.includes("+R") ? 2 : 0);
	});

	it("with the complete response: it was a success", async () => {
		const { log, R, open } = scene();
		const site = await open({ "/": route({ r: R }, () => ({ json: "all" })) });
		const client = site.connect();
		client.get("/");
		await client.until('"all"');
		client.leave();
		await site.idle();
		expect(log).toEqual(["+R", "head 200", ...sent, "-R"]);
	});

	// other servers don't hand out a request before the one ahead of it is answered
	it.skipIf(kit.server !== "node:http")(
		"with two pipelined requests open: both are released",
		async () => {
			const { log, traced, open } = scene();
			const one = traced("1", "request");
			const two = traced("2", "request");
			const work = gate();
			const site = await open({
				"/1": route({ one }, async () => {
					await work.promise;
					return { json: "one" };
				}),
				"/2": route({ two }, () => {
					log.push("second answered");
					return { json: "two" };
				}),
			});
			const client = site.connect();
			client.get("/1");
			client.get("/2");
			await eventually(() => expect(log).toContain("second answered"));
			await new Promise(setImmediate);
			client.leave();
			await eventually(() => expect(log).toContain("gone"));
			work.open();
			await site.idle();
			expect(log.filter((line) => /^[-+]/.test(line)).sort()).toEqual(["+1", "+2", "-1", "-2"]);
		},
	);

	// other servers give Hono no response to listen to
	it.skipIf(kit.server !== "node:http")(
		"runs `close` listeners in the request's scope",
		async () => {
			const { log, R, open } = scene();
			const site = await open(
				{
					"/": bare((call) => {
						call.onClose(() => void use(R).then(log.push.bind(log), (e) => log.push(textOf(e))));
						call.onClose(() => log.push(`close in ${where()}`));
						return new Promise<never>(() => {});
					}),
				},
				{ options: { abortGrace: 20 } },
			);
			const client = site.connect();
			client.get("/");
			await eventually(() => expect(site.app().children).toHaveLength(1));
			client.leave();
			await eventually(() => expect(log).toContain("gone"));
			await site.idle();
			expect(log.find((line) => line.startsWith("close in"))).toBe("close in handler");
		},
	);

	it("after an exception that the process survived: the scope is the request's own", async () => {
		const { log, traced, open } = scene();
		const one = traced("1", "request");
		const two = traced("2", "request");
		const site = await open(
			{
				"/1": route({ one }, async () => {
					await new Promise<void>((resolve) => survive(resolve));
					return { json: where() };
				}),
				"/2": route({ two }, () => new Promise<never>(() => {})),
			},
			{ options: { abortGrace: 20 } },
		);
		expect(await (await site.fetch("/1")).json()).toBe("handler");
		const client = site.connect();
		client.get("/2");
		await eventually(() => expect(log).toContain("+2"));
		client.leave();
		await eventually(() => expect(log).toContain("gone"));
		await site.idle();
		expect(log).toEqual(["+1", "head 200", ...sent, "-1", "+2", "gone", `-2 ${GONE}`]);
	});
});

/** Throws where nobody catches, in the current async context; on Node 24 and later that context stays. */
function survive(then: () => void): void {
	const listeners = process.listeners("uncaughtException");
	process.removeAllListeners("uncaughtException");
	process.once("uncaughtException", () => {
		for (const listener of listeners) process.on("uncaughtException", listener);
		then();
	});
	process.nextTick(() => {
		throw new Error("survived");
	});
}
