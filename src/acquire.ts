import { close } from "./close.ts";
import { cycleError, refuseCycle, refuseRecursion } from "./cycle.ts";
import { InvalidArgumentError, ScopeClosedError } from "./errors.ts";
import { acquireEvent, acquireTrace, publishWait } from "./events.ts";
import { type Frame, openerIn, requesterOf, setupIn } from "./frame.ts";
import { type Acquisition, Instance, ignore } from "./instance.ts";
import { findBinding, findOwner, notProvided } from "./locate.ts";
import { printable } from "./options.ts";
import { admits, isReleasing, isWithin, Owner } from "./owner.ts";
import { detailsOf, placeText } from "./path.ts";
import { type Definition, type Lifetime, valuesByName } from "./resource.ts";
import { asynchronousError, invoke } from "./setup.ts";

/** The options of one `use`. */
export interface UseOptions {
	/** Make an instance of one's own instead of sharing. */
	readonly fresh?: boolean | undefined;
	/** The kind of scope that is to own the instance, instead of the resource's own choice. */
	readonly lifetime?: Lifetime | undefined;
}

/** A misspelt option would be ignored. */
function checkNames(options: UseOptions): void {
	for (const name in options) {
		if (name === "fresh" || name === "lifetime") continue;
		throw new InvalidArgumentError(
			`Expected \`fresh\` or \`lifetime\` for use(), got \`${printable(name)}\`.`,
		);
	}
}

/** Uses `definition` in `origin`, on behalf of `frame`. */
export function acquire(
	origin: Owner,
	definition: Definition,
	options: UseOptions | undefined,
	frame: Frame | undefined,
): Promise<unknown> {
	try {
		const found = find(origin, definition, options, frame);
		return found.state === "ready" ? found.promise : origin.waitFor(found);
	} catch (error) {
		const rejected = Promise.reject(error);
		rejected.catch(ignore);
		return rejected;
	}
}

/** {@link find} for a scope that can't wait: what it finds is ready. */
export function findSync(
	origin: Owner,
	definition: Definition,
	options: UseOptions | undefined,
	frame: Frame | undefined,
): Acquisition {
	const found = find(origin, definition, options, frame);
	if (found.state === "failed") throw found.error;
	if (found.state !== "pending") return found;
	const error = asynchronousError(found);
	if (found.owner.sync) letGo(found, error);
	throw error;
}

/** Takes a setup that proved to be asynchronous out of its sync scope: one that can wait releases what it acquires. */
function letGo(instance: Instance, error: unknown): void {
	const { owner } = instance;
	owner.forget(instance);
	owner.endSetup(instance);
	let parent = owner.parent;
	while (parent?.sync) parent = parent.parent;
	const late = new Owner(owner.scope, false, parent, {
		name: owner.name,
		onReleaseError: (lateError) => owner.report(lateError),
	});
	late.letParentWait();
	instance.owner = late;
	late.beginSetup(instance);
	late.fail(error, true);
	void close(late)?.then(() => late.failure?.isNews && late.report(late.failure.combined()));
}

/** Finds what `definition` means in `origin`, and starts its setup if nobody has. */
function find(
	origin: Owner,
	definition: Definition,
	options: UseOptions | undefined,
	frame: Frame | undefined,
): Acquisition {
	if (options !== undefined) checkNames(options);
	if (origin.state === "closed") throw closedError(origin, definition, frame);
	if (origin.aborted !== undefined && origin.state !== "releasing") throw origin.aborted.reason;
	// as a rule it is the scope's own work that asks
	const isOwn = frame === origin;
	const consumer = isOwn ? undefined : setupIn(frame);
	const bound = findBinding(origin, definition, consumer);
	if (bound !== undefined && bound.binding.definition === undefined) return bound.binding;
	const target = bound?.binding.definition ?? definition;
	if (target.setup === undefined) throw notProvided(origin, target, frame);
	const owner = findOwner(origin, definition, target, options?.lifetime, consumer, bound);
	const opener = isOwn ? origin.opener : openerIn(frame);
	const requester = consumer ?? (opener?.pending ? opener : undefined);
	const shared = options?.fresh ? undefined : owner.shared(target);
	if (shared !== undefined) {
		if (shared.state === "pending") {
			if (!admits(origin, frame)) throw closedError(origin, target, frame);
			if (requester !== undefined) refuseCycle(shared, requester);
			// in a sync scope only what is being called is pending
			if (owner.sync) throw cycleError([target.name, target.name], owner);
			publishWait(origin, shared, requester);
		} else if (shared.state !== "ready") throw closedError(owner, target, frame);
		if (requester !== undefined) depend(requester, shared);
		return shared;
	}
	if (!admits(origin, frame)) throw closedError(origin, target, frame);
	// a scope that a setup opened is still open then
	if (isReleasing(owner)) throw closedError(owner, target, frame);
	const asker = requester ?? origin.detachedBy;
	if (asker !== undefined) refuseRecursion(target, owner, asker, options?.fresh);
	const instance = new Instance(owner, target, asker, bound?.binding);
	if (requester !== undefined) depend(requester, instance);
	// whoever closes a scope waits for the setups in flight in it and below
	for (let scope: Owner | undefined = owner; scope !== undefined; scope = scope.parent) {
		const { opener } = scope;
		if (opener?.pending && opener !== requester) opener.dependOn(instance);
	}
	owner.beginSetup(instance);
	if (!options?.fresh) owner.share(instance);
	// every so often a microtask cuts the chain of setups that start each other, or it would overflow the stack
	if (instance.depth % 64 === 63 && !owner.sync)
		void Promise.resolve().then(() => begin(instance, origin));
	else begin(instance, origin);
	return instance;
}

/** Records that `requester`'s setup uses `target`. So do the setups in which its scope was opened. */
function depend(requester: Instance, target: Instance): void {
	requester.dependOn(target);
	let { opener } = requester.owner;
	while (opener !== undefined && opener !== target && isWithin(opener.owner, target.owner)) {
		opener.dependOn(target);
		// a setup that is over doesn't nest what comes now
		if (!opener.pending) target.owner.ordered = false;
		opener = opener.owner.opener;
	}
}

/** Runs the setup in its owner's async context, whoever asks. */
function begin(instance: Instance, origin: Owner): void {
	const event = acquireTrace.hasSubscribers ? acquireEvent(instance, origin) : undefined;
	const setup =
		event === undefined ? start : () => acquireTrace.run(event, start, instance, undefined);
	instance.owner.enterContext(instance, setup, instance);
}

function start(instance: Instance): void {
	const { owner, definition } = instance;
	const { dependencies } = definition;
	if (dependencies === undefined) {
		invoke(instance, undefined);
		return;
	}
	const found: Acquisition[] = [];
	const waiting: Promise<unknown>[] = [];
	try {
		for (const dependency of dependencies.definitions) {
			const acquisition = (owner.sync ? findSync : find)(owner, dependency, undefined, instance);
			found.push(acquisition);
			if (acquisition instanceof Instance && acquisition.state !== "ready")
				waiting.push(owner.waitFor(acquisition));
		}
	} catch (error) {
		instance.fail(error);
		return;
	}
	const go = () => {
		const values = found.map(({ value }) => value);
		invoke(instance, valuesByName(dependencies.names, values));
	};
	if (waiting.length === 0) {
		go();
		return;
	}
	// alone, it takes less time
	const ready = waiting.length === 1 ? (waiting[0] as Promise<unknown>) : Promise.all(waiting);
	ready.then(go, (error) => instance.fail(error));
}

function closedError(
	scope: Owner,
	definition: Definition,
	frame: Frame | undefined,
): ScopeClosedError {
	const requester = requesterOf(frame);
	return new ScopeClosedError(
		`Cannot use ${definition.name}: its ${placeText(definition, scope, requester)} is ${scope.state === "closed" ? "closed" : "closing"}. Await what uses it, or give that to spawn(), or to detach() if it outlives the scope.`,
		detailsOf(definition, scope, requester),
	);
}
