import type { Recorder } from "./recorder.ts";
import type { ScopeRecord } from "./recording.ts";

const interval = 250;
const heartbeat = 15_000;

/** Server-sent events: first all records, then those that have changed. */
export function updatesOf(
	recorder: Recorder,
	onEnd: (end: () => void) => () => void,
): ReadableStream<Uint8Array> {
	const encoder = new TextEncoder();
	/** A record that doesn't change any more, or the text of one that may. */
	const sent = new Map<number, ScopeRecord | string>();
	let quiet = 0;
	let stop = () => {};

	/** What the client doesn't know yet, if there is such. */
	const next = (): string | undefined => {
		const changed: string[] = [];
		const known = sent.size;
		const ids = new Set<number>();
		for (const record of recorder.records()) {
			ids.add(record.id);
			const was = sent.get(record.id);
			if (was === record) continue;
			const text = JSON.stringify(record);
			if (was === text) continue;
			sent.set(record.id, record.endedAt === undefined ? text : record);
			changed.push(text);
		}
		for (const id of sent.keys()) if (!ids.has(id)) sent.delete(id);
		if (changed.length === 0 && known === sent.size && quiet > 0) return undefined;
		const head = JSON.stringify({
			now: performance.now(),
			timeOrigin: performance.timeOrigin,
			missing: recorder.missing,
			ids: [...ids],
		});
		return `data: ${head.slice(0, -1)},"records":[${changed.join()}]}\n\n`;
	};

	return new ReadableStream({
		start(controller) {
			const send = () => {
				// a client that doesn't keep up gets the rest later
				if ((controller.desiredSize ?? 0) <= 0) return;
				const text = next();
				quiet = text === undefined ? quiet + interval : interval;
				if (text !== undefined) controller.enqueue(encoder.encode(text));
				else if (quiet % heartbeat < interval) controller.enqueue(encoder.encode(":\n\n"));
			};
			const timer = setInterval(send, interval);
			timer.unref?.();
			const forget = onEnd(() => {
				stop();
				controller.close();
			});
			stop = () => {
				clearInterval(timer);
				forget();
			};
			send();
		},
		cancel: () => stop(),
	});
}
