import { type ConnectionOptions, Worker, type WorkerOptions } from "bullmq";
import { type Scope, token, use } from "yieldscope";
import { Tx } from "../transaction/transaction.ts";
import { runTask } from "./run-task.ts";

/** Where Redis is. Bound once, on the app's scope. */
export const Redis = token<ConnectionOptions>("Redis");

/** Redis can't commit together with the database, so the database remembers which jobs are done. */
export const JOBS_DONE = `CREATE TABLE IF NOT EXISTS jobs_done (
	queue text,
	id text,
	done_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (queue, id)
)`;

/**
 * Works on the jobs of a queue, a `"task"` scope for each. What `run` does in `use(Tx)` commits together with a row that
 * says so: when Redis isn't told, because the worker is killed first, the job comes back and is not done again.
 *
 * Give each job a `jobId` of your own: Redis's own count, and begin anew when it has lost its data.
 *
 * @returns Stops: takes no more jobs, and waits for those at work. To be called before `app` is closed.
 */
export async function workRedisQueue<T>(
	app: Scope,
	queue: string,
	run: (data: T) => Promise<void>,
	options?: Partial<WorkerOptions>,
): Promise<() => Promise<void>> {
	const worker = new Worker<T, void>(
		queue,
		// BullMQ makes a signal only for a function with three parameters
		({ id = "", data }, _token, signal) =>
			runTask(app, { id, signal }, async () => {
				const tx = await use(Tx);
				// if another worker is at it, too, this waits until that has committed or rolled back
				const { rowCount } = await tx.query(
					"INSERT INTO jobs_done (queue, id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
					[queue, id],
				);
				if (rowCount === 1) await run(data);
			}),
		{
			connection: await app.use(Redis),
			concurrency: 5,
			maxStalledCount: 10, // by default a job has failed for good when a second worker is killed at it
			...options,
		},
	);
	worker.on("error", console.error); // without a listener it would end the process
	worker.on("lockRenewalFailed", (ids) => {
		for (const id of ids) worker.cancelJob(id, "The job was given to another worker");
	});
	await worker.waitUntilReady();
	return () => worker.close();
}
