import { PgBoss } from "pg-boss";
import { resource, type Scope, use } from "yieldscope";
import { Database, Tx } from "../transaction/transaction.ts";
import { runTask } from "./run-task.ts";

/** The schema that the queue's tables are in. */
export const BossSchema = resource(() => "pgboss", { name: "BossSchema", lifetime: "app" });

/** The queue, in the same database. */
export const Boss = resource(
	{ database: Database, schema: BossSchema },
	async function* Boss({ database, schema }) {
		const { connectionString = "" } = database;
		const boss = new PgBoss({ connectionString, schema });
		boss.on("error", console.error); // without a listener it would end the process
		await boss.start();
		try {
			yield boss;
		} finally {
			await boss.stop();
		}
	},
	{ lifetime: "app" },
);

/**
 * Works on the jobs of a queue, a `"task"` scope for each. What `run` does in `use(Tx)` commits together with the job's
 * completion, or not at all: a job that fails, or whose worker is killed, is tried again and leaves nothing behind.
 *
 * @returns Stops: takes no more jobs, and waits for those at work. To be called before `app` is closed.
 */
export async function workQueue<T extends object>(
	app: Scope,
	queue: string,
	run: (data: T) => Promise<object | undefined>,
): Promise<() => Promise<void>> {
	const boss = await app.use(Boss);
	const options = { localConcurrency: 5, pollingIntervalSeconds: 0.5 };
	await boss.work<T>(queue, options, async ([job]) => {
		if (job === undefined) return;
		await runTask(app, job, async () => {
			const result = await run(job.data);
			const tx = await use(Tx);
			const db = {
				executeSql: (text: string, values?: unknown[]) => tx.query(text, values),
			};
			const completed = await boss.complete(queue, job, result, { db });
			// what its types leave out
			if ((completed as { affected?: number }).affected === 0)
				throw new Error(`Job ${job.id} was given to another worker`);
		});
	});
	return () => boss.offWork(queue, { wait: true });
}
