/**
 * A page that shows what scopes and their resources do.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { InvalidArgumentError, tryCurrentScope } from "./index.ts";
import { refusalOf } from "./inspector/guard.ts";
import { answer } from "./inspector/node-listener.ts";
import { renderPage } from "./inspector/page.ts";
import { ownRequest, Recorder } from "./inspector/recorder.ts";
import { updatesOf } from "./inspector/updates.ts";

/** The options of {@link openInspector}. */
export interface InspectorOptions {
	/**
	 * How many closed scopes are remembered, and how many open ones at most.
	 *
	 * @defaultValue 200
	 */
	readonly limit?: number | undefined;
	/**
	 * Says who may see the page: the app's own guard, in place of the default one.
	 *
	 * @defaultValue whoever sits at this machine: a request from a loopback address, for `localhost` or a loopback address,
	 * that no proxy says it has forwarded. Where the address isn't known, nobody.
	 */
	readonly allow?: ((request: Request) => boolean | Promise<boolean>) | undefined;
}

/** A Koa context, as far as it is needed. */
export interface KoaContext {
	/** The request of Node's server. */
	readonly req: IncomingMessage;
	/** The response of Node's server. */
	readonly res: ServerResponse;
	/** The request's path. */
	readonly path: string;
	/** Whether Koa answers. */
	respond?: boolean;
}

/** Records what happens until it is disposed, and serves the page that shows it. */
export interface Inspector extends Disposable {
	/**
	 * Answers a request, wherever it is mounted. A path that ends with `/events` is the page's own.
	 *
	 * @param server - What the server gives beside a request, in which its sender's address is looked for: Hono has it in
	 * `c.env`, on Node and Deno.
	 */
	readonly fetch: (request: Request, server?: unknown) => Promise<Response>;
	/** Answers a request of Node's server, or of Express. */
	readonly listener: (incoming: IncomingMessage, outgoing: ServerResponse) => void;
	/** Makes a middleware for Koa, which answers requests for `path`. */
	readonly koa: (
		path: string,
	) => (context: KoaContext, next: () => Promise<unknown>) => Promise<void>;
}

/**
 * Records the scopes that are open and the last ones that were, and serves a page that shows what is open, what a request
 * waited for, and what kept it open. It never holds or shows a value: names and times only, of errors the name.
 *
 * Until it is opened, and once it is disposed, nothing is recorded. Mount it before `requestScope()`; only who sits at this
 * machine sees the page, unless `allow` says who does.
 *
 * @throws {@link index.InvalidArgumentError} If an option is of the wrong kind.
 *
 * @example A page beside the app, on a port of its own
 * ```ts
 * import assert from "node:assert/strict";
 * import { once } from "node:events";
 * import { createServer } from "node:http";
 * import type { AddressInfo } from "node:net";
 * import { openInspector } from "yieldscope/inspector";
 *
 * const inspector = openInspector({ limit: 500 });
 * const server = createServer(inspector.listener).listen(0, "127.0.0.1");
 * await once(server, "listening");
 * const { port } = server.address() as AddressInfo;
 *
 * const page = await fetch(`http://localhost:${port}/`);
 * assert.match(await page.text(), /<title>yieldscope<\/title>/);
 * inspector[Symbol.dispose]();
 * server.close();
 * ```
 *
 * @example Mounting it
 * ```ts
 * import express from "express";
 * import { Hono } from "hono";
 * import Koa from "koa";
 * import { openInspector } from "yieldscope/inspector";
 *
 * const inspector = openInspector();
 * express().use("/inspector", inspector.listener);
 * new Koa().use(inspector.koa("/inspector"));
 * new Hono().get("/inspector/*", (c) => inspector.fetch(c.req.raw, c.env));
 * inspector[Symbol.dispose]();
 * ```
 */
export function openInspector(options: InspectorOptions = {}): Inspector {
	const { limit = 200, allow } = options;
	if (!Number.isSafeInteger(limit) || limit < 1)
		throw new InvalidArgumentError("Expected `limit` to be a positive integer.");
	if (allow !== undefined && typeof allow !== "function")
		throw new InvalidArgumentError(
			"Expected `allow` to be a function from a request to a boolean.",
		);
	const recorder = new Recorder(limit);
	const ends = new Set<() => void>();
	let page: ReturnType<typeof renderPage> | undefined;
	let isClosed = false;

	const refuse = async (request: Request, server: unknown) => {
		if (allow === undefined) return refusalOf(request, server);
		return (await allow(request)) ? undefined : "this app doesn't allow it";
	};

	const fetch = async (request: Request, server?: unknown): Promise<Response> => {
		tryCurrentScope()?.mark(ownRequest);
		const refusal = await refuse(request, server);
		if (refusal !== undefined) {
			return text(
				403,
				`The inspector is for who sits at its machine, but ${refusal}. openInspector({ allow }) lets others in.\n`,
			);
		}
		if (request.method !== "GET" && request.method !== "HEAD") return text(405, "GET it.\n");
		if (isClosed) return text(503, "The inspector is closed.\n");
		if (new URL(request.url).pathname.endsWith("/events")) {
			const updates = updatesOf(recorder, (end) => {
				ends.add(end);
				return () => ends.delete(end);
			});
			return new Response(updates, { headers: headers("text/event-stream") });
		}
		page ??= renderPage();
		const { html, policy } = await page;
		return new Response(html, {
			headers: { ...headers("text/html; charset=utf-8"), "content-security-policy": policy },
		});
	};

	const listener = (incoming: IncomingMessage, outgoing: ServerResponse) => {
		answer(incoming, outgoing, fetch).catch(() => outgoing.destroy());
	};

	return {
		fetch,
		listener,
		koa: (path) => async (context, next) => {
			if (context.path !== path && !context.path.startsWith(`${path}/`)) {
				await next();
				return;
			}
			context.respond = false;
			listener(context.req, context.res);
		},
		[Symbol.dispose]() {
			isClosed = true;
			recorder[Symbol.dispose]();
			for (const end of [...ends]) end();
		},
	};
}

function text(status: number, body: string): Response {
	return new Response(body, { status, headers: headers("text/plain; charset=utf-8") });
}

function headers(type: string): Record<string, string> {
	return {
		"content-type": type,
		// proxies and compression would keep back what is to be seen at once
		"cache-control": "no-store, no-transform",
		"cross-origin-resource-policy": "same-origin",
		"referrer-policy": "no-referrer",
		"x-content-type-options": "nosniff",
	};
}
