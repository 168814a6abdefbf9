/**
 * Request scopes for Koa 2 and 3.
 *
 * @module
 */

import type { Readable } from "node:stream";
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
	type RequestDefaults,
	type RequestScopeOptions,
	type ResponseState,
	requestDefaults,
	routeOf,
	truthyError,
} from "./http.ts";
import {
	type Binding,
	type Dependencies,
	provide,
	type Resource,
	token,
	type Values,
} from "./index.ts";
import {
	bindEnd,
	followResponse,
	type HeldResponse,
	holdResponse,
	isBodyHeader,
	type ResponseEvents,
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
	return function requestScope(ctx: Context, next: Next): Promise<void> {
		if (ctx.res === undefined) throw foreignCaller("koa");
		const { req, res } = ctx;
		const known = exchanges.get(req);
		if (known !== undefined) return known.run(next);
		let answer: Answer;
		try {
			answer = new Answer(ctx, defaults, options.bindings?.(ctx) ?? []);
		} catch (error) {
			return Promise.reject(error); // as Koa's own middleware does
		}
		exchanges.set(req, answer.exchange);
		bindEnd(req, answer);
		followResponse(req, res, answer);
		return answer.run(() => answer.give(next));
	};
}

/** What becomes of a request. */
class Answer implements ResponseEvents, ResponseState {
	readonly exchange: Exchange;
	readonly #ctx: Context;
	#held: HeldResponse | undefined;
	#sources: Sources | undefined;
	#hasReturned = false;
	#isGiven = false;
	#reopen: (() => void) | undefined;
	#stopWaiting: ((error: unknown) => void) | undefined;

	constructor(ctx: Context, defaults: RequestDefaults, own: readonly Binding[]) {
		this.#ctx = ctx;
		const name = `${ctx.method} ${ctx.path}`;
		const bindings = [
			provide(HttpContext, ctx),
			provide(HttpRequest, ctx.request),
			provide(HttpResponse, ctx.response),
			...own,
		];
		this.exchange = new Exchange(defaults, name, bindings, () => this.#hold());
	}

	/** For who answers past Koa, on `ctx.res`. */
	#hold(): void {
		const { exchange } = this;
		const { res } = this.#ctx;
		if (res.headersSent || exchange.hasFailed) return;
		this.#held = holdResponse(
			res,
			() => exchange.endHandler(res.statusCode),
			(error, reopen) => {
				this.#hasReturned = true;
				this.#reopen = reopen;
				exchange.abandon(error);
				this.#dropSources();
				this.#stopWaiting?.(error);
			},
		);
	}

	#dropSources(): void {
		if (this.#sources !== undefined) this.exchange.addBody(this.#sources.drop());
	}

	/** Runs the handlers, and releases what is theirs before the response. */
	async give(next: Next): Promise<void> {
		const { exchange } = this;
		const ctx = this.#ctx;
		let working: Promise<unknown> | undefined;
		exchange.beginWork();
		try {
			working = next();
			await this.#until(working);
			this.#hasReturned = true;
			const failed = followBody(ctx, exchange);
			this.#held?.disarm();
			const ending = exchange.endHandler(ctx.status);
			if (ending !== undefined) await ending;
			const error = failed[0] ?? (isNodeStream(ctx.body) ? ctx.body.errored : undefined);
			if (error !== undefined && error !== null) throw error;
			this.#isGiven = true;
		} catch (error) {
			await this.#drop(error, working);
		} finally {
			// only if it is set: deleting makes an object slow
			if (Object.hasOwn(ctx, "onerror")) Reflect.deleteProperty(ctx, "onerror");
			exchange.endWork();
		}
	}

	/** Settles as `working` does, unless the response is dropped before. */
	#until(working: Promise<unknown>): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#stopWaiting = reject;
			working.then(() => resolve(), reject);
		});
	}

	/**
	 * Drops the response, and throws the error that Koa is to see.
	 *
	 * @param working - Unset where the next middleware threw at once.
	 */
	async #drop(error: unknown, working: Promise<unknown> = Promise.resolve()): Promise<never> {
		const { exchange } = this;
		const ctx = this.#ctx;
		dropBody(ctx.body, error);
		working.catch((later) => isEcho(later, error) || exchange.report(later));
		const told = truthyError((await exchange.drop(error, working)).error);
		this.#dropSources(); // of a handler that went on
		this.#reopen?.();
		if (this.#hasReturned && !ctx.headerSent) dropResponse(ctx, this.#held);
		// Koa leaves a response hanging whose head is sent
		if (ctx.headerSent && !ctx.res.writableEnded) ctx.res.destroy();
		throw told;
	}

	run<R>(fn: () => R): R {
		return this.exchange.restore(fn);
	}

	onPipe(source: Readable): void {
		this.#sources ??= new Sources(this.#ctx.res, (error) => this.exchange.failBody(error));
		this.#sources.add(source);
	}

	onOver(): void {
		const { exchange } = this;
		if (!this.#ctx.res.writableFinished) exchange.abandon();
		if (this.#sources !== undefined) exchange.addBody(this.#sources.over());
		void exchange.end(this);
	}

	status(): number {
		return this.#ctx.status;
	}

	isComplete(): boolean {
		const { res } = this.#ctx;
		return res.headersSent ? res.writableEnded : this.#isGiven;
	}

	onLateError(error: unknown): void {
		emitError(this.#ctx, this.exchange, error);
	}
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
	return function handler(ctx, next) {
		const exchange = exchanges.get(ctx.req);
		if (exchange === undefined) return Promise.reject(missingMiddleware("koa"));
		return exchange.handle(route, [ctx, next], async (error) => {
			throw truthyError((await exchange.fail(error)).error);
		});
	};
}
