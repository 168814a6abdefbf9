import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { createServer, get } from "node:http";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import express, { type RequestHandler } from "express";
import { afterEach, describe, expect, it, vi } from "vitest";
import { handler, releaseErrors, requestScope } from "../../src/express.ts";
import { currentScope, openScope, resource, type Scope, use, withScope } from "../../src/index.ts";
import { gate } from "../support.ts";

const commit = new Error("COMMIT failed");

/** An app whose handlers end with a transaction that commits slowly, and then fails if it is told to. */
function stage(fails: boolean) {
	const log: string[] = [];
	const reported: unknown[] = [];
	const root = openScope({ lifetime: "app", onReleaseError: (error) => reported.push(error) });
	const Tx = resource(
		async function* Tx() {
			yield "tx";
			log.push("COMMIT");
			await new Promise(setImmediate);
			if (fails) throw commit;
			log.push("committed");
		},
		{ lifetime: "handler" },
	);
	const app = express();
	app.set("env", "test");
	app.use(requestScope({ parent: root, abortGrace: 1000 }));
	const servers: { close(): void }[] = [];
	return {
		log,
		reported,
		root,
		Tx,
		app,
		async get(): Promise<[status: number, body: string]> {
			app.use(releaseErrors());
			app.use(((error, _req, res, _next) => {
				log.push("errh");
				res.status(500).send(error.message);
			}) as express.ErrorRequestHandler);
			const server = app.listen(0, "127.0.0.1");
			servers.push(server);
			await once(server, "listening");
			const { port } = server.address() as { port: number };
			const response = await fetch(`http://127.0.0.1:${port}/`);
			log.push(`head ${response.status}`);
			return [response.status, await response.text()];
		},
		async close() {
			for (const server of servers) server.close();
			await root.disposeAsync();
		},
	};
}

describe("rule 27: a response that is sent inside", () => {
	let scene: ReturnType<typeof stage>;
	afterEach(() => scene.close());

	const ways: Record<string, (send: () => unknown) => unknown> = {
		"a scope of its own": (send) => withScope(async () => void send()),
		"a scope that goes on": (send) =>
			withScope(async () => {
				send();
				await new Promise(setImmediate);
			}),
		"a spawned task": (send) => currentScope().spawn(async () => void send()),
		"a setup": (send) =>
			use(
				resource(
					async () => {
						await new Promise(setImmediate);
						send();
					},
					{ lifetime: "handler" },
				),
			),
	};
	it.each(Object.keys(ways))("%s follows the commit", async (way) => {
		scene = stage(false);
		const { app, log, Tx, get, reported } = scene;
		app.get(
			"/",
			handler({ tx: Tx }, async (_values, _req, res) => ways[way]?.(() => res.send("sent"))),
		);
		expect(await get()).toEqual([200, "sent"]);
		expect([log, reported]).toEqual([["COMMIT", "committed", "head 200"], []]);
	});

	it.each(Object.keys(ways))("%s is dropped when the commit fails", async (way) => {
		scene = stage(true);
		const { app, log, Tx, get, reported } = scene;
		app.get(
			"/",
			handler({ tx: Tx }, async (_values, _req, res) => ways[way]?.(() => res.send("sent"))),
		);
		expect(await get()).toEqual([500, "COMMIT failed"]);
		expect([log, reported]).toEqual([["COMMIT", "errh", "head 500"], []]);
	});

	it("a scope around next() is dropped when the commit fails", async () => {
		scene = stage(true);
		const { app, Tx, get } = scene;
		app.use(
			((_req, _res, next) => void withScope({ name: "tenant" }, () => next())) as RequestHandler,
		);
		app.get(
			"/",
			handler({ tx: Tx }, (_values, _req, res) => res.send("sent")),
		);
		expect(await get()).toEqual([500, "COMMIT failed"]);
	});
});

describe("on Express, the handler's scope ends with the head of the response", () => {
	let scene: ReturnType<typeof stage>;
	afterEach(() => scene.close());

	it.each(["send", "write"] as const)(
		"so that %s makes a transaction impossible",
		async (method) => {
			scene = stage(true);
			const { app, log, Tx, get } = scene;
			let refusal: unknown;
			app.get(
				"/",
				handler({}, async (_values, _req, res) => {
					res[method]("sent");
					refusal = await use(Tx).catch((error) => error);
					res.end();
				}),
			);
			expect(await get()).toEqual([200, "sent"]);
			expect(refusal).toMatchObject({ code: "YS_ERR_LIFETIME" });
			expect(log).toEqual(["head 200"]);
		},
	);
});

describe("a response that waits for what waits for the response", () => {
	let scene: ReturnType<typeof stage>;
	afterEach(() => {
		vi.useRealTimers();
		return scene.close();
	});

	it("is reported after ten seconds, and released when the client goes", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		scene = stage(false);
		const { app, log, Tx, reported, root } = scene;
		const over = gate();
		app.use((_req, res, next) => {
			const tenant = withScope({ name: "tenant" }, async () => {
				next();
				await finished(res);
			});
			void tenant.catch(() => log.push("over")).then(() => over.open());
		});
		app.get(
			"/",
			handler({ tx: Tx }, (_values, _req, res) => res.send("sent")),
		);
		const server = app.listen(0, "127.0.0.1");
		await once(server, "listening");
		const { port } = server.address() as { port: number };
		const request = get({ port, host: "127.0.0.1" }).on("error", () => {});
		const handlers = () => root.inspect().children.flatMap(({ children }) => children);
		while (handlers()[0]?.state !== "closing") await new Promise(setImmediate);
		vi.advanceTimersByTime(9999);
		expect(reported).toEqual([]);
		vi.advanceTimersByTime(1);
		expect(reported).toMatchObject([{ code: "YS_ERR_SCOPE", scope: "handler" }]);
		expect(String(reported[0])).toContain('which waits for the scope "tenant". If');
		request.destroy();
		await over.promise;
		await new Promise((resolve) => server.close(resolve));
		while (handlers().length > 0) await new Promise(setImmediate);
		expect(log).toEqual(["over", "COMMIT", "committed"]); // the handler had answered
	});

	it("is reported for a request that fails, and says what is waited for", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		scene = stage(false);
		const { app, Tx, get, reported, root } = scene;
		const setup = gate();
		const Slow = resource(() => setup.promise, { name: "Slow", lifetime: "handler" });
		app.get(
			"/",
			handler({ tx: Tx }, () => {
				void use(Slow).catch(() => {});
				throw new Error("refused");
			}),
		);
		const answer = get();
		const handlers = () => root.inspect().children.flatMap(({ children }) => children);
		while (handlers()[0]?.state !== "closing") await new Promise(setImmediate);
		vi.advanceTimersByTime(10_000);
		expect(reported.map(String)).toEqual([
			expect.stringContaining(
				'its scope "handler" to close, which waits for the setup of Slow. If',
			),
		]);
		setup.open();
		expect(await answer).toEqual([500, "refused"]);
	});

	it("isn't where a release takes its time, which the clock sees end", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		scene = stage(false);
		const { app, Tx, get, reported } = scene;
		app.get(
			"/",
			handler({ tx: Tx }, (_values, _req, res) => res.send("sent")),
		);
		expect(await get()).toEqual([200, "sent"]);
		vi.advanceTimersByTime(20_000);
		expect(reported).toEqual([]);
	});
});

describe("a handler that closes its own scope", () => {
	let scene: ReturnType<typeof stage>;
	afterEach(() => scene.close());

	it("is told, by onReleaseError, that it was rolled back", async () => {
		scene = stage(false);
		const { app, log, Tx, get, reported } = scene;
		app.get(
			"/",
			handler({ tx: Tx }, async (_values, _req, res) => {
				await currentScope().disposeAsync();
				res.send("sent");
			}),
		);
		expect(await get()).toEqual([200, "sent"]);
		expect(log).toEqual(["head 200"]);
		expect(reported).toMatchObject([{ code: "YS_ERR_SCOPE_INCOMPLETE", scope: "handler" }]);
	});

	const close = (scope: Scope) => scope.disposeAsync();
	const moveOut = async (scope: Scope) => {
		const moved = scope.move();
		moved.complete();
		await moved.disposeAsync();
	};
	it.each([
		["is told of a request's as well", true, close, 200],
		["is told of that, too, where it then fails", true, close, 500],
		["is told nothing where nothing was in it", false, close, 200],
		["is told nothing where it was moved, and is the handler's now", true, moveOut, 200],
	])("%s", async (_what, isUsed, end, status) => {
		scene = stage(false);
		const { app, get, reported } = scene;
		const R = resource(async function* R() {
			yield 1;
		});
		const over = gate();
		app.get(
			"/",
			handler(async (_req, res) => {
				const request = currentScope().parent as Scope; // a handler's scope has one
				if (isUsed) await request.use(R);
				await end(request);
				// the request's own end comes in the first of the two
				res.once("close", () => setImmediate(() => setImmediate(over.open)));
				if (status === 500) throw new Error("boom");
				res.send("sent");
			}),
		);
		expect(await get()).toEqual([status, status === 500 ? "boom" : "sent"]);
		await over.promise;
		const rolledBack = isUsed && end === close;
		expect(reported).toMatchObject(
			rolledBack ? [{ code: "YS_ERR_SCOPE_INCOMPLETE", scope: "GET /" }] : [],
		);
	});
});

describe("on Express", () => {
	let scene: ReturnType<typeof stage>;
	afterEach(() => scene.close());

	it("a handler finds its scope where next() is called from what the request's setup opened", async () => {
		scene = stage(false);
		const { app, log, Tx, get } = scene;
		const Conn = resource(
			() => {
				const context = AsyncLocalStorage.snapshot();
				return { query: (callback: () => void) => void setImmediate(() => context(callback)) };
			},
			{ lifetime: "request" },
		);
		app.use((_req, _res, next) => void use(Conn).then((conn) => conn.query(() => next())));
		app.get(
			"/",
			handler({ tx: Tx }, ({ tx }, _req, res) => res.send(tx)),
		);
		expect(await get()).toEqual([200, "tx"]);
		expect(log).toEqual(["COMMIT", "committed", "head 200"]);
	});

	it("a request ends where a middleware takes back the response's own emit", async () => {
		scene = stage(false);
		const { app, get, root } = scene;
		app.use((_req, res, next) => {
			res.emit = Object.getPrototypeOf(res).emit;
			next();
		});
		app.get("/", async (_req, res) => {
			await use(resource(async () => 1));
			res.send("sent");
		});
		expect(await get()).toEqual([200, "sent"]);
		while (root.inspect().children.length > 0) await new Promise(setImmediate);
	});

	it("what waits for the response's close still has the request's resources", async () => {
		scene = stage(false);
		const { app, get } = scene;
		const seen: unknown[] = [];
		let isOpen = false;
		const Conn = resource(
			async function* () {
				isOpen = true;
				yield "conn";
				isOpen = false;
			},
			{ lifetime: "request" },
		);
		app.get("/", async (_req, res) => {
			await use(Conn);
			res.send("sent");
			await once(res, "close");
			for (let i = 0; i < 3; i++) seen.push(await use(Conn), isOpen);
		});
		await get();
		while (isOpen) await new Promise(setImmediate);
		expect(seen).toEqual(["conn", true, "conn", true, "conn", true]);
	});

	it("a source that never says that it has closed keeps nothing open", async () => {
		scene = stage(false);
		const { app, get } = scene;
		const gone = gate();
		const Audit = resource(
			async function* Audit() {
				yield "audit";
				gone.open();
			},
			{ lifetime: "request" },
		);
		app.get(
			"/",
			handler({ audit: Audit }, (_values, _req, res) => {
				const source = new Readable({ emitClose: false, read() {} });
				source.push("sent");
				source.push(null);
				source.pipe(res);
			}),
		);
		expect(await get()).toEqual([200, "sent"]);
		await gone.promise;
	});

	it("a router without an app works", async () => {
		scene = stage(false);
		const { app, log, Tx, get } = scene;
		const router = express.Router();
		router.use(requestScope());
		router.get(
			"/",
			handler({ tx: Tx }, ({ tx }, _req, res) => {
				res.end(tx);
			}),
		);
		const server = createServer((req, res) =>
			router(req as express.Request, res as express.Response, () => res.end("nothing")),
		);
		await once(server.listen(0, "127.0.0.1"), "listening");
		const { port } = server.address() as { port: number };
		const response = await fetch(`http://127.0.0.1:${port}/`);
		expect([response.status, await response.text()]).toEqual([200, "tx"]);
		expect(log).toEqual(["COMMIT", "committed"]);
		server.close();
		app.get("/", (_req, res) => void res.send(""));
		await get();
	});
});
