import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { streamText } from "hono/streaming";
import { currentScope, provide, resource, token, use, withScope } from "yieldscope";
import {
	streamText as followedText,
	handler,
	releaseErrors,
	requestScope,
	streamSSE,
} from "yieldscope/hono";
import { httpError, type Stage, soon, where } from "./stage.ts";

/** What the worker does, what it is sent, and what comes of it. */
export interface Scenario {
	/** Runs in the worker. */
	readonly define: (stage: Stage) => void;
	readonly mounts?: number;
	readonly request?: { readonly path?: string; readonly method?: string; readonly body?: string };
	readonly status?: number;
	/** The whole body; of an object, as JSON. */
	readonly answer?: unknown;
	/** Headers that are to be so, or `null` if they are not to be. */
	readonly headers?: Record<string, string | null>;
	/** Everything that happens, in its order. */
	readonly log: readonly string[];
}

const conflicting = ({ traced }: { traced: Stage["traced"] }) =>
	traced("H", "handler", {
		success: () => {
			throw httpError(409, "conflict");
		},
	});
const conflict = { status: 409, answer: { error: "conflict" } };
const success = (status: number) => ["+R", "+H", "-H", `head ${status}`, "-R"];
const failure = (message: string, status: number, shown = message) => [
	...["+R", "+H", `-H ${message}`, `-R ${message}`, `errh ${shown}`, `head ${status}`],
];

async function* letters(): AsyncGenerator<string> {
	yield "a";
	await soon();
	yield "b";
}

const missing =
	'Cannot run this handler(): the request has no scope. Mount requestScope() of "yieldscope/hono" before the routes: app.use(requestScope()).';
const nothingReturned = "The handler returned no response. Return one, or await next().";

const Tenant = token<string>("Tenant");

/** Apps whose clients have a connection of their own. */
export const apps: Record<string, Pick<Scenario, "define" | "mounts">> = {
	events: {
		define: ({ app, R }) =>
			app.get("/", async (c) => {
				const diagnostics = globalThis.process?.getBuiltinModule?.("node:diagnostics_channel");
				const seen: string[] = [];
				for (const operation of ["scope", "acquire", "release"])
					for (const phase of ["start", "asyncEnd"])
						diagnostics?.subscribe(`tracing:yieldscope:${operation}:${phase}`, () =>
							seen.push(`${operation} ${phase}`),
						);
				await withScope({ lifetime: "request" }, () => use(R));
				return c.json(seen.splice(0));
			}),
	},
	"before the answer": {
		define: ({ app, R, H, until, log }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, async (_values, c) => {
					await until("go");
					log.push("answers");
					return c.text("x");
				}),
			),
	},
	"before the answer, and the handler fails": {
		define: ({ app, R, H, until }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, async () => {
					await until("go");
					throw new Error("later");
				}),
			),
	},
	"a body that fails half-way": {
		define: ({ app, body, R, H, until }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) =>
					c.body(
						body(async function* () {
							yield "tick ".repeat(1000);
							await until("go");
							throw new Error("half-way");
						}),
					),
				),
			),
	},
	"in mid-stream": { define: endless },
	"in mid-stream, without waitUntil": { define: endless },
	"in mid-stream, without a signal": { define: endless },
};

function endless({ app, body, R, H }: Stage): void {
	app.get(
		"/",
		handler({ r: R, h: H }, (_values, c) =>
			c.body(
				body(async function* () {
					for (;;) {
						yield "tick ".repeat(1000); // workerd collects small ones
						await soon();
					}
				}),
			),
		),
	);
}

export const scenarios: Record<string, Scenario> = {
	"the core runs without a request": {
		define: ({ app, log, traced }) => {
			const Own = traced("own", "task");
			app.get("/", async (c) => {
				const value = await withScope({ lifetime: "task" }, () => use(Own));
				log.push("closed");
				return c.text(value);
			});
		},
		answer: "own",
		log: ["+own", "-own", "closed", "head 200"],
	},
	"releases the handler's resources, answers, then releases the request's": {
		define: ({ app, R, H, log }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, ({ r, h }, c) => {
					log.push(`handler ${r} ${h} in ${where()}`);
					return c.json({ ok: true });
				}),
			),
		answer: { ok: true },
		log: ["+R", "+H", "handler R H in handler", "-H", "head 200", "-R"],
	},
	"finishes a slow release of the handler's resources before it answers": {
		define: ({ app, R, traced, log }) => {
			const H = traced("H", "handler", {
				success: async () => {
					await soon();
					log.push("committed");
				},
			});
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.text("x")),
			);
		},
		answer: "x",
		log: ["+R", "+H", "-H", "committed", "head 200", "-R"],
	},
	"answers a request that uses nothing": {
		define: ({ app }) => app.get("/", (c) => c.text("hello")),
		answer: "hello",
		log: ["head 200"],
	},
	"serves handlers that are injected nothing": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler(async (c) => c.json([await use(R), await use(H), where()])),
			),
		answer: ["R", "H", "handler"],
		log: success(200),
	},
	"serves handlers that know nothing of it": {
		define: ({ app, R, H }) =>
			app.get("/", async (c) => {
				await soon();
				return c.json([await use(R), await use(H), where()]);
			}),
		answer: ["R", "H", "handler"],
		log: success(200),
	},
	"takes handler() without a function for a guard, and shares what it acquired": {
		define: ({ app, R, H, log }) => {
			app.use(handler({ r: R }), handler({ h: H }));
			app.get(
				"/",
				handler({ h: H }, ({ h }, c) => c.json(log.push(h))),
			);
		},
		log: ["+R", "+H", "H", "-H", "head 200", "-R"],
	},
	"releases what was acquired when a guard's setup fails": {
		define: ({ app, R, traced }) => {
			const Auth = traced("auth", "handler", {
				setup: () => {
					throw httpError(401, "who are you");
				},
			});
			app.use(handler({ r: R }), handler({ auth: Auth }));
			app.get("/", (c) => c.text("never"));
		},
		status: 401,
		answer: { error: "who are you" },
		log: ["+R", "+auth", "-R who are you", "errh who are you", "head 401"],
	},
	"works once where it is mounted twice": {
		mounts: 2,
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.text(where())),
			),
		answer: "handler",
		log: success(200),
	},
	"says how to add the middleware where it is missing": {
		mounts: 0,
		define: ({ app, R }) =>
			app.get(
				"/",
				handler({ r: R }, (_values, c) => c.text("never")),
			),
		status: 500,
		answer: { error: missing },
		log: [`errh ${missing}`, "head 500"],
	},
	"reaches sub-apps": {
		define: ({ app, R, H }) => {
			const sub = new Hono();
			sub.get(
				"/a",
				handler({ r: R, h: H }, (_values, c) => c.text(where())),
			);
			app.route("/sub", sub);
		},
		request: { path: "/sub/a" },
		answer: "handler",
		log: success(200),
	},
	"gives a nested app.request() a scope of its own": {
		define: ({ app, R, log }) => {
			app.get(
				"/",
				handler({ r: R }, async (_values, c) => {
					const inner = await app.request("/inner");
					log.push(await inner.text());
					await soon();
					return c.text(where());
				}),
			);
			app.get(
				"/inner",
				handler({ r: R }, (_values, c) => c.text(`inner in ${where()}`)),
			);
		},
		answer: "handler",
		log: ["+R", "+R", "-R", "inner in handler", "head 200", "-R"],
	},
	"binds values for one request": {
		mounts: 0,
		define: ({ app, root }) => {
			const bindings = () => [provide(Tenant, "acme")];
			app.use(requestScope({ parent: root, bindings }));
			app.get("/", async (c) => c.text(await use(Tenant)));
		},
		answer: "acme",
		log: ["head 200"],
	},
	"keeps the context behind a body": {
		define: ({ app, R, H }) =>
			app.post(
				"/",
				handler({ h: H }, async (_values, c) =>
					c.json([await c.req.json(), await use(R), where()]),
				),
			),
		request: { method: "POST", body: "[1]" },
		answer: [[1], "R", "handler"],
		log: ["+H", "+R", "-H", "head 200", "-R"],
	},
	"commits on HEAD": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.json({ ok: true })),
			),
		request: { method: "HEAD" },
		answer: "",
		log: success(200),
	},
	"ends the stream of a HEAD": {
		define: ({ app, body, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.body(body(letters))),
			),
		request: { method: "HEAD" },
		answer: "",
		log: ["+R", "+H", "-H", "head 200", "finally in HEAD /", "-R"],
	},
	"commits on a redirect": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.redirect("/elsewhere")),
			),
		status: 302,
		answer: "",
		headers: { location: "/elsewhere" },
		log: success(302),
	},
	"commits on 204": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.body(null, 204)),
			),
		status: 204,
		answer: "",
		log: success(204),
	},
	"commits on 304": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.body(null, 304)),
			),
		status: 304,
		answer: "",
		log: success(304),
	},
	"commits on a returned 410": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.text("gone", 410)),
			),
		status: 410,
		answer: "gone",
		log: success(410),
	},
	"opens nothing that stays open for a route that doesn't exist": {
		define: () => {},
		status: 404,
		log: ["head 404"],
	},
	"takes a returned 503 for a failure, and leaves the response": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.text("down", 503)),
			),
		status: 503,
		answer: "down",
		log: [
			...["+R", "+H", "-H The response has the status 503.", "head 503"],
			"-R The response has the status 503.",
		],
	},
	"takes the handler's word for a failure, and leaves the response": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => {
					currentScope().fail(new Error("dry run"));
					return c.text("preview");
				}),
			),
		answer: "preview",
		log: ["+R", "+H", "-H dry run", "head 200", "-R dry run"],
	},
	"does the work queued with after() once the response is out, by waitUntil": {
		define: ({ app, R, H, log }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => {
					currentScope().after(async () => {
						await soon();
						log.push(`after in ${where()} ${await use(R)}`);
					});
					return c.text("x");
				}),
			),
		answer: "x",
		log: ["+R", "+H", "-H", "head 200", "after in GET / R", "-R"],
	},
	"tells the resources still open of after() work that fails": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => {
					currentScope().after(() => {
						throw new Error("mail");
					});
					return c.text("x");
				}),
			),
		answer: "x",
		log: ["+R", "+H", "-H", "head 200", "-R mail", "reported mail"],
	},
	"drops after() work when the request failed": {
		define: ({ app, R, H, log }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, () => {
					currentScope().after(() => log.push("after"));
					throw new Error("no");
				}),
			),
		status: 500,
		answer: { error: "no" },
		log: failure("no", 500),
	},
	"waits for spawned tasks": {
		define: ({ app, R, H, log }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => {
					void currentScope().spawn(async () => {
						await soon();
						log.push("task");
					});
					return c.text("x");
				}),
			),
		answer: "x",
		log: ["+R", "+H", "task", "-H", "head 200", "-R"],
	},
	"lets detached work outlive the request, handed to waitUntil": {
		define: ({ app, R, traced, log }) => {
			const Job = traced("job", "task");
			app.get(
				"/",
				handler({ r: R }, (_values, c) => {
					const job = currentScope().detach(async () => {
						await use(Job);
						while (!log.includes("-R")) await soon();
						log.push("detached");
					});
					c.executionCtx.waitUntil(job);
					return c.text("x");
				}),
			);
		},
		answer: "x",
		log: ["+R", "+job", "head 200", "-R", "detached", "-job"],
	},
	"releases everything with the error before the error handler answers": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, () => {
					throw httpError(418, "teapot");
				}),
			),
		status: 418,
		answer: { error: "teapot" },
		log: failure("teapot", 418),
	},
	"does so for handlers that know nothing of it": {
		define: ({ app, R, H }) =>
			app.get("/", async () => {
				await use(R);
				await use(H);
				throw new Error("boom");
			}),
		status: 500,
		answer: { error: "boom" },
		log: failure("boom", 500),
	},
	"counts a thrown undefined as a failure, and answers it": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, () => {
					throw undefined;
				}),
			),
		status: 500,
		answer: { error: "A non-error was thrown: undefined" },
		log: failure("undefined", 500, "A non-error was thrown: undefined"),
	},
	"counts a thrown HTTPException as a failure, and keeps its status": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, () => {
					throw new HTTPException(418, { message: "teapot" });
				}),
			),
		status: 418,
		answer: { error: "teapot" },
		log: failure("teapot", 418),
	},
	"runs the app's error handler in the request's scope": {
		define: ({ app, log, R }) => {
			app.onError(
				releaseErrors((error, c) => {
					log.push(`errh in ${where()}`);
					return c.text(error.message, 500);
				}),
			);
			app.get(
				"/",
				handler({ r: R }, () => {
					throw new Error("boom");
				}),
			);
		},
		status: 500,
		answer: "boom",
		log: ["+R", "-R boom", "errh in GET /", "head 500"],
	},
	"counts a handler that returns nothing as a failure": {
		define: ({ app, R }) =>
			app.get("/", (async () => {
				await use(R);
			}) as never),
		status: 500,
		answer: { error: nothingReturned },
		log: ["+R", `-R ${nothingReturned}`, `errh ${nothingReturned}`, "head 500"],
	},
	"lets a handler's resource translate the error, which decides the status": {
		define: ({ app, R, traced }) => {
			const H = traced("H", "handler", { failure: () => httpError(404, "no such order") });
			app.get(
				"/",
				handler({ r: R, h: H }, () => {
					throw new Error("no rows");
				}),
			);
		},
		status: 404,
		answer: { error: "no such order" },
		log: [...["+R", "+H", "-H no rows", "-R no such order"], ...["errh no such order", "head 404"]],
	},
	"lets the request's resources translate it as well": {
		define: ({ app, H, traced }) => {
			const R = traced("R", "request", { failure: () => httpError(503, "database down") });
			app.get(
				"/",
				handler({ r: R, h: H }, () => {
					throw new Error("ECONNREFUSED");
				}),
			);
		},
		status: 503,
		answer: { error: "database down" },
		log: failure("ECONNREFUSED", 503, "database down"),
	},
	"leaves nothing of a response that is dropped": {
		define: (stage) => {
			const { app, R } = stage;
			app.use(async (c, next) => {
				c.header("X-Request-Id", "7");
				await next();
			});
			app.get(
				"/",
				handler({ r: R, h: conflicting(stage) }, (_values, c) => {
					c.header("Set-Cookie", "order=7");
					return c.text("a longer body than the error's", 201, {
						ETag: '"1"',
						"Content-Language": "de",
						"X-Order": "7",
					});
				}),
			);
		},
		...conflict,
		headers: {
			"set-cookie": null,
			etag: null,
			"content-language": null,
			"x-order": null,
			"content-type": "application/json",
		},
		log: ["+R", "+H", "-H", "-R conflict", "errh conflict", "head 409"],
	},
	"drops it for handlers that know nothing of it, too": {
		define: (stage) => {
			const H = conflicting(stage);
			stage.app.get("/", async (c) => {
				await use(stage.R);
				await use(H);
				return c.text("never");
			});
		},
		...conflict,
		log: ["+R", "+H", "-H", "-R conflict", "errh conflict", "head 409"],
	},
	"ends a stream that is dropped with its response": {
		define: (stage) => {
			const { app, body, R } = stage;
			app.get(
				"/",
				handler({ r: R, h: conflicting(stage) }, (_values, c) => c.body(body(letters))),
			);
		},
		...conflict,
		log: ["+R", "+H", "-H", "finally in GET /", "-R conflict", "errh conflict", "head 409"],
	},
	"reports the error of a release after the response, which stays": {
		define: ({ app, traced, H }) => {
			const S = traced("S", "request");
			const R = traced("R", "request", {
				success: () => {
					throw new Error("late");
				},
			});
			app.get(
				"/",
				handler({ s: S, r: R, h: H }, (_values, c) => c.text("x")),
			);
		},
		answer: "x",
		log: ["+S", "+R", "+H", "-H", "head 200", "-R", "-S late", "reported late"],
	},
	"keeps the request's resources open until a stream's last byte and its cleanup, in context": {
		define: ({ app, body, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => c.body(body(letters))),
			),
		answer: "ab",
		log: ["+R", "+H", "-H", "head 200", "finally in GET /", "-R"],
	},
	"waits for a body's slow cleanup": {
		define: ({ app, log, body, R }) =>
			app.get(
				"/",
				handler({ r: R }, (_values, c) =>
					c.body(
						body(async function* () {
							try {
								yield "a";
							} finally {
								await soon();
								log.push("cleaned up");
							}
						}),
					),
				),
			),
		answer: "a",
		log: ["+R", "head 200", "cleaned up", "finally in GET /", "-R"],
	},
	"finishes the handler's releases before the first byte of a stream": {
		define: ({ app, log, body, traced }) => {
			const committing = async () => {
				await soon();
				log.push("committed");
			};
			const H = traced("H", "handler", { success: committing });
			app.get(
				"/",
				handler({ h: H }, (_values, c) => c.body(body(letters))),
			);
		},
		answer: "ab",
		log: ["+H", "-H", "committed", "head 200", "finally in GET /"],
	},
	"sends server-sent events": {
		define: ({ app, log, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) =>
					streamSSE(c, async (stream) => {
						await stream.writeSSE({ data: "1" });
						await soon();
						log.push(`second in ${where()}`);
						await stream.writeSSE({ data: "2" });
					}),
				),
			),
		answer: "data: 1\n\ndata: 2\n\n",
		headers: { "content-type": "text/event-stream" },
		log: ["+R", "+H", "-H", "head 200", "second in GET /", "-R"],
	},
	"keeps the app scope's close waiting until open requests are done": {
		define: ({ app, log, root, R }) =>
			app.get(
				"/",
				handler({ r: R }, async (_values, c) => {
					root.defer(() => void log.push("app closed"));
					// the close has begun; a request that it waits for can't wait for it
					root.disposeAsync().catch(() => {});
					await soon();
					return c.text("done");
				}),
			),
		answer: "done",
		log: ["+R", "head 200", "-R", "app closed"],
	},
	"lets bodies use resources of their own, and give back what they don't need": {
		define: ({ app, body, R, H, traced }) => {
			const Pool = traced("pool", "request");
			app.get(
				"/",
				handler({ pool: Pool, h: H }, (_values, c) =>
					c.body(
						body(async function* () {
							await soon();
							await currentScope().release(Pool);
							yield await use(R);
						}),
					),
				),
			);
		},
		answer: "R",
		log: ["+pool", "+H", "-H", "head 200", "-pool", "+R", "finally in GET /", "-R"],
	},
	"keeps the scope in the stream helpers": {
		define: ({ app, H, R }) =>
			app.get(
				"/",
				handler({ h: H }, (_values, c) =>
					streamText(c, async (writer) => {
						await soon();
						await writer.write(await use(R));
					}),
				),
			),
		answer: "R",
		log: ["+H", "-H", "head 200", "+R", "-R"],
	},
	"follows a body that is made past the context": {
		define: ({ app, body, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, () => new Response(body(letters))),
			),
		answer: "ab",
		log: ["+R", "+H", "-H", "head 200", "finally in GET /", "-R"],
	},
	"waits for the callback of the followed stream helpers": {
		define: ({ app, H, R, log }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) =>
					followedText(c, async (writer) => {
						await writer.write("a");
						await writer.close();
						await soon();
						log.push(`written in ${where()}`);
					}),
				),
			),
		answer: "a",
		log: ["+R", "+H", "-H", "head 200", "written in GET /", "-R"],
	},
	"tells the resources of what such a callback throws": {
		define: ({ app, R, log }) =>
			app.get(
				"/",
				handler({ r: R }, (_values, c) =>
					followedText(
						c,
						async (writer) => {
							await writer.write("a");
							throw new Error("half-way");
						},
						async (error) => void log.push(`told ${error.message}`),
					),
				),
			),
		answer: "a",
		log: ["+R", "head 200", "told half-way", "-R half-way"],
	},
	"gives such a callback abortGrace when nobody reads": {
		define: ({ app, R }) =>
			app.get(
				"/",
				handler({ r: R }, (_values, c) => followedText(c, () => new Promise(() => {}))),
			),
		request: { method: "HEAD" },
		answer: "",
		log: ["+R", "head 200", "-R"],
	},
	"releases what was acquired when a setup fails": {
		define: ({ app, R, H, traced }) => {
			const Broken = traced("broken", "request", {
				setup: () => {
					throw httpError(503, "no broken");
				},
			});
			app.get(
				"/",
				handler({ r: R, h: H, broken: Broken }, (_values, c) => c.text("never")),
			);
		},
		status: 503,
		answer: { error: "no broken" },
		log: ["+R", "+H", "+broken", "-H no broken", "-R no broken", "errh no broken", "head 503"],
	},
	"tells of a task's failure before the response": {
		define: ({ app, R, H }) =>
			app.get(
				"/",
				handler({ r: R, h: H }, (_values, c) => {
					void currentScope().spawn(async () => {
						await soon();
						throw httpError(409, "the task");
					});
					return c.text("dropped");
				}),
			),
		status: 409,
		answer: { error: "the task" },
		log: failure("the task", 409),
	},
	"lets a resource translate the error of a release": {
		define: ({ app, traced }) => {
			const Outer = traced("outer", "request", { failure: () => httpError(503, "translated") });
			const Failing = conflicting({ traced });
			app.get(
				"/",
				handler({ outer: Outer, h: Failing }, (_values, c) => c.text("dropped")),
			);
		},
		status: 503,
		answer: { error: "translated" },
		log: ["+outer", "+H", "-H", "-outer conflict", "errh translated", "head 503"],
	},
	"shows the framework the work's error, and reports those of callbacks": {
		define: ({ app, H }) =>
			app.get(
				"/",
				handler({ h: H }, () => {
					currentScope().defer(() => {
						throw new Error("cleanup");
					});
					throw httpError(418, "teapot");
				}),
			),
		status: 418,
		answer: { error: "teapot" },
		log: ["+H", "-H teapot", "reported cleanup", "errh teapot", "head 418"],
	},
	"answers with the error of a callback that fails after successful work": {
		define: ({ app, R }) =>
			app.get(
				"/",
				handler({ r: R }, (_values, c) => {
					currentScope().defer(() => {
						throw httpError(409, "cleanup");
					});
					return c.json(1);
				}),
			),
		status: 409,
		answer: { error: "cleanup" },
		log: ["+R", "-R cleanup", "errh cleanup", "head 409"],
	},
	"passes on what making the bindings throws": {
		mounts: 0,
		define: ({ app, root }) => {
			const bindings = () => {
				throw httpError(400, "no tenant");
			};
			app.use(requestScope({ parent: root, bindings }));
			app.get("/", (c) => c.text("never"));
		},
		status: 400,
		answer: { error: "no tenant" },
		log: ["errh no tenant", "head 400"],
	},
	"gives what asks for no lifetime to the request": {
		define: ({ app, H, log }) => {
			const Plain = resource(async function* () {
				yield "plain";
				log.push("-plain");
			});
			app.get(
				"/",
				handler({ h: H, plain: Plain }, ({ plain }, c) => c.text(plain)),
			);
		},
		answer: "plain",
		log: ["+H", "-H", "head 200", "-plain"],
	},
};
