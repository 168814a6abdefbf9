/**
 * Request scopes for Hono 4, on Node, Bun, Deno and Cloudflare Workers.
 *
 * @module
 */

import type { ServerResponse } from "node:http";
import type {
	Context,
	Env,
	ErrorHandler,
	Handler,
	HonoRequest,
	Input,
	MiddlewareHandler,
	Next,
} from "hono";
import {
	stream as honoStream,
	streamSSE as honoStreamSSE,
	streamText as honoStreamText,
} from "hono/streaming";
import type { BlankInput, HandlerResponse } from "hono/types";
import type { Contextual, Uninferred } from "#contextual";
import { attachments } from "./attachments.ts";
import { bindWebStream } from "./body.ts";
import {
	asError,
	Exchange,
	foreignCaller,
	missingMiddleware,
	type RequestDefaults,
	type RequestScopeOptions,
	type ResponseState,
	requestDefaults,
	routeOf,
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
import { setMethod } from "./method.ts";
import { followResponse, isBodyHeader, type ResponseEvents } from "./node-response.ts";

export type { RequestScopeOptions } from "./http.ts";

/** The context, in every request scope. */
export const HttpContext: Resource<Context> = token("HttpContext", { lifetime: "request" });

/** The context's request, in every request scope. */
export const HttpRequest: Resource<HonoRequest> = token("HttpRequest", { lifetime: "request" });

/** By context, not by what is ambient: a nested request has its own. */
const deliveries = attachments<Delivery>();

/** What the runtimes put into `c.env`: `outgoing` by Node's server, `completed` by Deno's. */
interface RuntimeEnv {
	readonly incoming?: Parameters<typeof followResponse>[0];
	readonly outgoing?: ServerResponse;
	readonly completed?: Promise<unknown>;
}

/**
 * Makes a middleware that opens a scope for each request: a `"request"` scope that closes when the response is
 * completely sent, and in it a `"handler"` scope that closes before the first byte. The latter is ambient behind it.
 *
 * Mount it before everything that uses resources, and wrap the app's error handler in {@link releaseErrors}.
 *
 * @example An app
 * ```ts
 * import assert from "node:assert/strict";
 * import { Hono } from "hono";
 * import { resource } from "yieldscope";
 * import { handler, requestScope } from "yieldscope/hono";
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
 * const app = new Hono();
 * app.use(requestScope());
 * app.post("/orders/:id", handler({ tx: Tx }, async ({ tx }, c) => {
 * 	const id = c.req.param("id");
 * 	tx.insert(id);
 * 	return c.json({ id }, 201);
 * }));
 *
 * const response = await app.request("/orders/7", { method: "POST" });
 * assert.deepEqual(await response.json(), { id: "7" });
 * assert.deepEqual(log, ["insert 7", "commit"]);
 * ```
 */
export function requestScope(options: RequestScopeOptions<[c: Context]> = {}): MiddlewareHandler {
	const defaults = requestDefaults(options);
	return function requestScope(c, next) {
		if (typeof c?.req?.raw !== "object") throw foreignCaller("hono");
		if (deliveries.get(c) !== undefined) return next();
		let delivery: Delivery;
		try {
			delivery = new Delivery(c, defaults, options.bindings?.(c) ?? []);
		} catch (error) {
			return Promise.reject(error); // as Hono's own middleware does
		}
		const { exchange } = delivery;
		deliveries.set(c, delivery);
		return exchange.run(async () => {
			exchange.beginWork();
			try {
				await next();
				if (!exchange.hasFailed) {
					if (c.error !== undefined) {
						const { error: told } = await exchange.fail(c.error);
						// the app's error handler has run already; it runs again for another error
						if (told !== c.error) throw told;
					} else if (!c.finalized) {
						throw new Error("The handler returned no response. Return one, or await next().");
					} else {
						const ending = exchange.endHandler(c.res.status);
						if (ending !== undefined) await ending;
					}
				}
			} catch (error) {
				const { error: told } = await exchange.drop(error, delivery.drop(error));
				if (c.finalized) dropResponse(c, delivery.before);
				delivery.over();
				throw asError(told);
			} finally {
				exchange.endWork();
			}
			delivery.begin();
		});
	};
}

/** Finds out, on each runtime in its own way, when a response is over. */
class Delivery implements ResponseEvents, ResponseState {
	readonly exchange: Exchange;
	/** The headers when nothing had been used yet that is released before the first byte. */
	before: Headers | undefined;
	readonly #c: Context;
	readonly #outgoing: ServerResponse | undefined;
	readonly #completed: Promise<unknown> | undefined;
	#isAnswered = false;
	#isCancelled = false;
	#isOver = false;
	#isDropping = false;
	/** The bodies that have not ended. */
	#streams: ReadableStream[] = [];

	constructor(c: Context, defaults: RequestDefaults, own: readonly Binding[]) {
		this.#c = c;
		const bindings = [provide(HttpContext, c), provide(HttpRequest, c.req), ...own];
		const name = `${c.req.method} ${c.req.path}`;
		const exchange = new Exchange(defaults, name, bindings, () => this.#keepHead());
		this.exchange = exchange;
		this.#bindBodies();
		const { incoming, outgoing, completed } = (c.env ?? {}) as RuntimeEnv;
		if (typeof outgoing?.once === "function") {
			this.#outgoing = outgoing;
			followResponse(incoming, outgoing, this);
			return;
		}
		c.req.raw.signal?.addEventListener("abort", () => this.#leave(), { once: true });
		if (completed !== undefined) {
			this.#completed = completed;
			const over = () => this.over();
			completed.then(over, over);
			return;
		}
		try {
			c.executionCtx.waitUntil(exchange.closed());
		} catch {
			// only Workers have one
		}
	}

	#keepHead(): void {
		const c = this.#c;
		if (!c.finalized) {
			// Hono before 4.9 then keeps all that follow where they can be taken back
			c.header("Yieldscope", "", { append: true });
			c.header("Yieldscope", undefined);
		}
		// a copy: those of the Node server are the very ones that go on changing
		this.before = new Headers(c.newResponse(null).headers);
	}

	/** The request's signal says that the client has gone; but Deno's also aborts when a response is completely sent. */
	#leave(): void {
		if (this.#isOver || (this.#isAnswered && this.#completed !== undefined)) return;
		this.#isCancelled = this.#isAnswered;
		this.exchange.abandon();
		this.over();
	}

	/** Runs stream bodies in the request's async context: `c.body` and all stream helpers go through these two. */
	#bindBodies(): void {
		const c = this.#c;
		const target = c as unknown as Record<"body" | "newResponse", (...args: unknown[]) => unknown>; // the body comes first
		for (const name of ["body", "newResponse"] as const) {
			const method = target[name];
			setMethod(target, name, (data, ...rest) => {
				if (!(data instanceof ReadableStream)) return method.call(c, data, ...rest);
				return method.call(c, this.#bind(data), ...rest);
			});
		}
	}

	#bind(stream: ReadableStream, onEnd = () => {}): ReadableStream {
		let settle = () => {};
		this.exchange.addBody(
			new Promise<void>((resolve) => {
				settle = resolve;
			}),
		);
		const bound = bindWebStream(stream, {
			onError: (error) => this.exchange.failBody(error),
			onCancel: () => {
				// nobody has gone: there is nothing to send
				if (this.#c.req.method === "HEAD" || this.#isDropping) return;
				this.#isCancelled = true;
				this.exchange.abandon();
			},
			onEnd: () => {
				this.#streams = this.#streams.filter((each) => each !== bound);
				settle();
				onEnd();
			},
		});
		this.#streams.push(bound);
		return bound;
	}

	/** Ends the body of a response that won't be sent, and those that nobody reads. */
	drop(reason: unknown): Promise<unknown> {
		const { body } = this.#c.finalized ? this.#c.res : { body: null };
		return this.#cancel(body === null ? this.#unread() : [...this.#unread(), body], reason);
	}

	#unread(): ReadableStream[] {
		return this.#streams.filter((stream) => !stream.locked);
	}

	#cancel(bodies: readonly ReadableStream[], reason?: unknown): Promise<unknown> {
		this.#isDropping = true;
		const cancelled = bodies.map((body) => body.cancel(reason));
		this.#isDropping = false;
		return Promise.allSettled(cancelled);
	}

	/** The response is handed to the server. */
	begin(): void {
		const c = this.#c;
		this.#isAnswered = true;
		if (this.#isOver) {
			// it comes too late
			const body = streamOf(c.res);
			if (body !== null && !this.#streams.includes(body)) {
				const bound = this.#bind(body);
				// it may as well be a text, which is complete: only Node's server tells them apart
				if (this.#outgoing === undefined) void this.#cancel([bound]);
			}
			for (const stream of this.#unread()) void stream.cancel().catch(() => {});
			this.#send(null); // servers don't take one whose body is cancelled
			return;
		}
		if (this.#isTold) {
			const followed = this.#follow(c.res);
			if (followed !== c.res) this.#replace(followed);
			return;
		}
		const { body } = c.res;
		const isRead = body !== null && c.req.method !== "HEAD";
		if (body !== null) this.#send(this.#bind(body, isRead ? () => this.over() : undefined));
		if (!isRead) setTimeout(() => this.over(), 0);
	}

	/** Whether an event tells when the response is over. */
	get #isTold(): boolean {
		return this.#outgoing !== undefined || this.#completed !== undefined;
	}

	/** Binds a handler's own stream, where it can be told from a text: a middleware may put another response in its place. */
	followOwn(response: Response): Response {
		return this.#outgoing === undefined ? response : this.#follow(response);
	}

	#follow(response: Response): Response {
		const body = streamOf(response);
		return body === null || this.#streams.includes(body)
			? response
			: new Response(this.#bind(body), response);
	}

	#send(body: ReadableStream | null): void {
		this.#replace(new Response(body, this.#c.res));
	}

	#replace(response: Response): void {
		this.#c.res = undefined; // or the two are merged, and Node's server reads ahead of the head
		this.#c.res = response;
	}

	/** The response is over. */
	over(): void {
		if (this.#isOver) return;
		this.#isOver = true;
		const unread = this.#unread();
		if (unread.length > 0) {
			this.exchange.cutBodies();
			void this.#cancel(unread);
		}
		void this.exchange.end(this);
	}

	run<R>(fn: () => R): R {
		return this.exchange.restore(fn);
	}

	/** Node's server has sent it, or never will. */
	onOver(): void {
		if (!this.#outgoing?.writableFinished) this.exchange.abandon();
		this.over();
	}

	status(): number {
		return this.#c.finalized ? this.#c.res.status : 0;
	}

	isComplete(): boolean {
		const outgoing = this.#outgoing;
		return (
			!this.#isCancelled && (outgoing?.headersSent ? outgoing.writableEnded : this.#isAnswered)
		);
	}

	onLateError(error: unknown): void {
		this.exchange.report(error);
	}
}

/** Where the server's own class of responses keeps what they are made of, once that is known. */
let keptAt: symbol | undefined;

/**
 * The stream that a response is made of, if it is. Merely reading `body` makes one of a text, which takes the servers of
 * Node and Deno off their fast path, for a third of the throughput and more; but both keep what they were given where it
 * can be seen.
 */
function streamOf(response: Response): ReadableStream | null {
	keptAt ??= Object.getOwnPropertySymbols(response).find(({ description }) =>
		/^(?:cache|lazy static body)$/.test(description ?? ""),
	);
	const kept = keptAt && (response as unknown as Record<symbol, unknown>)[keptAt];
	if (typeof kept === "string") return null;
	// [status, body, headers]
	if (Array.isArray(kept)) return kept.find((part) => part instanceof ReadableStream) ?? null;
	return response.body;
}

/** Takes back a response that won't be sent, but for the headers that were there before it. */
function dropResponse(c: Context, before: Headers | undefined): void {
	const headers = new Headers(before ?? c.res.headers);
	for (const name of [...headers.keys()]) if (isBodyHeader(name)) headers.delete(name);
	const names = new Set([...c.res.headers.keys(), ...headers.keys()]);
	c.res = undefined; // or the next one gets all its headers
	c.finalized = false;
	for (const name of names) c.header(name, undefined); // which Hono before 4.9 keeps for itself as well
	for (const [name, value] of headers) c.header(name, value, { append: name === "set-cookie" });
	c.status(500);
}

/**
 * Makes a route handler of `fn`: acquires the `dependencies`, which come first among its arguments, and tells the resources of its
 * errors before Hono.
 *
 * The types are those that the route would give a bare handler, for the app's environment, path params and the typed client,
 * from TypeScript 6 on; before, annotate them: `(dependencies, c: Context<AppEnv, "/orders/:id">) => ...`. Behind a validator
 * in the same call, TypeScript can't know yet what that validates: mount it with `app.use()`, or annotate the context's third
 * parameter.
 *
 * @throws {@link index.InvalidArgumentError} At once, if an argument is of the wrong kind.
 * @throws {@link index.NoScopeError} When it is called, if {@link requestScope} isn't mounted before it.
 *
 * @example A failure that the transaction hears of first
 * ```ts
 * import assert from "node:assert/strict";
 * import { Hono } from "hono";
 * import { HTTPException } from "hono/http-exception";
 * import { resource } from "yieldscope";
 * import { handler, requestScope } from "yieldscope/hono";
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
 * const app = new Hono();
 * app.use(requestScope());
 * app.post("/orders/:id", handler({ tx: Tx }, ({ tx }, c) => {
 * 	tx.insert(c.req.param("id"));
 * 	throw new HTTPException(409, { message: "sold out" });
 * }));
 *
 * const response = await app.request("/orders/7", { method: "POST" });
 * assert.equal(await response.text(), "sold out");
 * assert.deepEqual(log, ["insert 7", "rollback"]);
 * ```
 */
export function handler<
	const D extends Dependencies,
	// biome-ignore lint/suspicious/noExplicitAny: Hono's own default
	E extends Env = any,
	// biome-ignore lint/suspicious/noExplicitAny: Hono's own default
	P extends string = any,
	I extends Input = BlankInput,
	R = Uninferred,
>(
	dependencies: D,
	fn: Contextual<(dependencies: Values<D>, c: Context<E, P, I>, next: Next) => R, R>,
): Handler<E, P, I, NoInfer<R extends HandlerResponse<unknown> ? R : never>>;
/** Makes a route handler of `fn`, without dependencies: tells the resources that it uses of its errors before Hono. */
export function handler<H extends Handler>(fn: H): H;
/** Makes a guard, for what its resources do: `app.use(handler({ admin: Admin }))`. */
export function handler(dependencies: Dependencies): MiddlewareHandler;
export function handler(...args: unknown[]): Handler {
	const route = routeOf(args);
	return async function handler(c, next) {
		const delivery = deliveries.get(c);
		if (delivery === undefined) throw missingMiddleware("hono");
		const { exchange } = delivery;
		const response = await exchange.handle(route, [c, next], async (error) => {
			throw asError((await exchange.fail(error)).error);
		});
		return response instanceof Response ? delivery.followOwn(response) : (response as Response); // the overloads say so
	};
}

type StreamHelper = (
	c: Context,
	// biome-ignore lint/suspicious/noExplicitAny: each helper's own
	write: (stream: any) => Promise<void>,
	// biome-ignore lint/suspicious/noExplicitAny: each helper's own
	onError?: (error: Error, stream: any) => Promise<void>,
) => Response;

/** Hono's helpers don't say when what writes their stream is done, which goes on when the client has gone. */
function followed<H extends StreamHelper>(helper: H): H {
	const follow: StreamHelper = (c, write, onError) => {
		const exchange = deliveries.get(c)?.exchange;
		if (exchange === undefined) throw missingMiddleware("hono", "a stream helper");
		return helper(c, (stream) => exchange.writeBody(() => write(stream)), onError);
	};
	return follow as H;
}

/**
 * Hono's `stream()`, with the same arguments, that keeps the `"request"` resources open until its callback has settled,
 * also after the client has gone; what it throws is the request's failure. Hono's own doesn't say when that is.
 *
 * @throws {@link index.NoScopeError} If {@link requestScope} isn't mounted before it.
 *
 * @example Writing with a resource
 * ```ts
 * import assert from "node:assert/strict";
 * import { Hono } from "hono";
 * import { openScope, resource } from "yieldscope";
 * import { handler, requestScope, stream } from "yieldscope/hono"; // instead of hono/streaming
 *
 * const log: string[] = [];
 * const Rows = resource(async function* Rows() {
 * 	yield ["a", "b"];
 * 	log.push("released");
 * });
 *
 * const root = openScope({ lifetime: "app" });
 * const app = new Hono();
 * app.use(requestScope({ parent: root }));
 * app.get("/rows", handler({ rows: Rows }, ({ rows }, c) =>
 * 	stream(c, async (writer) => {
 * 		for (const row of rows) await writer.write(row);
 * 		log.push("written");
 * 	}),
 * ));
 *
 * assert.equal(await (await app.request("/rows")).text(), "ab");
 * await root.disposeAsync(); // it waits for the request
 * assert.deepEqual(log, ["written", "released"]);
 * ```
 */
export const stream: typeof honoStream = followed(honoStream);

/** Hono's `streamText()`, followed as {@link stream} is. */
export const streamText: typeof honoStreamText = followed(honoStreamText);

/** Hono's `streamSSE()`, followed as {@link stream} is. */
export const streamSSE: typeof honoStreamSSE = followed(honoStreamSSE);

/**
 * Wraps the app's error handler, `app.onError(releaseErrors(onError))`, so that the resources are told of an error first,
 * also of one that no {@link handler} has seen. A sub-app's own error handler needs it as well.
 */
export function releaseErrors<E extends Env>(onError: ErrorHandler<E>): ErrorHandler<E> {
	if (typeof onError !== "function") {
		throw new InvalidArgumentError(
			"Expected the app's error handler for releaseErrors(): app.onError(releaseErrors((error, c) => ...)).",
		);
	}
	return async function releaseErrors(error, c) {
		const exchange = deliveries.get(c)?.exchange;
		if (exchange === undefined || exchange.hasFailed) return onError(error, c);
		return onError(asError((await exchange.fail(error)).error), c);
	};
}
