import { close } from "./close.ts";
import { canEnter, frames } from "./frame.ts";
import { ignore } from "./instance.ts";
import type { Owner } from "./owner.ts";
import type { Scope } from "./scope.ts";

/** Runs `fn` in `owner`, which closes when `fn` is done. `detached`: nobody has to await it. */
export function bracket<R>(
	owner: Owner,
	fn: (scope: Scope) => R,
	detached: boolean,
): Promise<Awaited<R>> {
	if (detached) owner.detach();
	// the scope's own context is the one we are in, and the cheaper one to run in where `enterWith` ends with it
	const result = canEnter
		? owner.enterContext(owner, () => work(owner, fn), undefined)
		: frames.run(owner, work<R>, owner, fn);
	if (owner.parent !== undefined) result.catch(ignore);
	return result;
}

async function work<R>(owner: Owner, fn: (scope: Scope) => R): Promise<Awaited<R>> {
	let value: Awaited<R> | undefined;
	try {
		value = await fn(owner.scope as Scope); // it was made by runInScope
		owner.complete();
	} catch (error) {
		if (owner.state === "closed") {
			if (isLeftAlone(owner)) owner.report(error);
			throw error;
		}
		owner.fail(error);
	}
	// a synchronous enter() in `fn` leaks to here
	const closing = frames.getStore() === owner ? close(owner) : frames.run(owner, close, owner);
	if (closing !== undefined) await closing;
	const { failure } = owner;
	if (failure === undefined) return value as Awaited<R>;
	const error = failure.combined();
	// whoever called fail() has the error already, unless it went on elsewhere
	const isUntold = owner.detached || (isLeftAlone(owner) && failure.isNews);
	if (isUntold && (failure.translated || !owner.followsFromAbort(error))) owner.report(error);
	throw error;
}

/**
 * Whether whoever started a scope's work has let go of it, as is to be thought while the parent closes, unless a running task
 * opened it: that gets the error.
 */
function isLeftAlone({ detached, parent, task }: Owner): boolean {
	return detached || (parent !== undefined && parent.state !== "open" && task?.pending !== true);
}
