import type { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";

import { setMethod } from "./method.ts";

/** Before Node 24 and on Deno, a queued response gets no `close` when the client goes; its socket does. */
const needsSocket =
	"Deno" in globalThis || Number(globalThis.process?.versions?.node?.split(".")[0] ?? 24) < 24;
const bySocket = new WeakMap<Socket, Set<() => void>>();

/** What is to be known of a response that a handler gives. */
export interface ResponseEvents {
	/** Restores the async context that listeners of its end may expect: the socket, which tells of it, knows nothing of the request. */
	run<R>(fn: () => R): R;
	/** A stream is piped into it. */
	onPipe?(source: Readable): void;
	/** It is over: completely sent, or never to be. Called once. */
	onOver(): void;
}

/** Follows a response. */
export function followResponse(
	req: Pick<IncomingMessage, "socket"> | undefined,
	res: ServerResponse,
	events: ResponseEvents,
): void {
	const callbacks = needsSocket && req?.socket ? callbacksOf(req.socket) : undefined;
	let isOver = false;
	const end = () => {
		if (isOver) return;
		isOver = true;
		callbacks?.delete(end);
		// the body's own cleanup, which an abort starts, and what waits for the `close` come after it
		setImmediate(() => events.onOver());
	};
	callbacks?.add(end);
	res.on("close", end); // not once(), which takes longer
	bindEnd(res, events, 1);
	if (res.destroyed || res.closed) end();
}

/** One listener for a socket, not one for each request that comes over it. */
function callbacksOf(socket: Socket): Set<() => void> {
	let callbacks = bySocket.get(socket);
	if (callbacks === undefined) {
		const added = new Set<() => void>();
		callbacks = added;
		bySocket.set(socket, added);
		socket.once("close", () => {
			for (const callback of added) callback();
		});
	}
	return callbacks;
}

/** Calls `callback` with the status when the head of a response is about to be sent. */
export function onHead(res: ServerResponse, callback: (status: number) => void): void {
	const writeHead = res.writeHead as AnyFunction;
	const onHead = (status: number, ...rest: unknown[]) => {
		callback(status);
		return writeHead.call(res, status, ...rest) as typeof res;
	};
	res.writeHead = onHead;
}

/**
 * When a client goes, its socket emits, and knows nothing of the request: restores what listeners may expect.
 *
 * @param own - How many listen for its `close` on our own behalf.
 */
export function bindEnd(
	emitter: EventEmitter,
	events: Pick<ResponseEvents, "run" | "onPipe">,
	own = 0,
): void {
	const { emit } = emitter;
	// setMethod() says why it isn't written where it is assigned; here it would take longer
	const emitBound: typeof emit = (event, ...args) => {
		if (event === "pipe") events.onPipe?.(args[0] as Readable);
		// as a rule nobody else listens for a close
		const isHeard = event === "close" && emitter.listenerCount("close") > own;
		return isHeard || event === "finish"
			? emitIn(events, emitter, emit, event, args)
			: emit.call(emitter, event, ...args);
	};
	emitter.emit = emitBound;
}

/** On its own, or every event would take memory for what only this needs. */
function emitIn(
	events: Pick<ResponseEvents, "run">,
	emitter: EventEmitter,
	emit: EventEmitter["emit"],
	event: string | symbol,
	args: unknown[],
): boolean {
	return events.run(() => emit.call(emitter, event, ...args));
}

/** The streams that are piped into a response. One that fails cuts the connection, as a pipeline does. */
export class Sources {
	readonly #res: ServerResponse;
	readonly #onError: (error: unknown) => void;
	readonly #onUnsent: (error: unknown) => void;
	readonly #streams = new Map<Readable, Promise<void>>();

	/** @param onUnsent - Given the error of one that fails while nothing has been sent, and nobody else listens to it. */
	constructor(
		res: ServerResponse,
		onError: (error: unknown) => void,
		onUnsent: (error: unknown) => void = () => res.destroy(),
	) {
		this.#res = res;
		this.#onError = onError;
		this.#onUnsent = onUnsent;
	}

	add(source: Readable): void {
		if (this.#streams.has(source)) return;
		const res = this.#res;
		const over = streamOver(source, (error) => {
			if (!this.#streams.has(source)) return;
			this.#onError(error);
			if (res.writableEnded) return;
			if (res.headersSent) res.destroy();
			else if (source.listenerCount("error") === 1) this.#onUnsent(error);
		});
		this.#streams.set(source, over);
	}

	/**
	 * Settles when the own cleanup of each that has been destroyed is done. A bare `pipe()` leaves its source alone when the
	 * client goes: there is nothing to wait for.
	 */
	over(): Promise<unknown> {
		const ending = [...this.#streams].filter(([source]) => source.destroyed && !source.closed);
		return Promise.all(ending.map(([, over]) => over));
	}

	/**
	 * Ends them, and keeps what they still have from an answer that isn't theirs.
	 *
	 * @returns Settles when the own cleanup of each is done.
	 */
	drop(): Promise<unknown> {
		const dropped = [...this.#streams];
		this.#streams.clear();
		for (const [source] of dropped) source.unpipe(this.#res).destroy();
		return Promise.all(dropped.map(([, over]) => over));
	}
}

/** Resolves when a stream has closed; `onError` gets what made it fail, if that isn't the client's going. */
export function streamOver(stream: Readable, onError: (error: unknown) => void): Promise<void> {
	return new Promise((resolve) => {
		stream.on("error", (error: Error & { code?: string }) => {
			if (error.code !== "ERR_STREAM_PREMATURE_CLOSE" && error.name !== "AbortError")
				onError(error);
		});
		if (stream.closed) resolve();
		else stream.once("close", resolve);
	});
}

/** The ways to send something. */
const operations = ["writeHead", "write", "end", "flushHeaders"] as const;
type Operation = (typeof operations)[number];
type AnyFunction = (...args: unknown[]) => unknown;

/** What throws once the head counts as sent, but for headers that a release may still add, like cookies. */
const headerSetters = ["setHeader", "appendHeader", "removeHeader", "setHeaders"] as const;

/** How much is queued before `write` asks for a pause: more than any zlib stream buffers, or those would miss `drain`. */
const queueLimit = 128 * 1024;

/** Headers that describe the body of a response, and go when it is dropped. */
const bodyHeader =
	/^(?:content-(?!security)|etag$|last-modified$|accept-ranges$|location$|transfer-encoding$|trailer$|expires$|cache-control$)/;

/** Whether a header describes the body of a response. */
export function isBodyHeader(name: string): boolean {
	return bodyHeader.test(name.toLowerCase());
}

/** The names of a response's headers, as they were written where that is kept: HTTP/2 has only lower case. */
function writtenNames(res: ServerResponse): string[] {
	// all outgoing messages have it, but Node documents it for requests
	const { getRawHeaderNames = res.getHeaderNames } = res as { getRawHeaderNames?: () => string[] };
	return getRawHeaderNames.call(res);
}

/** As Node does, for headers that make another response of it. */
function refuseBodyHeaders(names: Iterable<string>): void {
	if (![...names].some(isBodyHeader)) return;
	throw headersSent("set");
}

/** The error that Node has for it. */
function headersSent(verb: "set" | "write"): Error {
	return Object.assign(new Error(`Cannot ${verb} headers after they are sent to the client`), {
		code: "ERR_HTTP_HEADERS_SENT",
	});
}

/** A response whose sending is held back. */
export interface HeldResponse {
	/** Lets everything pass from now on. */
	disarm(): void;
	/** Takes back status and headers, to what they were when nothing had been used yet. */
	dropHead(): void;
}

/**
 * Holds back everything that is sent until `before` is done; when that fails, drops it and calls `fail` instead. Until
 * that calls `reopen`, to make way for another answer, whatever is still sent is dropped as well.
 *
 * Only public members of the response are touched, on the instance. While it is held the response looks as it would
 * have: `headersSent` is true, a second answer throws.
 */
export function holdResponse(
	res: ServerResponse,
	before: () => PromiseLike<void> | undefined,
	fail: (error: unknown, reopen: () => void) => void,
): HeldResponse {
	const target = res as unknown as Record<string, AnyFunction>; // its methods, by name
	const below = new Map<Operation, AnyFunction>();
	const owned = new Set<Operation>();
	for (const name of operations) {
		if (Object.hasOwn(res, name)) owned.add(name);
		below.set(name, target[name] as AnyFunction);
	}
	const guarded = new Map<string, PropertyDescriptor | undefined>();
	const initialStatus = res.statusCode;
	const initialHeaders = writtenNames(res).map((name) => [name, res.getHeader(name)] as const);
	let answered = {};
	/** armed -> held -> open, or armed -> held -> dropped, or armed -> open */
	let state: "armed" | "held" | "open" | "dropped" = "armed";
	let queue: { readonly name: Operation; readonly args: unknown[] }[] = [];
	let queuedBytes = 0;
	let ended = false;
	let hasHead = false;
	let implicit = false;
	let paused = false;
	/** Tells who waits for something to be sent that it won't be. */
	let refuse: (args: unknown[]) => void = () => {};

	const send = (name: Operation, args: unknown[]) =>
		(below.get(name) as AnyFunction).apply(res, args);

	const shadow = (name: "headersSent" | "writableEnded", value: boolean) =>
		Object.defineProperty(res, name, { configurable: true, value });
	const hold = () => {
		state = "held";
		answered = { statusCode: res.statusCode, statusMessage: res.statusMessage };
		// values: with getters, V8 makes a hidden class for each response, and keeps it until the next full collection
		shadow("headersSent", true);
		for (const name of headerSetters) {
			if (typeof target[name] !== "function") continue;
			guarded.set(name, Object.getOwnPropertyDescriptor(res, name));
			const setter = target[name];
			setMethod(target, name, (...args) => {
				const [header] = args as [string | Map<string, unknown>];
				refuseBodyHeaders(typeof header === "string" ? [header] : header.keys());
				return setter.apply(res, args);
			});
		}
		Promise.resolve(before()).then(replay, drop);
	};
	const unhold = () => {
		Reflect.deleteProperty(res, "headersSent");
		Reflect.deleteProperty(res, "writableEnded");
		for (const [name, before] of guarded) {
			if (before === undefined) Reflect.deleteProperty(res, name);
			else Object.defineProperty(res, name, before);
		}
		guarded.clear();
	};
	const replay = () => {
		unhold();
		Object.assign(res, answered); // a second answer may have set another before it threw
		state = "open";
		let flowing: unknown = true;
		try {
			for (const { name, args } of queue) {
				const result = send(name, args);
				if (name === "write") flowing = result;
			}
		} catch (error) {
			drop(error); // a bad header or chunk, which would have been thrown at the caller
			return;
		}
		queue = [];
		if (paused && flowing !== false && !ended && !res.destroyed) res.emit("drain");
	};
	const drop = (error: unknown) => {
		state = "dropped";
		const dropped = queue;
		queue = [];
		refuse = (args) => {
			const callback = args.at(-1);
			if (typeof callback === "function") process.nextTick(callback, error);
		};
		for (const { args } of dropped) refuse(args);
		// a pipeline destroys what it writes to, but the connection is needed for another answer
		guarded.set("destroy", Object.getOwnPropertyDescriptor(res, "destroy"));
		setMethod(res, "destroy", () => res);
		// what waits for the response to go on, or to end
		process.nextTick(() => {
			if (state !== "dropped") return;
			if (paused) res.emit("drain");
			if (res.listenerCount("error") > 0) res.emit("error", error as Error); // whatever was thrown
		});
		fail(error, reopen);
	};
	const reopen = () => {
		unhold();
		// what was put over these, as compression is, believes that the response has ended: it goes as well
		for (const name of operations) {
			if (owned.has(name)) target[name] = below.get(name) as AnyFunction;
			else Reflect.deleteProperty(res, name);
		}
		dropHead();
	};
	const dropHead = () => {
		if (res.headersSent) return;
		for (const name of res.getHeaderNames()) res.removeHeader(name);
		for (const [name, value] of initialHeaders) if (value !== undefined) res.setHeader(name, value);
		res.statusCode = initialStatus;
		res.statusMessage = undefined as unknown as string; // Node's own initial value
	};
	/** As Node's own implicit head does, so that listeners of on-headers run at their usual moment. */
	const implicitHead = () => {
		if (hasHead) return;
		implicit = true;
		(target.writeHead as AnyFunction).call(res, res.statusCode);
		implicit = false;
		if (!hasHead) begin();
	};
	const begin = () => {
		hasHead = true;
		if (state === "armed") hold();
	};

	const held: Record<Operation, AnyFunction> = {
		writeHead(...args) {
			if (state === "open") return send("writeHead", args);
			if (state === "dropped") return res;
			if (hasHead) throw headersSent("write");
			if (!implicit && typeof args[0] === "number") res.statusCode = args[0];
			begin();
			if (!implicit) {
				queue.push({ name: "writeHead", args });
			}
			return res;
		},
		flushHeaders(...args) {
			if (state === "open") return send("flushHeaders", args);
			if (state === "dropped") return undefined;
			implicitHead();
			queue.push({ name: "flushHeaders", args });
			return undefined;
		},
		write(...args) {
			if (state === "open") return send("write", args);
			if (state === "dropped") {
				refuse(args);
				return true;
			}
			implicitHead();
			if (ended) return false;
			queue.push({ name: "write", args });
			queuedBytes += (args[0] as { length?: number } | undefined)?.length ?? 0;
			paused ||= queuedBytes >= queueLimit;
			return queuedBytes < queueLimit;
		},
		end(...args) {
			if (state === "open") return send("end", args);
			if (state === "dropped") {
				refuse(args);
				return res;
			}
			implicitHead();
			if (!ended) {
				ended = true;
				shadow("writableEnded", true);
				queue.push({ name: "end", args });
			}
			return res;
		},
	};
	for (const name of operations) target[name] = held[name];

	return {
		disarm() {
			if (state === "armed") state = "open";
		},
		dropHead,
	};
}
