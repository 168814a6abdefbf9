import { Cron } from "croner";
import { currentScope, type Scope, use } from "yieldscope";
import { LockTakenError, lock } from "../lock/lock.ts";
import { runTask } from "../worker/run-task.ts";

/**
 * Runs `run` at the times of a cron pattern, in a `"task"` scope each time. Two runs never overlap, not even in two
 * processes: one that is due while another is at work is left out. What fails goes to the `onReleaseError` of `app`.
 *
 * @returns Stops: begins no more runs. To be called before `app` is closed, which waits for the run at work.
 */
export function schedule(
	app: Scope,
	name: string,
	pattern: string,
	run: () => Promise<void>,
): () => void {
	const Lock = lock(`cron ${name}`, { wait: false });
	const cron = new Cron(pattern, { catch: (error) => app.report(error) }, () =>
		runTask(app, { id: name }, async () => {
			try {
				await use(Lock, { lifetime: "handler" }); // whoever loses it, rolls back
			} catch (error) {
				if (!(error instanceof LockTakenError)) throw error;
				currentScope().mark("left out"); // the run before is still at work
				return;
			}
			await run();
		}),
	);
	return () => cron.stop();
}
