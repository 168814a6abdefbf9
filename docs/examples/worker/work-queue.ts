import { type Job, PgBoss } from "pg-boss";
import { override, provide, resource, type Scope, token, use, withScope } from "yieldscope";
import { Database, Log, Logger, Tx } from "../shop/resources.ts";

/** The queue, in the shop's database. */
export const Boss = resource(
	{ database: Database },
	async function* Boss({ database }) {
		const { connectionString = "", application_name = "" } = database;
		const boss = new PgBoss({ connectionString, schema: `${application_name}_jobs` });
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

/** The job at work, in every task's scope. */
export const CurrentJob = token<Job>("CurrentJob");

/** The shop's log, for a task instead of a request. */
const TaskLog = resource(
	{ logger: Logger, job: CurrentJob },
	({ logger, job }): Log =>
		(event) =>
			logger(job.id, event),
	{ lifetime: "task" },
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
		const bindings = [provide(CurrentJob, job), override(Log, TaskLog)];
		const { signal } = job; // aborts when the job's time is up
		await withScope({ parent: app, lifetime: "task", bindings, signal }, async () => {
			const result = await run(job.data);
			const tx = await use(Tx, { lifetime: "task" });
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
