import { afterEach, describe, expect, it, vi } from "vitest";
import {
	AcquireAbortedError,
	ErrorSwallowedError,
	NoScopeError,
	openScope,
	resource,
	type Scope,
	ScopeClosedError,
	ScopeIncompleteError,
	use,
	useAll,
	withScope,
	withScopeSync,
} from "../src/index.ts";
import { expectError, gate, logged, rejection, thrower, ticks } from "./support.ts";

const failure = new Error("failed");
const Broken = resource(() => Promise.reject(failure), { name: "Broken" });
const BrokenSync = resource(
	() => {
		throw failure;
	},
	{ name: "BrokenSync" },
);
const Swallower = resource(async function* () {
	try {
		yield 1;
	} catch {
		// that is the point
	}
});

/** The unhandled rejections that `fn` leaves behind, which the runner doesn't get to see. */
async function unhandled(fn: () => unknown): Promise<unknown[]> {
	const runners = process.listeners("unhandledRejection");
	const seen: unknown[] = [];
	const see = (error: unknown) => seen.push(error);
	for (const listener of runners) process.off("unhandledRejection", listener);
	process.on("unhandledRejection", see);
	try {
		await fn();
		// rejections are found unhandled once the microtasks are done
		for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
	} finally {
		process.off("unhandledRejection", see);
		for (const listener of runners) process.on("unhandledRejection", listener);
	}
	return seen;
}

async function closedScope(): Promise<Scope> {
	const scope = openScope();
	await scope.disposeAsync();
	return scope;
}

describe("rule 23: no unhandled rejection from a promise that nobody awaits", () => {
	/** Gives `fn` a scope to leave a promise behind in, and closes it. */
	const inScope = (fn: (scope: Scope) => unknown) => async () => {
		const scope = openScope({ lifetime: "app", onReleaseError: () => {} });
		await fn(scope);
		await scope.disposeAsync().catch(() => {});
	};
	const abandon = (make: (scope: Scope) => unknown) => inScope((scope) => void make(scope));

	it.each<[string, () => unknown]>([
		["use, whose setup fails", abandon((scope) => scope.use(Broken))],
		["use, whose setup throws", abandon((scope) => scope.use(BrokenSync))],
		["use, whose dependency fails", abandon((scope) => scope.use(resource({ Broken }, () => 1)))],
		["ambient use", abandon((scope) => scope.run(() => use(Broken)))],
		["use without a scope", () => void use(Broken)],
		["use on a closed scope", async () => void (await closedScope()).use(Broken)],
		[
			"use on an aborted scope",
			abandon((scope) => {
				scope.abort();
				void scope.use(Broken);
			}),
		],
		[
			"use that waits when its scope aborts",
			inScope(async (scope) => {
				const until = gate();
				void scope.use(resource(() => until.promise));
				scope.abort();
				await ticks();
				until.open();
			}),
		],
		[
			"use that waits for an outer scope's setup when its scope aborts",
			inScope(async (scope) => {
				const until = gate();
				const child = openScope({ parent: scope });
				void child.use(resource(() => until.promise, { lifetime: "app" }));
				child.abort();
				await ticks();
				until.open();
			}),
		],
		[
			"use that waits when the setup fails after an abort",
			inScope(async (scope) => {
				const until = gate();
				void scope.use(resource(() => until.promise));
				scope.abort();
				await ticks();
				until.fail(failure);
			}),
		],
		["a use without an owner", abandon((scope) => scope.use(resource(() => 1, { lifetime: "x" })))],
		["useAll", abandon((scope) => scope.run(() => useAll({ Broken, BrokenSync })))],
		["useAll without a scope", () => void useAll({ Broken, BrokenSync })],
		["spawn, whose task rejects", abandon((scope) => scope.spawn(() => Promise.reject(failure)))],
		[
			"spawn, whose task throws",
			abandon((scope) =>
				scope.spawn(() => {
					throw failure;
				}),
			),
		],
		["spawn on a closed scope", async () => void (await closedScope()).spawn(() => {})],
		["detach", abandon((scope) => scope.detach(() => Promise.reject(failure)))],
		["detach on a closed scope", async () => void (await closedScope()).detach(() => {})],
		[
			"a child withScope",
			abandon((scope) => withScope({ parent: scope }, () => Promise.reject(failure))),
		],
		[
			"an ambient child withScope",
			abandon((scope) => scope.run(() => withScope(() => Promise.reject(failure)))),
		],
		[
			"a held child's close",
			abandon((scope) => {
				const child = openScope({ parent: scope });
				child.defer(() => Promise.reject(failure));
				void child.disposeAsync();
			}),
		],
		[
			"a close that would wait for itself",
			abandon((scope) => scope.spawn(() => void scope.disposeAsync())),
		],
		["after work that fails", inScope((scope) => scope.after(() => Promise.reject(failure)))],
		[
			"what a failed setup leaves running",
			inScope(async (scope) => {
				const until = gate();
				const Slow = resource(() => until.promise);
				await scope.use(resource({ Slow, Broken }, () => 1)).catch(() => {});
				until.fail(failure);
			}),
		],
	])("%s", async (_name, fn) => {
		expect(await unhandled(fn)).toEqual([]);
	});

	it("a child withScope that is refused", async () => {
		const scope = await closedScope();
		expect(await unhandled(() => void withScope({ parent: scope }, () => {}))).toEqual([]);
		expect(await unhandled(() => scope.run(() => void withScope(() => {})))).toEqual([]);
	});
});

describe("rule 23: a promise awaited late", () => {
	it.each<[string, (scope: Scope) => Promise<unknown>]>([
		["use", (scope) => scope.use(Broken)],
		["useAll", (scope) => scope.run(() => useAll({ Broken }))],
		["spawn", (scope) => scope.spawn(() => Promise.reject(failure))],
		["detach", (scope) => scope.detach(() => Promise.reject(failure))],
		["a child scope", (scope) => withScope({ parent: scope }, () => Promise.reject(failure))],
	])("of %s still rejects with the error", async (_name, make) => {
		const scope = openScope({ onReleaseError: () => {} });
		let promise: Promise<unknown> | undefined;
		const seen = await unhandled(() => {
			promise = make(scope);
		});
		expect(seen).toEqual([]);
		expect(await rejection(promise as Promise<unknown>)).toBe(failure);
		await scope.disposeAsync().catch(() => {});
	});

	it("without a scope still rejects with NoScopeError", async () => {
		let promise: Promise<unknown> | undefined;
		await unhandled(() => {
			promise = use(Broken);
		});
		const error = await rejection(promise as Promise<unknown>);
		expectError(error, NoScopeError, "YS_ERR_NO_SCOPE");
	});
});

describe("rule 23: a root scope's promise", () => {
	it("of withScope is an ordinary one", async () => {
		const seen = await unhandled(() => void withScope(() => Promise.reject(failure)));
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(failure);
	});

	it("of withScope with parent: null is, too, inside another scope", async () => {
		const seen = await unhandled(() =>
			withScope(() => void withScope({ parent: null }, () => Promise.reject(failure))),
		);
		expect(seen.length).toBe(1);
		expect(seen[0]).toBe(failure);
	});
});

describe("a scope closed by its own function", () => {
	it("reports that what it released was rolled back, though the function succeeds", async () => {
		const log: string[] = [];
		const reported: unknown[] = [];
		const result = await withScope(
			{ name: "job", onReleaseError: (error) => void reported.push(error) },
			async (scope) => {
				await scope.use(logged(log, "a"));
				await scope.disposeAsync();
				return "done";
			},
		);
		expect(result).toBe("done");
		expect(log).toEqual(["+a", "-a:incomplete"]);
		expect(reported).toHaveLength(1);
		expectError(reported[0], ScopeIncompleteError, "YS_ERR_SCOPE_INCOMPLETE");
	});

	it.each([
		["while that goes on", false],
		["when that is over", true],
	])("reports it once, also if the function says that it succeeded %s", async (_when, isOver) => {
		const reported: unknown[] = [];
		const onReleaseError = (error: unknown) => void reported.push(error);
		const R = resource(async function* R() {
			yield 1;
			await ticks();
		});
		await withScope({ onReleaseError }, async (scope) => {
			await scope.use(R);
			const closing = scope.disposeAsync();
			await (isOver ? closing : undefined);
			scope.complete();
			scope.complete();
		});
		expect(reported).toMatchObject([{ code: "YS_ERR_SCOPE_INCOMPLETE" }]);
	});

	it("reports it of a sync scope, too", () => {
		const reported: unknown[] = [];
		const onReleaseError = (error: unknown) => void reported.push(error);
		const R = resource(function* R() {
			yield 1;
		});
		const result = withScopeSync({ onReleaseError }, (scope) => {
			scope.use(R);
			scope.dispose();
			return "done";
		});
		expect(result).toBe("done");
		expect(reported).toMatchObject([{ code: "YS_ERR_SCOPE_INCOMPLETE" }]);
	});

	it("reports nothing if there was nothing to roll back, or if it had been said that it succeeded", async () => {
		const log: string[] = [];
		const reported: unknown[] = [];
		const onReleaseError = (error: unknown) => void reported.push(error);
		await withScope({ onReleaseError }, (scope) => scope.disposeAsync());
		await withScope({ onReleaseError }, async (scope) => {
			await scope.use(logged(log, "a"));
			scope.complete();
			await scope.disposeAsync();
		});
		expect(log).toEqual(["+a", "-a:success"]);
		expect(reported).toEqual([]);
	});
});

describe("rule 23: a promise that is an ordinary one, too", () => {
	it("is that of a held root's close", async () => {
		const scope = openScope();
		scope.defer(() => Promise.reject(failure));
		expect(await unhandled(() => void scope.disposeAsync())).toEqual([failure]);
	});

	it("is that of withScope without a function", async () => {
		const seen = await unhandled(() => void withScope(undefined as never));
		expect(seen).toEqual([expect.objectContaining({ code: "YS_ERR_INVALID_ARGUMENT" })]);
	});
});

describe("rule 23: report", () => {
	it("gives an error to the nearest enclosing onReleaseError", () => {
		const reported: unknown[] = [];
		const scope = openScope({ onReleaseError: (error) => reported.push(error) });
		openScope({ parent: scope }).report(failure);
		expect(reported).toEqual([failure]);
	});

	it("isn't what happens to an error of work whose scope has closed, if somebody awaits it", async () => {
		const reported: unknown[] = [];
		const work = withScope({ onReleaseError: (error) => reported.push(error) }, async (scope) => {
			await scope.disposeAsync();
			throw failure;
		});
		expect(await rejection(work)).toBe(failure);
		expect(reported).toEqual([]);
	});
});

describe("rule 23: onReleaseError", () => {
	/** A scope's options that report to `log` under a name. */
	const reporting = (log: [string, unknown][], name: string) => ({
		name,
		onReleaseError: (...received: unknown[]) => {
			log.push([name, received[0]]);
		},
	});
	/** Swallows `failure` in a scope with `options`. */
	const swallow = (options: object) =>
		withScope(options, async () => {
			await use(Swallower);
			throw failure;
		}).catch(() => {});

	it("is called with the error first", async () => {
		const received: unknown[][] = [];
		await swallow({ onReleaseError: (...each: unknown[]) => received.push(each) });
		expect(received.length).toBe(1);
		expectError(received[0]?.[0], ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
	});

	it("is the nearest enclosing one", async () => {
		const log: [string, unknown][] = [];
		await withScope(reporting(log, "outer"), async () => {
			await withScope(reporting(log, "inner"), async () => {
				await withScope({}, () => swallow({}));
			});
			await withScope({}, () => swallow({}));
			await swallow(reporting(log, "own"));
		});
		expect(log.map(([name]) => name)).toEqual(["inner", "outer", "own"]);
		for (const [, error] of log) expectError(error, ErrorSwallowedError, "YS_ERR_ERROR_SWALLOWED");
	});

	it("gets the error of detached work, though its promise rejects as well, once", async () => {
		const log: [string, unknown][] = [];
		await withScope({ lifetime: "app", ...reporting(log, "app") }, async () => {
			await withScope(reporting(log, "request"), async (request) => {
				expect(await rejection(request.detach(() => Promise.reject(failure)))).toBe(failure);
			});
		});
		expect(log).toEqual([["app", failure]]);
		expect(log[0]?.[1]).toBe(failure);
	});

	it("gets the error of a release after detached work", async () => {
		const log: [string, unknown][] = [];
		await withScope(reporting(log, "app"), (app) => {
			void app.detach(() => use(thrower(failure)));
		});
		expect(log).toEqual([["app", failure]]);
		expect(log[0]?.[1]).toBe(failure);
	});

	it("gets the error of a setup that fails while its scope closes", async () => {
		const log: [string, unknown][] = [];
		const until = gate();
		const work = withScope(reporting(log, "work"), () => {
			void use(resource(() => until.promise));
		});
		await ticks();
		until.fail(failure);
		await work;
		expect(log).toEqual([["work", failure]]);
		expect(log[0]?.[1]).toBe(failure);
	});

	it("gets it once, though other setups fail with it", async () => {
		const log: [string, unknown][] = [];
		const until = gate();
		const Slow = resource(() => until.promise);
		const work = withScope(reporting(log, "work"), () => {
			const Other = resource(() => 1);
			void use(resource({ Other, Dependent: resource({ Other, Slow }, () => 1) }, () => 1));
		});
		await ticks();
		until.fail(failure);
		await work;
		expect(log).toEqual([["work", failure]]);
	});

	it("gets the error of a forgotten child that fails while its parent closes", async () => {
		const log: [string, unknown][] = [];
		const until = gate();
		const work = withScope(reporting(log, "work"), () => {
			void withScope(() => until.promise);
		});
		await ticks();
		until.fail(failure);
		await work;
		expect(log).toEqual([["work", failure]]);
	});

	it.each(["spawn", "after"] as const)(
		"doesn't get again what a child of %s work has thrown to it while the parent closes",
		async (kind) => {
			const log: [string, unknown][] = [];
			const until = gate();
			const child = () => withScope(() => until.promise);
			const caught = () => child().catch(() => {});
			const running = [child, caught].map((work) =>
				withScope(reporting(log, "work"), (scope) => {
					void scope[kind](work);
				}),
			) as [Promise<void>, Promise<void>];
			await ticks();
			until.fail(failure);
			expect(await rejection(running[0])).toBe(failure);
			await running[1];
			expect(log).toEqual([]);
		},
	);

	it("doesn't get what a child was told by fail() while its parent closes: who said so has it", async () => {
		const log: [string, unknown][] = [];
		const until = gate();
		const app = openScope({ lifetime: "app", ...reporting(log, "app") });
		const child = withScope({ parent: app }, async (scope) => {
			await until.promise;
			scope.fail(failure);
		});
		const closing = app.disposeAsync();
		await ticks();
		until.open();
		await closing;
		expect(await rejection(child)).toBe(failure);
		expect(log).toEqual([]);
	});

	it("doesn't get what reaches a caller", async () => {
		const log: [string, unknown][] = [];
		await rejection(
			withScope(reporting(log, "work"), async (scope) => {
				await use(Broken).catch(() => {});
				await withScope(() => Promise.reject(failure)).catch(() => {});
				await scope.spawn(() => Promise.reject(failure)).catch(() => {});
				scope.defer(() => Promise.reject(failure));
				await use(thrower(new Error("translated")));
				throw failure;
			}),
		);
		expect(log).toEqual([]);
	});

	it("doesn't get the abort that a detached task ended by", async () => {
		const log: [string, unknown][] = [];
		const reason = new Error("stop");
		const until = gate();
		const app = openScope({ lifetime: "app", ...reporting(log, "app") });
		const task = app.detach(() => use(resource(() => until.promise)));
		app.abort(reason);
		await ticks();
		until.open();
		const error = await rejection(task);
		expectError(error, AcquireAbortedError, "YS_ERR_ACQUIRE_ABORTED");
		await app.disposeAsync();
		expect(log).toEqual([]);
	});
});

describe("rule 23: console.error", () => {
	afterEach(() => {
		vi.restoreAllMocks();
	});
	const spy = () => vi.spyOn(console, "error").mockImplementation(() => {});

	it("is the default, with the error first", async () => {
		const logged = spy();
		await withScope((scope) => {
			void scope.detach(() => Promise.reject(failure));
		});
		expect(logged).toHaveBeenCalledTimes(1);
		expect(logged.mock.calls[0]?.[0]).toBe(failure);
	});

	it("isn't called where there is an onReleaseError", async () => {
		const logged = spy();
		await withScope({ onReleaseError: () => {} }, (scope) => {
			void scope.detach(() => Promise.reject(failure));
		});
		expect(logged).not.toHaveBeenCalled();
	});

	it("gets the error and the reporter's own when the reporter throws, and the close goes on", async () => {
		const logged = spy();
		const log: string[] = [];
		const broken = new Error("reporter failed");
		await withScope(
			{
				onReleaseError: () => {
					throw broken;
				},
			},
			(scope) => {
				scope.defer(() => void log.push("-deferred"));
				void scope.detach(() => Promise.reject(failure));
			},
		);
		expect(logged.mock.calls.flat()).toEqual([failure, broken]);
		expect(log).toEqual(["-deferred"]);
	});

	it("gets the reporter's own error when the reporter rejects", async () => {
		const logged = spy();
		const broken = new Error("reporter failed");
		const seen = await unhandled(() =>
			withScope({ onReleaseError: () => Promise.reject(broken) as never }, (scope) => {
				void scope.detach(() => Promise.reject(failure));
			}),
		);
		expect(seen).toEqual([]);
		expect(logged.mock.calls.flat()).toContain(broken);
	});

	it("isn't called when all goes well, or when the caller gets the error", async () => {
		const logged = spy();
		await withScope(() => use(resource(() => 1)));
		await rejection(withScope(() => Promise.reject(failure)));
		expectError(
			await rejection((await closedScope()).use(Broken)),
			ScopeClosedError,
			"YS_ERR_SCOPE_CLOSED",
		);
		expect(logged).not.toHaveBeenCalled();
	});
});
