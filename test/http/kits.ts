import type { RequestListener, ServerResponse } from "node:http";
import { connect } from "node:net";
import { pipeline, Readable } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import type { Response as ExpressResponse, IRouter, NextFunction, Request } from "express";
import express5 from "express";
import express4 from "express4";
import express4Oldest from "express4-oldest";
import { Hono, type Context as HonoContext } from "hono";
import type { ContentfulStatusCode, RedirectStatusCode } from "hono/utils/http-status";
import { Hono as OldestHono } from "hono-oldest";
import Koa3, { type Context as KoaContext, type Next } from "koa";
import Koa2 from "koa2";
import Koa2Oldest from "koa2-oldest";
import { afterEach, expect, vi } from "vitest";
import * as forExpress from "../../src/express.ts";
import * as forHono from "../../src/hono.ts";
import type { RequestScopeOptions } from "../../src/http.ts";
import {
	type Dependencies,
	type Lifetime,
	openScope,
	type Resource,
	resource,
	type Scope,
	type ScopeSnapshot,
	tryCurrentScope,
	type Values,
} from "../../src/index.ts";
import * as forKoa from "../../src/koa.ts";
import { Client } from "./client.ts";
import { type Listening, listen, listenOwn, ownServer } from "./server.ts";

/** An answer, in no framework's terms. */
export type Reply =
	| { readonly json: unknown; readonly status?: number; readonly headers?: Record<string, string> }
	| { readonly chunks: AsyncIterable<string>; readonly headers?: Record<string, string> }
	| { readonly node: Readable }
	| { readonly web: ReadableStream<Uint8Array> }
	| { readonly direct: (res: ServerResponse) => unknown }
	| { readonly redirect: string }
	| { readonly empty: 204 | 304 }
	| { readonly none: true };

/** What a route is told of its request. */
export interface Call {
	readonly body: unknown;
	/** Listens to the response's `close`. */
	onClose(listener: () => void): void;
}

/** A route, in no framework's terms. */
export interface Route {
	/** What `handler()` injects; `undefined`: nothing; `"plain"`: the route is written without `handler()`. */
	readonly dependencies: Dependencies | "plain" | undefined;
	readonly run: (values: never, call: Call) => Reply | Promise<Reply>;
}

/** A route written with `handler()`. */
export function route<const D extends Dependencies>(
	dependencies: D,
	run: (values: Values<D>, call: Call) => Reply | Promise<Reply>,
): Route {
	return { dependencies, run };
}

/** A route written with `handler()` that is given nothing. */
export function bare(run: (call: Call) => Reply | Promise<Reply>): Route {
	return { dependencies: undefined, run: (_values, call) => run(call) };
}

/** A route written without `handler()`. */
export function plain(run: (call: Call) => Reply | Promise<Reply>): Route {
	return { dependencies: "plain", run: (_values, call) => run(call) };
}

/** `handler()` without a function. */
class Guard {
	readonly dependencies: Dependencies;

	constructor(dependencies: Dependencies) {
		this.dependencies = dependencies;
	}
}

/** `handler()` without a function. */
export function guard(dependencies: Dependencies): Guard {
	return new Guard(dependencies);
}

/** An app, in no framework's terms. */
interface Setup {
	readonly options?: Pick<RequestScopeOptions<unknown[]>, "abortGrace" | "bindings">;
	/** Routes of a router of their own, under `/sub`. */
	readonly sub?: Record<string, Route>;
	/** Run before every route, for what its resources do: `handler()` as a middleware. */
	readonly guards?: readonly (Dependencies | Guard)[];
	/** How often the middleware is mounted. */
	readonly mounts?: number;
	/** Reads JSON bodies before the routes. */
	readonly parse?: boolean;
	/** Called by the app's error handler. */
	readonly onError?: (error: unknown) => unknown;
}

/** What a kit makes an app of. */
interface Plan extends Setup {
	readonly routes: Record<string, Route>;
	readonly log: string[];
	readonly channel: unknown[];
	readonly app: Scope;
	readonly onReleaseError: (error: unknown) => void;
}

/** One framework, on one server. */
export interface Kit {
	readonly name: string;
	readonly framework: "express" | "koa" | "hono";
	/** Its server: `node:http`, or the runtime's own. */
	readonly server: "node:http" | "Bun.serve" | "Deno.serve";
	/** How a trace says that a response is completely sent, where the server tells that. */
	readonly sent: readonly string[];
	/** How it says that the server has cut a connection: Bun's says nothing, Deno's no more than that it is over. */
	readonly cut: readonly string[];
	/** Sends web streams by itself. */
	readonly web: boolean;
	/** Lets routes write to the server's own response. */
	readonly direct: boolean;
	/** Makes what its server serves. */
	create(plan: Plan): RequestListener | Hono;
}

/** What an error says, whatever was thrown. */
export function textOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

/** Where we are: the ambient scope's name. */
export function where(): string {
	return tryCurrentScope()?.name ?? "nowhere";
}

/** An error with a status, as `http-errors` makes them. */
export function httpError(status: number, message: string): Error {
	return Object.assign(new Error(message), { status, expose: true });
}

function statusOf(error: unknown): number {
	return Number((error as { status?: unknown } | null | undefined)?.status ?? 500);
}

/** A generator as a web stream that ends it when it is cancelled. */
export function webStreamOf(chunks: AsyncIterable<string>): ReadableStream<Uint8Array> {
	const iterator = chunks[Symbol.asyncIterator]();
	const encoder = new TextEncoder();
	return new ReadableStream({
		async pull(controller) {
			const { done, value } = await iterator.next();
			if (done) controller.close();
			else controller.enqueue(encoder.encode(value));
		},
		async cancel() {
			await iterator.return?.();
		},
	});
}

function scopeOptions(plan: Plan): RequestScopeOptions<unknown[]> {
	return { ...plan.options, parent: plan.app, onReleaseError: plan.onReleaseError };
}

const nodeServer = { server: "node:http", sent: ["sent"], cut: ["gone"] } as const;

function expressKit(name: string, express: typeof express5): Kit {
	const send = async (res: ExpressResponse, reply: Reply, next: NextFunction) => {
		if ("json" in reply)
			res
				.status(reply.status ?? 200)
				.set(reply.headers ?? {})
				.json(reply.json);
		else if ("chunks" in reply) {
			res.set(reply.headers ?? {});
			pipeline(Readable.from(reply.chunks), res, () => {});
		} else if ("node" in reply) reply.node.pipe(res);
		else if ("web" in reply) {
			// the generic type of web streams differs between lib.dom and Node's own types
			pipeline(Readable.fromWeb(reply.web as never), res, () => {});
		} else if ("direct" in reply) await reply.direct(res);
		else if ("redirect" in reply) res.redirect(reply.redirect);
		else if ("empty" in reply) res.status(reply.empty).end();
		else next();
	};
	const mount = (target: IRouter, routes: Record<string, Route>) => {
		for (const [path, { dependencies, run }] of Object.entries(routes)) {
			const answer = async (
				values: unknown,
				req: Request,
				res: ExpressResponse,
				next: NextFunction,
			) => {
				const call: Call = { body: req.body, onClose: (listener) => res.on("close", listener) };
				await send(res, await run(values as never, call), next);
			};
			target.all(
				path,
				dependencies === "plain"
					? (req, res, next) => {
							answer({}, req, res, next).catch(next);
						}
					: dependencies === undefined
						? forExpress.handler((req, res, next) => answer({}, req, res, next))
						: forExpress.handler(dependencies, answer),
			);
		}
	};
	return {
		name,
		framework: "express",
		...nodeServer,
		web: true,
		direct: true,
		create(plan) {
			const app = express();
			const scope = forExpress.requestScope(scopeOptions(plan));
			for (let i = 0; i < (plan.mounts ?? 1); i++) app.use(scope);
			if (plan.parse) app.use(express.json());
			for (const guard of plan.guards ?? []) {
				if (guard instanceof Guard) {
					app.use(forExpress.handler(guard.dependencies));
					continue;
				}
				app.use(
					forExpress.handler(guard, (values, _req, _res, next) => {
						plan.log.push(`guard ${Object.values(values).join()}`);
						next();
					}),
				);
			}
			mount(app, plan.routes);
			if (plan.sub !== undefined) {
				const router = express.Router();
				mount(router, plan.sub);
				app.use("/sub", router);
			}
			app.use(forExpress.releaseErrors());
			app.use((error: unknown, _req: Request, res: ExpressResponse, next: NextFunction) => {
				plan.log.push(`errh ${textOf(error)}`);
				plan.onError?.(error);
				if (res.headersSent) next(error);
				else res.status(statusOf(error)).json({ error: textOf(error) });
			});
			return app;
		},
	};
}

function koaKit(name: string, Koa: typeof Koa3, web: boolean): Kit {
	const send = (ctx: KoaContext, reply: Reply, next: Next): unknown => {
		if ("json" in reply) {
			ctx.status = reply.status ?? 200;
			ctx.set(reply.headers ?? {});
			ctx.body = typeof reply.json === "object" ? reply.json : JSON.stringify(reply.json);
		} else if ("chunks" in reply) {
			ctx.set(reply.headers ?? {});
			ctx.body = Readable.from(reply.chunks);
		} else if ("node" in reply) ctx.body = reply.node;
		else if ("web" in reply) ctx.body = reply.web;
		else if ("direct" in reply) {
			ctx.respond = false;
			return reply.direct(ctx.res);
		} else if ("redirect" in reply) ctx.redirect(reply.redirect);
		else if ("empty" in reply) ctx.status = reply.empty;
		else return next();
		return undefined;
	};
	const dispatch = (routes: Record<string, Route>) => {
		const middlewares = Object.entries(routes).map(([path, { dependencies, run }]) => {
			const answer = async (values: unknown, ctx: KoaContext, next: Next) => {
				const call: Call = {
					body: ctx.state.body,
					onClose: (listener) => ctx.res.on("close", listener),
				};
				await send(ctx, await run(values as never, call), next);
			};
			const middleware =
				dependencies === "plain"
					? (ctx: KoaContext, next: Next) => answer({}, ctx, next)
					: dependencies === undefined
						? forKoa.handler((ctx, next) => answer({}, ctx, next))
						: forKoa.handler(dependencies, answer);
			return [path, middleware] as const;
		});
		const byPath = new Map(middlewares);
		return (ctx: KoaContext, path: string, next: Next) =>
			byPath.get(path)?.(ctx as never, next) ?? next();
	};
	return {
		name,
		framework: "koa",
		...nodeServer,
		web,
		direct: true,
		create(plan) {
			const app = new Koa();
			app.silent = true;
			app.on("error", (error) => plan.channel.push(error));
			app.use(async (ctx, next) => {
				try {
					await next();
				} catch (error) {
					plan.log.push(`errh ${textOf(error)}`);
					plan.onError?.(error);
					if (ctx.headerSent) throw error;
					ctx.status = statusOf(error);
					ctx.body = { error: textOf(error) };
				}
			});
			const scope = forKoa.requestScope(scopeOptions(plan));
			for (let i = 0; i < (plan.mounts ?? 1); i++) app.use(scope);
			if (plan.parse) {
				app.use(async (ctx, next) => {
					let text = "";
					for await (const chunk of ctx.req) text += String(chunk);
					ctx.state.body = text && JSON.parse(text);
					await next();
				});
			}
			for (const guard of plan.guards ?? []) {
				if (guard instanceof Guard) {
					app.use(forKoa.handler(guard.dependencies));
					continue;
				}
				app.use(
					forKoa.handler(guard, (values, _ctx, next) => {
						plan.log.push(`guard ${Object.values(values).join()}`);
						return next();
					}),
				);
			}
			const main = dispatch(plan.routes);
			const sub = dispatch(plan.sub ?? {});
			app.use((ctx, next) =>
				ctx.path.startsWith("/sub/")
					? sub(ctx, ctx.path.slice(4), next)
					: main(ctx, ctx.path, next),
			);
			return app.callback();
		},
	};
}

/** On the runtime's own server where there is one: the responses that @hono/node-server makes are only good for itself. */
function honoKit(name: string, App: typeof Hono, send = sendBody): Kit {
	const common = { framework: "hono", web: true, direct: false } as const;
	if (ownServer === undefined) {
		const create: Kit["create"] = (plan) => getRequestListener(honoApp(plan, App, send).fetch);
		return { ...common, ...nodeServer, name, create };
	}
	return {
		...common,
		name: `${name} on ${ownServer}`,
		server: ownServer,
		sent: ownServer === "Bun.serve" ? [] : ["sent"],
		cut: ownServer === "Bun.serve" ? [] : ["sent"],
		create: (plan) => honoApp(plan, App, send),
	};
}

/** How a Hono route sends what it has piece by piece. */
type SendStream = (
	c: HonoContext,
	chunks: AsyncIterable<string>,
	headers?: Record<string, string>,
) => Response;

const sendBody: SendStream = (c, chunks, headers) => c.body(webStreamOf(chunks), 200, headers);

const sendResponse: SendStream = (_c, chunks, headers = {}) =>
	new Response(webStreamOf(chunks), { headers });

/** The helper ends nothing by itself: who writes looks whether anybody still reads. */
const sendByHelper: SendStream = (c, chunks, headers = {}) => {
	for (const [name, value] of Object.entries(headers)) c.header(name, value);
	return forHono.stream(c, async (writer) => {
		for await (const chunk of chunks) {
			await writer.write(chunk);
			if (writer.aborted) break;
		}
	});
};

/** A Hono app, which needs no server. */
function honoApp(plan: Plan, App: typeof Hono = Hono, sendStream = sendBody): Hono {
	const send = (c: HonoContext, reply: Reply): Response | undefined => {
		if ("json" in reply)
			return c.json(
				reply.json as object,
				(reply.status ?? 200) as ContentfulStatusCode,
				reply.headers,
			);
		if ("chunks" in reply) return sendStream(c, reply.chunks, reply.headers);
		if ("node" in reply) return c.body(Readable.toWeb(reply.node) as ReadableStream<Uint8Array>);
		if ("web" in reply) return c.body(reply.web);
		if ("redirect" in reply) return c.redirect(reply.redirect, 302 as RedirectStatusCode);
		if ("empty" in reply) return c.body(null, reply.empty);
		if ("direct" in reply) throw new Error("no such thing in Hono");
		return undefined;
	};
	const mount = (target: Hono, routes: Record<string, Route>) => {
		for (const [path, { dependencies, run }] of Object.entries(routes)) {
			const answer = async (values: unknown, c: HonoContext, next: Next) => {
				const call: Call = {
					body: plan.parse ? await c.req.json() : undefined,
					onClose: (listener) => {
						(c.env as { outgoing: ServerResponse }).outgoing.on("close", listener);
					},
				};
				const reply = await run(values as never, call);
				if ("none" in reply) {
					await next();
					return undefined as unknown as Response; // as middleware does; the type is a handler's
				}
				return send(c, reply) as Response;
			};
			if (dependencies === "plain") target.all(path, (c, next) => answer({}, c, next));
			else if (dependencies === undefined)
				target.all(
					path,
					forHono.handler((c: HonoContext, next) => answer({}, c, next)),
				);
			else target.all(path, forHono.handler(dependencies, answer));
		}
	};
	const app = new App();
	const scope = forHono.requestScope(scopeOptions(plan));
	for (let i = 0; i < (plan.mounts ?? 1); i++) app.use(scope);
	for (const guard of plan.guards ?? []) {
		if (guard instanceof Guard) {
			app.use(forHono.handler(guard.dependencies));
			continue;
		}
		app.use(
			forHono.handler(guard, async (values, _c, next) => {
				plan.log.push(`guard ${Object.values(values).join()}`);
				await next();
			}),
		);
	}
	mount(app, plan.routes);
	if (plan.sub !== undefined) {
		const sub = new App();
		mount(sub, plan.sub);
		app.route("/sub", sub);
	}
	app.onError(
		forHono.releaseErrors((error, c) => {
			plan.log.push(`errh ${textOf(error)}`);
			plan.onError?.(error);
			return c.json({ error: textOf(error) }, statusOf(error) as ContentfulStatusCode);
		}),
	);
	return app;
}

/**
 * Every framework, as the scenarios see it: the newest of each major version, and the oldest that package.json promises.
 * The types of the older ones are those of the newest.
 */
export const kits: readonly Kit[] = [
	expressKit("express", express5),
	expressKit("express4", express4),
	expressKit("express4-oldest", express4Oldest),
	koaKit("koa", Koa3, true),
	koaKit("koa2", Koa2, false),
	koaKit("koa2-oldest", Koa2Oldest, false),
	honoKit("hono", Hono),
	honoKit("hono-oldest", OldestHono),
];

/** The same, and Hono's other ways to send a stream. */
export const streamKits: readonly Kit[] = [
	...kits,
	honoKit("hono-response", Hono, sendResponse),
	honoKit("hono-helper", Hono, sendByHelper),
];

/** A running server. */
interface Site {
	readonly port: number;
	readonly url: string;
	fetch(path: string, init?: RequestInit): Promise<Response>;
	/** Opens a connection of its own, to send and to leave at will. */
	connect(): Client;
	/** What the app scope holds. */
	app(): ScopeSnapshot;
	/** Resolves when no request is open any more. */
	idle(): Promise<void>;
}

/** How a traced resource answers its release. */
interface Answers {
	readonly success?: () => unknown;
	readonly failure?: (error: unknown) => unknown;
	readonly setup?: () => unknown;
}

/** One test's stage: a log, resources that write to it, an app scope. */
export interface Scene {
	readonly log: string[];
	/** What `onReleaseError` was given. A test that expects something takes it out. */
	readonly reported: unknown[];
	/** What Koa's `app.on("error")` was given. */
	readonly channel: unknown[];
	readonly app: Scope;
	/** Of the request's lifetime, and of the handler's. */
	readonly R: Resource<string>;
	readonly H: Resource<string>;
	/** Logs `+name`, then `-name` on success and `-name message` on failure. */
	traced(name: string, lifetime: Lifetime, answers?: Answers): Resource<string>;
	open(routes: Record<string, Route>, setup?: Setup): Promise<Site>;
	/** Serves any listener, and logs heads and ends of its responses. */
	serve(listener: RequestListener): Promise<Site>;
	/** What Hono's `app.request()` is tested with. */
	hono(routes: Record<string, Route>, setup?: Setup): Hono;
	idle(): Promise<void>;
}

/** Gives each test a stage for `kit`, and checks at the end that nothing is left open or unexpected. */
export function stage(kit: Kit): () => Scene {
	let cleanups: (() => Promise<void>)[] = [];
	afterEach(async () => {
		const todo = cleanups;
		cleanups = [];
		for (const cleanup of todo.reverse()) await cleanup();
	});
	return () => {
		const log: string[] = [];
		const reported: unknown[] = [];
		const channel: unknown[] = [];
		const onReleaseError = (error: unknown) => void reported.push(error);
		const app = openScope({ lifetime: "app", name: "app", onReleaseError });
		const idle = () => eventually(() => expect(app.inspect().children).toEqual([]));
		cleanups.push(async () => {
			await idle();
			await app.disposeAsync();
			expect(reported).toEqual([]);
		});
		const traced = (name: string, lifetime: Lifetime, answers: Answers = {}) =>
			resource(
				async function* () {
					log.push(`+${name}`);
					await answers.setup?.();
					try {
						yield name;
					} catch (error) {
						log.push(`-${name} ${textOf(error)}`);
						throw (await answers.failure?.(error)) ?? error;
					}
					log.push(`-${name}`);
					await answers.success?.();
				},
				{ name, lifetime },
			);
		const clients: Client[] = [];
		const siteOf = ({ port, close }: Listening): Site => {
			cleanups.push(async () => {
				for (const client of clients) client.leave();
				await close();
			});
			const url = `http://127.0.0.1:${port}`;
			return {
				port,
				url,
				idle,
				app: () => app.inspect(),
				fetch: (path, init) => fetch(`${url}${path}`, { redirect: "manual", ...init }),
				connect: () => {
					const client = new Client(connect({ port, host: "127.0.0.1" }));
					clients.push(client);
					return client;
				},
			};
		};
		const serve = async (served: RequestListener | Hono) =>
			siteOf(
				typeof served === "function"
					? await listen(served, log)
					: await listenOwn(served, log, () => clients.some(({ hasLeft }) => hasLeft)),
			);
		const plan = { log, channel, app, onReleaseError };
		return {
			log,
			reported,
			channel,
			app,
			R: traced("R", "request"),
			H: traced("H", "handler"),
			traced,
			serve,
			idle,
			open: (routes, setup) => serve(kit.create({ ...setup, ...plan, routes })),
			hono: (routes, setup) => honoApp({ ...setup, ...plan, routes }),
		};
	};
}

/** Waits until `check` passes. */
export function eventually(check: () => void): Promise<void> {
	return vi.waitFor(check, { interval: 2, timeout: 4000 });
}
