import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A module of the tests in a process of its own, and the lines that it prints. */
export class Child {
	readonly lines: string[] = [];
	readonly exited: Promise<{ code: number | null; stderr: string }>;
	readonly #process: ChildProcess;
	#wake: () => void = () => {};

	/** @param module - Its path in `test/`. */
	constructor(module: string, ...args: readonly string[]) {
		const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));
		const options = ["--disable-warning=ExperimentalWarning", "--import", path("source.ts")];
		this.#process = spawn(process.execPath, [...options, path(module), ...args], {
			stdio: ["ignore", "pipe", "pipe"],
		});
		const { stdout, stderr } = this.#process;
		if (stdout === null || stderr === null) throw new Error("unreachable: both are pipes");
		createInterface(stdout).on("line", (line) => {
			this.lines.push(line);
			this.#wake();
		});
		let printed = "";
		stderr.on("data", (text) => {
			printed += text;
		});
		this.exited = once(this.#process, "close").then(([code]) => ({ code, stderr: printed }));
		void this.exited.then(() => this.#wake());
	}

	kill(signal: NodeJS.Signals): void {
		this.#process.kill(signal);
	}

	/** Waits until it has printed that many such lines. */
	async until(line: string | RegExp, count = 1): Promise<void> {
		const isOne = (each: string) => (typeof line === "string" ? each === line : line.test(each));
		while (this.lines.filter(isOne).length < count) {
			if (this.#process.exitCode !== null) throw new Error((await this.exited).stderr);
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}
}
