/**
 * Request scopes for Express 4 and 5.
 *
 * @module
 */

import type { Readable } from "node:stream";
import type { ErrorRequestHandler, NextFunction, Request, RequestHandler, Response } from "express";
import type { Contextual, Uninferred } from "#contextual";
import { attachments } from "./attachments.ts";
import {
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
	InvalidArgumentError,
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
	onHead,
	type ResponseEvents,
	Sources,
} from "./node-response.ts";

export type { RequestScopeOptions } from "./http.ts";

/** The request, in every request scope. */
export const HttpRequest: Resource<Request> = token("HttpRequest", { lifetime: "request" });

/** The response, in every request scope: a `"handler"` resource can still set headers when it is released. */
export const HttpResponse: Resource<Response> = token("HttpResponse", { lifetime: "request" });

const transactions = attachments<Transaction>();

/** Whether nobody has to be told any more that {@link releaseErrors} is missing. */
let isReleaseErrorsKnown = false;

/** Without it an error that no {@link handler} sees is a success if the app's own error middleware answers with a 4xx. */
function warnOfMissing({ app }: Partial<Pick<Request, "app">>): void {
	if (isReleaseErrorsKnown || app?.get("env") === "production") return;
	isReleaseErrorsKnown = true;
	process.emitWarning(
		"releaseErrors() of \"yieldscope/express\" isn't mounted: what a plain handler throws can be committed. Mount it before the app's own error middleware: app.use(releaseErrors()).",
		{ code: "YS_WARN_RELEASE_ERRORS_MISSING" },
	);
}

/**
 * Makes a middleware that opens a scope for each request: a `"request"` scope that closes when the response is
 * completely sent, and in it a `"handler"` scope that closes before the first byte. The latter is ambient behind it.
 *
 * Mount it before everything that uses resources. Mounted again behind a middleware that loses the async context, it
 * restores it. Mount {@link releaseErrors} before the app's own error middleware.
 *
 * @example A server
 * ```ts
 * import assert from "node:assert/strict";
 * import { once } from "node:events";
 * import type { AddressInfo } from "node:net";
 * import express from "express";
 * import { resource } from "yieldscope";
 * import { handler, releaseErrors, requestScope } from "yieldscope/express";
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
 * const app = express();
 * app.use(requestScope());
 * app.post("/orders/:id", handler({ tx: Tx }, async ({ tx }, req, res) => {
 * 	tx.insert(req.params.id);
 * 	res.status(201).json({ id: req.params.id });
 * }));
 * app.use(releaseErrors());
 *
 * const server = app.listen(0, "127.0.0.1");
 * await once(server, "listening");
 * const { port } = server.address() as AddressInfo;
 * const response = await fetch(`http://127.0.0.1:${port}/orders/7`, { method: "POST" });
 * assert.equal(response.status, 201);
 * assert.deepEqual(log, ["insert 7", "commit"]);
 * server.close();
 * ```
 */
export function requestScope(
	options: RequestScopeOptions<[req: Request, res: Response]> = {},
): RequestHandler {
	const defaults = requestDefaults(options);
	return function requestScope(req, res, next) {
		if (typeof next !== "function") throw foreignCaller("express");
		const known = transactions.get(req);
		if (known !== undefined) {
			known.exchange.run(next);
			return;
		}
		const bindings = [
			provide(HttpRequest, req),
			provide(HttpResponse, res),
			...(options.bindings?.(req, res) ?? []),
		];
		const transaction = new Transaction(req, res, next, defaults, bindings);
		transactions.set(req, transaction);
		const { exchange } = transaction;
		// what begins after that is the request's
		onHead(res, (status) => {
			if (!exchange.hasFailed) exchange.endHandler(status)?.catch(() => {}); // who holds the response back has it
		});
		bindEnd(req, transaction);
		followResponse(req, res, transaction);
		exchange.run(next);
	};
}

/** What becomes of a request. */
class Transaction implements ResponseEvents, ResponseState {
	readonly exchange: Exchange;
	/** The error that Express was told of: there is only one answer. */
	delivered: { readonly error: unknown } | undefined;
	readonly #req: Request;
	readonly #res: Response;
	readonly #next: NextFunction;
	/** Set once something must be released before the first byte. */
	#held: HeldResponse | undefined;
	#sources: Sources | undefined;

	constructor(
		req: Request,
		res: Response,
		next: NextFunction,
		defaults: RequestDefaults,
		bindings: readonly Binding[],
	) {
		this.#req = req;
		this.#res = res;
		this.#next = next;
		const name = `${req.method} ${req.path}`;
		this.exchange = new Exchange(defaults, name, bindings, () => this.#hold());
	}

	#hold(): void {
		const { exchange } = this;
		const res = this.#res;
		if (res.headersSent || exchange.hasFailed) return;
		this.#held = holdResponse(
			res,
			() => exchange.endHandler(res.statusCode),
			(error, reopen) => {
				exchange.abandon(error);
				this.#dropSources();
				this.#fail(error, () => {
					this.#dropSources(); // of a handler that went on
					reopen();
				});
			},
		);
		warnOfMissing(this.#req);
	}

	/** Tells the innermost router, so that its own error middleware gets it. */
	#fail(error: unknown, reopen?: () => void): void {
		void deliver(this, error, this.#req.next ?? this.#next, reopen);
	}

	#dropSources(): void {
		if (this.#sources !== undefined) this.exchange.addBody(this.#sources.drop());
	}

	/** Lets the response pass from now on. */
	disarm(): void {
		this.#held?.disarm();
	}

	run<R>(fn: () => R): R {
		return this.exchange.restore(fn);
	}

	onPipe(source: Readable): void {
		this.#sources ??= new Sources(
			this.#res,
			(error) => this.exchange.failBody(error),
			(error) => this.#fail(error),
		);
		this.#sources.add(source);
	}

	onOver(): void {
		const { exchange } = this;
		if (!this.#res.writableFinished) exchange.abandon();
		if (this.#sources !== undefined) exchange.addBody(this.#sources.over());
		void exchange.end(this);
	}

	status(): number {
		return this.#res.statusCode;
	}

	isComplete(): boolean {
		return this.#res.writableEnded;
	}

	onLateError(error: unknown): void {
		this.exchange.report(error);
	}
}

/**
 * Tells the resources of an error, then Express of what they made of it.
 *
 * @param reopen - Given if the response is dropped: makes way for that of the error.
 */
async function deliver(
	transaction: Transaction,
	error: unknown,
	next: NextFunction,
	reopen?: () => void,
): Promise<void> {
	const { exchange, delivered } = transaction;
	transaction.delivered ??= { error };
	transaction.disarm();
	// who delivered the first error is about to have it answered
	if (delivered !== undefined) reopen?.();
	const { error: told } = await (reopen === undefined
		? exchange.fail(error)
		: exchange.drop(error));
	if (delivered === undefined) {
		reopen?.();
		next(truthyError(told));
	} else if (!isEcho(error, delivered.error)) exchange.report(told);
}

/** What a handler with dependencies finds in `req.params` where the route doesn't say more. */
export interface PathParams {
	readonly [name: string]: string;
}

/**
 * Makes a route handler of `fn`: acquires the `dependencies`, which come first among its arguments, and tells the resources of its
 * errors before Express.
 *
 * The types are those that the route would give a bare handler, its path params too, from TypeScript 6 on; before, annotate
 * those: `(dependencies, req: Request<{ id: string }>, res) => ...`.
 *
 * @throws {@link index.InvalidArgumentError} At once, if an argument is of the wrong kind.
 * @throws {@link index.NoScopeError} To Express, if {@link requestScope} isn't mounted before it.
 *
 * @example A failure that the transaction hears of first
 * ```ts
 * import assert from "node:assert/strict";
 * import { once } from "node:events";
 * import type { AddressInfo } from "node:net";
 * import express, { type ErrorRequestHandler } from "express";
 * import { resource } from "yieldscope";
 * import { handler, releaseErrors, requestScope } from "yieldscope/express";
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
 * const onError: ErrorRequestHandler = (error, _req, res, _next) => {
 * 	res.status(409).send(error.message);
 * };
 *
 * const app = express();
 * app.use(requestScope());
 * app.post("/orders/:id", handler({ tx: Tx }, ({ tx }, req) => {
 * 	tx.insert(req.params.id);
 * 	throw new Error("sold out");
 * }));
 * app.use(releaseErrors(), onError);
 *
 * const server = app.listen(0, "127.0.0.1");
 * await once(server, "listening");
 * const { port } = server.address() as AddressInfo;
 * const response = await fetch(`http://127.0.0.1:${port}/orders/7`, { method: "POST" });
 * assert.equal(await response.text(), "sold out");
 * assert.deepEqual(log, ["insert 7", "rollback"]);
 * server.close();
 * ```
 */
export function handler<const D extends Dependencies, P = PathParams, R = Uninferred>(
	dependencies: D,
	fn: Contextual<
		(dependencies: Values<D>, req: Request<P>, res: Response, next: NextFunction) => R,
		R
	>,
): RequestHandler<P>;
/** Makes a route handler of `fn`, without dependencies: tells the resources that it uses of its errors before Express. */
export function handler<H extends RequestHandler<never>>(fn: H): H;
/** Makes a guard, for what its resources do: `router.use(handler({ admin: Admin }))`. */
// of no request in particular, which would decide the path params of the handlers beside it
export function handler(
	dependencies: Dependencies,
): (req: object, res: object, next: NextFunction) => void;
export function handler(...args: unknown[]): unknown {
	const route = routeOf(args);
	return function handler(req: Request, res: Response, next: NextFunction): void {
		const transaction = transactions.get(req);
		if (transaction === undefined) {
			const missing = missingMiddleware("express");
			if (typeof next !== "function") throw missing; // another framework calls
			next(missing);
			return;
		}
		void transaction.exchange.handle(route, [req, res, next], (error) =>
			deliver(transaction, error, next),
		);
	};
}

/**
 * Makes the error middleware that tells the resources of errors that no {@link handler} has seen. Mount it right before
 * the app's own, and before those of sub-routers. Where it is missing and a `"handler"` resource is used, the process warns
 * of it once, unless the app's `env` is `"production"`.
 */
export function releaseErrors(...misused: readonly never[]): ErrorRequestHandler {
	if (misused.length > 0) {
		throw new InvalidArgumentError(
			"Expected no arguments for releaseErrors(). It makes the middleware, and isn't one itself: app.use(releaseErrors()).",
		);
	}
	isReleaseErrorsKnown = true;
	return function releaseErrors(error, req, _res, next) {
		const transaction = transactions.get(req);
		if (transaction === undefined || transaction.exchange.hasFailed) next(error);
		else void deliver(transaction, error, next);
	};
}
