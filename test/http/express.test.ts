import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import express5, { type NextFunction, type Request, type Response } from "express";
import express4 from "express4";
import express4Oldest from "express4-oldest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	HttpRequest,
	HttpResponse,
	handler,
	releaseErrors,
	requestScope,
} from "../../src/express.ts";
import { currentScope, resource, type Scope, use } from "../../src/index.ts";
import { gate } from "../support.ts";
import {
	eventually,
	httpError,
	type Kit,
	kits,
	route,
	type Scene,
	stage,
	textOf,
	where,
} from "./kits.ts";

const GONE = "The client closed the connection before the response was complete.";

const expressKits = [express5, express4, express4Oldest].map((express, i) => {
	const kit = kits.filter(({ framework }) => framework === "express")[i] as Kit;
	return { kit, name: kit.name, express };
});

describe.each(expressKits)("what only $name has", ({ kit, express }) => {
	const scene = stage(kit);
	let folder: string;
	let file: string;
	beforeAll(() => {
		folder = mkdtempSync(join(tmpdir(), "yieldscope-"));
		file = join(folder, "letters.txt");
		writeFileSync(file, "abcdefghijklmnopqrstuvwxyz");
	});
	afterAll(() => rmSync(folder, { recursive: true }));

	const scoped = ({ app, reported }: Scene, parent: Scope = app) =>
		requestScope({ parent, onReleaseError: (error) => void reported.push(error) });

	/** An app with the middleware in front, and the usual error handling behind. */
	const site = async (
		its: Scene,
		define: (app: express5.Express) => void,
		before: (app: express5.Express) => void = () => {},
	) => {
		const app = express();
		before(app);
		app.use(scoped(its));
		define(app);
		app.use(releaseErrors());
		app.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
			its.log.push(`errh ${textOf(error)}`);
			if (res.headersSent) next(error);
			else res.status((error as { status?: number }).status ?? 500).json({ error: textOf(error) });
		});
		return its.serve(app);
	};

	const failing = ({ traced }: Scene) =>
		traced("H", "handler", {
			success: () => {
				throw httpError(409, "conflict");
			},
		});

	it("sends nothing of a dropped response, whatever the handler goes on to write", async () => {
		const its = scene();
		const [released, failed] = [gate(), gate()];
		const R = its.traced("R", "request", { failure: () => released.promise });
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ r: R, h: failing(its) }, async (_values, _req, res) => {
					res.once("close", failed.open);
					res.write("secret 1;");
					// the commit fails, and the request's resources take their time
					await eventually(() => expect(its.log).toContain("-H"));
					for (let i = 2; i < 5; i++) res.write(`secret ${i};`);
					if (!res.headersSent) res.json({ secret: 5 });
					released.open();
				}),
			);
		});
		const response = await server.fetch("/");
		expect([response.status, await response.text()]).toEqual([409, '{"error":"conflict"}']);
		await failed.promise;
		await its.idle();
	});

	it("takes a dropped response back to the headers that were there before, as they were written", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.use((_req, res, next) => {
				res.setHeader("X-Request-ID", "7");
				res.append("Set-Cookie", ["a=1", "b=2"]);
				next();
			});
			app.get(
				"/",
				handler({ h: failing(its) }, (_values, _req, res) => {
					res.set("x-request-id", "8").set("X-Order", "7").json({ ok: true });
				}),
			);
		});
		const client = server.connect();
		client.get("/");
		await client.until('{"error":"conflict"}');
		const head = client.received.split("\r\n");
		const names = /^(?:x-|set-cookie)/i;
		expect(head.filter((line) => names.test(line)).sort()).toEqual([
			"Set-Cookie: a=1",
			"Set-Cookie: b=2",
			"X-Powered-By: Express",
			"X-Request-ID: 7",
		]);
	});

	const answers: Record<string, (res: Response, req: Request, next: NextFunction) => unknown> = {
		send: (res) => res.send("text"),
		sendStatus: (res) => res.sendStatus(202),
		sendFile: (res, _req, next) => res.sendFile(file, (error) => error && next(error)),
		download: (res) => res.download(file),
		jsonp: (res) => res.jsonp({ a: 1 }),
		"end with a callback": (res) => res.end("text", () => {}),
		"write and end": (res) => {
			res.write("a");
			res.write(Buffer.from("b"));
			res.end();
		},
		"writeHead with a reason and an array": (res) =>
			res.writeHead(201, "Fine", ["X-A", "1"]).end("x"),
		"cookie and attachment": (res) => res.cookie("a", "1").attachment("a.txt").send("x"),
		"a pipe": (res) => Readable.from(["a", "b"]).pipe(res),
		"a pipeline": (res) => pipeline(Readable.from(["a", "b"]), res),
		"a long pipeline": (res) => pipeline(Readable.from(Array(20).fill("x".repeat(65536))), res),
		"a pipeline through gzip": (res) => pipeline(Readable.from(["a", "b"]), createGzip(), res),
		"write, drain and end": async (res) => {
			if (!res.write(Buffer.alloc(1 << 20, "x"))) await once(res, "drain");
			res.end();
		},
		"end, and wait for the finish": async (res) => {
			res.end("text");
			await finished(res);
		},
		"3 MB": (res) => res.send(Buffer.alloc(3 << 20, "x")),
		render: (res) => res.status(200).type("html").send("<p>x</p>"),
	};

	it.each(Object.keys(answers))(
		"answers alike whether or not it is held back: %s",
		async (name) => {
			const its = scene();
			const { log, R, H } = its;
			const answer = answers[name] as (typeof answers)[string];
			const server = await site(its, (app) => {
				app.get("/bare", (req, res, next) => void answer(res, req, next));
				app.get(
					"/held",
					handler({ r: R, h: H }, (_values, req, res, next) => void answer(res, req, next)),
				);
				app.get(
					"/failing",
					handler({ h: failing(its) }, async (_values, req, res, next) => {
						await answer(res, req, next);
					}),
				);
			});
			const read = async (path: string) => {
				const response = await server.fetch(path);
				const headers = [...response.headers].filter(([key]) => key !== "date");
				return { status: response.status, headers, text: await response.text() };
			};
			const bare = await read("/bare");
			await its.idle();
			log.length = 0;
			expect(await read("/held")).toEqual(bare);
			await its.idle();
			expect(log).toEqual(["+R", "+H", "-H", `head ${bare.status}`, "sent", "-R"]);
			log.length = 0;
			const dropped = await server.fetch("/failing");
			expect([dropped.status, await dropped.json()]).toEqual([409, { error: "conflict" }]);
			for (const header of ["content-disposition", "last-modified", "accept-ranges"]) {
				expect(dropped.headers.get(header)).toBeNull();
			}
			await its.idle();
			expect(log).toEqual(["+H", "-H", "errh conflict", "head 409", "sent"]);
		},
	);

	it("says so where releaseErrors is mounted without being called", () => {
		expect(() => Reflect.apply(releaseErrors, undefined, [{}, {}, () => {}])).toThrow(
			/app\.use\(releaseErrors\(\)\)/,
		);
	});

	it("sends a range of a file, and 304 for a fresh one", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ r: its.R, h: its.H }, (_values, _req, res) => res.sendFile(file)),
			);
		});
		const range = await server.fetch("/", { headers: { Range: "bytes=2-6" } });
		expect([range.status, await range.text()]).toEqual([206, "cdefg"]);
		await its.idle();
		const client = server.connect();
		client.send(`GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: ${range.headers.get("etag")}\r\n\r\n`);
		await client.until("304 Not Modified");
		await its.idle();
		expect(its.log).toEqual([
			...["+R", "+H", "-H", "head 206", "sent", "-R"],
			...["+R", "+H", "-H", "head 304", "sent", "-R"],
		]);
	});

	it("answers 404 for a file that isn't there, everything rolled back", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ r: its.R, h: its.H }, (_values, _req, res) => res.sendFile(`${file}.gone`)),
			);
		});
		expect((await server.fetch("/")).status).toBe(404);
		await its.idle();
		expect(its.log).toEqual([
			"+R",
			"+H",
			expect.stringMatching(/^-H ENOENT/),
			expect.stringMatching(/^-R ENOENT/),
			expect.stringMatching(/^errh ENOENT/),
			"head 404",
			"sent",
		]);
	});

	it("holds back a pipe that writes more than is queued at once", async () => {
		const its = scene();
		const committed = gate();
		const H = its.traced("H", "handler", { success: () => committed.promise });
		let made = 0;
		const chunk = Buffer.alloc(64 * 1024, "x");
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ r: its.R, h: H }, (_values, _req, res) => {
					async function* chunks() {
						for (; made < 60; made++) yield chunk;
					}
					Readable.from(chunks()).pipe(res);
				}),
			);
		});
		const response = server.fetch("/");
		await eventually(() => expect(its.log).toContain("-H"));
		for (let i = 0; i < 20; i++) await new Promise(setImmediate);
		expect(made).toBeLessThan(10);
		committed.open();
		expect((await (await response).arrayBuffer()).byteLength).toBe(60 * 64 * 1024);
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "head 200", "sent", "-R"]);
	});

	it("keeps the first of two answers, and throws at the second", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ h: its.H }, (_values, _req, res) => {
					res.json({ first: true });
					try {
						res.status(500).json({ second: true });
					} catch (error) {
						its.log.push(String((error as { code?: string }).code));
					}
					its.log.push(`sent ${res.headersSent} ended ${res.writableEnded}`);
				}),
			);
		});
		const response = await server.fetch("/");
		expect([response.status, await response.json()]).toEqual([200, { first: true }]);
		await its.idle();
		expect(its.log).toEqual([
			"+H",
			"-H",
			"ERR_HTTP_HEADERS_SENT",
			"sent true ended true",
			"head 200",
			"sent",
		]);
	});

	it("answers with the error of a head that can't be sent", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ h: its.H }, (_values, _req, res) => {
					res.writeHead(200, { "X-Bad": "a\nb" });
					res.end("x");
				}),
			);
		});
		expect((await server.fetch("/")).status).toBe(500);
		await its.idle();
		expect(its.log).toEqual([
			"+H",
			"-H",
			"head 200",
			expect.stringMatching(/^errh Invalid character in header content/),
			"head 500",
			"sent",
		]);
	});

	it("gives the failure of a release to the sub-router's own error handler", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			const router = express.Router();
			router.get(
				"/a",
				handler({ r: its.R, h: failing(its) }, (_values, _req, res) => res.json(1)),
			);
			router.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
				its.log.push(`router's ${error.message}`);
				res.status(418).json({ error: error.message });
			});
			app.use("/sub", router);
		});
		const response = await server.fetch("/sub/a");
		expect([response.status, await response.json()]).toEqual([418, { error: "conflict" }]);
		await its.idle();
		expect(its.log).toEqual([
			"+R",
			"+H",
			"-H",
			"-R conflict",
			"router's conflict",
			"head 418",
			"sent",
		]);
	});

	it("rolls back although a lower error handler answers, with handler() or releaseErrors() below", async () => {
		const its = scene();
		const lower = (_error: Error, _req: Request, res: Response, _next: NextFunction) => {
			its.log.push("lower");
			res.json("handled");
		};
		const throws = async () => {
			await use(its.R);
			throw new Error("boom");
		};
		const server = await site(its, (app) => {
			app.get("/wrapped", handler(throws), lower);
			const loose = (_req: Request, _res: Response, next: NextFunction) => {
				throws().catch(next);
			};
			app.get("/marked", loose, releaseErrors(), lower);
			app.get("/unseen", loose, lower);
		});
		for (const [path, end] of [
			["/wrapped", ["-R boom", "lower", "head 200", "sent"]],
			["/marked", ["-R boom", "lower", "head 200", "sent"]],
			// nobody told us
			["/unseen", ["lower", "head 200", "sent", "-R"]],
		] as const) {
			expect(await (await server.fetch(path)).json()).toBe("handled");
			await its.idle();
			expect(its.log.splice(0)).toEqual(["+R", ...end]);
		}
	});

	it("tells the resources of errors from anywhere", async () => {
		const its = scene();
		const { R } = its;
		const acquire = (_req: Request, _res: Response, next: NextFunction) => {
			use(R).then(() => next(), next);
		};
		const server = await site(its, (app) => {
			app.use(acquire);
			app.get("/sync", () => {
				throw httpError(410, "sync");
			});
			app.param("id", (_req, _res, _next, id) => {
				throw httpError(410, `param ${id}`);
			});
			app.get("/param/:id", (_req, res) => res.json(1));
			app.get("/parse", express.json(), (_req, res) => res.json(1));
			const child = express();
			child.get("/a", (_req, _res, next) => next(httpError(410, "child")));
			app.use("/child", child);
		});
		for (const [path, message] of [
			["/sync", "sync"],
			["/param/7", "param 7"],
			["/child/a", "child"],
		] as const) {
			expect((await server.fetch(path)).status).toBe(410);
			await its.idle();
			expect(its.log.splice(0)).toEqual([
				"+R",
				`-R ${message}`,
				`errh ${message}`,
				"head 410",
				"sent",
			]);
		}
		expect((await server.fetch("/param/%E0%A4%A")).status).toBe(400);
		await its.idle();
		expect(its.log[1]).toMatch(/^-R Failed to decode/);
	});

	it("goes on to the next route with next('route')", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ h: its.H }, (_values, _req, _res, next) => next("route")),
			);
			app.get("/", (_req, res) => res.json("second"));
		});
		expect(await (await server.fetch("/")).json()).toBe("second");
		await its.idle();
		expect(its.log).toEqual(["+H", "-H", "head 200", "sent"]);
	});

	it("delivers one error of several, and reports the others", async () => {
		const its = scene();
		const H = failing(its);
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ r: its.R, h: H }, (_values, _req, res) => {
					res.json({ ok: true });
					throw httpError(418, "after the answer");
				}),
			);
		});
		const response = await server.fetch("/");
		expect([response.status, await response.json()]).toEqual([418, { error: "after the answer" }]);
		await its.idle();
		expect(its.log).toEqual([
			"+R",
			"+H",
			"-H",
			"-R after the answer",
			"errh after the answer",
			"head 418",
			"sent",
		]);
		expect(its.reported.splice(0).map(textOf)).toEqual(["conflict"]);
	});

	it("counts an error after the answer as a failure, with plain handlers as well", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get("/", async (_req, res, next) => {
				await use(its.R);
				await use(its.H);
				res.json({ ok: true });
				next(new Error("after the answer"));
			});
		});
		const client = server.connect();
		client.get("/");
		await client.closed();
		await its.idle();
		expect(client.received).toContain('{"ok":true}');
		expect(its.log.filter((line) => line !== "sent" && line !== "gone")).toEqual([
			"+R",
			"+H",
			"-H",
			"head 200",
			"-R after the answer",
			"errh after the answer",
		]);
	});

	it("rolls back a handler that pipes and whose body fails half-way", async () => {
		const its = scene();
		const sent = gate();
		async function* chunks() {
			yield "one";
			await sent.promise;
			throw new Error("half-way");
		}
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ r: its.R, h: its.H }, async (_values, _req, res) => {
					await pipeline(Readable.from(chunks()), res);
				}),
			);
		});
		const client = server.connect();
		client.get("/");
		await client.until("one");
		sent.open();
		await client.closed();
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "head 200", "gone", "-R half-way", "errh half-way"]);
	});

	it.each([
		["nobody listens to", () => {}],
		["next() is given", (source: Readable, next: NextFunction) => source.on("error", next)],
		["next() is given once", (source: Readable, next: NextFunction) => source.once("error", next)],
	])("answers the error of a source that %s", async (_name, listen) => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ r: its.R, h: its.H }, (_values, _req, res, next) => {
					const source = new Readable({ read() {} });
					listen(source, next);
					source.pipe(res);
					setImmediate(() => source.destroy(httpError(404, "no file")));
				}),
			);
		});
		const response = await server.fetch("/");
		expect([response.status, await response.json()]).toEqual([404, { error: "no file" }]);
		await its.idle();
		expect(its.log).toEqual([
			"+R",
			"+H",
			"-H no file",
			"-R no file",
			"errh no file",
			"head 404",
			"sent",
		]);
	});

	it("leaves the answer to a source's error to who listens to it", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get(
				"/",
				handler({ h: its.H }, (_values, _req, res) => {
					const source = new Readable({ read() {} });
					source.pipe(res);
					source.on("error", () => res.status(418).json("own"));
					setImmediate(() => source.destroy(new Error("no file")));
				}),
			);
		});
		const response = await server.fetch("/");
		expect([response.status, await response.json()]).toEqual([418, "own"]);
		await its.idle();
		expect(its.log).toEqual(["+H", "-H", "head 418", "sent"]);
	});

	it("releases what a plain handler holds as soon as the client leaves, if it has sent nothing", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			app.get("/", async () => {
				await use(its.R);
				await use(its.H);
			});
		});
		const client = server.connect();
		client.get("/");
		await eventually(() => expect(its.log).toEqual(["+R", "+H"]));
		client.leave();
		await eventually(() => expect(its.log).toContain("gone"));
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "gone", `-H ${GONE}`, `-R ${GONE}`]);
	});

	describe("a middleware that patches the response, as compression and express-session do", () => {
		/** Runs `listener` at the first head, as on-headers does, and swallows a second end, as compression does. */
		const patching =
			(log: string[], name: string) => (_req: Request, res: ServerResponse, next: () => void) => {
				const { writeHead, write, end } = res as unknown as Record<
					string,
					(...args: unknown[]) => unknown
				>;
				let ended = false;
				let fired = false;
				Object.assign(res, {
					writeHead: (...args: unknown[]) => {
						if (!fired) {
							fired = true;
							log.push(`${name} head`);
							res.setHeader(`X-${name}`, "1");
						}
						return writeHead?.apply(res, args);
					},
					write: (...args: unknown[]) => {
						if (ended) return false;
						if (!res.headersSent) res.writeHead(res.statusCode);
						return write?.apply(res, args);
					},
					end: (...args: unknown[]) => {
						if (ended) return res;
						ended = true;
						if (!res.headersSent && !fired) res.writeHead(res.statusCode);
						return end?.apply(res, args);
					},
				});
				next();
			};

		it.each(["before us", "after us", "after the first handler's resource"])(
			"sends whole answers and whole errors: %s",
			async (place) => {
				const its = scene();
				const patch = patching(its.log, "patch");
				const bad = failing(its);
				const server = await site(
					its,
					(app) => {
						if (place === "after us") app.use(patch);
						const tail = place.startsWith("after the") ? [patch] : [];
						app.get(
							"/ok",
							handler({ h: its.H }, (_values, _req, _res, next) => next()),
							...tail,
							handler({ r: its.R }, (_values, _req, res) => res.json({ ok: true })),
						);
						app.get(
							"/bad",
							handler({ h: bad }, (_values, _req, _res, next) => next()),
							...tail,
							(_req, res) => res.json({ ok: true }),
						);
					},
					(app) => {
						if (place === "before us") app.use(patch);
					},
				);
				const ok = await server.fetch("/ok");
				expect([ok.status, ok.headers.get("x-patch"), await ok.json()]).toEqual([
					200,
					"1",
					{ ok: true },
				]);
				await its.idle();
				expect(its.log.splice(0).filter((line) => line !== "patch head")).toEqual([
					"+H",
					"+R",
					"-H",
					"head 200",
					"sent",
					"-R",
				]);
				const bad409 = await server.fetch("/bad");
				expect([bad409.status, await bad409.json()]).toEqual([409, { error: "conflict" }]);
				await its.idle();
				expect(its.log.filter((line) => line !== "patch head")).toEqual([
					"+H",
					"-H",
					"errh conflict",
					"head 409",
					"sent",
				]);
			},
		);
	});

	describe("a middleware that loses the async context", () => {
		/** Reads the whole body by hand, and goes on from the socket's events. */
		const lossy = (req: Request, _res: Response, next: NextFunction) => {
			let text = "";
			req.setEncoding("utf8");
			req.on("data", (chunk: string) => {
				text += chunk;
			});
			req.on("end", () => {
				req.body = text;
				next();
			});
		};

		it.each([
			["is made up for by mounting the scope again behind it", true],
			["is a loss without that (negative control)", false],
		])("%s", async (_name, again) => {
			const its = scene();
			const server = await site(its, (app) => {
				app.use(lossy);
				if (again) app.use(scoped(its));
				app.post("/", (req, res) => res.json([req.body, where()]));
			});
			const client = server.connect();
			client.send(
				"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 6\r\n\r\n--b",
			);
			await eventually(() => expect(server.app().children).toHaveLength(1));
			client.send("--\n");
			await client.until(`["--b--\\n","${again ? "handler" : "nowhere"}"]`);
		});

		it("leaves alone what other middleware stores, also where the context was lost in between", async () => {
			const its = scene();
			const user = new AsyncLocalStorage<string>();
			const server = await site(
				its,
				(app) => {
					app.use(lossy);
					app.use((_req, _res, next) => user.run("Ann", next));
					app.post(
						"/",
						handler({ r: its.R }, (_values, _req, res) => res.json([user.getStore(), where()])),
					);
				},
				(app) => void app.use((_req, _res, next) => user.run("nobody", next)),
			);
			const response = await server.fetch("/", { method: "POST", body: "x" });
			expect(await response.json()).toEqual(["Ann", "handler"]);
		});

		it("doesn't matter to handler(), which knows the request", async () => {
			const its = scene();
			const server = await site(its, (app) => {
				app.use(lossy);
				app.post(
					"/",
					handler({ r: its.R }, (_values, _req, res) => res.json(where())),
				);
			});
			const response = await server.fetch("/", { method: "POST", body: "x" });
			expect(await response.json()).toBe("handler");
			await its.idle();
			expect(its.log).toEqual(["+R", "head 200", "sent", "-R"]);
		});
	});

	it("provides the request and the response", async () => {
		const its = scene();
		const Header = resource(
			{ req: HttpRequest, res: HttpResponse },
			async function* ({ req, res }) {
				yield req.path;
				res.set("X-Committed", "1");
			},
			{ lifetime: "handler", name: "Header" },
		);
		const server = await site(its, (app) => {
			app.get(
				"/a/:id",
				handler({ path: Header }, ({ path }, req, res) => res.json([path, req.params.id])),
			);
		});
		const response = await server.fetch("/a/7");
		expect(await response.json()).toEqual(["/a/7", "7"]);
		expect(response.headers.get("x-committed")).toBe("1");
	});

	it("reaches mounted apps, which may mount it again", async () => {
		const its = scene();
		const server = await site(its, (app) => {
			const child = express();
			child.use(scoped(its));
			child.get(
				"/a",
				handler({ r: its.R, h: its.H }, (_values, _req, res) => res.json(where())),
			);
			app.use("/child", child);
		});
		expect(await (await server.fetch("/child/a")).json()).toBe("handler");
		await its.idle();
		expect(its.log).toEqual(["+R", "+H", "-H", "head 200", "sent", "-R"]);
	});

	it("opens its scopes under the scope that is ambient where it is made", async () => {
		const its = scene();
		const app = express();
		app.use(its.app.run(() => requestScope()));
		app.get("/", (_req, res) => res.json([where(), currentScope().parent?.parent?.name]));
		const server = await its.serve(app);
		expect(await (await server.fetch("/")).json()).toEqual(["handler", "app"]);
	});

	it("keeps HEAD for a file without a body", async () => {
		const its = scene();
		const server = await its.open({
			"/": route({ h: its.H }, () => ({
				direct: (res) => (res as Response).sendFile(file),
			})),
		});
		const response = await server.fetch("/", { method: "HEAD" });
		expect([response.headers.get("content-length"), await response.text()]).toEqual(["26", ""]);
		await its.idle();
		expect(its.log).toEqual(["+H", "-H", "head 200", "sent"]);
	});
});
