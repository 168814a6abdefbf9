import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A module of the tests in a process of its own, and the lines that it prints. */
export class Child {
	readonly lines: string[] = [];
	/** Its exit code, or the signal that ended it. */
	readonly exited: Promise<{ code: number | NodeJS.Signals; stderr: string }>;
	readonly #process: ChildProcessWithoutNullStreams;
	#wake: () => void = () => {};

	/** @param module - Its path in `test/`. */
	constructor(module: string, ...args: readonly string[]) {
		const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));
		const options = ["--disable-warning=ExperimentalWarning", "--import", path("source.ts")];
		this.#process = spawn(process.execPath, [...options, path(module), ...args], {
			stdio: "pipe",
		});
		const { stdout, stderr } = this.#process;
		createInterface(stdout).on("line", (line) => {
			this.lines.push(line);
			this.#wake();
		});
		let printed = "";
		stderr.on("data", (text) => {
			printed += text;
		});
		this.exited = once(this.#process, "close").then(([code, signal]) => ({
			code: code ?? signal,
			stderr: printed,
		}));
		void this.exited.then(() => this.#wake());
	}

	kill(signal: NodeJS.Signals): void {
		this.#process.kill(signal);
	}

	/** Writes a line to its standard input. */
	send(line: string): void {
		this.#process.stdin.write(`${line}\n`);
	}

	/** Ends its standard input. */
	end(): void {
		this.#process.stdin.end();
	}

	/** Waits until it has printed that many such lines. */
	async until(line: string | RegExp, count = 1): Promise<void> {
		const isOne = (each: string) => (typeof line === "string" ? each === line : line.test(each));
		while (this.lines.filter(isOne).length < count) {
			const { exitCode, signalCode } = this.#process;
			if (exitCode !== null || signalCode !== null) throw new Error((await this.exited).stderr);
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}
}
