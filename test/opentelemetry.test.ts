import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
	AggregationTemporality,
	InMemoryMetricExporter,
	MeterProvider,
	PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
	InMemorySpanExporter,
	type ReadableSpan,
	SimpleSpanProcessor,
	type SpanProcessor,
	TracerProvider,
} from "@opentelemetry/sdk-trace";
import { type Handler, Hono } from "hono";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { handler, requestScope } from "../src/hono.ts";
import { currentScope, family, openScope, resource, use, useAll, withScope } from "../src/index.ts";
import { instrument } from "../src/opentelemetry.ts";
import { gate, logged, rejection, thrower } from "./support.ts";

const manager = new AsyncLocalStorageContextManager().enable();
beforeAll(() => void context.setGlobalContextManager(manager));
afterAll(() => context.disable());

const exporter = new InMemorySpanExporter();
/** Spans in the order in which they began: their times are too coarse to tell. */
const begun: string[] = [];
const recorder: SpanProcessor = {
	onStart: (span) => void begun.push(span.spanContext().spanId),
	onEnd: () => {},
	forceFlush: async () => {},
	shutdown: async () => {},
};
const spanProcessors = [recorder, new SimpleSpanProcessor({ exporter })];
const tracerProvider = new TracerProvider({ spanProcessors });
const tracer = tracerProvider.getTracer("test");

/** The spans that have ended, as a tree: one line each, by when they began. `→` are links. */
function tree(): string[] {
	const spans = exporter.getFinishedSpans();
	const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]));
	const lines = (span: ReadableSpan, indent: string): string[] => {
		const links = span.links.map((link) => ` → ${byId.get(link.context.spanId)?.name}`);
		const failed = span.status.code === SpanStatusCode.ERROR ? ` (${span.status.message})` : "";
		const children = childrenOf(span.spanContext().spanId);
		return [
			`${indent}${span.name}${failed}${links.join("")}`,
			...children.flatMap((each) => lines(each, `${indent}  `)),
		];
	};
	const childrenOf = (id: string | undefined) =>
		spans
			.filter((span) => span.parentSpanContext?.spanId === id)
			.sort((a, b) => order(a) - order(b));
	return childrenOf(undefined).flatMap((root) => lines(root, ""));
}

const order = (span: ReadableSpan) => begun.indexOf(span.spanContext().spanId);
const time = ([seconds, nanoseconds]: readonly [number, number]) => seconds * 1e9 + nanoseconds;

async function inSpan(name: string, fn: () => unknown): Promise<void> {
	await tracer.startActiveSpan(name, async (span) => {
		await fn();
		span.end();
	});
}

/** A request to a server with `route`, until all that it opened is released. */
async function serve(route: Handler): Promise<void> {
	const app = openScope({ lifetime: "app" });
	const server = new Hono();
	server.use(requestScope({ parent: app }));
	server.get("/", route);
	await inSpan("GET /", async () => (await server.request("/")).text());
	await vi.waitFor(() => expect(app.inspect().children).toEqual([]));
	await app.disposeAsync();
}

describe("spans", () => {
	let stop: Disposable;
	beforeEach(() => {
		stop = instrument({ tracerProvider });
	});
	afterEach(() => {
		stop[Symbol.dispose]();
		exporter.reset();
	});

	it("end with what can't be read as with any other error", async () => {
		const { proxy, revoke } = Proxy.revocable({}, {});
		revoke();
		const unreadable = Object.defineProperty(new Error(), "message", {
			get() {
				throw new Error("getter");
			},
		});
		for (const error of [proxy, unreadable]) {
			const failing = withScope({ lifetime: "task" }, () => {
				throw error;
			});
			await failing.catch(() => {});
		}
		const line = "scope task (an error that can't be read)";
		expect(tree()).toEqual([line, line]);
	});

	it("of a request are in that of its server; what asks is around what is asked for", async () => {
		const Config = logged([], "Config");
		const Db = logged([], "Db", { Config });
		const Tx = logged([], "Tx", {}, { lifetime: "handler" });
		await inSpan("GET /", () =>
			withScope({ lifetime: "request", name: "GET /orders/7" }, () =>
				withScope({ lifetime: "handler" }, () => useAll({ Db, Tx })),
			),
		);
		expect(tree()).toEqual([
			"GET /",
			"  scope request",
			"    scope handler",
			"      acquire Tx",
			"      release Tx",
			"    acquire Db → scope handler",
			"      acquire Config",
			"    release Db",
			"    release Config",
		]);
		const [scope] = exporter.getFinishedSpans().filter(({ name }) => name === "scope request");
		expect(scope?.attributes).toEqual({
			"yieldscope.scope.id": expect.any(Number),
			"yieldscope.scope.name": "GET /orders/7",
			"yieldscope.scope.lifetime": "request",
			"yieldscope.outcome": "success",
		});
	});

	it("of a handler's scope are in its request's, whatever span is active at its first use", async () => {
		const Tx = logged([], "Tx", {}, { lifetime: "handler" });
		const Log = logged([], "Log", {}, { lifetime: "handler" });
		await serve(
			handler(async (c) => {
				currentScope().mark("looked up");
				await inSpan("step 1", () => use(Tx));
				await inSpan("step 2", () => use(Log));
				return c.text("ok");
			}),
		);
		expect(tree()).toEqual([
			"GET /",
			"  scope request",
			"    scope handler",
			"      acquire Tx",
			"      acquire Log",
			"      release Log",
			"      release Tx",
			"  step 1",
			"  step 2",
		]);
		const [request] = exporter.getFinishedSpans().filter(({ name }) => name === "scope request");
		expect(request?.events.map(({ name }) => name)).toContain("looked up");
	});

	it("of a server are in its request's, with the marks", async () => {
		const Pool = logged([], "Pool", {}, { lifetime: "app" });
		const Tx = logged([], "Tx", { Pool }, { lifetime: "handler" });
		const Audit = logged([], "Audit");
		await serve(
			handler({ tx: Tx, audit: Audit }, async (_, c) => {
				await inSpan("SELECT", () => {});
				return c.text("ok");
			}),
		);
		expect(tree()).toEqual([
			"GET /",
			"  scope request",
			"    scope handler",
			"      acquire Tx",
			"      release Tx",
			"    acquire Audit → scope handler",
			"    release Audit",
			"  SELECT",
			"acquire Pool → acquire Tx",
			"release Pool → acquire Pool",
		]);
		const request = exporter.getFinishedSpans().find(({ name }) => name === "scope request");
		expect(request?.events.map(({ name }) => name)).toEqual([
			"handler:start",
			"handler:end",
			"response:start",
			"response:end",
		]);
	});

	it("of a resource of the app that a request opens have a link to the request", async () => {
		const Pool = logged([], "Pool", {}, { lifetime: "app" });
		const Tx = logged([], "Tx", { Pool });
		const app = openScope({ lifetime: "app" });
		await inSpan("GET /", () =>
			withScope({ parent: app, lifetime: "request" }, async () => {
				await use(Tx);
			}),
		);
		await app.disposeAsync();
		expect(tree()).toEqual([
			"GET /",
			"  scope request",
			"    acquire Tx",
			"    release Tx",
			"acquire Pool → acquire Tx",
			"release Pool → acquire Pool",
		]);
		const traceIds = exporter.getFinishedSpans().map((span) => span.spanContext().traceId);
		expect(new Set(traceIds).size).toBe(3);
	});

	it("have those within them that setups, releases and tasks start", async () => {
		const Tx = resource(
			async function* () {
				await undefined;
				await inSpan("BEGIN", () => {});
				yield "tx";
				await undefined;
				await inSpan("COMMIT", () => {});
			},
			{ name: "Tx" },
		);
		await withScope(async (scope) => {
			await use(Tx);
			await scope.spawn(() => inSpan("mail", () => {}));
			await inSpan("work", () => withScope({ lifetime: "task" }, () => use(logged([], "A"))));
			scope.after(() => {});
		});
		expect(tree()).toEqual([
			"scope",
			"  acquire Tx",
			"    BEGIN",
			"  spawn",
			"    mail",
			"  after",
			"  release Tx",
			"    COMMIT",
			"work",
			"  scope task",
			"    acquire A",
			"    release A",
		]);
	});

	it("of the members of a family have its name, and theirs as an attribute", async () => {
		const Tenant = family((key: string) => key, { name: "Tenant" });
		await withScope(() => use(Tenant("acme")));
		expect(tree()).toEqual(["scope", "  acquire Tenant", "  release Tenant"]);
		const resources = exporter
			.getFinishedSpans()
			.map((span) => span.attributes["yieldscope.resource"]);
		expect(resources).toEqual(['Tenant("acme")', 'Tenant("acme")', undefined]);
	});

	it("of a scope that a setup opens are within the setup's", async () => {
		const Inner = logged([], "Inner");
		const Outer = resource(() => withScope({ lifetime: "task" }, () => use(Inner)), {
			name: "Outer",
		});
		await withScope(() => use(Outer));
		expect(tree()).toEqual([
			"scope",
			"  acquire Outer",
			"    scope task",
			"      acquire Inner",
			"      release Inner",
			"  release Outer",
		]);
	});

	it("tell what failed", async () => {
		const Broken = resource(() => Promise.reject("no database"), { name: "Broken" });
		await rejection(
			withScope({ onReleaseError: () => {} }, async (scope) => {
				await use(logged([], "Honest"));
				await use(thrower(new Error("disk full"), "Thrower"));
				scope.defer(() => Promise.reject(Object.create(null)));
				scope.report(new RangeError("lost"));
				await use(Broken);
			}),
		);
		expect(tree()).toEqual([
			"scope (disk full)",
			"  acquire Honest",
			"  acquire Thrower",
			"  acquire Broken (no database)",
			"  release callback (a thrown object)",
			"  release Thrower (disk full)",
			"  release Honest",
		]);
		const [scope] = exporter.getFinishedSpans().filter(({ name }) => name === "scope");
		expect(
			scope?.events.map(({ name, attributes }) => [name, attributes?.["exception.message"]]),
		).toEqual([
			["exception", "lost"],
			["exception", "disk full"],
		]);
		expect(scope?.attributes["yieldscope.outcome"]).toBe("failure");
	});

	it("tell of waits for a setup that somebody else has asked for", async () => {
		const ready = gate<string>();
		const Pool = resource(() => ready.promise, { name: "Pool", lifetime: "app" });
		const Orders = resource({ Pool }, () => "orders", { name: "Orders" });
		await withScope({ lifetime: "app" }, async () => {
			const first = use(Pool);
			const second = withScope({ lifetime: "request" }, () => useAll({ Orders, Pool }));
			ready.open("pool");
			await Promise.all([first, second]);
		});
		const events = exporter
			.getFinishedSpans()
			.flatMap((span) => span.events.map(({ name, attributes }) => [span.name, name, attributes]));
		const attributes = { "yieldscope.resource": "Pool" };
		expect(events).toEqual([
			["acquire Orders", "wait", attributes],
			["scope request", "wait", attributes],
		]);
	});

	it("have the marks, and last as long as what they are of", async () => {
		await withScope(async (scope) => {
			await use(resource(() => new Promise((resolve) => setTimeout(resolve, 5))));
			scope.mark("half-way");
		});
		const [setup, , scope] = exporter.getFinishedSpans();
		if (setup === undefined || scope === undefined) throw new Error("unreachable: three spans");
		expect(scope.events.map(({ name }) => name)).toEqual(["half-way"]);
		const at = time(scope.events[0]?.time ?? [0, 0]);
		expect(time(setup.duration) / 1e6).toBeGreaterThan(1);
		expect(time(scope.duration)).toBeGreaterThanOrEqual(time(setup.duration));
		expect(at).toBeGreaterThanOrEqual(time(scope.startTime) + time(setup.duration));
		expect(at).toBeLessThanOrEqual(time(scope.endTime));
	});

	it("end with the handle", async () => {
		stop[Symbol.dispose]();
		await withScope(() => use(logged([], "A")));
		expect(tree()).toEqual([]);
	});

	it("use the provider that is registered", async () => {
		stop[Symbol.dispose]();
		trace.setGlobalTracerProvider(tracerProvider);
		stop = instrument();
		try {
			await withScope(() => use(resource(() => 1, { name: "A" })));
			expect(tree()).toEqual(["scope", "  acquire A", "  release A"]);
		} finally {
			trace.disable();
		}
	});
});

describe("metrics", () => {
	it("count open scopes and failures, and measure setups and releases", async () => {
		const exported = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
		const reader = new PeriodicExportingMetricReader({
			exporter: exported,
			exportIntervalMillis: 2 ** 30,
			exportTimeoutMillis: 1000,
		});
		const meterProvider = new MeterProvider({ readers: [reader] });
		const stop = instrument({ meterProvider });
		try {
			const app = openScope({ lifetime: "app" });
			await app.run(() => withScope({ lifetime: "request" }, () => use(logged([], "A"))));
			await rejection(
				app.run(() =>
					withScope({ lifetime: "request" }, async (scope) => {
						await use(logged([], "A"));
						await use(thrower(new Error("no"), "Thrower"));
						scope.defer(() => {});
						await use(resource(() => Promise.reject(new Error("no")), { name: "Broken" }));
					}),
				),
			);
			await meterProvider.forceFlush();
			await app.disposeAsync();
		} finally {
			stop[Symbol.dispose]();
			await meterProvider.shutdown();
		}
		const [first] = exported.getMetrics();
		const metrics = (first?.scopeMetrics ?? []).flatMap((each) => each.metrics);
		const seen = Object.fromEntries(
			metrics.map(({ descriptor: { name, unit }, dataPoints }) => [
				`${name} ${unit}`,
				dataPoints.map(({ attributes, value }) => {
					const what = Object.values(attributes).join(" ");
					return `${what}: ${typeof value === "number" ? value : value.count}`;
				}),
			]),
		);
		expect(seen).toEqual({
			"yieldscope.scope.open {scope}": ["app: 1", "request: 0"],
			"yieldscope.failures {failure}": [
				"acquire request Broken: 1",
				"release request Thrower: 1",
				"scope request: 1",
			],
			"yieldscope.acquire.duration s": ["A: 2", "Thrower: 1", "Broken: 1"],
			"yieldscope.release.duration s": [
				"A success: 1",
				"callback failure: 1",
				"Thrower failure: 1",
				"A failure: 1",
			],
		});
	});
});
