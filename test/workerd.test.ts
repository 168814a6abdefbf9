import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import type { Miniflare } from "miniflare";
import { build, type Rolldown } from "vite";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Client } from "./http/client.ts";
import { type Scenario, scenarios } from "./workerd/scenarios.ts";

const GONE = "The client closed the connection before the response was complete.";

const runsOnNode = !("Bun" in globalThis) && !("Deno" in globalThis);

/** The worker as one module. */
async function bundle(): Promise<string> {
	const src = (name: string) => fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
	const result = await build({
		configFile: false,
		logLevel: "silent",
		resolve: {
			alias: [
				{ find: /^yieldscope$/, replacement: src("index") },
				{ find: /^yieldscope\/(\w+)$/, replacement: src("$1") },
			],
		},
		build: {
			write: false,
			target: "es2022",
			lib: { entry: fileURLToPath(new URL("workerd/worker.ts", import.meta.url)), formats: ["es"] },
			rolldownOptions: { external: [/^node:/] },
		},
	});
	const [output] = [result].flat() as Rolldown.RolldownOutput[];
	const chunk = output?.output[0];
	if (chunk === undefined) throw new Error("Nothing was built");
	return chunk.code;
}

/** A worker, for the tests of one group. */
function worker(flags: string[]) {
	let miniflare: Miniflare;
	let url: URL;
	beforeAll(async () => {
		const { Miniflare } = await import("miniflare");
		miniflare = new Miniflare({
			modules: true,
			script: await bundle(),
			compatibilityDate: "2026-04-01",
			compatibilityFlags: flags,
		});
		url = await miniflare.ready;
	}, 60_000);
	const clients: Client[] = [];
	afterAll(async () => {
		for (const client of clients) client.leave();
		await miniflare.dispose();
	});

	const send = (name: string, path = "/", init: RequestInit = {}) =>
		fetch(new URL(path, url), {
			redirect: "manual",
			...init,
			headers: { ...init.headers, "x-scenario": encodeURIComponent(name) },
		});
	return {
		send,
		/** What has happened in a scenario, and how many requests are open. */
		look: async (name: string) =>
			(await send(name, "/", { headers: { "x-look": "" } })).json() as Promise<{
				readonly log: readonly string[];
				readonly open: number;
			}>,
		open: (name: string, gate: string) => send(name, "/", { headers: { "x-open": gate } }),
		/** A client that can leave. */
		connect: (name: string, ...headers: string[]) => {
			const client = new Client(connect({ port: Number(url.port), host: url.hostname }));
			clients.push(client);
			const head = [`x-scenario: ${encodeURIComponent(name)}`, ...headers].join("\r\n");
			client.send(`GET / HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
			return client;
		},
	};
}

const eventually = (check: () => Promise<void>) =>
	vi.waitFor(check, { interval: 5, timeout: 4000 });

// miniflare is driven from Node
describe.skipIf(!runsOnNode).each(["nodejs_als", "nodejs_compat"])("workerd with %s", (flag) => {
	const { send, look, open, connect } = worker([flag]);

	it.each(Object.keys(scenarios))("%s", async (name) => {
		const { request = {}, status = 200, answer, headers = {}, log } = scenarios[name] as Scenario;
		const { path, ...init } = request;
		const response = await send(name, path, init);
		const text = await response.text();
		expect(response.status).toBe(status);
		if (answer !== undefined) {
			expect(text).toBe(typeof answer === "string" ? answer : JSON.stringify(answer));
		}
		for (const [header, value] of Object.entries(headers)) {
			expect([header, response.headers.get(header)]).toEqual([header, value]);
		}
		await eventually(async () => expect(await look(name)).toEqual({ log, open: 0 }));
	});

	it("publishes events where there is a module for them", async () => {
		const both = (operation: string) => [`${operation} start`, `${operation} asyncEnd`];
		const events = ["scope start", ...both("acquire"), ...both("release"), "scope asyncEnd"];
		const response = await send("events");
		expect(await response.json()).toEqual(flag === "nodejs_als" ? [] : events);
	});

	it("tells the resources of a body that fails half-way", async () => {
		const name = "a body that fails half-way";
		const client = connect(name);
		await client.until("tick");
		await open(name, "go");
		// whether the client is told is the runtime's affair
		const log = ["+R", "+H", "-H", "head 200", "finally in GET /", "-R half-way"];
		await eventually(async () => expect(await look(name)).toEqual({ log, open: 0 }));
	});

	it("keeps 20 concurrent requests apart", async () => {
		const name = "serves handlers that know nothing of it";
		const before = (await look(name)).log.length;
		const responses = await Promise.all(Array.from({ length: 20 }, () => send(name)));
		for (const response of responses) {
			expect(await response.json()).toEqual(["R", "H", "handler"]);
		}
		await eventually(async () => {
			const { log, open } = await look(name);
			expect(open).toBe(0);
			for (const line of ["+R", "+H", "-H", "head 200", "-R"]) {
				expect(log.slice(before).filter((each) => each === line)).toHaveLength(20);
			}
		});
	});
});

describe.skipIf(!runsOnNode)("clients that leave workerd", () => {
	const { look, open, connect } = worker(["nodejs_compat", "enable_request_signal"]);

	// nothing tells the worker before it has answered; then the runtime cancels what it doesn't send
	it.each([
		["before the answer", ["answers", "-H", "head 200", `-R ${GONE}`]],
		[
			"before the answer, and the handler fails",
			["-H later", "-R later", "errh later", "head 500"],
		],
	] as const)("%s: the handler goes on by waitUntil", async (name, end) => {
		const client = connect(name);
		await eventually(async () => expect((await look(name)).log).toEqual(["+R", "+H"]));
		client.leave();
		await new Promise((resolve) => setTimeout(resolve, 50));
		await open(name, "go");
		await eventually(async () =>
			expect(await look(name)).toEqual({ log: ["+R", "+H", ...end], open: 0 }),
		);
	});

	it("in mid-stream: the signal tells, and what is open is released after abortGrace", async () => {
		const name = "in mid-stream";
		const client = connect(name);
		await client.until("tick");
		client.leave();
		// workerd doesn't cancel the body
		const log = ["+R", "+H", "-H", "head 200", `-R ${GONE}`];
		await eventually(async () => expect(await look(name)).toEqual({ log, open: 0 }));
	});

	it("(negative control) in mid-stream without waitUntil: the worker is stopped, and nothing is released", async () => {
		const name = "in mid-stream, without waitUntil";
		const client = connect(name, "x-no-wait-until: 1");
		await client.until("tick");
		client.leave();
		await new Promise((resolve) => setTimeout(resolve, 500)); // more than abortGrace
		expect(await look(name)).toEqual({ log: ["+R", "+H", "-H", "head 200"], open: 1 });
	});
});

describe.skipIf(!runsOnNode)("clients that leave workerd without enable_request_signal", () => {
	const { look, connect } = worker(["nodejs_compat"]);

	it("in mid-stream: nothing tells the worker, and nothing is released", async () => {
		const name = "in mid-stream, without a signal";
		const client = connect(name);
		await client.until("tick");
		client.leave();
		await new Promise((resolve) => setTimeout(resolve, 500));
		expect(await look(name)).toEqual({ log: ["+R", "+H", "-H", "head 200"], open: 1 });
	});
});
