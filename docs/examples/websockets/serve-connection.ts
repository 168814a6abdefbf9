import { on } from "node:events";
import type { WebSocket } from "ws";
import { type Binding, type Scope, withScope } from "yieldscope";

/** What to do with a connection. */
export interface Connection {
	/** The scope that encloses all connections, as a rule the app's. */
	readonly parent: Scope;
	readonly bindings?: readonly Binding[];
	/** Aborted when the server is to stop. What clients have sent before is still answered. */
	readonly stop: AbortSignal;
	/** Acquires what lives as long as the connection. */
	open(): unknown;
	/** Answers a message, in a scope of its own. The answer is sent when that has committed. */
	message(content: unknown): unknown;
	/** What the client is told of a message that failed. */
	problem(error: unknown): unknown;
}

/** Why a connection ended that nobody closed. */
export class ConnectionLostError extends Error {
	override readonly name = "ConnectionLostError";
}

/** The codes of a connection that somebody closed: normal, going away, none given. */
const closeCodes = [1000, 1001, 1005];

/**
 * Serves a connection: a `"connection"` scope, and in it a `"message"` scope for each message, one after the other. A
 * message that fails rolls back what is its own, and nothing else. A connection that breaks is a failure of its scope.
 *
 * @returns When everything is released. Rejects if the connection, or a release, failed.
 */
export function serveConnection(socket: WebSocket, connection: Connection): Promise<void> {
	const { parent, bindings } = connection;
	return withScope({ parent, bindings, lifetime: "connection" }, async (scope) => {
		const leaving = AbortSignal.any([connection.stop, scope.signal]);
		// at once: messages may come while `open` acquires; if many do, the socket is paused
		const messages = on(socket, "message", {
			close: ["close"],
			signal: leaving,
			highWaterMark: 16,
			lowWaterMark: 4,
		});
		let failure: Error | undefined;
		const fail = (error: Error) => {
			failure ??= error;
			scope.cancel(failure); // whoever is at work on a message may give up
		};
		socket.on("error", fail);
		socket.on("close", (code) => {
			if (!closeCodes.includes(code))
				fail(new ConnectionLostError(`The connection broke: ${code}`));
		});
		try {
			await connection.open();
			for await (const [data] of messages) {
				if (scope.signal.aborted) break;
				const answer = await withScope({ lifetime: "message" }, () =>
					connection.message(JSON.parse(String(data))),
				).catch(connection.problem);
				socket.send(JSON.stringify(answer));
			}
		} catch (error) {
			const toldToLeave = leaving.aborted && (error as Error).cause === leaving.reason;
			if (!toldToLeave) failure ??= error as Error;
		}
		socket.close(failure === undefined ? 1001 : 1011);
		if (failure !== undefined) throw failure;
	});
}
