import { AsyncResource } from "node:async_hooks";
import type { Readable } from "node:stream";
import { setMethod } from "./method.ts";

/** What to tell of a body that is read piece by piece. */
export interface BodyEvents {
	/** The body failed half-way. */
	onError(error: unknown): void;
	/** The reader went away before the end. */
	onCancel?(): void;
	/** The body is read, has failed, or its own cleanup after a cancel is done. */
	onEnd(): void;
}

/** Whether `value` is a Node stream. */
export function isNodeStream(value: unknown): value is Readable {
	return typeof (value as { pipe?: unknown } | null | undefined)?.pipe === "function";
}

/** Runs a stream's own code in the current async context, though a server reads it from another. */
export function bindNodeStream(stream: Readable): void {
	const context = new AsyncResource("yieldscope.body");
	for (const name of ["_read", "_destroy"] as const) {
		const method = stream[name] as ((...args: unknown[]) => void) | undefined;
		if (typeof method !== "function") continue;
		setMethod(stream, name, function bound(this: Readable, ...args: unknown[]) {
			context.runInAsyncScope(method, this, ...args);
		});
	}
}

/** A stream that reads `source` in the current async context, and tells what becomes of it. */
export function bindWebStream(source: ReadableStream, events: BodyEvents): ReadableStream {
	const context = new AsyncResource("yieldscope.body");
	const reader = source.getReader();
	let over = false;
	const end = () => {
		if (over) return;
		over = true;
		events.onEnd();
	};
	return new ReadableStream(
		{
			pull: (controller) =>
				context.runInAsyncScope(async () => {
					try {
						const { done, value } = await reader.read();
						// a cancel makes a pending read end like the last one
						if (over) return;
						if (!done) {
							controller.enqueue(value);
							return;
						}
						controller.close();
					} catch (error) {
						if (over) return;
						events.onError(error);
						controller.error(error);
					}
					end();
				}),
			cancel: (reason) =>
				context.runInAsyncScope(async () => {
					if (over) return;
					over = true;
					events.onCancel?.();
					try {
						await reader.cancel(reason);
					} finally {
						events.onEnd();
					}
				}),
		},
		{ highWaterMark: 0 },
	);
}
