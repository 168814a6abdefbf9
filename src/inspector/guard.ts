/** What servers give beside a request, as far as it says who sent it: Hono's on Node, Deno's. */
interface ServerInfo {
	readonly incoming?:
		| { readonly socket?: { readonly remoteAddress?: string | undefined } | undefined }
		| undefined;
	readonly remoteAddr?: { readonly hostname?: string | undefined } | undefined;
}

const forwarding = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/** Why somebody who isn't known to sit at this machine is refused; `undefined`: they do. */
export function refusalOf(request: Request, server: unknown): string | undefined {
	const { incoming, remoteAddr } = (server ?? {}) as ServerInfo;
	const address = incoming?.socket?.remoteAddress ?? remoteAddr?.hostname;
	if (address === undefined) return "nobody knows where this request comes from";
	if (!/^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/i.test(address))
		return "this request comes from another machine";
	if (forwarding.some((name) => request.headers.has(name)))
		return "this request comes through a proxy";
	// a page that had its own name resolved to this machine
	const host = request.headers.get("host") ?? "";
	if (!isLocalName(host) || !isLocalName(new URL(request.url).host))
		return "this request is for another host";
	return undefined;
}

function isLocalName(host: string): boolean {
	return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(host);
}
