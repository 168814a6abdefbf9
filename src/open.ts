import { InvalidArgumentError, isObject, ScopeClosedError, ScopeError } from "./errors.ts";
import { type Frame, frames, requesterOf, Task } from "./frame.ts";
import { checkKind, checkOptions, kindOf } from "./options.ts";
import { admits, isWithin, Owner } from "./owner.ts";
import { replacementsOf } from "./resource.ts";
import type { Scope, ScopeOptions } from "./scope.ts";
import type { SyncScope, SyncScopeOptions } from "./sync-scope.ts";

/** Makes the engine's side of a scope. */
export function openOwner(
	scope: Scope | SyncScope,
	sync: boolean,
	parent: Owner | undefined,
	options: ScopeOptions | SyncScopeOptions,
): Owner {
	const frame = frames.getStore();
	if (parent !== undefined && !admits(parent, frame))
		throw closedError(parent, "open a scope under");
	checkOptions(options);
	checkScopeOptions(options);
	const bindings = options.bindings && replacementsOf(options.bindings);
	const owner = new Owner(scope, sync, parent, options);
	owner.bindings = bindings;
	if (frame === undefined) return owner;
	owner.opener = requesterOf(frame);
	const task = frame instanceof Task ? frame : frame instanceof Owner ? frame.task : undefined;
	// another scope's task is nothing that the parent waits for
	if (parent !== undefined && task !== undefined && isWithin(task.owner, parent)) owner.task = task;
	// what a setup opens and doesn't close goes right after its instance
	if (owner.opener !== undefined && owner.opener.owner === parent) {
		const dispose = () => (sync ? (scope as SyncScope).dispose() : (scope as Scope).disposeAsync());
		parent.register(dispose, owner.opener);
	}
	return owner;
}

/** Refuses to move a scope in which something runs that will come back to it. */
export function checkMovable(owner: Owner): void {
	openFrame(owner, "move");
	if (!owner.waiting) return;
	throw new ScopeError(
		`Cannot move scope "${owner.name}": setups, tasks or child scopes still run in it. Await them first.`,
		{ scope: owner.name },
	);
}

function checkScopeOptions(options: Omit<ScopeOptions, "parent">): void {
	checkKind("onReleaseError", options.onReleaseError, "function");
	checkKind("onFirstUse", options.onFirstUse, "function");
	const { release, signal } = options;
	if (release !== undefined && release !== "sequential" && release !== "concurrent") {
		throw new InvalidArgumentError(
			`Expected \`release\` to be "sequential" or "concurrent", got ${kindOf(release)}.`,
		);
	}
	if (signal !== undefined && typeof signal?.removeEventListener !== "function") {
		throw new InvalidArgumentError(
			`Expected \`signal\` to be an AbortSignal, got ${kindOf(signal)}. An AbortController has it as \`.signal\`.`,
		);
	}
}

export function checkCallback(fn: unknown, method: string): void {
	if (typeof fn === "function") return;
	const advice = isObject(fn) && /^with/.test(method) ? " Options come before it." : "";
	throw new InvalidArgumentError(
		`Expected a function for ${method}(), got ${kindOf(fn)}.${advice}`,
	);
}

/** Refuses what only an open scope can do, with the error that TC39 demands. */
export function openFrame(owner: Owner, method: string): Frame | undefined {
	const frame = frames.getStore();
	if (admits(owner, frame)) return frame;
	throw new ReferenceError(
		`Cannot call ${method}() on scope "${owner.name}": it is ${closedWord(owner)}.`,
	);
}

export function closedError(owner: Owner, action: string): ScopeClosedError {
	return new ScopeClosedError(
		`Cannot ${action} scope "${owner.name}": it is ${closedWord(owner)}. Do it before its work ends, or under a scope that lives longer.`,
		{ scope: owner.name },
	);
}

function closedWord(owner: Owner): string {
	return owner.state === "closed" ? "closed" : "closing";
}
