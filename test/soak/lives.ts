import type pg from "pg";
import { Child } from "../child.ts";
import type { Marks, State } from "./verdict.ts";

/** One server, process after process. */
export class Lives {
	/** Where it listens, if it runs. */
	port: number | undefined;
	/** How many processes were ended by each signal. */
	readonly ended = { SIGTERM: 0, SIGKILL: 0 };
	readonly exits: string[] = [];
	readonly #args: readonly string[];
	readonly #children: Child[] = [];
	#control: number | undefined;

	constructor(name: string, config: pg.PoolConfig) {
		this.#args = [name, JSON.stringify(config)];
	}

	async start(): Promise<void> {
		const child = new Child("soak/server.ts", ...this.#args);
		this.#children.push(child);
		await child.until(/^listening/);
		const [, port, control] = child.lines[0]?.split(" ") ?? [];
		this.port = Number(port);
		this.#control = Number(control);
	}

	async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
		const child = this.#children.at(-1);
		if (child === undefined) return;
		child.kill(signal);
		this.ended[signal]++;
		const { code, stderr } = await child.exited;
		this.port = undefined;
		const isClosed = child.lines.includes("closed");
		if (stderr !== "" || (signal === "SIGTERM" ? code !== 0 || !isClosed : code !== signal)) {
			this.exits.push(`${signal}: code ${code}, closed ${isClosed}, ${stderr}`);
		}
	}

	/** Ends the process that runs, if one does. */
	kill(): void {
		this.#children.at(-1)?.kill("SIGKILL");
	}

	/** What the process that runs holds when everything has come to rest. */
	async state(): Promise<State> {
		const response = await fetch(`http://127.0.0.1:${this.#control}`).catch((cause) => {
			const told = ["The server has ended by itself.", ...this.strays()];
			throw new Error(told.join("\n"), { cause });
		});
		return (await response.json()) as State;
	}

	/** What all of them have said of the orders. */
	marks(): Map<string, Marks> {
		const marks = new Map<string, Marks>();
		for (const line of this.#lines()) {
			const [mark, id = "", xid = ""] = line.split(" ");
			if (mark === "begun") marks.set(id, { xid, commits: false, committed: false });
			const known = marks.get(id);
			if (known === undefined) continue;
			if (mark === "commits") marks.set(id, { ...known, commits: true });
			if (mark === "committed") marks.set(id, { ...known, committed: true });
		}
		return marks;
	}

	strays(): string[] {
		return this.#lines().filter((line) => line.startsWith("stray "));
	}

	#lines(): string[] {
		return this.#children.flatMap(({ lines }) => lines);
	}
}
