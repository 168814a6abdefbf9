import type { Server, ServerResponse } from "node:http";
import { setTimeout } from "node:timers/promises";
import closeWithGrace from "close-with-grace";
import createError from "http-errors";
import type { Scope } from "yieldscope";

/** All in milliseconds, from the signal on. */
export interface ShutdownTimes {
	/** When requests and detached work that still run are told to give up: their scopes' `signal` aborts. */
	readonly abortAt: number;
	/** When the connections of those that don't are cut. */
	readonly cutAt: number;
	/** When the process exits, whatever is still open. */
	readonly exitAt: number;
}

/**
 * Ends the process in good order on SIGTERM, SIGINT and their like: no request that the server has taken is lost. A
 * second signal ends it at once. Call it before the server listens.
 *
 * @param onStop - Called at once, for what would never end by itself: WebSockets, event streams.
 */
export function shutDownOnSignal(
	server: Server,
	app: Scope,
	times: ShutdownTimes,
	onStop?: () => void,
): void {
	const stop = stopperOf(server);
	closeWithGrace({ delay: times.exitAt }, async ({ err }) => {
		if (err === undefined) app.complete();
		else {
			console.error(err);
			app.fail(err); // uncaught: nothing that the app owns is to be committed
		}
		// which waits for the scopes of requests, and for detached work
		const closed = stop().then(() => app.disposeAsync());
		onStop?.();
		if (!(await within(times.abortAt, closed))) {
			app.cancel(createError(503, "The server is shutting down"));
			if (!(await within(times.cutAt - times.abortAt, closed))) server.closeAllConnections();
		}
		await closed;
	});
}

/** Makes a function that stops a server. It resolves when the last connection is closed, and keeps none alive. */
function stopperOf(server: Server): () => Promise<void> {
	const responses = new Set<ServerResponse>();
	let stopping = false;
	const makeLast = (response: ServerResponse) => {
		if (!response.headersSent) response.setHeader("connection", "close");
	};
	server.prependListener("request", (_request, response) => {
		responses.add(response);
		if (stopping) makeLast(response);
		response.once("close", () => {
			responses.delete(response);
			if (stopping) server.closeIdleConnections(); // its head was out before
		});
	});
	return () => {
		stopping = true;
		responses.forEach(makeLast);
		return new Promise((resolve) => server.close(() => resolve()));
	};
}

/** Whether `promise` is done in that time. */
async function within(ms: number, promise: Promise<void>): Promise<boolean> {
	const timer = new AbortController();
	const timeout = setTimeout(ms, false, timer);
	const done = await Promise.race([promise.then(() => true), timeout]);
	timer.abort();
	return done;
}
