import { Agent } from "node:http";
import { setTimeout } from "node:timers/promises";
import { plainOrder, plan, type Visit } from "./plan.ts";
import { type Answer, send } from "./send.ts";

const CLIENTS = 24;
/** What all of them send in a second, should the machine be quicker than anybody's. */
const LIMIT = 1_000;
const PLAIN_ORDERS = 100;

/** Clients of one server, and what they have seen of it. */
export class Clients {
	readonly answers = new Map<Visit, Answer>();
	readonly #plans: readonly Iterator<Visit, never>[];
	readonly #server: { readonly port: number | undefined };
	readonly #agent = new Agent({ keepAlive: true });

	/** @param server - Its port, while it runs. */
	constructor(server: { readonly port: number | undefined }, seed: number) {
		this.#server = server;
		this.#plans = Array.from({ length: CLIENTS }, (_, i) => plan(seed, i + 1, CLIENTS));
	}

	/** Sends what is planned, all clients at once. */
	async load(seconds: number): Promise<void> {
		const end = performance.now() + seconds * 1000;
		let left = seconds * LIMIT;
		const go = async (visits: Iterator<Visit, never>) => {
			while (performance.now() < end && left-- > 0) {
				const { port } = this.#server;
				const answer =
					port === undefined ? undefined : await this.#visit(visits.next().value, port);
				if (!answer?.reached) await setTimeout(100);
			}
		};
		await Promise.all(this.#plans.map(go));
	}

	/** Places orders that nothing is done to, as many at a time as there are connections; gives their statuses. */
	async placePlain(connections: number): Promise<(number | undefined)[]> {
		const statuses: (number | undefined)[] = [];
		for (let placed = 0; placed < PLAIN_ORDERS; placed += connections) {
			const orders = Array.from({ length: connections }, (_, i) => plainOrder(1e9 + placed + i));
			const answers = orders.map((order) => this.#visit(order, Number(this.#server.port)));
			for (const { status } of await Promise.all(answers)) statuses.push(status);
		}
		return statuses;
	}

	/** Closes the connections that are kept alive. */
	leave(): void {
		this.#agent.destroy();
	}

	async #visit(visit: Visit, port: number): Promise<Answer> {
		const answer = await send(visit, port, this.#agent);
		this.answers.set(visit, answer);
		return answer;
	}
}
