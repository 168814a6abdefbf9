import { AsyncLocalStorage } from "node:async_hooks";
import { channel, tracingChannel } from "node:diagnostics_channel";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
	type AcquireEvent,
	ErrorSwallowedError,
	type MarkEvent,
	openScope,
	openScopeSync,
	type ReleaseEvent,
	ReleaseTimeoutError,
	type ReportEvent,
	resource,
	type ScopeEvent,
	type TaskEvent,
	use,
	useAll,
	type WaitEvent,
	withScope,
	withScopeSync,
} from "../src/index.ts";
import { Child } from "./child.ts";
import { gate, logged, rejection, thrower, ticks } from "./support.ts";

const operations = ["scope", "acquire", "release", "task"] as const;
const phases = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

type Phase = (typeof phases)[number];

/** Any message, as far as the tests look at it. */
type Message = Partial<ScopeEvent & Omit<ReleaseEvent, "scope"> & AcquireEvent & TaskEvent> &
	Pick<ScopeEvent, "scope" | "startedAt">;

const stopped: (() => void)[] = [];

afterEach(() => {
	for (const stop of stopped.splice(0)) stop();
});

function subscribe(name: string, listener: (message: unknown) => void): void {
	const to = channel(name);
	to.subscribe(listener);
	stopped.push(() => to.unsubscribe(listener));
}

/** Calls `listener` for all that is published on tracing channels. */
function listen(
	listener: (operation: string, phase: Phase, message: Message) => void,
	only: readonly Phase[] = phases,
): void {
	for (const operation of operations)
		for (const phase of only)
			subscribe(`tracing:yieldscope:${operation}:${phase}`, (message) =>
				listener(operation, phase, message as Message),
			);
}

/** What is published as `start`, `error` and `asyncEnd`, in one line each. */
function recorded(): string[] {
	const log: string[] = [];
	listen(
		(operation, phase, message) => {
			const { scope, instance, kind, outcome, error } = message;
			const about = [instance?.resource ?? kind ?? "", `in ${scope.name}`];
			if (outcome !== undefined) about.push(outcome);
			if ("error" in message) about.push(`(${error instanceof Error ? error.message : error})`);
			log.push([operation, phase, ...about].filter(Boolean).join(" "));
		},
		["start", "error", "asyncEnd"],
	);
	return log;
}

describe("events", () => {
	it("tell of a scope, its setups and its releases", async () => {
		const log = recorded();
		const Pool = logged([], "Pool");
		const Tx = logged([], "Tx", { Pool });
		await withScope({ name: "job" }, () => use(Tx));
		expect(log).toEqual([
			"scope start in job",
			"acquire start Tx in job",
			"acquire start Pool in job",
			"acquire asyncEnd Pool in job",
			"acquire asyncEnd Tx in job",
			"release start Tx in job success",
			"release asyncEnd Tx in job success",
			"release start Pool in job success",
			"release asyncEnd Pool in job success",
			"scope asyncEnd in job success",
		]);
	});

	it("are one message for each operation, in the order of a tracing channel", async () => {
		const seen = new Map<Message, string[]>();
		listen((operation, phase, message) => {
			if (!seen.has(message)) seen.set(message, []);
			seen.get(message)?.push(`${operation}:${phase}`);
		});
		const Broken = resource(async () => {
			throw new Error("broken");
		});
		await withScope(async (scope) => {
			await rejection(use(Broken));
			await use(logged([], "A"));
			await scope.spawn(() => {});
		});
		const inOrder = (operation: string, all: readonly Phase[]) =>
			all.map((phase) => `${operation}:${phase}`);
		const usual: readonly Phase[] = ["start", "end", "asyncStart", "asyncEnd"];
		expect([...seen.values()]).toEqual([
			inOrder("scope", usual),
			inOrder("acquire", ["start", "end", "error", "asyncStart", "asyncEnd"]),
			inOrder("acquire", usual),
			inOrder("task", usual),
			inOrder("release", usual),
		]);
	});

	it("tell when it began and ended", async () => {
		const before = performance.now();
		const messages: Message[] = [];
		listen(
			(_operation, phase, message) => {
				expect(message.endedAt === undefined).toBe(phase === "start");
				if (phase === "asyncEnd") messages.push(message);
			},
			["start", "asyncEnd"],
		);
		const A = resource(() => new Promise((resolve) => setTimeout(resolve, 5, "a")));
		await withScope(() => use(A));
		expect(messages).toHaveLength(3);
		for (const { startedAt, endedAt = 0 } of messages) {
			expect(startedAt).toBeGreaterThanOrEqual(before);
			expect(endedAt).toBeGreaterThanOrEqual(startedAt);
			expect(endedAt).toBeLessThanOrEqual(performance.now());
		}
		const [acquired] = messages;
		expect((acquired?.endedAt ?? 0) - (acquired?.startedAt ?? 0)).toBeGreaterThan(1);
	});

	it("tell who owns an instance, who asked for it and where, and what it used", async () => {
		const events: AcquireEvent[] = [];
		subscribe("tracing:yieldscope:acquire:asyncEnd", (event) => events.push(event as AcquireEvent));
		const Pool = resource(() => "pool", { name: "Pool", lifetime: "app" });
		const Tx = resource({ Pool, again: Pool }, () => use(Pool), { name: "Tx" });
		await withScope({ lifetime: "app" }, () =>
			withScope({ lifetime: "request", name: "GET /" }, () => use(Tx)),
		);
		const [pool, tx] = events;
		if (pool === undefined || tx === undefined) throw new Error("unreachable: two setups");
		expect([pool.instance.resource, tx.instance.resource]).toEqual(["Pool", "Tx"]);
		expect([pool.scope.lifetime, tx.scope.lifetime]).toEqual(["app", "request"]);
		expect(pool.scope).toBe(pool.instance.scope);
		expect(tx.scope.parent).toBe(pool.scope);
		expect(pool.scope.parent).toBeUndefined();
		expect(pool.instance.requester).toBe(tx.instance);
		expect(tx.instance.requester).toBeUndefined();
		expect(tx.instance.requestedIn).toBe(tx.scope);
		expect([pool.dependencies, tx.dependencies]).toEqual([[], [pool.instance]]);
		const ids = [pool.scope, tx.scope, pool.instance, tx.instance].map(({ id }) => id);
		expect(new Set(ids).size).toBe(4);
	});

	it("tell in which scope a longer-lived resource was asked for", async () => {
		const events: AcquireEvent[] = [];
		subscribe("tracing:yieldscope:acquire:start", (event) => events.push(event as AcquireEvent));
		const Pool = resource(() => "pool", { lifetime: "app" });
		await withScope({ lifetime: "app" }, () => withScope({ name: "job" }, () => use(Pool)));
		expect(events.map(({ scope, instance }) => [scope.name, instance.requestedIn?.name])).toEqual([
			["app", "job"],
		]);
	});

	it("tell which setup opened a scope", async () => {
		const events: ScopeEvent[] = [];
		subscribe("tracing:yieldscope:scope:start", (event) => events.push(event as ScopeEvent));
		subscribe("tracing:yieldscope:acquire:start", () => {});
		const Outer = resource(() => withScope({ name: "inner" }, async () => 1), { name: "Outer" });
		await withScope({ name: "outer" }, () => use(Outer));
		expect(events.map(({ scope }) => [scope.name, scope.opener?.resource])).toEqual([
			["outer", undefined],
			["inner", "Outer"],
		]);
	});

	it("tell of setups and releases that fail, and what the work's failure is not", async () => {
		const log = recorded();
		const Broken = resource(
			() => {
				throw undefined;
			},
			{ name: "Broken" },
		);
		await rejection(
			withScope({ name: "job" }, async () => {
				await use(logged([], "Honest"));
				await use(thrower(new Error("disk full"), "Thrower"));
				await use(Broken);
			}),
		);
		expect(log.filter((line) => !line.includes(" start "))).toEqual([
			"acquire asyncEnd Honest in job",
			"acquire asyncEnd Thrower in job",
			"acquire error Broken in job (undefined)",
			"acquire asyncEnd Broken in job (undefined)",
			"release error Thrower in job failure (disk full)",
			"release asyncEnd Thrower in job failure (disk full)",
			"release asyncEnd Honest in job failure",
			"scope error in job failure (disk full)",
			"scope asyncEnd in job failure (disk full)",
		]);
	});

	it("tell of releases that take too long", async () => {
		const events: ReleaseEvent[] = [];
		subscribe("tracing:yieldscope:release:error", (event) => events.push(event as ReleaseEvent));
		const until = gate();
		const Stuck = resource(
			async function* Stuck() {
				yield 1;
				await until.promise;
			},
			{ releaseTimeout: 1 },
		);
		const error = await rejection(withScope(() => use(Stuck)));
		expect(error).toBeInstanceOf(ReleaseTimeoutError);
		expect(events.map((each) => [each.instance?.resource, each.error])).toEqual([["Stuck", error]]);
		until.open();
	});

	it("tell of callbacks, early releases and incomplete scopes", async () => {
		const events: ReleaseEvent[] = [];
		subscribe("tracing:yieldscope:release:asyncEnd", (event) => events.push(event as ReleaseEvent));
		const A = logged([], "A");
		const B = logged([], "B");
		const scope = openScope();
		await scope.run(() => useAll({ A, B }));
		scope.defer(() => {});
		scope.use(null);
		await scope.release(A);
		await scope.disposeAsync();
		expect(
			events.map(({ instance, outcome, early }) => [instance?.resource, outcome, early]),
		).toEqual([
			["A", "success", true],
			[undefined, "incomplete", false],
			["B", "incomplete", false],
		]);
	});

	it("tell of tasks and of work for later", async () => {
		const log = recorded();
		const failure = await rejection(
			withScope({ name: "job" }, async (scope) => {
				await scope.spawn(() => {});
				scope.after(() => {});
				scope.after(() => Promise.reject(new Error("no mail server")));
			}),
		);
		expect(failure).toMatchObject({ message: "no mail server" });
		expect(log).toEqual([
			"scope start in job",
			"task start spawn in job",
			"task asyncEnd spawn in job",
			"task start after in job",
			"task asyncEnd after in job",
			"task start after in job",
			"task error after in job (no mail server)",
			"task asyncEnd after in job (no mail server)",
			"scope error in job failure (no mail server)",
			"scope asyncEnd in job failure (no mail server)",
		]);
	});

	it("tell of sync scopes", () => {
		const log = recorded();
		const A = resource(
			function* () {
				yield 1;
			},
			{ name: "A" },
		);
		withScopeSync({ name: "sync" }, (scope) => {
			scope.use(A);
			scope.defer(() => {});
		});
		const held = openScopeSync({ name: "held" });
		held.use(A);
		held.dispose();
		expect(log).toEqual([
			"scope start in sync",
			"acquire start A in sync",
			"acquire asyncEnd A in sync",
			"release start in sync success",
			"release asyncEnd in sync success",
			"release start A in sync success",
			"release asyncEnd A in sync success",
			"scope asyncEnd in sync success",
			"scope start in held",
			"acquire start A in held",
			"acquire asyncEnd A in held",
			"release start A in held incomplete",
			"release asyncEnd A in held incomplete",
			"scope asyncEnd in held incomplete",
		]);
	});

	it("tell of a scope that is moved as of one", async () => {
		const log = recorded();
		const scopes = new Set<object>();
		listen((_operation, _phase, { scope }) => scopes.add(scope));
		const first = openScope({ name: "moved" });
		await first.use(logged([], "A"));
		const second = first.move();
		await second.use(logged([], "B"));
		second.complete();
		await second.disposeAsync();
		await first.disposeAsync();
		const sync = openScopeSync({ name: "sync" });
		sync.move().dispose();
		sync.dispose();
		expect(log).toEqual([
			"scope start in moved",
			"acquire start A in moved",
			"acquire asyncEnd A in moved",
			"acquire start B in moved",
			"acquire asyncEnd B in moved",
			"release start B in moved success",
			"release asyncEnd B in moved success",
			"release start A in moved success",
			"release asyncEnd A in moved success",
			"scope asyncEnd in moved success",
			"scope start in sync",
			"scope asyncEnd in sync incomplete",
		]);
		expect(scopes.size).toBe(2);
	});

	it("hear nothing of a scope that had been opened before it was moved", async () => {
		const first = openScope({ name: "moved" });
		await first.use(logged([], "A"));
		const log = recorded();
		await first.move().disposeAsync();
		expect(log).toEqual([
			"release start A in moved incomplete",
			"release asyncEnd A in moved incomplete",
		]);
	});

	it("tell who waits for a setup that somebody else has asked for, and until when", async () => {
		const events: WaitEvent[] = [];
		subscribe("yieldscope:wait", (event) => events.push(event as WaitEvent));
		const setups: AcquireEvent[] = [];
		subscribe("tracing:yieldscope:acquire:start", (event) => setups.push(event as AcquireEvent));
		const ready = gate<string>();
		const Pool = resource(() => ready.promise, { name: "Pool", lifetime: "app" });
		const Orders = resource({ Pool }, () => "orders", { name: "Orders", lifetime: "request" });
		const before = performance.now();
		await withScope({ lifetime: "app" }, async () => {
			const request = (name: string, asked: () => unknown) =>
				withScope({ name, lifetime: "request" }, asked);
			const requests = [
				request("first", () => use(Pool)),
				request("second", () => use(Orders)),
				request("third", () => useAll({ Orders, Pool })),
			];
			await ticks();
			ready.open("pool");
			await Promise.all(requests);
			await use(Pool);
		});
		expect(
			events.map(({ scope, instance, requester }) => [
				scope.name,
				requester?.resource,
				instance.resource,
				instance.requestedIn?.name,
			]),
		).toEqual([
			["second", "Orders", "Pool", "first"],
			["third", "Orders", "Pool", "first"],
			["third", undefined, "Pool", "first"],
		]);
		for (const { at, instance, setup } of events) {
			expect(setup).toBe(setups[0]);
			expect(setup?.instance).toBe(instance);
			expect(at).toBeGreaterThanOrEqual(before);
			expect(setup?.endedAt).toBeGreaterThanOrEqual(at);
		}
	});

	it("don't know the end of a wait for a setup that had begun before", async () => {
		const ready = gate<string>();
		const Pool = resource(() => ready.promise, { name: "Pool" });
		await withScope(async () => {
			const first = use(Pool);
			const events: WaitEvent[] = [];
			subscribe("yieldscope:wait", (event) => events.push(event as WaitEvent));
			const second = use(Pool);
			ready.open("pool");
			await Promise.all([first, second]);
			expect(events.map(({ instance, setup }) => [instance.resource, setup])).toEqual([
				["Pool", undefined],
			]);
		});
	});

	it("tell of a handler's scope when it is used first, before its onFirstUse", async () => {
		const request = openScope({ name: "GET /", lifetime: "request" });
		const log = recorded();
		const askedIn: (string | undefined)[] = [];
		subscribe("tracing:yieldscope:acquire:start", (event) =>
			askedIn.push((event as AcquireEvent).instance.requestedIn?.name),
		);
		const handler = (name: string) =>
			openScope({
				name,
				lifetime: "handler",
				parent: request,
				onFirstUse: () => log.push(`first use of ${name}`),
			});
		const unused = handler("unused");
		const used = handler("used");
		await used.use(logged([], "A", {}, { lifetime: "request" }));
		await used.use(logged([], "B", {}, { lifetime: "handler" }));
		await used.use(logged([], "C", {}, { lifetime: "request" }));
		for (const scope of [unused, used]) {
			scope.complete();
			await scope.disposeAsync();
		}
		expect(log).toEqual([
			"acquire start A in GET /",
			"acquire asyncEnd A in GET /",
			"scope start in used",
			"first use of used",
			"acquire start B in used",
			"acquire asyncEnd B in used",
			"acquire start C in GET /",
			"acquire asyncEnd C in GET /",
			"release start B in used success",
			"release asyncEnd B in used success",
			"scope asyncEnd in used success",
		]);
		expect(askedIn).toEqual(["GET /", "used", "used"]);
		await request.disposeAsync();
	});

	it("tell of what happens in a handler's scope before its first use as of its request's", async () => {
		const seen: string[] = [];
		for (const name of ["wait", "mark", "error"])
			subscribe(`yieldscope:${name}`, (event) =>
				seen.push(`${name} in ${(event as WaitEvent | MarkEvent).scope.name}`),
			);
		const ready = gate();
		const Session = resource(() => ready.promise, { name: "Session", lifetime: "request" });
		await using request = openScope({ name: "GET /", lifetime: "request", onReleaseError() {} });
		const handler = () =>
			openScope({ lifetime: "handler", parent: request, onFirstUse: () => seen.push("first use") });
		const [outer, inner] = [handler(), handler()];
		const using = [outer.use(Session), inner.use(Session)];
		inner.mark("cache miss");
		inner.report(new Error("late"));
		ready.open();
		await Promise.all(using);
		inner.defer(() => {});
		inner.mark("used");
		expect(seen).toEqual([
			"wait in GET /",
			"mark in GET /",
			"error in GET /",
			"first use",
			"mark in handler",
		]);
	});

	it.each([
		["a handler's without a parent", { lifetime: "handler", parent: null }],
		["another", { lifetime: "task" }],
	])("tell at once of %s with an onFirstUse", async (_what, options) => {
		await using app = openScope({ name: "app", lifetime: "app" });
		const log = recorded();
		const scope = app.run(() => openScope({ ...options, name: "job", onFirstUse() {} }));
		expect(log).toEqual(["scope start in job"]);
		scope.mark("begun");
		await scope.disposeAsync();
		expect(log).toEqual(["scope start in job", "scope asyncEnd in job incomplete"]);
	});

	it("tell once of a handler's scope whose onFirstUse throws", async () => {
		await using request = openScope();
		const log = recorded();
		const scope = openScope({
			parent: request,
			lifetime: "handler",
			onFirstUse: () => {
				throw new Error("not yet");
			},
		});
		expect(() => scope.defer(() => {})).toThrow("not yet");
		scope.defer(() => {});
		scope.complete();
		await scope.disposeAsync();
		expect(log.filter((line) => line.startsWith("scope"))).toEqual([
			"scope start in handler",
			"scope asyncEnd in handler success",
		]);
	});

	it("tell of errors that reach no caller", async () => {
		const events: ReportEvent[] = [];
		subscribe("yieldscope:error", (event) => events.push(event as ReportEvent));
		const reported: unknown[] = [];
		const Swallower = resource(async function* Swallower() {
			try {
				yield 1;
			} catch {
				// that is the mistake
			}
		});
		const onReleaseError = (error: unknown) => reported.push(error);
		await rejection(
			withScope({ name: "job", onReleaseError }, async () => {
				await use(Swallower);
				throw new Error("failed");
			}),
		);
		expect(events.map(({ scope, error }) => [scope.name, error])).toEqual([["job", reported[0]]]);
		expect(reported[0]).toBeInstanceOf(ErrorSwallowedError);
	});

	it("tell of marks", async () => {
		const events: MarkEvent[] = [];
		subscribe("yieldscope:mark", (event) => events.push(event as MarkEvent));
		const before = performance.now();
		await withScope({ name: "job" }, async (scope) => scope.mark("half-way", 50));
		expect(events).toEqual([
			{
				scope: expect.objectContaining({ name: "job" }),
				name: "half-way",
				at: expect.any(Number),
				detail: 50,
			},
		]);
		expect(events[0]?.at).toBeGreaterThanOrEqual(before);
	});
});

describe("listeners", () => {
	it.each(phases)("may listen to %s alone", async (phase) => {
		const seen: string[] = [];
		subscribe(`tracing:yieldscope:acquire:${phase}`, (event) =>
			seen.push((event as AcquireEvent).instance.resource),
		);
		await withScope(async () => {
			await rejection(use(resource(() => Promise.reject(new Error("no")), { name: "Broken" })));
		});
		expect(seen).toEqual(["Broken"]);
	});

	it("hear nothing of what had begun before", async () => {
		const setup = gate();
		const scope = openScope({ name: "outer" });
		const A = resource(() => setup.promise, { name: "A" });
		const acquired = scope.use(A);
		const log = recorded();
		setup.open();
		await acquired;
		await scope.run(() => withScope({ name: "inner" }, () => use(logged([], "B"))));
		await scope.disposeAsync();
		expect(log).toEqual([
			"scope start in inner",
			"acquire start B in inner",
			"acquire asyncEnd B in inner",
			"release start B in inner success",
			"release asyncEnd B in inner success",
			"scope asyncEnd in inner success",
			"release start A in outer incomplete",
			"release asyncEnd A in outer incomplete",
		]);
	});

	it("may put setups, releases and tasks in a context of their own", async () => {
		const storage = new AsyncLocalStorage<string>();
		for (const operation of ["acquire", "release", "task"]) {
			const { start } = tracingChannel(`yieldscope:${operation}`);
			start.bindStore(storage, () => operation);
			stopped.push(() => start.unbindStore(storage));
		}
		const seen: unknown[] = [];
		const A = resource(async function* () {
			seen.push(storage.getStore());
			await undefined;
			seen.push(storage.getStore());
			yield "a";
			seen.push(storage.getStore());
			await undefined;
			seen.push(storage.getStore());
		});
		await withScope(async (scope) => {
			await use(A);
			await scope.spawn(() => seen.push(storage.getStore()));
			seen.push(storage.getStore());
		});
		expect(seen).toEqual(["acquire", "acquire", "task", undefined, "release", "release"]);
	});

	it("may run setups, releases and tasks in their own way", async () => {
		const storage = new AsyncLocalStorage<string>();
		listen(
			(operation, _phase, message) => {
				message.around = (fn) => storage.run(operation, fn);
			},
			["start"],
		);
		const seen: unknown[] = [];
		const A = resource(async function* () {
			await undefined;
			seen.push(storage.getStore());
			yield "a";
			seen.push(storage.getStore());
		});
		await withScope(async (scope) => {
			await use(A);
			await scope.spawn(() => seen.push(storage.getStore()));
		});
		expect(seen).toEqual(["acquire", "task", "release"]);
	});

	it("see scopes and setups nested as deeply as can be", async () => {
		let scope = openScope();
		const outermost = scope;
		for (let i = 0; i < 10_000; i++) scope = openScope({ parent: scope });
		const log = recorded();
		let R = resource(async () => 0);
		for (let i = 0; i < 10_000; i++) R = resource({ R }, async ({ R }) => R + 1);
		expect(await outermost.use(R)).toBe(10_000);
		await scope.use(logged([], "A"));
		await outermost.disposeAsync();
		expect(log.filter((line) => line.startsWith("acquire asyncEnd"))).toHaveLength(10_002);
	});
});

it("does without the module where there is none", async () => {
	vi.resetModules();
	const { getBuiltinModule } = process;
	Reflect.set(process, "getBuiltinModule", undefined);
	try {
		const { resource, use, withScope } = await import("../src/index.ts");
		const log = recorded();
		await withScope({ onReleaseError: () => {} }, async (scope) => {
			scope.mark("here");
			scope.report(new Error("ignored"));
			await use(resource(() => 1));
			await scope.spawn(() => {});
		});
		expect(log).toEqual([]);
	} finally {
		process.getBuiltinModule = getBuiltinModule;
		vi.resetModules();
	}
});

// Bun and Deno can't be told to load the sources by the package's name
describe.skipIf("Bun" in globalThis || "Deno" in globalThis)("listeners that throw", () => {
	it("break nothing: their errors are uncaught exceptions, one each", async () => {
		const child = new Child("events/throwing-listeners.ts");
		expect(await child.exited).toEqual({ code: 0, stderr: "" });
		const uncaught = ["scope", "acquire", "release", "task"].flatMap((operation) => [
			`uncaught: ${operation} asyncEnd`,
			`uncaught: ${operation} start`,
			// nothing is run in a scope's
			...(operation === "scope" ? [] : [`uncaught: ${operation} around`]),
		]);
		expect([...child.lines].sort()).toEqual(["a", "released", "task", ...uncaught].sort());
	});
});
