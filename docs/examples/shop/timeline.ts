import type { IncomingMessage, Server, ServerResponse } from "node:http";

export interface Event {
	readonly at: number;
	readonly text: string;
}

/** What happened, by request, in the order in which it happened. */
export class Timeline {
	readonly #requests = new Map<string, Event[]>();

	of(request: string): readonly Event[] {
		return this.#requests.get(request) ?? [];
	}

	/** Whether both happened, the one before the other. */
	isOrdered(request: string, first: RegExp, second: RegExp): boolean {
		const events = this.of(request);
		const index = events.findIndex(({ text }) => first.test(text));
		return index !== -1 && events.findIndex(({ text }) => second.test(text)) > index;
	}

	readonly record = (request: string, text: string): void => {
		const events = this.#requests.get(request) ?? [];
		this.#requests.set(request, events);
		events.push({ at: performance.now(), text });
	};

	/** Records what the server receives and what really leaves it. */
	observe(server: Server): void {
		server.prependListener("request", (request: IncomingMessage, response: ServerResponse) => {
			const id = String(request.headers["x-request-id"]);
			this.record(id, `${request.method} ${request.url}`);
			onFirstByte(response, () => this.record(id, `${response.statusCode}: first byte`));
			response.on("finish", () => this.record(id, `${response.statusCode}: last byte`));
			response.on("close", () => {
				if (!response.writableFinished) this.record(id, "the client has gone");
			});
		});
	}
}

/** Calls `fn` just before the first byte of `response` is handed to the socket. */
function onFirstByte({ socket }: ServerResponse, fn: () => void): void {
	if (socket === null) return;
	const { write } = socket;
	const first = (...args: Parameters<typeof write>) => {
		socket.write = write;
		fn();
		return write.apply(socket, args);
	};
	socket.write = first as typeof write; // the overloads are the original's
}

/** The lines of several timelines side by side: milliseconds since the request came in, and what happened. */
export function rows(timelines: readonly (readonly Event[])[]): string[][] {
	const length = Math.max(...timelines.map((events) => events.length));
	return Array.from({ length }, (_, row) => timelines.map((events) => cell(events, row)));
}

function cell(events: readonly Event[], row: number): string {
	const [first, event] = [events[0], events[row]];
	if (first === undefined || event === undefined) return "";
	return `${(event.at - first.at).toFixed(1).padStart(7)}  ${event.text}`;
}
