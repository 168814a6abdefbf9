import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import {
	openScope,
	override,
	provide,
	resource,
	type Scope,
	use,
	withScope,
	withScopeSync,
} from "../src/index.ts";
import { gate, ticks } from "./support.ts";

const gc = (globalThis as { gc?: () => void }).gc;

/** Collects what can be collected; it takes a few turns until weak references are cleared. */
async function collect(): Promise<void> {
	for (let i = 0; i < 5; i++) {
		await new Promise((resolve) => setImmediate(resolve));
		gc?.();
	}
}

async function heap(): Promise<number> {
	await collect();
	return process.memoryUsage().heapUsed;
}

/** Large enough to be seen in the heap. */
class Big {
	readonly data = new Array(1000).fill(0);
}

const isNode = !("Bun" in globalThis || "Deno" in globalThis);

describe.runIf(isNode)("a long-lived parent", () => {
	/** A million, say, in `LEAK_SCOPES` takes ten seconds or more. */
	const COUNT = Number(process.env.LEAK_SCOPES ?? 100_000);

	it(`is as it was after ${COUNT.toLocaleString("en")} scopes of three generators each`, async () => {
		const program = fileURLToPath(new URL("leak/many-scopes.ts", import.meta.url));
		const { stdout } = await promisify(execFile)(process.execPath, [
			...["--expose-gc", program, String(COUNT)],
		]);
		const { growth, released, left } = JSON.parse(stdout);
		expect(released).toBe(3 * COUNT);
		expect(left).toEqual({ resources: 1, children: 0 });
		// a byte for each: the smallest of objects takes sixteen
		expect(growth).toBeLessThan(COUNT);
	}, 300_000);
});

describe.skipIf(gc === undefined)("heap", () => {
	const COUNT = 100_000;
	/** What 100,000 leaks of a single small object would add up to, at the least. */
	const LEAK = COUNT * 16;

	/** How much the heap grows when `step` runs 100,000 times. */
	async function growth(step: () => unknown): Promise<number> {
		for (let i = 0; i < 5_000; i++) await step();
		const before = await heap();
		for (let i = 0; i < COUNT; i++) await step();
		return (await heap()) - before;
	}

	it("is as it was after 100,000 scopes under one parent", async () => {
		const app = openScope({ lifetime: "app" });
		const Pool = resource(() => new Big(), { lifetime: "app" });
		const Tx = resource({ Pool }, async function* () {
			yield new Big();
		});

		const grown = await growth(() =>
			withScope({ parent: app, lifetime: "request" }, () => use(Tx)),
		);

		expect(grown).toBeLessThan(LEAK);
		expect(app.inspect().children).toEqual([]);
		await app.disposeAsync();
	}, 60_000);

	it("is as it was after 100,000 held scopes, tasks and after work under one parent", async () => {
		const app = openScope({ lifetime: "app" });

		const grown = await growth(async () => {
			const scope = openScope({ parent: app });
			scope.defer(() => {});
			scope.after(() => {});
			await scope.spawn(() => {});
			scope.complete();
			await scope.disposeAsync();
		});

		expect(grown).toBeLessThan(LEAK);
		await app.disposeAsync();
	}, 60_000);

	it("is as it was after 100,000 tasks, detached ones, and failed and early released setups", async () => {
		const app = openScope({ lifetime: "app" });
		const A = resource(() => new Big());
		const Broken = resource(() => {
			throw new Error("broken");
		});

		const grown = await growth(async () => {
			await app.spawn(() => {});
			await app.detach(() => {});
			await app.use(Broken).catch(() => {});
			await app.use(A);
			await app.release(A);
			app.bind(provide(A, new Big()))[Symbol.dispose]();
		});

		expect(grown).toBeLessThan(LEAK);
		await app.disposeAsync();
	}, 60_000);

	it("is as it was after 100,000 scopes with a long-lived signal", async () => {
		const { signal } = new AbortController();
		const grown = await growth(() => withScope({ signal }, () => {}));
		expect(grown).toBeLessThan(LEAK);
	}, 60_000);
});

describe.skipIf(gc === undefined)("what a setup that takes its time still points at", () => {
	it("holds no reason that whoever waited for it was told", async () => {
		const open = gate();
		const Pool = resource(() => open.promise, { name: "Pool", lifetime: "app" });
		const app = openScope({ lifetime: "app" });
		const started = app.use(Pool);
		const reasons: WeakRef<object>[] = [];
		const abandon = async () => {
			const request = openScope({ parent: app });
			const reason = new Big();
			reasons.push(new WeakRef(reason));
			const waiting = request.use(Pool);
			request.cancel(reason);
			await waiting.catch(() => {});
			await request.disposeAsync();
		};
		for (let i = 0; i < 5; i++) await abandon();
		await collect();
		expect(reasons.filter((each) => each.deref() !== undefined)).toEqual([]);
		open.open();
		await started;
		await app.disposeAsync();
	}, 60_000);
});

describe.skipIf(gc === undefined)("what a timer's async context still points at", () => {
	/** Stands for a timer: captures the async context it is made in, for as long as it is referenced. */
	const timers: AsyncResource[] = [];
	const keepContext = () => timers.push(new AsyncResource("timer"));

	async function expectCollected(references: Record<string, WeakRef<object>>): Promise<void> {
		await collect();
		const alive = Object.entries(references).filter(([, each]) => each.deref() !== undefined);
		expect(alive.map(([name]) => name)).toEqual([]);
		expect(timers.length).toBeGreaterThan(0);
	}

	it("holds no values of a closed scope", async () => {
		const references: Record<string, WeakRef<object>> = {};
		const remember = <T extends object>(name: string, value: T): T => {
			references[name] = new WeakRef(value);
			return value;
		};
		const Pool = resource(() => remember("returned", new Big()));
		const Tx = resource({ Pool }, async function* () {
			yield remember("yielded", new Big());
		});
		const Provided = resource(() => new Big());

		await withScope(
			{ bindings: [provide(Provided, remember("provided", new Big()))] },
			async (scope) => {
				keepContext();
				await use(Tx);
				await use(Tx, { fresh: true });
				await use(Provided);
				const deferred = remember("deferred", new Big());
				scope.defer(() => void deferred.data);
				scope.adopt(remember("adopted", new Big()), () => {});
				const after = remember("after", new Big());
				scope.after(() => void after.data);
				const task = remember("task", new Big());
				await scope.spawn(() => void task.data);
				await scope.run(async () => keepContext());
			},
		);

		await expectCollected(references);
	});

	it("holds no values of a closed scope that failed", async () => {
		const references: Record<string, WeakRef<object>> = {};
		await withScope(async () => {
			keepContext();
			await use(
				resource(async function* () {
					const value = new Big();
					references.value = new WeakRef(value);
					yield value;
				}),
			);
			throw new Error("failed");
		}).catch(() => {});
		await expectCollected(references);
	});

	it("holds no values of a released instance whose setup it was made in", async () => {
		const references: Record<string, WeakRef<object>> = {};
		const Dependency = resource(() => {
			const value = new Big();
			references.dependency = new WeakRef(value);
			return value;
		});
		const Timer = resource({ Dependency }, async function* (_dependencies, { scope }) {
			keepContext();
			const value = new Big();
			references.value = new WeakRef(value);
			const deferred = new Big();
			references.deferred = new WeakRef(deferred);
			scope.defer(() => void deferred.data);
			yield value;
		});
		const app = openScope();
		await app.use(Timer);
		await app.release(Dependency);
		await expectCollected(references);
		await app.use(Timer);
		await app.disposeAsync();
		await expectCollected(references);
	});

	it("holds no values of a sync scope's instance whose setup it was made in", async () => {
		const references: Record<string, WeakRef<object>> = {};
		const Timer = resource(function* () {
			keepContext();
			const value = new Big();
			references.value = new WeakRef(value);
			yield value;
		});
		withScopeSync((scope) => void scope.use(Timer));
		await expectCollected(references);
	});

	it("holds no values that an override made, nor those of a moved scope", async () => {
		const references: Record<string, WeakRef<object>> = {};
		const Value = resource((): object => ({}));
		const Fake = resource((): object => {
			keepContext();
			const value = new Big();
			references.value = new WeakRef(value);
			return value;
		});
		const scope = openScope({ bindings: [override(Value, Fake)] });
		await scope.run(async () => {
			keepContext();
			await use(Value);
		});
		await scope.move().disposeAsync();
		await expectCollected(references);
	});

	it("holds no closed child", async () => {
		const references: Record<string, WeakRef<object>> = {};
		await withScope(async () => {
			keepContext();
			await withScope((child) => {
				references.child = new WeakRef(child);
			});
			const held = openScope();
			references.held = new WeakRef(held);
			await held.disposeAsync();
		});
		await expectCollected(references);
	});
});

describe.skipIf(gc === undefined)("a long-lived app instance", () => {
	it("doesn't hold on to the request that asked first, nor to its context", async () => {
		const references: Record<string, WeakRef<object>> = {};
		const storage = new AsyncLocalStorage<object>();
		let kept: AsyncResource | undefined;
		const Pool = resource(
			() => {
				kept = new AsyncResource("a timer of the pool's");
				return "pool";
			},
			{ lifetime: "app" },
		);
		const Orders = resource({ Pool }, () => {
			const value = new Big();
			references.orders = new WeakRef(value);
			return value;
		});
		const app = openScope({ lifetime: "app" });

		await (async () => {
			const context = new Big();
			references.context = new WeakRef(context);
			await storage.run(context, () =>
				withScope({ parent: app, lifetime: "request" }, async (request) => {
					references.request = new WeakRef<Scope>(request);
					await use(Orders);
				}),
			);
		})();
		await ticks();
		await collect();

		expect(kept).toBeDefined();
		const alive = Object.entries(references).filter(([, each]) => each.deref() !== undefined);
		expect(alive.map(([name]) => name)).toEqual([]);
		expect(await app.use(Pool)).toBe("pool");
		await app.disposeAsync();
	});

	it("doesn't hold on to one whose wait was cut short", async () => {
		const references: Record<string, WeakRef<object>> = {};
		const until = gate();
		const Pool = resource(() => until.promise, { lifetime: "app" });
		const app = openScope({ lifetime: "app" });
		await (async () => {
			const request = openScope({ parent: app });
			references.request = new WeakRef(request);
			const waiting = request.use(Pool).catch(() => {});
			request.abort();
			await waiting;
			await request.disposeAsync();
		})();
		until.open();
		await app.use(Pool);
		await collect();
		expect(references.request?.deref()).toBeUndefined();
		await app.disposeAsync();
	});
});
