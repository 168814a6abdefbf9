import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import { currentScope, type MarkEvent } from "../../src/index.ts";
import { gate } from "../support.ts";
import { bare, eventually, httpError, kits, route, stage } from "./kits.ts";
import { ownServer } from "./server.ts";

// Bun and Deno have their own servers behind node:http
describe.skipIf(ownServer !== undefined).each(kits)("marks on $name", (kit) => {
	const scene = stage(kit);
	const stopped: (() => void)[] = [];
	afterEach(() => {
		for (const stop of stopped.splice(0)) stop();
	});

	/** Adds the marks to `log`. */
	function marksIn(log: string[]): void {
		const listener = (message: unknown) => {
			const { scope, name, detail } = message as MarkEvent;
			log.push(`${scope.lifetime} ${name}${detail === undefined ? "" : ` ${detail}`}`);
		};
		subscribe("yieldscope:mark", listener);
		stopped.push(() => unsubscribe("yieldscope:mark", listener));
	}

	it("tell of a request that succeeds", async () => {
		const { log, R, H, open } = scene();
		marksIn(log);
		const site = await open({
			"/": route({ r: R, h: H }, () => ({ json: 1, status: 201 })),
		});
		await (await site.fetch("/")).text();
		await site.idle();
		expect(log).toEqual([
			"+R",
			"+H",
			"request handler:start",
			"request handler:end 201",
			"-H",
			"request response:start 201",
			"head 201",
			"sent",
			"request response:end",
			"-R",
		]);
	});

	it("tell of a request whose handler closes its own scope", async () => {
		const { log, open } = scene();
		marksIn(log);
		const site = await open({
			"/": bare(async () => {
				await currentScope().disposeAsync();
				return { json: 1 };
			}),
		});
		await (await site.fetch("/")).text();
		await site.idle();
		expect(log.filter((line) => line.startsWith("request"))).toEqual([
			"request handler:start",
			"request response:start 200",
			"request response:end",
		]);
	});

	it("tell of a request that fails", async () => {
		const { log, R, H, open } = scene();
		marksIn(log);
		const site = await open({
			"/": route({ r: R, h: H }, () => {
				throw httpError(409, "sold out");
			}),
		});
		expect((await site.fetch("/")).status).toBe(409);
		await site.idle();
		await eventually(() => expect(log).toContain("request response:end 409"));
		expect(log).toEqual([
			"+R",
			"+H",
			"request handler:start",
			"request handler:end",
			"-H sold out",
			"-R sold out",
			"request response:start",
			expect.stringMatching("errh"),
			"head 409",
			"sent",
			"request response:end 409",
		]);
	});

	it("tell of a response that is dropped when the release before it fails", async () => {
		const { log, traced, open } = scene();
		marksIn(log);
		const H = traced("H", "handler", {
			success: () => {
				throw new Error("no commit");
			},
		});
		const site = await open({ "/": route({ h: H }, () => ({ json: 1 })) });
		expect((await site.fetch("/")).status).toBe(500);
		await site.idle();
		// on Hono nobody follows what is sent in the dropped one's place
		const over = ["request response:end"];
		const [inPlace, after] = /^hono/.test(kit.name)
			? [over, []]
			: [[], ["request response:end 500"]];
		await eventually(() => expect(log).toEqual(expect.arrayContaining([...inPlace, ...after])));
		expect(log).toEqual([
			"+H",
			"request handler:start",
			"request handler:end 200",
			"-H",
			"request response:start",
			...inPlace,
			expect.stringMatching("errh"),
			"head 500",
			"sent",
			...after,
		]);
	});

	it.each([
		["answers", () => ({ json: 1 })],
		[
			"throws",
			() => {
				throw httpError(409, "too late");
			},
		],
	])(
		"tell of a client that leaves before the handler %s, that there was no answer",
		async (_, end) => {
			const { log, R, open } = scene();
			marksIn(log);
			const answer = gate();
			const site = await open({
				"/": route({ r: R }, async () => {
					await answer.promise;
					return end();
				}),
			});
			const client = site.connect();
			client.get("/");
			await eventually(() => expect(log).toContain("request handler:start"));
			client.leave();
			await eventually(() => expect(log).toContain("request response:end"));
			expect(log).toEqual(["+R", "request handler:start", "gone", "request response:end"]);
			answer.open();
			await site.idle();
			expect(log.filter((line) => line.startsWith("request"))).toHaveLength(2);
		},
	);

	it("tell of a route that has nothing to release before its response", async () => {
		const { log, open } = scene();
		marksIn(log);
		const site = await open({ "/": bare(() => ({ json: 1 })) });
		await (await site.fetch("/")).text();
		await site.idle();
		expect(log).toEqual([
			"request handler:start",
			"request response:start 200",
			"head 200",
			"sent",
			"request response:end",
		]);
	});
});
