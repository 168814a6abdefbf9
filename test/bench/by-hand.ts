import { AsyncLocalStorage } from "node:async_hooks";
import type { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";

/**
 * What one writes without a library for what the adapters promise, as far as a hello world needs it: resources are async
 * generators, made once in a request, and in its context; the handler's are released before the first byte, the
 * request's when the response is over and the handlers are done; latest first, each of them, told of success or of the
 * error; what listens for the end finds the request's context. Less than the adapters: there are no signals, replacements,
 * timeouts, snapshots or events, errors name nothing, and Express's response isn't held back until the handler's are
 * released. It is as quick as we could make it.
 */
export class RequestByHand {
	#handlers: Lifetime | undefined;
	#own: Lifetime | undefined;
	#working = 0;
	#onIdle: (() => void) | undefined;
	#failure: { readonly error: unknown } | undefined;
	#answer: Promise<void> | undefined;

	run<R>(fn: () => R): R {
		return storage.run(this, fn);
	}

	use<T>(setup: Setup<T>, lifetime: "request" | "handler" = "request"): Promise<T> {
		if (lifetime === "request") {
			this.#own ??= new Lifetime();
			return this.#own.use(setup, this);
		}
		this.#handlers ??= new Lifetime();
		return this.#handlers.use(setup, this);
	}

	async work<R>(fn: () => R): Promise<Awaited<R>> {
		this.#working++;
		try {
			return await fn();
		} finally {
			if (--this.#working === 0) this.#onIdle?.();
		}
	}

	/** Before the first byte; `undefined` if there is nothing to wait for. */
	answer(): Promise<void> | undefined {
		this.#answer ??= this.#handlers?.release(this.#failure);
		return this.#answer;
	}

	async fail(error: unknown): Promise<void> {
		this.#failure ??= { error };
		await this.#release();
	}

	async #release(): Promise<void> {
		try {
			const answer = this.answer();
			if (answer !== undefined) await answer;
		} catch (error) {
			this.#failure ??= { error };
		}
		await this.#own?.release(this.#failure);
	}

	/** Follows the response to its end. */
	follow(req: IncomingMessage | undefined, res: ServerResponse): void {
		if (req !== undefined) this.#bindEnd(req);
		// what else listens comes first
		res.on("close", () => setImmediate(() => void this.#end(res).catch(console.error)));
		this.#bindEnd(res, 1);
	}

	#bindEnd(emitter: EventEmitter, own = 0): void {
		const { emit } = emitter;
		emitter.emit = (event, ...args) => {
			const isHeard = event === "close" && emitter.listenerCount("close") > own;
			return isHeard || event === "finish"
				? this.run(() => emit.call(emitter, event, ...args))
				: emit.call(emitter, event, ...args);
		};
	}

	async #end(res: ServerResponse): Promise<void> {
		if (this.#working > 0) {
			await new Promise<void>((resolve) => {
				this.#onIdle = resolve;
			});
		}
		if (!res.writableFinished) this.#failure ??= { error: new Error("The client has gone.") };
		await this.#release();
	}
}

type Setup<T> = () => AsyncGenerator<T, void, undefined>;

const storage = new AsyncLocalStorage<RequestByHand>();

/** What lives as long as a request or its handlers. */
class Lifetime {
	readonly #open: AsyncGenerator<unknown, void, undefined>[] = [];
	readonly #values = new Map<Setup<unknown>, Promise<unknown>>();
	#pending = 0;

	use<T>(setup: Setup<T>, request: RequestByHand): Promise<T> {
		let value = this.#values.get(setup);
		if (value === undefined) {
			value = this.#acquire(setup, request);
			this.#values.set(setup, value);
		}
		return value as Promise<T>; // of that setup
	}

	async #acquire(setup: Setup<unknown>, request: RequestByHand): Promise<unknown> {
		const generator = setup();
		this.#pending++;
		try {
			const { value } = await storage.run(request, () => generator.next());
			this.#open.push(generator);
			return value;
		} finally {
			this.#pending--;
		}
	}

	async release(failure: { readonly error: unknown } | undefined): Promise<void> {
		if (this.#pending > 0) await Promise.allSettled(this.#values.values());
		let first = failure;
		for (let generator = this.#open.pop(); generator !== undefined; generator = this.#open.pop()) {
			try {
				if (first === undefined) await generator.next();
				else await generator.throw(first.error);
			} catch (error) {
				if (first === undefined) first = { error };
				else if (error !== first.error) console.error(error);
			}
		}
		if (first !== failure) throw first?.error;
	}
}

/** The request that is being answered. */
export function requestByHand(): RequestByHand {
	return storage.getStore() as RequestByHand; // a hello world has one
}

/** Calls `before` when the head is about to be sent. */
export function onHead(res: ServerResponse, before: () => void): void {
	const writeHead = res.writeHead as (...args: unknown[]) => ServerResponse;
	res.writeHead = (...args: unknown[]) => {
		before();
		return writeHead.apply(res, args);
	};
}
