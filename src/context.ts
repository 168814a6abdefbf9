import { type Frame, frames, Visit, visitorIn } from "./frame.ts";
import type { Owner } from "./owner.ts";

/**
 * The nearest async scope of what is running. A handler's is over before the first byte; what streams the rest goes on
 * in the request's.
 */
export function ambientOwner(frame: Frame | undefined): Owner | undefined {
	let owner = frame?.owner;
	// as a rule; the loop takes longer
	if (owner === undefined || (owner.state === "open" && !owner.sync)) return owner;
	while (owner?.sync || (owner?.lifetime === "handler" && owner.state === "closed"))
		owner = owner.parent;
	return owner;
}

/** The frame in which `owner` is ambient. What a setup uses there stays its dependency. */
function frameIn(owner: Owner): Frame {
	const frame = frames.getStore();
	if (frame?.owner === owner) return frame;
	const visitor = visitorIn(frame);
	return visitor === undefined || visitor === owner ? owner : new Visit(owner, visitor);
}

/** Runs `fn` with `owner` ambient. */
export function runIn<R>(owner: Owner, fn: () => R): R {
	return frames.run(frameIn(owner), fn);
}

/** Makes `owner` ambient for the rest of a block. */
export function enterOwner(owner: Owner): Disposable {
	const before = frames.getStore();
	frames.enterWith(frameIn(owner));
	return { [Symbol.dispose]: () => frames.enterWith(before as Frame) };
}
