import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import { openScope, resource, type ScopeEvent, use, withScope } from "../../src/index.ts";
import { openInspector } from "../../src/inspector.ts";

const gc = (globalThis as { gc?: () => void }).gc;

describe.skipIf(gc === undefined)("what the inspector keeps alive", () => {
	const LIMIT = 5;
	const COUNT = 100;
	const watched = new Map<string, WeakRef<object>[]>();

	/** Has it counted, if it is still there at the end, as one of its kind. */
	function watch<T extends object>(kind: string, object: T): T {
		const all = watched.get(kind) ?? [];
		watched.set(kind, all);
		all.push(new WeakRef(object));
		return object;
	}

	async function left(): Promise<Record<string, number>> {
		for (let i = 0; i < 10; i++) {
			await new Promise((resolve) => setTimeout(resolve, 1));
			gc?.();
		}
		const isThere = (each: WeakRef<object>) => each.deref() !== undefined;
		return Object.fromEntries(
			[...watched].map(([kind, all]) => [kind, all.filter(isThere).length]),
		);
	}

	const cleanups: (() => unknown)[] = [];
	afterEach(async () => {
		for (const clean of cleanups.splice(0).reverse()) await clean();
		watched.clear();
	});

	/** Opens a page, too, which is told of all that happens. */
	async function inspect(): Promise<void> {
		const inspector = openInspector({ limit: LIMIT, allow: () => true });
		cleanups.push(() => inspector[Symbol.dispose]());
		const response = await inspector.fetch(new Request("http://localhost/events"));
		const reader = (response.body as ReadableStream<Uint8Array>).getReader();
		await reader.read();
		cleanups.push(() => reader.cancel());
	}

	const Value = resource(async function* Value() {
		yield watch("value", {});
	});
	const failing = async () => {
		throw watch("error", new Error("setup"));
	};
	const Failing = resource(failing, { name: "Failing" });
	const FailingRelease = resource(async function* FailingRelease() {
		yield watch("value", {});
		throw watch("error", new Error("release"));
	});

	it("is no scope, value, error or detail; and of scopes the last ones' names", async () => {
		await inspect();
		const onOpening = (message: unknown) => {
			watch("told", (message as ScopeEvent).scope);
		};
		subscribe("tracing:yieldscope:scope:start", onOpening);
		cleanups.push(() => unsubscribe("tracing:yieldscope:scope:start", onOpening));
		const request = async (failsAtTheEnd: boolean) => {
			const scope = watch("scope", openScope({ lifetime: "request", onReleaseError() {} }));
			scope.mark("detail", watch("detail", {}));
			scope.report(watch("error", new Error("reported")));
			await scope.run(() => withScope({ lifetime: "handler" }, () => use(Value)));
			await scope.use(Failing).catch(() => {});
			if (failsAtTheEnd) await scope.use(FailingRelease);
			scope.complete();
			await scope.disposeAsync().catch(() => {});
		};
		for (let i = 0; i < COUNT; i++) await request(i % 2 === 0);
		const { told = 0, ...rest } = await left();
		expect(watched.get("error")).toHaveLength(2.5 * COUNT);
		expect(rest).toEqual({ scope: 0, value: 0, error: 0, detail: 0 });
		expect(told).toBeGreaterThanOrEqual(LIMIT);
		expect(told).toBeLessThanOrEqual(2 * LIMIT);
	});

	it("is nothing that a setup has thrown, whoever waits for it or has closed since", async () => {
		await inspect();
		let fail: (error: Error) => void = () => {};
		const failLater = () =>
			new Promise((_resolve, reject) => {
				fail = reject;
			});
		const app = openScope({ lifetime: "app", onReleaseError() {} });
		cleanups.push(() => app.disposeAsync());
		const waiting = openScope({ parent: app, name: "waits" });
		const attempt = async () => {
			const Late = resource(failLater, { name: "Late", lifetime: "app" });
			const asking = openScope({ parent: app, name: "asks" });
			const asked = asking.use(Late).catch(() => {});
			const waited = waiting.use(Late).catch(() => {});
			asking.abort();
			await asked;
			await asking.disposeAsync();
			fail(watch("error", new Error("late")));
			fail = () => {}; // it knows of the promise
			await waited;
		};
		for (let i = 0; i < LIMIT; i++) await attempt();
		expect(await left()).toEqual({ error: 0 });
	});

	it("is no scope that nobody closes", async () => {
		await inspect();
		const forget = async () => {
			const scope = watch("scope", openScope({ name: "forgotten" }));
			await scope.use(Value);
		};
		for (let i = 0; i < LIMIT; i++) await forget();
		expect(await left()).toEqual({ scope: 0, value: 0 });
	});
});
