import { createServer, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Hono } from "hono";

/** What is used of the other runtimes' own servers. */
interface Runtimes {
	readonly Bun?: {
		serve(options: { port: number; hostname: string; idleTimeout: number; fetch: Fetch }): {
			readonly port: number;
			stop(closeConnections: boolean): Promise<void>;
		};
	};
	readonly Deno?: {
		serve(
			options: { port: number; hostname: string; signal: AbortSignal; onListen(): void },
			fetch: (request: Request, info: { readonly completed: Promise<void> }) => Promise<Response>,
		): { readonly addr: { readonly port: number } };
	};
}
type Fetch = (request: Request, env: unknown) => Promise<Response>;

const { Bun, Deno } = globalThis as Runtimes;

/** The server of the runtime itself, other than `node:http`. */
export const ownServer = Bun ? "Bun.serve" : Deno ? "Deno.serve" : undefined;

/** A server on a port of its own. */
export interface Listening {
	readonly port: number;
	close(): Promise<unknown>;
}

const hostname = "127.0.0.1";

/** Serves with `node:http`, and logs heads and ends of the responses. */
export async function listen(listener: RequestListener, log: string[]): Promise<Listening> {
	const server = createServer((req, res) => {
		watch(res, log);
		listener(req, res);
	});
	await new Promise<void>((resolve) => server.listen(0, hostname, resolve));
	const { port } = server.address() as AddressInfo;
	return {
		port,
		close: () => {
			server.closeAllConnections();
			return new Promise((resolve) => server.close(resolve));
		},
	};
}

/** Logs the head of a response, and whether it was completely sent. */
function watch(res: ServerResponse, log: string[]): void {
	const writeHead = res.writeHead as (...args: unknown[]) => ServerResponse;
	let finished = false;
	res.writeHead = (...args: unknown[]) => {
		log.push(`head ${String(args[0])}`);
		return writeHead.apply(res, args);
	};
	res.on("finish", () => {
		finished = true;
		log.push("sent");
	});
	res.on("close", () => {
		if (!finished) log.push("gone");
	});
}

/**
 * Serves with the runtime's own server, and logs what it tells: Bun's knows of clients that leave, Deno's of the end of
 * each response as well, but doesn't say which it was.
 *
 * @param hasLeft - Whether a client has left.
 */
export async function listenOwn(
	app: Hono,
	log: string[],
	hasLeft: () => boolean,
): Promise<Listening> {
	const answer = async (request: Request, env: unknown) => {
		const response = await app.fetch(request, env as object);
		log.push(`head ${response.status}`);
		return response;
	};
	if (Bun !== undefined) {
		const server = Bun.serve({
			port: 0,
			hostname,
			idleTimeout: 60,
			fetch: (request, env) => {
				request.signal.addEventListener("abort", () => log.push("gone"), { once: true });
				return answer(request, env);
			},
		});
		return { port: server.port, close: () => server.stop(true) };
	}
	if (Deno === undefined) throw new Error("Only Bun and Deno have a server of their own");
	const closing = new AbortController();
	const options = { port: 0, hostname, signal: closing.signal, onListen() {} };
	const server = Deno.serve(options, (request, info) => {
		let gone = false;
		request.signal.addEventListener("abort", () => {
			gone = hasLeft();
			if (gone) log.push("gone");
		});
		void info.completed.then(() => gone || log.push("sent"));
		return answer(request, info);
	});
	// not shutdown(), which waits for handlers that never end
	return { port: server.addr.port, close: async () => closing.abort() };
}
