import { AsyncResource } from "node:async_hooks";
import { type TaskEvent, TracedTask, taskTrace } from "./events.ts";
import { frames, Task } from "./frame.ts";
import { ignore } from "./instance.ts";
import type { Owner } from "./owner.ts";
import { release, releaseSync } from "./release.ts";

/**
 * Closes a scope: waits for what still runs, does the `after` work, releases everything. The caller looks at
 * `owner.failure` afterwards. A second close waits for the first.
 *
 * open -> closing -> releasing -> closed
 *
 * @returns `undefined` if there was nothing to wait for. Never rejects.
 */
export function close(owner: Owner): Promise<void> | undefined {
	if (owner.state !== "open") return owner.closing;
	owner.state = "closing";
	if (owner.failure !== undefined) owner.stop(owner.failure.error);
	if (owner.waiting || owner.children?.last !== undefined || owner.afterWork !== undefined) {
		owner.closing = settle(owner).then(() => release(owner));
	} else owner.closing = release(owner);
	return owner.closing;
}

/** Closes a sync scope: there is nothing to wait for. */
export function closeSync(owner: Owner): undefined {
	if (owner.state !== "open") return;
	owner.state = "releasing";
	const scopes = [owner];
	for (let scope = scopes.at(-1); scope !== undefined; scope = scopes.at(-1)) {
		const child = heldChild(scope);
		if (child !== undefined) {
			child.state = "releasing";
			scopes.push(child);
			continue;
		}
		scopes.pop();
		if (scope === owner) releaseSync(scope);
		else scope.enterContext(scope, releaseSync, scope);
		scope.finish();
		if (scope !== owner && scope.failure?.isNews) scopes.at(-1)?.fail(scope.failure.combined());
	}
}

/** Waits until nothing runs any more and all work is done. What runs may start more. */
async function settle(owner: Owner): Promise<void> {
	await closeHeld(owner);
	let dropped: boolean | undefined;
	for (;;) {
		if (owner.waiting) {
			await owner.idle();
			continue;
		}
		await closeHeld(owner);
		if (owner.waiting) continue;
		// `after` work is for work that succeeded; but one that fails doesn't keep the next from running
		dropped ??= owner.failure !== undefined;
		const work = dropped ? undefined : owner.afterWork?.shift();
		if (work === undefined) break;
		await runTask(owner, work, "after").catch(ignore);
	}
	owner.afterWork = undefined;
	// at once: nothing may begin between the last look and the release
	owner.state = "releasing";
}

/** Closes the children that somebody held and didn't close, latest first. Their errors become the parent's. */
async function closeHeld(owner: Owner): Promise<void> {
	for (let child = heldChild(owner); child !== undefined; child = heldChild(owner)) {
		// this may be called by a sync scope's own code, which then is to return first; and deep nests overflow no stack
		await undefined;
		const first = child.state === "open";
		await child.enterContext(child, child.sync ? closeSync : close, child);
		if (first && child.failure?.isNews) owner.fail(child.failure.combined());
	}
}

/** The latest child for `owner` to close. */
function heldChild(owner: Owner): Owner | undefined {
	let child = owner.children?.last;
	// one that a task opened is the task's to close; one that a setup opened goes with the instance
	while (child && (!child.held || child.task?.pending || child.opener?.owner === owner))
		child = child.previous;
	return child;
}

/** Runs a part of the scope's work, which its close waits for; a failure of it is the work's. */
export async function runTask<T>(
	owner: Owner,
	work: () => T,
	kind: TaskEvent["kind"],
): Promise<Awaited<T>> {
	const task = new Task(owner);
	const event = taskTrace.hasSubscribers ? new TracedTask(owner, kind) : undefined;
	owner.begin();
	try {
		return await (event === undefined
			? frames.run(task, work)
			: taskTrace.run(event, runAs<T>, task, work));
	} catch (error) {
		owner.fail(error);
		if (event !== undefined) event.error = error;
		throw error;
	} finally {
		task.pending = false;
		owner.end();
		if (event !== undefined) taskTrace.finish(event);
	}
}

function runAs<T>(task: Task, work: () => T): T {
	return frames.run(task, work);
}

/** Queues work for when the scope's work is done, in the async context of whoever queues it. */
export function queueAfter(owner: Owner, work: () => unknown): void {
	const context = new AsyncResource("yieldscope.after");
	owner.afterWork ??= [];
	owner.afterWork.push(() => {
		const task = frames.getStore() as Task; // runTask runs it
		return context.runInAsyncScope(() => frames.run(task, work));
	});
}
