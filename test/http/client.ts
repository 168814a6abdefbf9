import type { Socket } from "node:net";

/** A connection that sends what it is told, and leaves when it is told. */
export class Client {
	readonly #socket: Socket;
	readonly #closed: Promise<void>;
	#received = "";
	#hasLeft = false;
	#isClosed = false;
	#wake: () => void = () => {};

	constructor(socket: Socket) {
		this.#socket = socket;
		socket.setEncoding("latin1");
		socket.on("data", (text: string) => {
			this.#received += text;
			this.#wake();
		});
		socket.on("error", () => {}); // the server cuts connections; `close` follows
		this.#closed = new Promise((resolve) => {
			socket.on("close", () => {
				this.#isClosed = true;
				this.#wake();
				resolve();
			});
		});
	}

	get received(): string {
		return this.#received;
	}

	/** Whether it went away of itself. */
	get hasLeft(): boolean {
		return this.#hasLeft;
	}

	/** Sends requests as they are. */
	send(text: string): void {
		this.#socket.write(text);
	}

	/** Sends a request without a body. */
	get(path: string, method = "GET"): void {
		this.send(`${method} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
	}

	/** Waits until `text` has come. */
	async until(text: string | RegExp): Promise<void> {
		const has = () =>
			typeof text === "string" ? this.#received.includes(text) : text.test(this.#received);
		while (!has()) {
			if (this.#isClosed) throw new Error(`closed after ${JSON.stringify(this.#received)}`);
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	/** Waits until the server has closed the connection. */
	closed(): Promise<void> {
		return this.#closed;
	}

	pause(): void {
		this.#socket.pause();
	}

	resume(): void {
		this.#socket.resume();
	}

	/** Says that no more requests will come. */
	halfClose(): void {
		this.#hasLeft = true;
		this.#socket.end();
	}

	/** Goes away without a word. */
	leave(): void {
		this.#hasLeft = true;
		this.#socket.destroy();
	}
}
