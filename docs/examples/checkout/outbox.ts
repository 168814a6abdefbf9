import { currentScope, resource, use, withScope } from "yieldscope";
import { Tx } from "../transaction/transaction.ts";
import { Mails } from "./resources.ts";

/** What is to be queued, written in the transaction that it belongs to. */
export const OUTBOX = `CREATE TABLE outbox (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	name text NOT NULL,
	data jsonb NOT NULL
)`;

/** Queues jobs if the transaction commits, and only then: after the response. */
export const Outbox = resource(
	{ tx: Tx },
	({ tx }) => {
		currentScope().after(relay); // which is dropped if the request fails
		return {
			async add(name: string, data: object): Promise<void> {
				await tx.query("INSERT INTO outbox (name, data) VALUES ($1, $2)", [name, data]);
			},
		};
	},
	{ name: "Outbox", lifetime: "handler" },
);

/**
 * Hands over to the queue what has been committed. To be called by a timer as well, for what a process has left that was
 * killed. If this one is killed, a job may be handed over again; the queue knows it by its id.
 */
export function relay(): Promise<void> {
	return withScope({ lifetime: "task" }, async () => {
		const tx = await use(Tx, { lifetime: "task" });
		const mails = await use(Mails);
		const { rows } = await tx.query<{ id: string; name: string; data: object }>(
			`DELETE FROM outbox WHERE id IN (SELECT id FROM outbox LIMIT 100 FOR UPDATE SKIP LOCKED)
			RETURNING id, name, data`,
		);
		await mails.addBulk(rows.map(({ id, name, data }) => ({ name, data, opts: { jobId: id } })));
	});
}
