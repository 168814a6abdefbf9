import { AsyncResource } from "node:async_hooks";
import { cycleError, locate, requesterOf } from "./acquire.ts";
import { Failure } from "./outcome.ts";
import { type Entry, type Frame, frames, Instance, ignore, type Owner, Task } from "./owner.ts";
import { release, releaseByEdges, releaseSync, type Verdict } from "./release.ts";
import type { Definition } from "./resource.ts";

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
	if (owner.failure !== undefined) owner.abortChildren(owner.failure.error);
	if (owner.waiting || owner.lastChild !== undefined || owner.afterWork !== undefined) {
		owner.closing = settle(owner).then(() => releaseAll(owner));
	} else owner.closing = releaseAll(owner);
	return owner.closing;
}

/** Closes a sync scope: there is nothing to wait for. */
export function closeSync(owner: Owner): undefined {
	if (owner.state !== "open") return;
	owner.state = "releasing";
	for (let child = owner.lastChild; child !== undefined; child = owner.lastChild) {
		closeSync(child);
		if (child.failure?.isNews) owner.fail(child.failure.combined());
	}
	releaseSync(owner);
	owner.finish();
}

/** closing -> releasing -> closed */
function releaseAll(owner: Owner): Promise<void> | undefined {
	owner.state = "releasing";
	const released = release(owner, owner.entries);
	if (released !== undefined) return released.then(() => owner.finish());
	owner.finish();
	return undefined;
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
		await runTask(owner, work).catch(ignore);
	}
	owner.afterWork = undefined;
}

/** Closes the children that somebody held and didn't close, latest first. Their errors become the parent's. */
async function closeHeld(owner: Owner): Promise<void> {
	let child = owner.lastChild;
	while (child !== undefined) {
		// one that a task opened is the task's to close; one that a setup opened goes with the instance
		if (!child.held || child.task?.pending || child.opener?.owner === owner) {
			child = child.previousSibling;
			continue;
		}
		const first = child.state === "open";
		await child.enterContext(child, child.sync ? closeSync : close, child);
		if (first && child.failure?.isNews) owner.fail(child.failure.combined());
		// others may have come and gone meanwhile
		child = owner.lastChild;
	}
}

/** Runs a part of the scope's work, which its close waits for; a failure of it is the work's. */
export async function runTask<T>(owner: Owner, work: () => T): Promise<Awaited<T>> {
	const task = new Task(owner);
	owner.begin();
	try {
		return await frames.run(task, work);
	} catch (error) {
		owner.fail(error);
		throw error;
	} finally {
		task.pending = false;
		owner.end();
	}
}

/** Queues work for when the scope's work is done, in the async context of whoever queues it. */
export function queueAfter(owner: Owner, work: () => unknown): void {
	const context = new AsyncResource("yieldscope.after");
	owner.afterWork ??= [];
	owner.afterWork.push(() => context.runInAsyncScope(work));
}

/** Releases what `definition` means in `origin` and all that depends on it, before its scope closes. */
export async function releaseEarly(
	origin: Owner,
	definition: Definition,
	frame: Frame | undefined,
): Promise<void> {
	// a scope that releases gets to it by itself, and its release code must not wait for that
	if (origin.state === "releasing" || origin.state === "closed") return;
	const place = locate(origin, definition, undefined, frame);
	const instance = "owner" in place ? place.owner.shared(place.target) : undefined;
	if (instance === undefined) return;
	const { owner } = instance;
	const doomed = await settledDependents(instance, requesterOf(frame));
	if (doomed.length === 0) return;
	const verdict: Verdict = {
		completed: true,
		failure: owner.failure && new Failure(owner.failure.error, true),
		incomplete: undefined,
	};
	const owners = new Set(doomed.map((each) => each.owner));
	const gone = new Set<Entry>(doomed.flatMap((each) => [each, ...(each.registered ?? [])]));
	for (const each of owners) each.begin();
	for (const each of doomed) each.owner.forget(each);
	await frames.run(owner, () => releaseByEdges(owner, [...gone], verdict, 1));
	for (const each of owners) {
		each.entries = each.entries.filter((entry) => !gone.has(entry));
		each.end();
	}
	if (verdict.failure?.isNews) throw verdict.failure.combined();
}

/** An instance and those that depend on it, here and in the scopes below, once their setups are done. */
async function settledDependents(
	instance: Instance,
	requester: Instance | undefined,
): Promise<Instance[]> {
	for (;;) {
		const found = dependentsOf(instance);
		const pending = found.filter((each) => each.pending);
		if (requester !== undefined && pending.includes(requester)) {
			throw cycleError([requester.definition.name, instance.definition.name], requester.owner);
		}
		if (pending.length === 0) return found.filter((each) => each.state === "ready");
		await Promise.allSettled(pending.map((each) => each.promise));
	}
}

function dependentsOf(instance: Instance): Instance[] {
	const dependents = new Map<Instance, Instance[]>();
	const visit = (owner: Owner) => {
		for (const entry of [...owner.entries, ...owner.setups]) {
			if (!(entry instanceof Instance)) continue;
			for (const dependency of entry.dependencies ?? []) {
				dependents.set(dependency, [...(dependents.get(dependency) ?? []), entry]);
			}
		}
		for (let child = owner.lastChild; child !== undefined; child = child.previousSibling)
			visit(child);
	};
	visit(instance.owner);
	const found = new Set([instance]);
	for (const each of found)
		for (const dependent of dependents.get(each) ?? []) found.add(dependent);
	return [...found];
}
