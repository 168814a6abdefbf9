import { type Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { setTimeout } from "node:timers/promises";
import type { Visit } from "./plan.ts";

/** What the client saw: a status, and whether the body came to its end. */
export interface Answer {
	readonly status: number | undefined;
	readonly complete: boolean;
}

/** Sends one request over a connection of `agent`, and leaves when the plan says so. */
export async function send(visit: Visit, port: number, agent: Agent): Promise<Answer> {
	const { id, user, path, departure, delay } = visit;
	const method = visit.body === undefined ? "GET" : "POST";
	if (departure === "head") {
		const socket = connect(port, "127.0.0.1");
		await new Promise((resolve) => socket.write(`${method} ${path} HTTP/1.1\r\nx-requ`, resolve));
		socket.destroy();
		return { status: undefined, complete: false };
	}
	const body = visit.body === undefined ? "" : JSON.stringify(visit.body);
	const req = request({
		port,
		host: "127.0.0.1",
		agent,
		method,
		path,
		headers: {
			"x-request-id": id,
			"x-user": user,
			"content-type": "application/json",
			"content-length": body.length,
		},
	});
	const answered = new Promise<IncomingMessage | undefined>((resolve, reject) => {
		req.on("response", resolve);
		req.on("error", (error) => (departure === undefined ? reject(error) : resolve(undefined)));
		req.on("close", () => resolve(undefined));
	});
	if (departure === "upload") {
		await new Promise((resolve) => req.write(body.slice(0, body.length / 2), resolve));
		req.destroy();
	} else {
		req.end(body);
		if (departure === "sent") void setTimeout(delay).then(() => req.destroy());
	}
	const response = await answered;
	if (response === undefined) return { status: undefined, complete: false };
	response.on("error", () => {}); // it was cut: `complete` tells
	if (departure === "answer") response.destroy();
	if (departure === "body") response.once("data", () => response.destroy());
	response.resume();
	await new Promise((resolve) => response.on("close", resolve));
	return { status: response.statusCode, complete: response.complete };
}
