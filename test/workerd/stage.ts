import { Hono } from "hono";
import { openScope, type Resource, resource, type Scope, tryCurrentScope } from "yieldscope";
import { releaseErrors, requestScope } from "yieldscope/hono";

/** What a traced resource does, beside its log. */
interface Answers {
	readonly setup?: () => unknown;
	readonly success?: () => unknown;
	readonly failure?: (error: unknown) => unknown;
}

/** One scenario's app in the worker, its log, and resources that write to it. */
export interface Stage {
	readonly log: string[];
	readonly root: Scope;
	readonly app: Hono;
	/** Of the request's lifetime, and of the handler's. */
	readonly R: Resource<string>;
	readonly H: Resource<string>;
	/** Logs `+name`, then `-name` on success and `-name message` on failure. */
	traced(name: string, lifetime: string, answers?: Answers): Resource<string>;
	/** A body of chunks that come one by one; the end of it is logged. */
	body(chunks: () => AsyncGenerator<string>): ReadableStream<Uint8Array>;
	/** Lets who waits `until(gate)` go on. */
	open(gate: string): void;
	/** Waits for the test. By a timer: a worker mustn't wait for what another request settles. */
	until(gate: string): Promise<void>;
}

/** @param mounts - How often `requestScope` is mounted. */
export function makeStage(mounts: number): Stage {
	const log: string[] = [];
	const onReleaseError = (error: unknown) => log.push(`reported ${textOf(error)}`);
	const root = openScope({ lifetime: "app", name: "app", onReleaseError });
	const app = new Hono();
	for (let i = 0; i < mounts; i++) app.use(requestScope({ parent: root, abortGrace: 200 }));
	app.onError(
		releaseErrors((error, c) => {
			log.push(`errh ${error.message}`);
			const { status = 500 } = error as { status?: 500 };
			return c.json({ error: error.message }, status);
		}),
	);
	const traced: Stage["traced"] = (name, lifetime, answers = {}) =>
		resource(
			async function* () {
				log.push(`+${name}`);
				await answers.setup?.();
				try {
					yield name;
				} catch (error) {
					log.push(`-${name} ${textOf(error)}`);
					throw (await answers.failure?.(error)) ?? error;
				}
				log.push(`-${name}`);
				await answers.success?.();
			},
			{ name, lifetime },
		);
	const opened = new Set<string>();
	return {
		log,
		root,
		app,
		R: traced("R", "request"),
		H: traced("H", "handler"),
		traced,
		body: (make) => {
			const chunks = (async function* () {
				try {
					yield* make();
				} finally {
					log.push(`finally in ${where()}`);
				}
			})();
			return new ReadableStream({
				async pull(controller) {
					const { done, value } = await chunks.next();
					if (done) controller.close();
					else controller.enqueue(new TextEncoder().encode(value));
				},
				cancel: async () => void (await chunks.return(undefined)),
			});
		},
		open: (gate) => void opened.add(gate),
		until: async (gate) => {
			while (!opened.has(gate)) await soon();
		},
	};
}

/** A macrotask. */
export function soon(): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, 1));
}

/** Where we are: the ambient scope's name. */
export function where(): string {
	return tryCurrentScope()?.name ?? "nowhere";
}

/** What an error says, whatever was thrown. */
function textOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

/** An error with a status. */
export function httpError(status: number, message: string): Error {
	return Object.assign(new Error(message), { status });
}
