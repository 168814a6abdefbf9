import { PRODUCTS } from "../../docs/examples/shop/schema.ts";
import { seeded } from "./random.ts";

/** What a request asks for. */
type Task = "order" | "export" | "receipt";

/** Where the server fails: in a setup (of its own, or of what it needs), in the handler, in COMMIT, ... */
type Fault = "setup" | "user" | "handler" | "commit" | "stream" | "after";

/** When the client leaves: in mid-head, in mid-body, after its request, with the answer's head, in the answer's body. */
type Departure = "head" | "upload" | "sent" | "answer" | "body";

/** One request: what it asks for, and what goes wrong. */
export interface Visit {
	/** Its `x-request-id`, which begins with `kind`. */
	readonly id: string;
	readonly kind: Task | Fault | "abort";
	/** The customer: `id`, but for one who doesn't say. */
	readonly user: string;
	readonly path: string;
	readonly body: object | undefined;
	/** The order that it replaces, in one transaction with its own. */
	readonly replaces: number | undefined;
	readonly departure: Departure | undefined;
	/** When a client leaves that has sent its request, in milliseconds. */
	readonly delay: number;
	/** What the answer must be, unless the client leaves. */
	readonly status: number;
}

const tasks: readonly Task[] = ["order", "order", "export", "receipt"];
const faults: Readonly<Record<Fault, { task: Task; status: number }>> = {
	setup: { task: "order", status: 500 },
	user: { task: "order", status: 401 },
	handler: { task: "order", status: 404 },
	commit: { task: "order", status: 409 },
	stream: { task: "export", status: 200 },
	after: { task: "receipt", status: 202 },
};
const statuses: Readonly<Record<Task, number>> = { order: 201, export: 200, receipt: 202 };
const departures: readonly Departure[] = ["head", "upload", "sent", "sent", "answer", "body"];

/**
 * Requests in random order: of ten, one that is aborted, and one that fails in each of setup, handler, COMMIT, stream
 * and after work; the rest does well. Request `n` has the order `n` at its disposal.
 */
export function plan(count: number, seed: number): Visit[] {
	const random = seeded(seed);
	const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
	return Array.from({ length: count }, (_, index) => {
		const order = index + 1;
		const decile = Math.floor(random() * 10);
		const fault = pick(
			([["setup", "user"], ["handler"], ["commit"], ["stream"], ["after"]] as const)[decile] ?? [
				undefined,
			],
		);
		const task = fault === undefined ? pick(tasks) : faults[fault].task;
		const departure = decile === 5 ? pick(departures) : undefined;
		const kind = departure === undefined ? (fault ?? task) : "abort";
		const id = `${kind}-${order}`;
		return {
			id,
			kind,
			user: kind === "user" ? "" : id,
			path: { order: "/orders", export: "/products", receipt: "/receipts" }[task],
			body: {
				order: {
					product: kind === "commit" ? PRODUCTS + 1 : 1,
					quantity: 1,
					replaces: kind === "handler" ? 2 ** 31 - 1 : order,
				},
				export: undefined,
				receipt: { order },
			}[task],
			replaces: task === "order" ? order : undefined,
			departure,
			delay: Math.floor(random() ** 2 * 300), // with so many at a time, an answer takes about that long
			status: fault === undefined ? statuses[task] : faults[fault].status,
		};
	});
}
