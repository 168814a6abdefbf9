import { close } from "./close.ts";
import { ScopeError } from "./errors.ts";
import { frames, type Visitor, visitorIn } from "./frame.ts";
import { ignore } from "./instance.ts";
import { setMethod } from "./method.ts";
import { isWithin, type Owner } from "./owner.ts";

export function disposeHeld(owner: Owner): Promise<void> {
	const frame = frames.getStore();
	const visitor = visitorIn(frame);
	const inside = visitor !== undefined && isWithin(visitor.owner, owner) ? visitor : undefined;
	if (owner.state !== "open") {
		// release code must not wait for the close that waits for it
		return inside !== undefined || owner.closing === undefined ? Promise.resolve() : owner.closing;
	}
	// where nothing of the user's runs, the context makes no difference, and nothing fails
	if (owner.isEmpty) {
		void close(owner);
		return Promise.resolve();
	}
	// it settles in the tick in which the last release ends, as TC39 says
	const { onFinish } = owner;
	const closed = new Promise<void>((resolve, reject) => {
		setMethod(owner, "onFinish", () => {
			onFinish?.();
			if (!owner.failure?.isNews) {
				resolve();
				return;
			}
			// a child's is no unhandled rejection; not before: it would take a promise more each time
			if (owner.parent !== undefined) closed.catch(ignore);
			reject(owner.failure.combined());
		});
	});
	void owner.enterContext(owner, close, owner);
	if (inside !== undefined && isWaitedFor(inside, owner)) {
		closed.catch((error) => owner.report(error));
		const deadlock = Promise.reject(
			new ScopeError(
				`Cannot await the close of scope "${owner.name}" in a setup, a task or a child scope of its own, for which it waits. It has begun to close; go on without awaiting it.`,
				{ scope: owner.name },
			),
		);
		deadlock.catch(ignore);
		return deadlock;
	}
	return closed;
}

/** Whether the close of `owner` waits for what `visitor` does, who is inside. */
function isWaitedFor(visitor: Visitor, owner: Owner): boolean {
	if (visitor.pending) return true;
	for (let at = visitor.owner; at !== owner; at = at.parent as Owner) {
		if (!at.held || at.state === "releasing" || at.task?.pending) return true;
		if (at.opener?.pending && isWithin(at.opener.owner, owner)) return true;
	}
	return false;
}
