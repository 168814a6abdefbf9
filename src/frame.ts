import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { Instance } from "./instance.ts";
import type { Owner } from "./owner.ts";

/** Who is running: the ambient scope, or a setup or a task on behalf of one. */
export type Frame = Visitor | Visit;

/** Somebody at work in their own scope. */
export type Visitor = Owner | Instance | Task;

/**
 * The ambient frame. The one piece of module state that the engine has.
 *
 * @internal - or the declarations would need Node's
 */
export const frames: AsyncLocalStorage<Frame> = new AsyncLocalStorage();

/**
 * Whether `enterWith` is to be had and ends with the `AsyncResource` in whose scope it is called. In Cloudflare Workers
 * it isn't, and on Node 22 it stays with the resource.
 */
export const canEnter: boolean = (() => {
	const probe = new AsyncResource("yieldscope");
	try {
		probe.runInAsyncScope(() => frames.enterWith({} as Frame)); // nobody sees it
		return probe.runInAsyncScope(() => frames.getStore()) === undefined;
	} catch {
		return false;
	}
})();

/** Runs `fn` with `frame` ambient, in the scope of an `AsyncResource` made for that: `run` copies the context twice, to restore it. */
export function runInFrame<A, R>(frame: Frame, fn: (argument: A) => R, argument: A): R {
	if (!canEnter) return frames.run(frame, fn, argument);
	frames.enterWith(frame);
	return fn(argument);
}

/** Work that its scope waits for: a spawned task, or `after` work. */
export class Task {
	readonly owner: Owner;
	pending = true;

	constructor(owner: Owner) {
		this.owner = owner;
	}
}

/** Somebody at work in another scope than their own, by `run` or `enter`: what they use there, they use all the same. */
export class Visit {
	/** The scope that is ambient. */
	readonly owner: Owner;
	readonly visitor: Visitor;

	constructor(owner: Owner, visitor: Visitor) {
		this.owner = owner;
		this.visitor = visitor;
	}
}

/** Who is running in `frame`, wherever they are. */
export function visitorIn(frame: Frame | undefined): Visitor | undefined {
	return frame instanceof Visit ? frame.visitor : frame;
}

/** The setup whose own code runs in `frame`. */
export function setupIn(frame: Frame | undefined): Instance | undefined {
	const visitor = visitorIn(frame);
	return visitor instanceof Instance && visitor.pending ? visitor : undefined;
}

/** The setup that waits for what `frame` does, directly or through scopes opened in it. */
export function requesterOf(frame: Frame | undefined): Instance | undefined {
	const setup = setupIn(frame);
	if (setup !== undefined) return setup;
	const opener = openerIn(frame);
	return opener?.pending ? opener : undefined;
}

/** The setup that opened the scope whose work runs in `frame`. */
export function openerIn(frame: Frame | undefined): Instance | undefined {
	return visitorIn(frame)?.owner.opener;
}
