import type { IncomingMessage, ServerResponse } from "node:http";

/** Answers a request of Node's server with a web-standard handler. Express keeps the whole path elsewhere. */
export async function answer(
	incoming: IncomingMessage & { readonly originalUrl?: string },
	outgoing: ServerResponse,
	fetch: (request: Request, server: unknown) => Promise<Response>,
): Promise<void> {
	const response = await respond(incoming, fetch);
	outgoing.writeHead(response.status, Object.fromEntries(response.headers));
	const reader = response.body?.getReader();
	if (reader === undefined || incoming.method === "HEAD") {
		await reader?.cancel();
		outgoing.end();
		return;
	}
	outgoing.flushHeaders();
	outgoing.once("close", () => void reader.cancel().catch(() => {}));
	for (;;) {
		const { done, value } = await reader.read();
		if (done) break;
		if (!outgoing.write(value)) {
			await new Promise<void>((resolve) => {
				outgoing.once("drain", resolve).once("close", resolve);
			});
		}
	}
	outgoing.end();
}

async function respond(
	incoming: IncomingMessage & { readonly originalUrl?: string },
	fetch: (request: Request, server: unknown) => Promise<Response>,
): Promise<Response> {
	const { method = "GET", headers, originalUrl, url = "/" } = incoming;
	let request: Request;
	try {
		request = new Request(new URL(originalUrl ?? url, `http://${headers.host}`), {
			method,
			headers: Object.entries(headers).map(([name, value]) => [name, String(value)]),
		});
	} catch {
		return new Response("Bad request.\n", { status: 400 }); // a host or a method that there can't be
	}
	return fetch(request, { incoming });
}
