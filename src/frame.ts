import { AsyncLocalStorage } from "node:async_hooks";
import { Instance } from "./instance.ts";
import type { Owner } from "./owner.ts";

/** Who is running: the ambient scope, or a setup or a task on behalf of one. */
export type Frame = Visitor | Visit;

/** Somebody at work in their own scope. */
export type Visitor = Owner | Instance | Task;

/** The ambient frame. The one piece of module state there is. */
export const frames: AsyncLocalStorage<Frame> = new AsyncLocalStorage();

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

	get pending(): boolean {
		return this.visitor.pending;
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
	if (setup !== undefined || frame === undefined) return setup;
	const { opener } = (visitorIn(frame) as Visitor).owner;
	return opener?.pending ? opener : undefined;
}
