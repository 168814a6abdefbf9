import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import { type Binding, openScope, provide, type Scope } from "yieldscope";
import { expressShop } from "./express.ts";

import { honoShop } from "./hono.ts";
import { koaShop } from "./koa.ts";

import { Logger, Pool } from "./resources.ts";
import { Timeline } from "./timeline.ts";

export const servers: Readonly<Record<string, (app: Scope) => Server>> = {
	Express: expressShop,
	Koa: koaShop,
	Hono: honoShop,
};

/** A server that runs, and what it takes to drive it and to look into it. */
export interface Shop extends AsyncDisposable {
	readonly name: string;
	readonly url: string;
	readonly app: Scope;
	readonly timeline: Timeline;
	/** The status of each answer, by request. */
	readonly answers: ReadonlyMap<string, number>;
	/** What reached `onReleaseError`. */
	readonly reported: readonly unknown[];
	/** Sends a request in the name of the customer `id`. With a body it is a POST. */
	send(id: string, path: string, body?: object, signal?: AbortSignal): Promise<Response>;
	/** Waits until no request scope is open. */
	idle(): Promise<void>;
}

/** Starts a server on a free loopback port, with an app scope of its own. */
export async function openShop(
	name: string,
	create: (app: Scope) => Server,
	database: Binding,
): Promise<Shop> {
	const timeline = new Timeline();
	const answers = new Map<string, number>();
	const reported: unknown[] = [];
	const app = openScope({
		name,
		lifetime: "app",
		bindings: [database, provide(Logger, timeline.record)],
		releaseTimeout: 5_000,
		onReleaseError: (error) => reported.push(error),
	});
	await app.use(Pool);
	const server = create(app);
	timeline.observe(server);
	await once(server.listen(0, "127.0.0.1"), "listening");
	const { port } = server.address() as AddressInfo; // it listens on TCP
	const url = `http://127.0.0.1:${port}`;

	return {
		name,
		url,
		app,
		timeline,
		answers,
		reported,
		async send(id, path, body, signal) {
			const response = await fetch(url + path, {
				method: body ? "POST" : "GET",
				headers: { "x-request-id": id, "x-user": id, "content-type": "application/json" },
				body: body ? JSON.stringify(body) : null,
				signal: signal === undefined ? app.signal : AbortSignal.any([app.signal, signal]),
			});
			answers.set(id, response.status);
			return response;
		},
		async idle() {
			for (let tries = 0; app.inspect().children.length > 0; tries++) {
				if (tries === 1000) throw new Error(`${name}: a request scope stays open`);
				await setTimeout(2);
			}
		},
		async [Symbol.asyncDispose]() {
			server.close();
			server.closeAllConnections();
			await app.disposeAsync();
		},
	};
}
