import { describe, expect, it } from "vitest";
import { currentScope, provide, resource, token, use } from "../../src/index.ts";
import { gate } from "../support.ts";
import { bare, eventually, guard, kits, plain, route, stage, where } from "./kits.ts";

describe.each(kits)("the timeline on $name", (kit) => {
	const scene = stage(kit);
	const { sent } = kit;

	it("releases the handler's resources, sends the response, then releases the request's", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, ({ r, h }) => {
				log.push(`handler ${r} ${h}`);
				return { json: { ok: true } };
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([200, { ok: true }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "handler R H", "-H", "head 200", ...sent, "-R"]);
	});

	it("finishes a slow release of the handler's resources before the first byte", async () => {
		const committed = gate();
		const { log, R, traced, open } = scene();
		const H = traced("H", "handler", {
			success: async () => {
				await committed.promise;
				log.push("committed");
			},
		});
		const site = await open({ "/": route({ r: R, h: H }, () => ({ json: 1 })) });
		const client = site.connect();
		client.get("/");
		await eventually(() => expect(log).toEqual(["+R", "+H", "-H"]));
		await new Promise(setImmediate);
		expect(client.received).toBe("");
		committed.open();
		await client.until("\r\n\r\n1");
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "committed", "head 200", ...sent, "-R"]);
	});

	it("gives what asks for no lifetime to the request", async () => {
		const { log, H, open } = scene();
		const Plain = resource(async function* () {
			yield "plain";
			log.push("-plain");
		});
		const site = await open({ "/": route({ h: H, plain: Plain }, () => ({ json: 1 })) });
		await (await site.fetch("/")).text();
		await site.idle();
		expect(log).toEqual(["+H", "-H", "head 200", ...sent, "-plain"]);
	});

	it("answers a request that uses nothing", async () => {
		const { log, open } = scene();
		const site = await open({ "/": plain(() => ({ json: "hello" })) });
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([200, "hello"]);
		await site.idle();
		expect(log).toEqual(["head 200", ...sent]);
	});

	it("serves handlers that are injected nothing", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": bare(async () => ({ json: [await use(R), await use(H), where()] })),
		});
		expect(await (await site.fetch("/")).json()).toEqual(["R", "H", "handler"]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "head 200", ...sent, "-R"]);
	});

	it("serves handlers that know nothing of it", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": plain(async () => {
				await new Promise(setImmediate);
				return { json: [await use(H), await use(R), where()] };
			}),
		});
		expect(await (await site.fetch("/")).json()).toEqual(["H", "R", "handler"]);
		await site.idle();
		expect(log).toEqual(["+H", "+R", "-H", "head 200", ...sent, "-R"]);
	});

	it("runs handler() as a middleware, for what its resources do", async () => {
		const { log, R, H, open } = scene();
		const site = await open(
			{ "/": plain(() => ({ json: log.push("handler") })) },
			{ guards: [{ h: H }, { r: R }] },
		);
		expect((await site.fetch("/")).status).toBe(200);
		await site.idle();
		expect(log).toEqual([
			"+H",
			"guard H",
			"+R",
			"guard R",
			"handler",
			"-H",
			"head 200",
			...sent,
			"-R",
		]);
	});

	it("takes handler() without a function for a guard", async () => {
		const { log, R, H, open } = scene();
		const site = await open(
			{ "/": plain(() => ({ json: log.push("handler") })) },
			{ guards: [guard({ h: H }), guard({ r: R })] },
		);
		expect((await site.fetch("/")).status).toBe(200);
		await site.idle();
		expect(log).toEqual(["+H", "+R", "handler", "-H", "head 200", ...sent, "-R"]);
	});

	it("shares instances between middlewares and the route", async () => {
		const { log, R, H, open } = scene();
		const site = await open(
			{ "/": route({ h: H, r: R }, ({ h, r }) => ({ json: [h, r] })) },
			{ guards: [{ h: H, r: R }] },
		);
		expect(await (await site.fetch("/")).json()).toEqual(["H", "R"]);
		await site.idle();
		expect(log).toEqual(["+H", "+R", "guard H,R", "-H", "head 200", ...sent, "-R"]);
	});

	it("works once where it is mounted twice", async () => {
		const { log, R, H, open } = scene();
		const site = await open(
			{ "/": route({ r: R, h: H }, () => ({ json: where() })) },
			{ mounts: 2 },
		);
		expect(await (await site.fetch("/")).json()).toBe("handler");
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "head 200", ...sent, "-R"]);
	});

	it("reaches into sub-routers", async () => {
		const { log, R, H, open } = scene();
		const site = await open({}, { sub: { "/a": route({ r: R, h: H }, () => ({ json: 1 })) } });
		expect((await site.fetch("/sub/a")).status).toBe(200);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "head 200", ...sent, "-R"]);
	});

	it.each([
		["HEAD", { json: { ok: true } }, 200],
		["GET", { redirect: "/elsewhere" }, 302],
		["GET", { empty: 204 }, 204],
		["GET", { empty: 304 }, 304],
		["GET", { none: true }, 404],
		["GET", { json: { error: "gone" }, status: 410 }, 410],
	] as const)("commits on %s %j", async (method, reply, status) => {
		const { log, R, H, open } = scene();
		const site = await open({ "/": route({ r: R, h: H }, () => reply) });
		const response = await site.fetch("/", { method });
		expect(response.status).toBe(status);
		if ("redirect" in reply) expect(response.headers.get("location")).toBe(reply.redirect);
		await response.text();
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", `head ${status}`, ...sent, "-R"]);
	});

	it("opens nothing that stays open for a route that doesn't exist", async () => {
		const { log, open } = scene();
		const site = await open({});
		expect((await site.fetch("/nowhere")).status).toBe(404);
		await site.idle();
		expect(log).toEqual(["head 404", ...sent]);
	});

	it("takes a returned status of 500 and more for a failure, and leaves the response", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, () => ({ json: { error: "down" }, status: 503 })),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([503, { error: "down" }]);
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+H",
			"-H The response has the status 503.",
			"head 503",
			...sent,
			"-R The response has the status 503.",
		]);
	});

	it("takes the handler's word for a failure, and leaves the response", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, () => {
				currentScope().fail(new Error("dry run"));
				return { json: { preview: true } };
			}),
		});
		const response = await site.fetch("/");
		expect([response.status, await response.json()]).toEqual([200, { preview: true }]);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H dry run", "head 200", ...sent, "-R dry run"]);
	});

	it("does the work queued with after() once the response is out, in context", async () => {
		const { log, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, () => {
				const { signal } = currentScope();
				currentScope().after(async () => {
					await new Promise(setImmediate);
					log.push(`after ${where()} ${await use(R)}`);
				});
				currentScope().after(() => log.push(`then, aborted: ${signal.aborted}`));
				return { json: 1 };
			}),
		});
		await (await site.fetch("/")).text();
		await site.idle();
		const after = ["after GET / R", "then, aborted: false"];
		expect(log).toEqual(["+R", "+H", "-H", "head 200", ...sent, ...after, "-R"]);
	});

	it("tells the resources still open of after() work that fails, and does the rest of it", async () => {
		const { log, channel, reported, R, H, open } = scene();
		const site = await open({
			"/": route({ r: R, h: H }, () => {
				currentScope().after(() => {
					throw new Error("mail server down");
				});
				currentScope().after(() => log.push("then"));
				return { json: 1 };
			}),
		});
		expect((await site.fetch("/")).status).toBe(200);
		await site.idle();
		expect(log).toEqual(["+R", "+H", "-H", "head 200", ...sent, "then", "-R mail server down"]);
		const late = kit.framework === "koa" ? channel.splice(0) : reported.splice(0);
		expect(late).toEqual([new Error("mail server down")]);
	});

	it("drops after() work when the request failed", async () => {
		const { log, R, open } = scene();
		const site = await open({
			"/": route({ r: R }, () => {
				currentScope().after(() => log.push("after"));
				throw new Error("no");
			}),
		});
		expect((await site.fetch("/")).status).toBe(500);
		await site.idle();
		expect(log).toEqual(["+R", "-R no", "errh no", "head 500", ...sent]);
	});

	it("waits for spawned tasks before it releases what they use", async () => {
		const { log, R, H, open } = scene();
		const finish = gate();
		const site = await open({
			"/": route({ h: H, r: R }, () => {
				void currentScope().spawn(async () => {
					await finish.promise;
					log.push("task");
				});
				return { json: 1 };
			}),
		});
		const response = site.fetch("/");
		await eventually(() => expect(log).toEqual(["+H", "+R"]));
		finish.open();
		expect((await response).status).toBe(200);
		await site.idle();
		expect(log).toEqual(["+H", "+R", "task", "-H", "head 200", ...sent, "-R"]);
	});

	it("keeps the context behind a body that comes in two pieces", async () => {
		const { log, R, H, open } = scene();
		const site = await open(
			{
				"/": route({ h: H }, async (_values, { body }) => ({
					json: [body, await use(R), where()],
				})),
			},
			{ parse: true },
		);
		const client = site.connect();
		client.send(
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n[1,",
		);
		await eventually(() => expect(site.app().children).toHaveLength(1));
		await new Promise(setImmediate);
		client.send(" 22]");
		await client.until('[[1,22],"R","handler"]');
		await site.idle();
		expect(log).toEqual(["+H", "+R", "-H", "head 200", ...sent, "-R"]);
	});

	// other servers give Hono no response to listen to
	it.skipIf(kit.server !== "node:http")(
		"runs `close` listeners of the response in the request's scope",
		async () => {
			const { log, R, open } = scene();
			const site = await open({
				"/": route({ r: R }, (_values, { onClose }) => {
					onClose(() => void use(R).then((r) => log.push(`close ${r}`)));
					return { json: 1 };
				}),
			});
			await (await site.fetch("/")).text();
			await site.idle();
			expect(log).toEqual(["+R", "head 200", ...sent, "close R", "-R"]);
		},
	);

	it("gives each of two nested requests a scope of its own", async () => {
		const { log, R, open } = scene();
		const site = await open({
			"/outer": route({ r: R }, async () => {
				const response = await site.fetch("/inner");
				log.push(`inner ${await response.text()}`);
				return { json: where() };
			}),
			"/inner": route({ r: R }, () => ({ json: where() })),
		});
		expect(await (await site.fetch("/outer")).json()).toBe("handler");
		await site.idle();
		expect(log.filter((line) => line === "+R")).toHaveLength(2);
		expect(log.filter((line) => line === "-R")).toHaveLength(2);
		expect(log.indexOf("-R")).toBeLessThan(log.lastIndexOf("-R"));
	});

	it("answers the next request on a connection while the last one's resources are being released", async () => {
		const finish = gate();
		const { log, traced, open } = scene();
		const Slow = traced("slow", "request", {
			success: async () => {
				await finish.promise;
				log.push("released");
			},
		});
		const site = await open({
			"/slow": route({ slow: Slow }, () => ({ json: "slow" })),
			"/next": plain(() => ({ json: "next" })),
		});
		const client = site.connect();
		client.get("/slow");
		await client.until('"slow"');
		client.get("/next");
		await client.until('"next"');
		finish.open();
		await site.idle();
		expect(log).toEqual(["+slow", "head 200", ...sent, "-slow", "head 200", ...sent, "released"]);
	});

	// other servers don't hand out a request before the one ahead of it is answered
	it.skipIf(kit.server !== "node:http")("keeps pipelined requests apart", async () => {
		const first = gate();
		const { log, traced, open } = scene();
		const one = traced("1", "request");
		const two = traced("2", "request");
		const site = await open({
			"/1": route({ one }, async () => {
				await first.promise;
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
		expect(client.received).toBe("");
		first.open();
		await client.until('"two"');
		await site.idle();
		expect(client.received.indexOf('"one"')).toBeLessThan(client.received.indexOf('"two"'));
		expect([...log].sort()).toEqual(
			["+1", "+2", "second answered", "head 200", "head 200", ...sent, ...sent, "-1", "-2"].sort(),
		);
		expect(log.indexOf("-1")).toBeGreaterThan(log.indexOf("sent"));
		expect(log.indexOf("-2")).toBeGreaterThan(log.indexOf("sent"));
	});

	it("keeps 20 concurrent requests apart, half of which fail", async () => {
		const { log, open, traced } = scene();
		const numbers = Array.from({ length: 20 }, (_, i) => i);
		const routes = numbers.map((i) => {
			const R = traced(`R${i}`, "request");
			const H = traced(`H${i}`, "handler");
			const answer = route({ r: R, h: H }, async ({ r, h }) => {
				await new Promise(setImmediate);
				if (i % 2 === 1) throw new Error(`error ${i}`);
				return { json: [r, h] };
			});
			return [`/${i}`, answer] as const;
		});
		const site = await open(Object.fromEntries(routes));
		const answers = await Promise.all(
			numbers.map(async (i) => (await site.fetch(`/${i}`)).json() as Promise<unknown>),
		);
		expect(answers).toEqual(
			numbers.map((i) => (i % 2 === 1 ? { error: `error ${i}` } : [`R${i}`, `H${i}`])),
		);
		await site.idle();
		for (const i of numbers) {
			const end = i % 2 === 1 ? ` error ${i}` : "";
			expect(log.filter((line) => new RegExp(`^[-+][RH]${i}\\b`).test(line))).toEqual([
				`+R${i}`,
				`+H${i}`,
				`-H${i}${end}`,
				`-R${i}${end}`,
			]);
		}
	});

	it("binds values for one request", async () => {
		let count = 0;
		const Id = token<number>("Id");
		const { open } = scene();
		const site = await open(
			{ "/": bare(async () => ({ json: await use(Id) })) },
			{ options: { bindings: () => [provide(Id, ++count)] } },
		);
		expect(await (await site.fetch("/")).json()).toBe(1);
		expect(await (await site.fetch("/")).json()).toBe(2);
	});

	it("keeps the app scope's close waiting until open requests are done, and refuses new ones", async () => {
		const finish = gate();
		const { log, R, app, open } = scene();
		const site = await open({
			"/": route({ r: R }, async () => {
				await finish.promise;
				return { json: 1 };
			}),
		});
		const response = site.fetch("/");
		await eventually(() => expect(log).toEqual(["+R"]));
		const closed = app.disposeAsync().then(() => log.push("app closed"));
		expect((await site.fetch("/")).status).toBe(500);
		expect(log.splice(1)).toEqual([
			expect.stringMatching(/^errh Cannot open a scope under scope "app": it is closing/),
			"head 500",
			...sent,
		]);
		finish.open();
		expect((await response).status).toBe(200);
		await closed;
		expect(log).toEqual(["+R", "head 200", ...sent, "-R", "app closed"]);
	});
});
