import { override, provide, resource, type Scope, token, withScope } from "yieldscope";
import { Log, Logger } from "../shop/resources.ts";

/** What a task's scope knows of the job at work. */
export interface CurrentJob {
	readonly id: string;
	/** Aborts when the queue wants the job to end: its time is up, or it was given to another worker. */
	readonly signal?: AbortSignal | undefined;
}

/** The job at work, in every task's scope. */
export const CurrentJob = token<CurrentJob>("CurrentJob");

/** The shop's log, for a task instead of a request. */
const TaskLog = resource(
	{ logger: Logger, job: CurrentJob },
	({ logger, job }): Log =>
		(event) =>
			logger(job.id, event),
	{ lifetime: "task" },
);

/** Does a job in a `"task"` scope of its own. */
export function runTask<R>(app: Scope, job: CurrentJob, fn: () => R): Promise<Awaited<R>> {
	const bindings = [provide(CurrentJob, job), override(Log, TaskLog)];
	return withScope({ parent: app, lifetime: "task", bindings, signal: job.signal }, fn);
}
