/**
 * OpenTelemetry spans and metrics of scopes and their resources.
 *
 * @module
 */

import { channel } from "node:diagnostics_channel";
import {
	type Attributes,
	type Context,
	context,
	type Exception,
	type Link,
	type MeterProvider,
	metrics,
	type Span,
	SpanStatusCode,
	type TracerProvider,
	trace,
} from "@opentelemetry/api";
import type {
	AcquireEvent,
	InstanceInfo,
	MarkEvent,
	ReleaseEvent,
	ReportEvent,
	ScopeEvent,
	ScopeInfo,
	TaskEvent,
	TracedEvent,
	WaitEvent,
} from "./index.ts";
import { setMethod } from "./method.ts";

/** The options of {@link instrument}. */
export interface InstrumentOptions {
	/**
	 * Makes the spans.
	 *
	 * @defaultValue the one that is registered globally
	 */
	readonly tracerProvider?: TracerProvider | undefined;
	/**
	 * Makes the metrics.
	 *
	 * @defaultValue the one that is registered globally
	 */
	readonly meterProvider?: MeterProvider | undefined;
}

/**
 * Makes spans and metrics of what scopes and resources do, until the handle is disposed.
 *
 * A scope has a span, unless it is an `"app"` scope, which lives too long for one, or an adapter's `"handler"` scope in which
 * there is nothing to release or to wait for. In it are the spans of its setups,
 * releases and tasks, and of the scopes in it. What a setup asks for is in the setup's span if the same scope owns it;
 * else it has a link to that: a pool that a request happens to open belongs to no request. Spans that setups, releases
 * and spawned tasks start are in theirs.
 *
 * The metrics are `yieldscope.scope.open`, `yieldscope.acquire.duration`, `yieldscope.release.duration` and
 * `yieldscope.failures`. Call it once, when the SDK has started and before the first scope is opened.
 *
 * @example Printing what a job spends its time on
 * ```ts
 * import assert from "node:assert/strict";
 * import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
 * import { resource, use, withScope } from "yieldscope";
 * import { instrument } from "yieldscope/opentelemetry";
 *
 * const exporter = new InMemorySpanExporter();
 * const spanProcessors = [new SimpleSpanProcessor({ exporter })];
 * const stop = instrument({ tracerProvider: new TracerProvider({ spanProcessors }) });
 *
 * const Db = resource(() => "db", { name: "Db" });
 * await withScope({ lifetime: "task" }, () => use(Db));
 *
 * const names = exporter.getFinishedSpans().map(({ name }) => name);
 * assert.deepEqual(names, ["acquire Db", "release Db", "scope task"]);
 * stop[Symbol.dispose]();
 * ```
 */
export function instrument(options: InstrumentOptions = {}): Disposable {
	const listeners = [
		...tracing(options.tracerProvider ?? trace),
		...measuring(options.meterProvider ?? metrics),
	].map(([name, listener]) => [channel(name), listener] as const);
	for (const [to, listener] of listeners) to.subscribe(listener);
	return {
		[Symbol.dispose]() {
			for (const [to, listener] of listeners) to.unsubscribe(listener);
		},
	};
}

type Listener = readonly [channel: string, (message: unknown) => void];

/** A listener to what is published on `channel`, whose messages are `E`s. */
function on<E>(channel: string, listener: (event: E) => void): Listener {
	return [channel, listener as (message: unknown) => void];
}

const started = (operation: string) => `tracing:yieldscope:${operation}:start`;
const ended = (operation: string) => `tracing:yieldscope:${operation}:asyncEnd`;

/** A scope's span. */
interface ScopeSpan {
	readonly span: Span;
	/** The span that was active when the scope was opened. */
	readonly outer: Span | undefined;
}

function tracing(provider: Pick<TracerProvider, "getTracer">): Listener[] {
	const tracer = provider.getTracer("yieldscope");
	const scopes = new WeakMap<ScopeInfo, ScopeSpan>();
	const setups = new WeakMap<InstanceInfo, Span>();
	const others = new WeakMap<TracedEvent, Span>();

	const scopeSpan = (scope: ScopeInfo | undefined): ScopeSpan | undefined => {
		let at = scope;
		while (at !== undefined && !scopes.has(at)) at = at.parent;
		return at && scopes.get(at);
	};

	/** Where a span for something in `scope` belongs: a span that was started since the scope was opened goes before the scope's. */
	const contextIn = (scope: ScopeInfo | undefined): Context => {
		const active = trace.getActiveSpan();
		const enclosing = scopeSpan(scope);
		if (enclosing === undefined || active !== enclosing.outer) return context.active();
		return trace.setSpan(context.active(), enclosing.span);
	};

	const start = (
		event: TracedEvent,
		name: string,
		attributes: Attributes,
		within: Context | undefined,
		target?: Span,
	): Span => {
		const links: Link[] = target === undefined ? [] : [{ context: target.spanContext() }];
		const root = within === undefined;
		return tracer.startSpan(
			name,
			{
				attributes: { ...attributes, ...about(event.scope) },
				links,
				root,
			},
			within,
		);
	};

	/** Makes `span` the active one in what is about to run. */
	const enclose = (event: TracedEvent, span: Span) => {
		const { around } = event;
		setMethod(event, "around", (fn) => {
			const inside = trace.setSpan(context.active(), span);
			return context.with(inside, around === undefined ? fn : () => around(fn));
		});
	};

	const end = (event: TracedEvent, span: Span | undefined) => {
		if (span === undefined) return;
		if ("error" in event) {
			const exception = exceptionOf(event.error);
			span.recordException(exception);
			span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(exception) });
		}
		span.end();
	};

	return [
		on<ScopeEvent>(started("scope"), (event) => {
			const { scope } = event;
			if (scope.lifetime === "app") return;
			const opener = scope.opener && setups.get(scope.opener);
			const within =
				opener === undefined ? contextIn(scope.parent) : trace.setSpan(context.active(), opener);
			const span = start(event, `scope ${scope.lifetime ?? ""}`.trimEnd(), {}, within);
			scopes.set(scope, { span, outer: trace.getActiveSpan() });
		}),
		on<ScopeEvent>(ended("scope"), (event) => {
			const span = scopes.get(event.scope)?.span;
			span?.setAttribute("yieldscope.outcome", event.outcome ?? "");
			end(event, span);
		}),
		on<AcquireEvent>(started("acquire"), (event) => {
			const { scope, instance } = event;
			const { requester, requestedIn } = instance;
			const asking = requester && setups.get(requester);
			const isInside = asking !== undefined && requester?.scope === scope;
			const elsewhere = requestedIn === scope ? undefined : scopeSpan(requestedIn)?.span;
			const enclosing = scopeSpan(scope);
			const within = isInside
				? trace.setSpan(context.active(), asking)
				: enclosing && contextIn(scope);
			const isAround = isInside || isOpenedBy(scope, requester);
			const target = isAround ? undefined : (asking ?? elsewhere);
			const span = start(
				event,
				`acquire ${kindOf(instance)}`,
				resourceOf(instance),
				within,
				target,
			);
			setups.set(instance, span);
			enclose(event, span);
		}),
		on<AcquireEvent>(ended("acquire"), (event) => end(event, setups.get(event.instance))),
		on<ReleaseEvent>(started("release"), (event) => {
			const { scope, instance, outcome } = event;
			const within = scopeSpan(scope) && contextIn(scope);
			const target = within === undefined && instance ? setups.get(instance) : undefined;
			const attributes = { ...resourceOf(instance), "yieldscope.outcome": outcome };
			const span = start(event, `release ${kindOf(instance)}`, attributes, within, target);
			others.set(event, span);
			enclose(event, span);
		}),
		on<ReleaseEvent>(ended("release"), (event) => end(event, others.get(event))),
		on<TaskEvent>(started("task"), (event) => {
			const span = start(event, event.kind, {}, contextIn(event.scope));
			others.set(event, span);
			enclose(event, span);
		}),
		on<TaskEvent>(ended("task"), (event) => end(event, others.get(event))),
		on<MarkEvent>("yieldscope:mark", ({ scope, name }) => {
			const span = scopes.get(scope)?.span;
			// a response may end after its request's scope, which then tells of a failure
			if (span?.isRecording()) span.addEvent(name);
		}),
		on<WaitEvent>("yieldscope:wait", ({ scope, instance, requester }) => {
			const span = (requester && setups.get(requester)) ?? scopeSpan(scope)?.span;
			if (span?.isRecording()) span.addEvent("wait", resourceOf(instance));
		}),
		on<ReportEvent>("yieldscope:error", ({ scope, error }) => {
			const span = scopeSpan(scope)?.span;
			if (span?.isRecording()) span.recordException(exceptionOf(error));
		}),
	];
}

/** Whether it was in the setup of `instance` that `scope` was opened. */
function isOpenedBy(scope: ScopeInfo, instance: InstanceInfo | undefined): boolean {
	let at: ScopeInfo | undefined = scope;
	while (at !== undefined && (at.opener === undefined || at.opener !== instance)) at = at.parent;
	return at !== undefined;
}

/** What names of spans and dimensions of metrics call it: there may be as many members of a family as there are tenants. */
function kindOf(instance: InstanceInfo | undefined): string {
	return instance === undefined ? "callback" : (instance.family ?? instance.resource);
}

function resourceOf(instance: InstanceInfo | undefined): Attributes {
	return instance === undefined ? {} : { "yieldscope.resource": instance.resource };
}

/** What spans say of their scope. */
function about({ id, name, lifetime }: ScopeInfo): Attributes {
	const attributes: Attributes = { "yieldscope.scope.id": id, "yieldscope.scope.name": name };
	if (lifetime !== undefined) attributes["yieldscope.scope.lifetime"] = lifetime;
	return attributes;
}

/** Anything can be thrown. */
function exceptionOf(error: unknown): Exception {
	try {
		if (error instanceof Error) {
			const { name, message, stack } = error;
			return { name: String(name), message: String(message), stack: String(stack) };
		}
	} catch {
		return { name: "Error", message: "an error that can't be read" };
	}
	return { name: "Error", message: typeof error === "string" ? error : `a thrown ${typeof error}` };
}

function messageOf(exception: Exception): string {
	return typeof exception === "string" ? exception : (exception.message ?? "");
}

/** Seconds, as OpenTelemetry's conventions have them for requests. */
const explicitBucketBoundaries = [
	0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

function measuring(provider: Pick<MeterProvider, "getMeter">): Listener[] {
	const meter = provider.getMeter("yieldscope");
	const open = meter.createUpDownCounter("yieldscope.scope.open", {
		description: "Scopes that are open.",
		unit: "{scope}",
	});
	const failures = meter.createCounter("yieldscope.failures", {
		description:
			"Scopes, setups, releases and tasks that failed, and errors that reached no caller.",
		unit: "{failure}",
	});
	const duration = (operation: string, description: string) =>
		meter.createHistogram(`yieldscope.${operation}.duration`, {
			description,
			unit: "s",
			advice: { explicitBucketBoundaries },
		});
	const acquired = duration("acquire", "How long setups take.");
	const released = duration("release", "How long releases take.");
	const lifetimeOf = ({ lifetime }: ScopeInfo): Attributes =>
		lifetime === undefined ? {} : { "yieldscope.scope.lifetime": lifetime };
	const fail = (operation: string, scope: ScopeInfo, attributes: Attributes = {}) =>
		failures.add(1, { "yieldscope.operation": operation, ...lifetimeOf(scope), ...attributes });
	const finish = (operation: string, event: TracedEvent, attributes: Attributes = {}) => {
		if ("error" in event) fail(operation, event.scope, attributes);
	};
	const seconds = ({ startedAt, endedAt = startedAt }: TracedEvent) => (endedAt - startedAt) / 1000;
	/** Those that are counted as open. */
	const counted = new WeakSet<ScopeInfo>();

	return [
		on<ScopeEvent>(started("scope"), ({ scope }) => {
			counted.add(scope);
			open.add(1, lifetimeOf(scope));
		}),
		on<ScopeEvent>(ended("scope"), (event) => {
			if (counted.has(event.scope)) open.add(-1, lifetimeOf(event.scope));
			finish("scope", event);
		}),
		on<AcquireEvent>(ended("acquire"), (event) => {
			const attributes = { "yieldscope.resource": kindOf(event.instance) };
			acquired.record(seconds(event), attributes);
			finish("acquire", event, attributes);
		}),
		on<ReleaseEvent>(ended("release"), (event) => {
			const attributes = { "yieldscope.resource": kindOf(event.instance) };
			released.record(seconds(event), { ...attributes, "yieldscope.outcome": event.outcome });
			finish("release", event, attributes);
		}),
		on<TaskEvent>(ended("task"), (event) => finish("task", event)),
		on<ReportEvent>("yieldscope:error", ({ scope }) => fail("report", scope)),
	];
}
