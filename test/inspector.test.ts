import { channel } from "node:diagnostics_channel";
import { type Server, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import {
	currentScope,
	InvalidArgumentError,
	openScope,
	resource,
	type Scope,
	use,
	useAll,
	withScope,
} from "../src/index.ts";
import { type Inspector, type InspectorOptions, openInspector } from "../src/inspector.ts";
import { mounts, serve } from "./inspector/servers.ts";
import { secret } from "./inspector/shop.ts";
import { gate, ticks } from "./support.ts";

// Bun and Deno have their own servers behind node:http
const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);

interface Entry {
	readonly kind: string;
	readonly name: string;
	readonly scope?: string;
	readonly endedAt?: number;
	readonly error?: string;
	readonly asker?: string;
	readonly dependencies?: readonly { readonly name: string }[];
}

interface Message {
	readonly ids: readonly number[];
	readonly missing: number;
	readonly records: readonly {
		readonly id: number;
		readonly name: string;
		readonly parent?: { readonly name: string };
		readonly endedAt?: number;
		readonly outcome?: string;
		readonly error?: string;
		readonly older: boolean;
		readonly missing: number;
		readonly marks: readonly { readonly name: string; readonly status?: number }[];
		readonly entries: readonly Entry[];
		readonly reported: readonly string[];
	}[];
}

const opened: Inspector[] = [];
function open(options?: InspectorOptions): Inspector {
	const inspector = openInspector(options);
	opened.push(inspector);
	return inspector;
}
afterEach(() => {
	for (const inspector of opened.splice(0)) inspector[Symbol.dispose]();
});

const local = { incoming: { socket: { remoteAddress: "127.0.0.1" } } };
const localhost = (path = "/") =>
	new Request(`http://localhost${path}`, { headers: { host: "localhost" } });

/** What a page that is opened now is told first, as it is sent. */
async function textOf(inspector: Inspector): Promise<string> {
	const response = await inspector.fetch(localhost("/events"), local);
	return textFrom(response);
}

async function textFrom(response: Response): Promise<string> {
	expect(response.headers.get("content-type")).toBe("text/event-stream");
	const reader = (response.body as ReadableStream<Uint8Array>).getReader();
	const { value } = await reader.read();
	await reader.cancel();
	return new TextDecoder().decode(value);
}

const parse = (text: string): Message => JSON.parse(text.replace(/^data: /, ""));

async function recordsOf(inspector: Inspector): Promise<Message["records"]> {
	return parse(await textOf(inspector)).records;
}

/** Entries as text: an error after `!`, what isn't over with an ellipsis. */
function traceOf(entries: readonly Entry[]): string[] {
	return entries.map(({ kind, name, endedAt, error, dependencies = [], scope }) => {
		const used = dependencies.length > 0 ? ` uses ${dependencies.map((each) => each.name)}` : "";
		const where = scope === undefined ? "" : ` in ${scope}`;
		return `${kind} ${name}${where}${used}${error ? ` !${error}` : ""}${endedAt === undefined ? " …" : ""}`;
	});
}

describe("openInspector", () => {
	it.each([[{ limit: 0 }], [{ limit: 1.5 }], [{ limit: Number.NaN }], [{ allow: true as never }]])(
		"refuses %o",
		(options) => {
			expect(() => openInspector(options)).toThrow(InvalidArgumentError);
		},
	);

	it("listens until it is disposed, and not before it is opened", async () => {
		const names = [
			"tracing:yieldscope:scope:start",
			"tracing:yieldscope:scope:asyncEnd",
			"tracing:yieldscope:acquire:start",
			"tracing:yieldscope:release:start",
			"tracing:yieldscope:task:start",
			"yieldscope:wait",
			"yieldscope:mark",
			"yieldscope:error",
		];
		const listened = () => names.filter((name) => channel(name).hasSubscribers);
		expect(listened()).toEqual([]);
		const inspector = open();
		expect(listened()).toEqual(names);
		const { body } = await inspector.fetch(localhost("/events"), local);
		inspector[Symbol.dispose]();
		expect(listened()).toEqual([]);
		const reader = (body as ReadableStream<Uint8Array>).getReader();
		while (!(await reader.read()).done);
		expect((await inspector.fetch(localhost(), local)).status).toBe(503);
	});
});

describe("the record", () => {
	it("has what a scope did, with the scopes in it that have no life of their own", async () => {
		const inspector = open();
		const app = openScope({ name: "shop", lifetime: "app" });
		const Pool = resource(async () => "pool", { name: "Pool", lifetime: "app" });
		const Tx = resource(
			{ Pool },
			async function* Tx() {
				yield "tx";
			},
			{ lifetime: "handler" },
		);
		await withScope({ parent: app, name: "GET /", lifetime: "request" }, async (scope) => {
			scope.after(() => {});
			await withScope({ lifetime: "handler" }, () => use(Tx));
			await scope.spawn(async () => {});
		});
		const records = await recordsOf(inspector);
		expect(records.map(({ name, outcome, parent }) => [name, outcome, parent?.name])).toEqual([
			["GET /", "success", "shop"],
			["shop", undefined, undefined],
		]);
		expect(traceOf(records[0]?.entries ?? [])).toEqual([
			"scope handler in handler",
			"setup Tx in handler uses Pool",
			"setup Pool in shop",
			"release Tx in handler",
			"spawn spawn",
			"after after",
		]);
		expect(traceOf(records[1]?.entries ?? [])).toEqual(["setup Pool"]);
		await app.disposeAsync();
	});

	it("has the setup of a shared resource in each scope that waited for it", async () => {
		const inspector = open();
		const app = openScope({ name: "shop", lifetime: "app" });
		const ready = gate<string>();
		const Pool = resource(() => ready.promise, { name: "Pool", lifetime: "app" });
		const Orders = resource({ Pool }, () => "orders", { name: "Orders", lifetime: "request" });
		const requests = ["first", "second"].map((name) =>
			withScope({ parent: app, name, lifetime: "request" }, () => use(Orders)),
		);
		await ticks();
		ready.open("pool");
		await Promise.all(requests);
		const records = await recordsOf(inspector);
		const traces = Object.fromEntries(records.map(({ name, entries }) => [name, traceOf(entries)]));
		const orders = (kind: string) => [
			"setup Orders uses Pool",
			`${kind} Pool in shop`,
			"release Orders",
		];
		expect(traces).toMatchObject({ first: orders("setup"), second: orders("wait") });
		const waits = records.flatMap(({ entries }) => entries.filter(({ kind }) => kind === "wait"));
		expect(waits.map(({ asker }) => asker)).toEqual(["first"]);
		await app.disposeAsync();
	});

	it("has one entry for what several setups of a scope need", async () => {
		const inspector = open();
		const ready = gate<string>();
		const Pool = resource(() => ready.promise, { name: "Pool" });
		const A = resource({ Pool }, () => "a", { name: "A" });
		const B = resource({ Pool }, () => "b", { name: "B" });
		await withScope({ name: "own" }, async () => {
			const both = useAll({ A, B });
			ready.open("pool");
			await both;
			const app = use(Pool);
			await app;
		});
		const [record] = await recordsOf(inspector);
		expect(traceOf(record?.entries ?? [])).toEqual([
			"setup A uses Pool",
			"setup Pool",
			"setup B uses Pool",
			"release B",
			"release A",
			"release Pool",
		]);
	});

	it("ends a wait with the scope that gives up on it", async () => {
		const inspector = open();
		const app = openScope({ name: "shop", lifetime: "app" });
		const ready = gate<string>();
		const Pool = resource(() => ready.promise, { name: "Pool", lifetime: "app" });
		const first = app.use(Pool);
		const request = openScope({ parent: app, name: "GET /", lifetime: "request" });
		const second = request.use(Pool);
		request.abort();
		await expect(second).rejects.toMatchObject({ code: "YS_ERR_ACQUIRE_ABORTED" });
		await request.disposeAsync();
		const [record] = await recordsOf(inspector);
		const [wait] = record?.entries ?? [];
		expect([wait?.kind, wait?.endedAt, wait?.error]).toEqual(["wait", record?.endedAt, undefined]);
		ready.open("pool");
		await first;
		await app.disposeAsync();
	});

	it("takes in what is told of a scope that has closed", async () => {
		const inspector = open();
		const scope = openScope({ name: "over", onReleaseError: () => {} });
		await scope.disposeAsync();
		const before = await recordsOf(inspector);
		expect(before[0]?.marks).toEqual([]);
		scope.mark("response:end", 200);
		scope.report(new TypeError("late"));
		const [after] = await recordsOf(inspector);
		expect(after?.marks.map(({ name }) => name)).toEqual(["response:end"]);
		expect(after?.reported).toEqual(["TypeError"]);
	});

	it("is each inspector's own, also of scopes that an earlier one knows", async () => {
		const first = open();
		const app = openScope({ name: "shop", lifetime: "app" });
		const Value = (name: string) => resource(() => name, { name, lifetime: "app" });
		await app.use(Value("A"));
		const second = open();
		await app.use(Value("B"));
		const request = openScope({ parent: app, name: "GET /", lifetime: "request" });
		await request.use(Value("C"));
		first[Symbol.dispose]();
		request.complete();
		await request.disposeAsync();
		const third = open();
		await app.use(Value("D"));
		const tracesOf = async (inspector: Inspector) =>
			(await recordsOf(inspector)).map(({ name, older, entries }) => [
				name,
				older,
				...traceOf(entries),
			]);
		expect(await tracesOf(second)).toEqual([
			["GET /", false, "setup C in shop"],
			["shop", true, "setup B", "setup C", "setup D"],
		]);
		expect(await tracesOf(third)).toEqual([["shop", true, "setup D"]]);
		await app.disposeAsync();
	});

	it("tells of what isn't over", async () => {
		const inspector = open();
		const scope = openScope({ name: "stuck", lifetime: "request" });
		const never = gate();
		const Smtp = resource(() => never.promise, { name: "Smtp" });
		const Mailer = resource({ Smtp }, () => "mailer", { name: "Mailer" });
		const using = scope.use(Mailer);
		await ticks();
		const [record] = await recordsOf(inspector);
		expect(record?.outcome).toBe(undefined);
		expect(traceOf(record?.entries ?? [])).toEqual(["setup Mailer …", "setup Smtp …"]);
		never.open();
		await using;
		await scope.disposeAsync();
	});

	it("keeps the last ones, and no more open ones than that", async () => {
		const inspector = open({ limit: 2 });
		for (const name of ["a", "b", "c"]) await withScope({ name }, () => {});
		const scopes = ["d", "e", "f"].map((name) => openScope({ name }));
		const message = parse(await textOf(inspector));
		expect(message.records.map(({ name }) => name)).toEqual(["b", "c", "d", "e"]);
		expect(message.missing).toBe(1);
		for (const scope of scopes) await scope.disposeAsync();
	});

	it("has room again when what was opened before is over", async () => {
		const shop = openScope({ name: "shop", lifetime: "app" });
		const early = openScope({ name: "GET /early", lifetime: "request", parent: shop });
		const inspector = open({ limit: 2 });
		await shop.spawn(() => {});
		early.defer(() => {});
		await early.disposeAsync();
		await withScope({ name: "c", parent: null }, () => {});
		const done = gate();
		void shop.use(resource(() => done.promise, { name: "Pool" }));
		const records = await recordsOf(inspector);
		expect(records.map(({ name, older }) => [name, older])).toEqual([
			["c", false],
			["shop", true],
		]);
		done.open();
		await shop.disposeAsync();
	});

	it("leaves out the oldest entries that are over, and says so", async () => {
		const inspector = open();
		const scope = openScope({ name: "long", lifetime: "app" });
		const Kept = resource(() => "kept", { name: "Kept" });
		await scope.use(Kept);
		for (let i = 0; i < 1000; i++) await scope.spawn(async () => {});
		const [record] = await recordsOf(inspector);
		expect(record?.entries.length).toBeLessThanOrEqual(200);
		expect(record?.entries[0]?.name).toBe("Kept");
		expect((record?.missing ?? 0) + (record?.entries.length ?? 0)).toBe(1001);
		await scope.disposeAsync();
	});

	it("counts what there is no room for while all is in use", async () => {
		const inspector = open();
		const scope = openScope({ name: "wide" });
		for (let i = 0; i < 300; i++) await scope.use(resource(() => i, { name: `R${i}` }));
		const [record] = await recordsOf(inspector);
		expect([record?.entries.length, record?.missing]).toEqual([200, 100]);
		await scope.disposeAsync();
	});

	it("has what happens in scopes that were opened before, until it is over", async () => {
		const app = openScope({ name: "shop", lifetime: "app" });
		const request = openScope({ parent: app, name: "early", lifetime: "request" });
		const inspector = open();
		await app.use(resource(() => "pool", { name: "Pool" }));
		await request.use(resource(() => "tx", { name: "Tx" }));
		const before = await recordsOf(inspector);
		expect(before.map(({ name, older }) => [name, older])).toEqual([
			["shop", true],
			["early", true],
		]);
		await app.disposeAsync();
		expect(await recordsOf(inspector)).toEqual([]);
	});

	it("has each scope under one without a lifetime that was opened before", async () => {
		const root = openScope({ name: "root" });
		const inspector = open();
		for (const name of ["first", "second"])
			await withScope({ parent: root, name }, () => use(resource(() => 1, { name: "Job" })));
		expect((await recordsOf(inspector)).map(({ name }) => name)).toEqual(["first", "second"]);
		await root.disposeAsync();
	});

	it("sends what has changed, and what there no longer is", async () => {
		const inspector = open({ limit: 1 });
		const { body } = await inspector.fetch(localhost("/events"), local);
		const reader = (body as ReadableStream<Uint8Array>).getReader();
		const next = async () => parse(new TextDecoder().decode((await reader.read()).value));
		expect((await next()).records).toEqual([]);
		await withScope({ name: "a" }, () => {});
		const first = await next();
		expect(first.records.map(({ name }) => name)).toEqual(["a"]);
		await withScope({ name: "b" }, () => {});
		const second = await next();
		expect(second.records.map(({ name }) => name)).toEqual(["b"]);
		expect(second.ids).toEqual(second.records.map(({ id }) => id));
		await reader.cancel();
	});

	it("never holds a value: of errors the name, of marks no detail", async () => {
		const inspector = open();
		const scope = openScope({ name: "s", onReleaseError: () => {} });
		const fail = (name: string) => Object.assign(new Error(secret), { name, secret });
		const Failing = resource(
			() => {
				throw fail("SetupError");
			},
			{ name: "Failing" },
		);
		const Holding = resource(
			async function* Holding() {
				yield { secret };
				throw fail("ReleaseError");
			},
			{ name: "Holding" },
		);
		await scope.use(Holding);
		await expect(scope.use(Failing)).rejects.toThrow(secret);
		await scope.run(async () => currentScope().mark("paid", { secret }));
		scope.mark("handler:end", secret);
		scope.report(fail("LateError"));
		scope.report(secret);
		scope.report(
			Object.defineProperty({}, "name", {
				get: () => {
					throw new Error(secret);
				},
			}),
		);
		const before = await textOf(inspector);
		scope.complete();
		await expect(scope.disposeAsync()).rejects.toThrow(secret);
		const after = await textOf(inspector);
		for (const text of [before, after]) expect(text).not.toContain(secret);
		const [record] = parse(after).records;
		expect(traceOf(record?.entries ?? [])).toEqual([
			"setup Holding",
			"setup Failing !SetupError",
			"release Holding !ReleaseError",
		]);
		expect(record?.marks.map(({ name, status }) => [name, status])).toEqual([
			["paid", undefined],
			["handler:end", undefined],
		]);
		expect(record?.reported.slice(0, 3)).toEqual(["LateError", "a thrown string", "an error"]);
	});
});

describe("who sees the page", () => {
	const page = async (
		inspector: Inspector,
		url: string,
		headers: Record<string, string>,
		server?: object,
	) => (await inspector.fetch(new Request(url, { headers }), server)).status;

	it.each([
		["::1", "http://localhost:3000/", "localhost:3000"],
		["127.0.0.1", "http://127.0.0.1:3000/", "127.0.0.1:3000"],
		["::ffff:127.0.0.1", "http://[::1]:3000/", "[::1]:3000"],
	])("serves %s, who asks for %s", async (remoteAddress, url, host) => {
		const server = { incoming: { socket: { remoteAddress } } };
		expect(await page(open(), url, { host }, server)).toBe(200);
		expect(await page(open(), url, { host }, { remoteAddr: { hostname: remoteAddress } })).toBe(
			200,
		);
	});

	const home = "http://localhost/";
	const host = "localhost";
	const remote = (remoteAddress: string) => ({ incoming: { socket: { remoteAddress } } });
	it.each<[string, string, Record<string, string>, object | undefined]>([
		["another machine", home, { host }, remote("10.0.0.7")],
		["an address that looks like loopback", home, { host }, remote("127.0.0.1.evil.example")],
		["nobody knows whom", home, { host }, undefined],
		["a socket that is closed", home, { host }, { incoming: { socket: {} } }],
		["a name resolved to this machine", "http://evil.example/", { host: "evil.example" }, local],
		["a foreign Host", home, { host: "evil.example" }, local],
		["a Host that begins like this one", home, { host: "localhost.evil.example" }, local],
		["a proxy", home, { host, "x-forwarded-for": "10.0.0.7" }, local],
		["a proxy of today", home, { host, forwarded: "for=10.0.0.7" }, local],
	])("refuses %s", async (_, url, headers, server) => {
		const inspector = open();
		expect(await page(inspector, url, headers, server)).toBe(403);
		expect(await page(inspector, `${url}events`, headers, server)).toBe(403);
	});

	it("leaves it to the app's own guard, for the events as well", async () => {
		const asked: string[] = [];
		const inspector = open({
			allow: async (request) => {
				asked.push(new URL(request.url).pathname);
				return request.headers.get("authorization") === "me";
			},
		});
		const url = "https://shop.example/inspector";
		expect(await page(inspector, url, { authorization: "me" })).toBe(200);
		expect(await page(inspector, `${url}/events`, { authorization: "me" })).toBe(200);
		expect(await page(inspector, url, {}, local)).toBe(403);
		expect(await page(inspector, `${url}/events`, {}, local)).toBe(403);
		expect(asked).toEqual(["/inspector", "/inspector/events", "/inspector", "/inspector/events"]);
	});

	it("only gives", async () => {
		const request = new Request(localhost(), { method: "POST" });
		expect((await open().fetch(request, local)).status).toBe(405);
	});
});

describe("the page", () => {
	it("is one small document that needs nothing else, and runs nothing but its own", async () => {
		const response = await open().fetch(localhost(), local);
		const html = await response.text();
		expect(new TextEncoder().encode(html).length).toBeLessThan(100 * 1024);
		expect(html).toMatch(/<style>[^<]+<\/style>/);
		expect(html).not.toMatch(/\b(?:src|href)="(?!data:,|#)/);
		expect(html).not.toMatch(/https?:(?!\/\/www\.w3\.org\/2000\/svg")/);
		expect(html).not.toMatch(/\son\w+=|\sstyle="|innerHTML|@import\s*(?:url|["'])/);
		const policy = response.headers.get("content-security-policy");
		expect(policy).toMatch(/^default-src 'none'; script-src 'sha256-[^' ]+'; style-src 'sha256-/);
		expect(policy).not.toContain("unsafe");
		expect(response.headers.get("cache-control")).toBe("no-store, no-transform");
	});
});

describe.skipIf(!onNode).each(Object.entries(mounts))("the inspector on %s", (name, mount) => {
	const running: (readonly [Server, Scope])[] = [];
	afterEach(async () => {
		for (const [server, app] of running.splice(0)) {
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
			await app.disposeAsync();
		}
	});

	async function start(inspector: Inspector, isBehind = false): Promise<string> {
		const app = openScope({ name: "app", lifetime: "app", onReleaseError: () => {} });
		const server = await serve(mount(inspector, app, isBehind));
		running.push([server, app]);
		return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	}

	it("serves the page and its events", async () => {
		const inspector = open();
		const url = await start(inspector);
		expect(await (await fetch(`${url}/hello`)).text()).toBe("hello");
		for (const path of ["/inspector", "/inspector/"]) {
			const response = await fetch(url + path);
			expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
			expect(response.headers.get("content-security-policy")).toContain("sha256-");
			expect(await response.text()).toContain("<title>yieldscope</title>");
		}
		await expect
			.poll(async () => {
				const message = parse(await textFrom(await fetch(`${url}/inspector/events`)));
				return message.records.filter(({ endedAt }) => endedAt !== undefined);
			})
			.toMatchObject([{ name: "GET /hello", outcome: "success" }]);
		const head = await fetch(`${url}/inspector`, { method: "HEAD" });
		expect([head.status, await head.text()]).toEqual([200, ""]);
	});

	it("refuses a foreign Host", async () => {
		const url = new URL(await start(open()));
		const status = await new Promise((resolve, reject) => {
			const path = "/inspector";
			const headers = { host: "evil.example" };
			send({ port: url.port, path, headers }, (response) => {
				response.resume();
				resolve(response.statusCode);
			})
				.on("error", reject)
				.end();
		});
		expect(status).toBe(403);
	});

	it("ends its events when it is disposed", async () => {
		const inspector = open();
		const response = await fetch(`${await start(inspector)}/inspector/events`);
		const reader = (response.body as ReadableStream<Uint8Array>).getReader();
		await reader.read();
		inspector[Symbol.dispose]();
		while (!(await reader.read()).done);
	});

	it.skipIf(name === "node:http")("doesn't record its own requests", async () => {
		const inspector = open();
		const url = await start(inspector, true);
		const response = await fetch(`${url}/inspector/events`);
		const reader = (response.body as ReadableStream<Uint8Array>).getReader();
		await reader.read();
		await (await fetch(`${url}/inspector`)).text();
		const records = await recordsOf(inspector);
		expect(records.map((each) => each.name)).toEqual(["app"]);
		await reader.cancel();
	});
});
