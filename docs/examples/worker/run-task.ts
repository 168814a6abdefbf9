import { provide, type Scope, token, withScope } from "yieldscope";

/** What a task's scope knows of the job at work. */
export interface CurrentJob {
	readonly id: string;
	/** Aborts when the queue wants the job to end: its time is up, or it was given to another worker. */
	readonly signal?: AbortSignal | undefined;
}

/** The job at work, in every task's scope. */
export const CurrentJob = token<CurrentJob>("CurrentJob");

/** Does a job in a `"task"` scope of its own, and in that a `"handler"` scope, which a request's repositories ask for. */
export function runTask<R>(app: Scope, job: CurrentJob, fn: () => R): Promise<Awaited<R>> {
	const { id: name, signal } = job;
	const bindings = [provide(CurrentJob, job)];
	return withScope({ parent: app, lifetime: "task", name, bindings, signal }, () =>
		// its own signal: what only its parent's abort reaches, and completes all the same, is committed
		withScope({ lifetime: "handler", name, signal }, fn),
	);
}
