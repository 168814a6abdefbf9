import { type Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { setTimeout } from "node:timers/promises";
import type { Departure, Visit } from "./plan.ts";

/** What a client saw of the answer to its request. */
export interface Answer {
	/** Whether there was a server to connect to. */
	readonly reached: boolean;
	/** As soon as the head's first line is there, whatever happens then. */
	readonly status: number | undefined;
	/** Whether the client gave up waiting. */
	readonly hung: boolean;
}

/** How long a client waits for all of its answer, in milliseconds. */
const PATIENCE = 30_000;

/** Sends one request as the plan has it. */
export async function send(visit: Visit, port: number, agent: Agent): Promise<Answer> {
	const timeout = AbortSignal.timeout(PATIENCE);
	const answer =
		visit.departure === undefined
			? await visitOf(visit, port, agent, timeout)
			: await leave(visit, visit.departure, port, timeout);
	return { ...answer, hung: timeout.aborted };
}

type Seen = Omit<Answer, "hung">;

async function visitOf(
	visit: Visit,
	port: number,
	agent: Agent,
	signal: AbortSignal,
): Promise<Seen> {
	const { method, path, headers, body } = messageOf(visit);
	const req = request({ port, host: "127.0.0.1", agent, method, path, headers, signal });
	const answered = new Promise<IncomingMessage | NodeJS.ErrnoException | undefined>((resolve) => {
		req.on("response", resolve);
		req.on("error", resolve);
		req.on("close", () => resolve(undefined));
	});
	let sent = 0;
	for (const { at, ms } of visit.pauses) {
		const end = Math.floor(at * body.length);
		req.write(body.slice(sent, end));
		sent = end;
		await setTimeout(ms);
	}
	req.end(body.slice(sent));
	const response = await answered;
	if (response === undefined || response instanceof Error) {
		return { reached: response?.code !== "ECONNREFUSED", status: undefined };
	}
	response.on("error", () => {}); // it was cut
	response.resume();
	await new Promise((resolve) => response.on("close", resolve));
	return { reached: true, status: response.statusCode };
}

async function leave(
	visit: Visit,
	{ from, at, ms, resets }: Departure,
	port: number,
	signal: AbortSignal,
): Promise<Seen> {
	const { method, path, headers, body } = messageOf(visit);
	const fields = Object.entries({ host: "127.0.0.1", ...headers });
	const head = [`${method} ${path} HTTP/1.1`, ...fields.map((field) => field.join(": ")), "", ""];
	const message = Buffer.from(head.join("\r\n") + body);
	const socket = connect({ port, host: "127.0.0.1", signal });
	const go = () => void (resets ? socket.resetAndDestroy() : socket.destroy());
	let reached = true;
	let got = 0;
	let line = "";
	socket.on("error", ({ code }: NodeJS.ErrnoException) => {
		if (code === "ECONNREFUSED") reached = false;
	});
	socket.on("data", (data) => {
		got += data.length;
		if (line.length < 12) line += data.toString("latin1", 0, 12);
		if (from === "answer" && got >= at) go();
	});
	const end = from === "request" ? Math.floor(at * message.length) : message.length;
	socket.write(message.subarray(0, end), () => {
		if (from === "request") void setTimeout(ms).then(go);
	});
	await new Promise((resolve) => socket.on("close", resolve));
	const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(line) ?? [];
	return { reached, status: status === undefined ? undefined : Number(status) };
}

function messageOf({ id, path, body }: Visit) {
	const text = body === undefined ? "" : JSON.stringify(body);
	return {
		method: body === undefined ? "GET" : "POST",
		path,
		body: text,
		headers: {
			"x-request-id": id,
			"x-user": id,
			"content-type": "application/json",
			"content-length": text.length,
		},
	};
}
