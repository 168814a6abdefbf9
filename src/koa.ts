/**
 * Request scopes for Koa 2 and 3.
 *
 * @module
 */

import type {
	Context,
	DefaultContext,
	DefaultState,
	Middleware,
	Next,
	Request,
	Response,
} from "koa";
import type { Contextual, Uninferred } from "#contextual";
import { attachments } from "./attachments.ts";
import { bindNodeStream, bindWebStream, isNodeStream } from "./body.ts";
import {
	asError,
	Exchange,
	foreignCaller,
	isEcho,
	missingMiddleware,
	type RequestScopeOptions,
	requestDefaults,
	routeOf,
	truthyError,
} from "./http.ts";
import { type Dependencies, provide, type Resource, token, type Values } from "./index.ts";
import {
	bindEnd,
	followResponse,
	type HeldResponse,
	holdResponse,
	isBodyHeader,
	Sources,
	streamOver,
} from "./node-response.ts";

export type { RequestScopeOptions } from "./http.ts";

/** The context, in every request scope. */
export const HttpContext: Resource<Context> = token("HttpContext", { lifetime: "request" });

/** The context's request, in every request scope. */
export const HttpRequest: Resource<Request> = token("HttpRequest", { lifetime: "request" });

/** The context's response, in every request scope: a `"handler"` resource can still change it when it is released. */
export const HttpResponse: Resource<Response> = token("HttpResponse", { lifetime: "request" });

const exchanges = attachments<Exchange>();

/**
 * Makes a middleware that opens a scope for each request: a `"request"` scope that closes when the response is
 * completely sent, and in it a `"handler"` scope that closes before the first byte. The latter is ambient behind it.
 *
 * Mount it before everything that uses resources, but behind the app's own error middleware: one mounted inside
 * swallows errors before the resources are told.
 *
 * @example A server
 * ```ts
 * import assert from "node:assert/strict";
 * import { once } from "node:events";
 * import type { AddressInfo } from "node:net";
 * import Koa from "koa";
 * import { resource } from "yieldscope";
 * import { handler, requestScope } from "yieldscope/koa";
 *
 * const log: string[] = [];
 * const Tx = resource(
 * 	async function* Tx() {
 * 		yield { insert: (row: string) => log.push(`insert ${row}`) };
 * 		log.push("commit");
 * 	},
 * 	{ lifetime: "handler" },
 * );
 *
 * const app = new Koa();
 * app.use(requestScope());
 * app.use(handler({ tx: Tx }, async ({ tx }, ctx) => {
 * 	tx.insert(ctx.path);
 * 	ctx.status = 201;
 * 	ctx.body = { path: ctx.path };
 * }));
 *
 * const server = app.listen(0, "127.0.0.1");
 * await once(server, "listening");
 * const { port } = server.address() as AddressInfo;
 * const response = await fetch(`http://127.0.0.1:${port}/orders`, { method: "POST" });
 * assert.equal(response.status, 201);
 * assert.deepEqual(log, ["insert /orders", "commit"]);
 * server.close();
 * ```
 */
export function requestScope(options: RequestScopeOptions<[ctx: Context]> = {}): Middleware {
	const defaults = requestDefaults(options);
	return async function requestScope(ctx: Context, next: Next): Promise<void> {
		if (ctx.res === undefined) throw foreignCaller("koa");
		const known = exchanges.get(ctx.req);
		if (known !== undefined) return known.run(next);
		const { req, res } = ctx;
		let held: HeldResponse | undefined;
		let hasReturned = false;
		let reopen = () => {};
		let stopWaiting: (error: unknown) => void = () => {};
		const dropHeld = (error: unknown, open: () => void) => {
			hasReturned = true;
			reopen = open;
			exchange.abandon(error);
			dropSources();
			stopWaiting(error);
		};
		let sources: Sources | undefined;
		const dropSources = () => {
			if (sources !== undefined) exchange.addBody(sources.drop());
		};
		const bindings = [
			provide(HttpContext, ctx),
			provide(HttpRequest, ctx.request),
			provide(HttpResponse, ctx.response),
			...(options.bindings?.(ctx) ?? []),
		];
		const exchange = new Exchange(defaults, `${ctx.method} ${ctx.path}`, bindings, () => {
			if (res.headersSent || exchange.hasFailed) return;
			// for who answers past Koa, on ctx.res
			held = holdResponse(res, () => exchange.endHandler(res.statusCode), dropHeld);
		});
		if (exchange.request === undefined) {
			await exchange.closed;
			return;
		}
		exchanges.set(req, exchange);
		let isAnswered = false;
		const run = <R>(fn: () => R) => exchange.restore(fn);
		bindEnd(req, run);
		followResponse(req, res, {
			run,
			onPipe(source) {
				sources ??= new Sources(res, (error) => exchange.failBody(error));
				sources.add(source);
			},
			onOver() {
				if (!res.writableFinished) exchange.abandon();
				if (sources !== undefined) exchange.addBody(sources.over());
				const isComplete = () => (res.headersSent ? res.writableEnded : isAnswered);
				void exchange
					.end({ status: () => ctx.status, isComplete })
					.then((late) => late && emitError(ctx, exchange, late.error));
			},
		});
		await exchange.work(async () => {
			const working = next();
			try {
				await new Promise<void>((resolve, reject) => {
					stopWaiting = reject;
					working.then(resolve, reject);
				});
				hasReturned = true;
				const failed = followBody(ctx, exchange);
				held?.disarm();
				const ending = exchange.endHandler(ctx.status);
				if (ending !== undefined) await ending;
				const error = failed[0] ?? (isNodeStream(ctx.body) ? ctx.body.errored : undefined);
				if (error !== undefined && error !== null) throw error;
				isAnswered = true;
			} catch (error) {
				dropBody(ctx.body, error);
				working.catch((later) => isEcho(later, error) || exchange.report(later));
				const told = truthyError((await exchange.drop(error, working)).error);
				dropSources(); // of a handler that went on
				reopen();
				if (hasReturned && !ctx.headerSent) dropResponse(ctx, held);
				// Koa leaves a response hanging whose head is sent
				if (ctx.headerSent && !res.writableEnded) res.destroy();
				throw told;
			} finally {
				// only if it is set: deleting makes an object slow
				if (Object.hasOwn(ctx, "onerror")) Reflect.deleteProperty(ctx, "onerror");
			}
		});
	};
}

/**
 * Keeps the request scope open until a stream body's own cleanup is done, and runs the body in the current context.
 *
 * @returns Where the error of a body is put that fails before Koa listens to it, which Koa 3 doesn't do by itself.
 */
function followBody(ctx: Context, exchange: Exchange): unknown[] {
	const failed: unknown[] = [];
	const body: unknown = ctx.body;
	const onError = (error: unknown) => {
		failed.push(error);
		exchange.failBody(error);
	};
	if (isNodeStream(body)) {
		ctx.onerror = () => {}; // Koa 2's answers a body's error at once, past error middleware
		exchange.addBody(streamOver(body, onError));
		bindNodeStream(body);
	} else if (body instanceof ReadableStream) {
		if (ctx.method === "HEAD") void body.cancel().catch(onError);
		else {
			exchange.addBody(
				new Promise<void>((resolve) => {
					ctx.body = bindWebStream(body, { onError, onEnd: resolve });
				}),
			);
		}
	}
	return failed;
}

/** Tells Koa of an error that comes after the response. Its default listener throws for what is no `Error`. */
function emitError(ctx: Context, exchange: Exchange, error: unknown): void {
	try {
		ctx.app.emit("error", asError(error), ctx);
	} catch (failed) {
		exchange.report(error);
		exchange.report(failed);
	}
}

/** Ends a body that won't be sent. */
function dropBody(body: unknown, reason: unknown): void {
	if (isNodeStream(body)) body.destroy();
	else if (body instanceof ReadableStream && !body.locked) body.cancel(reason).catch(() => {});
}

/** Takes back a response that won't be sent: error middleware knows nothing of it. */
function dropResponse(ctx: Context, held: HeldResponse | undefined): void {
	ctx.body = undefined;
	held?.dropHead();
	for (const name of ctx.res.getHeaderNames()) if (isBodyHeader(name)) ctx.remove(name);
	ctx.status = 500;
	ctx.respond = true;
}

/**
 * Makes a middleware of `fn`: acquires the `dependencies`, which come first among its arguments, and tells the resources of its
 * errors before Koa.
 *
 * The types are those that the app or router would give a bare middleware, from TypeScript 6 on; before, annotate the
 * context.
 *
 * @throws {@link index.InvalidArgumentError} At once, if an argument is of the wrong kind.
 * @throws {@link index.NoScopeError} When it is called, if {@link requestScope} isn't mounted before it.
 *
 * @example A failure that the transaction hears of first
 * ```ts
 * import assert from "node:assert/strict";
 * import { once } from "node:events";
 * import type { AddressInfo } from "node:net";
 * import Koa from "koa";
 * import { resource } from "yieldscope";
 * import { handler, requestScope } from "yieldscope/koa";
 *
 * const log: string[] = [];
 * const Tx = resource(
 * 	async function* Tx() {
 * 		try {
 * 			yield { insert: (row: string) => log.push(`insert ${row}`) };
 * 			log.push("commit");
 * 		} catch (error) {
 * 			log.push("rollback");
 * 			throw error;
 * 		}
 * 	},
 * 	{ lifetime: "handler" },
 * );
 *
 * const app = new Koa();
 * app.use(requestScope());
 * app.use(handler({ tx: Tx }, ({ tx }, ctx) => {
 * 	tx.insert(ctx.path);
 * 	ctx.throw(409, "sold out");
 * }));
 *
 * const server = app.listen(0, "127.0.0.1");
 * await once(server, "listening");
 * const { port } = server.address() as AddressInfo;
 * const response = await fetch(`http://127.0.0.1:${port}/orders`, { method: "POST" });
 * assert.equal(await response.text(), "sold out");
 * assert.deepEqual(log, ["insert /orders", "rollback"]);
 * server.close();
 * ```
 */
export function handler<
	const D extends Dependencies,
	S = DefaultState,
	C = DefaultContext,
	R = Uninferred,
>(
	dependencies: D,
	fn: Contextual<(dependencies: Values<D>, ...args: Parameters<Middleware<S, C>>) => R, R>,
): Middleware<S, C>;
/** Makes a middleware of `fn`, without dependencies: tells the resources that it uses of its errors before Koa. */
export function handler<S = DefaultState, C = DefaultContext>(
	fn: (...args: Parameters<Middleware<S, C>>) => unknown,
): Middleware<S, C>;
/** Makes a guard, for what its resources do: `app.use(handler({ admin: Admin }))`. */
export function handler(dependencies: Dependencies): Middleware;
export function handler(...args: unknown[]): Middleware {
	const route = routeOf(args);
	return async function handler(ctx, next) {
		const exchange = exchanges.get(ctx.req);
		if (exchange === undefined) throw missingMiddleware("koa");
		try {
			await exchange.handle(route, ctx, next);
		} catch (error) {
			throw truthyError((await exchange.fail(error)).error);
		}
	};
}
