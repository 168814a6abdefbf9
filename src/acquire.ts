import { close } from "./close.ts";
import { disposerOf, syncDisposerOf } from "./disposer.ts";
import {
	CircularDependencyError,
	DidNotYieldError,
	InvalidArgumentError,
	isObject,
	isThenable,
	LifetimeError,
	NotProvidedError,
	ScopeClosedError,
} from "./errors.ts";
import {
	type Acquisition,
	type Frame,
	frames,
	Instance,
	ignore,
	isReleasing,
	isWithin,
	Owner,
	scopesFrom,
	setupIn,
	visitorIn,
} from "./owner.ts";
import { detailsOf, joinPath, placeText } from "./path.ts";
import { closeGenerator } from "./release.ts";
import {
	type Definition,
	isSame,
	type Lifetime,
	type Replacement,
	type SetupContext,
} from "./resource.ts";
import type { Scope } from "./scope.ts";

/** The options of one `use`. */
export interface UseOptions {
	/** Make an instance of one's own instead of sharing. */
	readonly fresh?: boolean | undefined;
	/** The kind of scope that is to own the instance, instead of the resource's own choice. */
	readonly lifetime?: Lifetime | undefined;
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
		if (!(found instanceof Instance)) return found.promise;
		if (found.state !== "ready") return origin.waitFor(found);
		// after an abort the promise may have been rejected before the setup came to its end
		return found.owner.aborted === undefined ? found.promise : Promise.resolve(found.value);
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
	late.closesItself(false);
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
	if (origin.state === "closed") throw closedError(origin, definition, frame);
	if (origin.aborted !== undefined && origin.state !== "releasing") throw origin.aborted.reason;
	const place = locate(origin, definition, options?.lifetime, frame);
	if (!("owner" in place)) return place;
	const { target, owner, bound } = place;
	const requester = requesterOf(frame);
	const shared = options?.fresh ? undefined : owner.shared(target);
	if (shared !== undefined) {
		if (shared.state === "pending") {
			if (!admits(origin, frame)) throw closedError(origin, target, frame);
			if (requester !== undefined) refuseCycle(shared, requester);
			// in a sync scope only what is being called is pending
			if (owner.sync) throw cycleError([target.name, target.name], owner);
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
	if (!options?.fresh) owner.share(instance);
	owner.beginSetup(instance);
	// every so often a microtask cuts the chain of setups that start each other, or it would overflow the stack
	if (instance.depth % 64 === 63 && !owner.sync) void Promise.resolve(instance).then(begin);
	else begin(instance);
	return instance;
}

/** Where an instance belongs: which resource, after bindings, and which scope. */
interface Place {
	readonly target: Definition;
	readonly owner: Owner;
	readonly bound: Bound | undefined;
}

/** Decides what `definition` means in `origin`: a provided value, or a resource and its owner. */
export function locate(
	origin: Owner,
	definition: Definition,
	lifetime: Lifetime | undefined,
	frame: Frame | undefined,
): Place | Replacement {
	const consumer = setupIn(frame);
	const bound = findBinding(origin, definition, consumer);
	if (bound !== undefined && bound.binding.definition === undefined) return bound.binding;
	const target = bound?.binding.definition ?? definition;
	if (target.setup === undefined) {
		const requester = requesterOf(frame);
		throw new NotProvidedError(
			`Cannot use ${target.name}: nobody provides it in ${placeText(target, origin, requester)}. Open the scope with bindings: [provide(${target.name}, value)].`,
			detailsOf(target, origin, requester),
		);
	}
	return { target, bound, owner: findOwner(origin, definition, target, lifetime, consumer, bound) };
}

interface Bound {
	readonly binding: Replacement;
	readonly scope: Owner;
}

/** The nearest binding of `definition`; for a replacement that asks for what it replaces, the next one out. */
function findBinding(
	origin: Owner,
	definition: Definition,
	consumer: Instance | undefined,
): Bound | undefined {
	let skipping =
		consumer?.binding !== undefined && isSame(consumer.binding.resource, definition)
			? consumer.binding
			: undefined;
	for (let scope: Owner | undefined = origin; scope !== undefined; scope = scope.parent) {
		if (scope.bindings === undefined) continue;
		for (let i = scope.bindings.length - 1; i >= 0; i--) {
			const binding = scope.bindings[i] as Replacement; // i is in range
			if (skipping !== undefined) {
				if (binding === skipping) skipping = undefined;
			} else if (isSame(binding.resource, definition) && !isOwnReplacement(binding, consumer)) {
				return { binding, scope };
			}
		}
	}
	return undefined;
}

function isOwnReplacement(binding: Replacement, consumer: Instance | undefined): boolean {
	return (
		consumer !== undefined &&
		binding.definition !== undefined &&
		isSame(binding.definition, consumer.definition)
	);
}

/** Decides which scope is to own `target`, which stands for `definition` if there is a binding. */
function findOwner(
	origin: Owner,
	definition: Definition,
	target: Definition,
	chosen: Lifetime | undefined,
	consumer: Instance | undefined,
	bound: Bound | undefined,
): Owner {
	const own = chosen ?? target.lifetime;
	const lifetime = own ?? definition.lifetime;
	let owner = lifetime === undefined ? defaultOwner(origin, consumer) : nearest(origin, lifetime);
	if (bound !== undefined) {
		// a stand-in for a longer-lived resource needs no scope of that lifetime
		if (owner === undefined ? own === undefined : isWithin(bound.scope, owner)) owner = bound.scope;
	}
	if (owner === undefined) throw lifetimeError(origin, target, lifetime as Lifetime, consumer);
	if (consumer !== undefined && !isWithin(consumer.owner, owner) && !isOpenedIn(owner, consumer)) {
		throw lifetimeError(owner, target, owner.lifetime ?? owner.name, consumer);
	}
	return owner;
}

function nearest(origin: Owner, lifetime: Lifetime): Owner | undefined {
	let scope: Owner | undefined = origin;
	while (scope !== undefined && scope.lifetime !== lifetime) scope = scope.parent;
	return scope;
}

/** The scope that owns what asks for no lifetime: a setup's own, else the nearest one that isn't a handler's. */
export function defaultOwner(origin: Owner, consumer?: Instance): Owner {
	if (consumer?.owner === origin) return origin;
	let scope = origin;
	while (scope.lifetime === "handler" && scope.parent !== undefined) scope = scope.parent;
	return scope;
}

/** Whether `owner` was opened by `instance`'s setup, which then is in charge of it. */
function isOpenedIn(owner: Owner, instance: Instance): boolean {
	for (let scope: Owner | undefined = owner; scope !== undefined; scope = scope.parent) {
		if (scope.opener === instance) return true;
	}
	return false;
}

/** The setup that waits for what `frame` does, directly or through scopes opened in it. */
export function requesterOf(frame: Frame | undefined): Instance | undefined {
	const setup = setupIn(frame);
	if (setup !== undefined || frame === undefined) return setup;
	const { opener } = (visitorIn(frame) as Frame).owner;
	return opener?.pending ? opener : undefined;
}

/** Whether `scope` still takes orders from `frame`: while it closes, from what the close waits for. */
export function admits(scope: Owner, frame: Frame | undefined): boolean {
	if (scope.state === "open") return true;
	if (scope.state !== "closing" || frame === undefined) return false;
	const { owner, pending } = visitorIn(frame) as Frame; // there is a frame
	return isWithin(owner, scope) && (pending || (owner !== scope && owner.state === "open"));
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

/** Finds out whether `target`, which `requester` is about to wait for, waits for `requester`. */
function refuseCycle(target: Instance, requester: Instance): void {
	const cameFrom = new Map<Instance, Instance | undefined>();
	const stack: { readonly at: Instance; readonly from: Instance | undefined }[] = [
		{ at: target, from: undefined },
	];
	for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
		const { at, from } = step;
		if (cameFrom.has(at)) continue;
		cameFrom.set(at, from);
		if (at === requester) {
			const path: string[] = [];
			for (let back: Instance | undefined = at; back !== undefined; back = cameFrom.get(back)) {
				path.push(back.definition.name);
			}
			throw cycleError([requester.definition.name, ...path.reverse()], requester.owner);
		}
		// in the order of use, so that the path goes by what asked first, not by what a scope's opener waits for besides
		for (const next of [...(at.dependencies ?? [])].reverse()) {
			if (next.pending) stack.push({ at: next, from: at });
		}
	}
}

/**
 * Refuses a setup that asks for its own resource again, by a fresh instance, in a scope opened in it, or after a failure,
 * directly or through others: it would never end.
 */
function refuseRecursion(
	target: Definition,
	owner: Owner,
	requester: Instance,
	fresh: boolean | undefined,
): void {
	// otherwise one instance is shared, and refuseCycle looks after it
	const inward = owner !== requester.owner && !isWithin(requester.owner, owner);
	if (!fresh && !inward && !owner.hasFailedSetup) return;
	for (let at: Instance | undefined = requester; at !== undefined; at = at.creator) {
		if (!isSame(at.definition, target)) continue;
		// in a scope that encloses the other it is another instance, and the end of it
		if (at.owner !== owner && isWithin(at.owner, owner)) continue;
		const path = [target.name];
		for (let each: Instance | undefined = requester; each !== at; each = each?.creator) {
			path.unshift(each?.definition.name as string); // `at` is among the creators
		}
		throw cycleError([at.definition.name, ...path], owner);
	}
}

/** Runs the setup in its owner's async context, whoever asks. */
function begin(instance: Instance): void {
	const { owner, creator } = instance;
	if (creator?.owner === owner) frames.run(instance, start, instance);
	else owner.enterContext(instance, start, instance);
}

function start(instance: Instance): void {
	const { owner, definition } = instance;
	if (definition.dependencies === undefined) {
		invoke(instance, undefined);
		return;
	}
	const found: [string, Acquisition][] = [];
	const waiting: Promise<unknown>[] = [];
	try {
		for (const [key, dependency] of definition.dependencies) {
			const acquisition = (owner.sync ? findSync : find)(owner, dependency, undefined, instance);
			found.push([key, acquisition]);
			if (acquisition instanceof Instance && acquisition.state !== "ready")
				waiting.push(owner.waitFor(acquisition));
		}
	} catch (error) {
		instance.fail(error);
		return;
	}
	const go = () =>
		invoke(instance, Object.fromEntries(found.map(([key, each]) => [key, each.value])));
	if (waiting.length === 0) go();
	else Promise.all(waiting).then(go, (error) => instance.fail(error));
}

/** What the setup is given; the signal is made when asked for. */
class Context implements SetupContext {
	readonly scope: Scope;
	readonly #owner: Owner;

	constructor(owner: Owner) {
		this.scope = owner.scope as Scope; // a sync scope's setups are typed for what they can do with it
		this.#owner = owner;
	}

	get signal(): AbortSignal {
		return this.#owner.signal;
	}
}

function invoke(instance: Instance, dependencies: object | undefined): void {
	const { owner, definition } = instance;
	const setup = definition.setup as NonNullable<Definition["setup"]>; // tokens have been refused
	const context = new Context(owner);
	try {
		accept(instance, dependencies === undefined ? setup(context) : setup(dependencies, context));
	} catch (error) {
		instance.fail(error);
	}
}

/** Decides by what a setup returned what kind of setup it is. */
function accept(instance: Instance, result: unknown): void {
	const { sync } = instance.owner;
	const onError = (error: unknown) => instance.fail(error);
	// a generator comes first: on Node 24 an async one is disposable as well
	if (isGenerator(result)) {
		// once begun, it would have to be undone later
		if (sync && Symbol.asyncIterator in result) throw asynchronousError(instance);
		instance.generator = result;
		const step = result.next();
		if (!isThenable(step)) takeStep(instance, result, step)?.catch(onError);
		else
			Promise.resolve(step)
				.then((done) => takeStep(instance, result, done))
				.catch(onError);
	} else if (isThenable(result) || (sync && isAsyncDisposable(result))) {
		Promise.resolve(result)
			.then((value) => accept(instance, value))
			.catch(onError);
	} else {
		// a dependency passed on is disposed as that
		const isOwn = !instance.dependencies?.some((each) => each.value === result);
		if (isOwn && isObject(result) && (Symbol.asyncDispose in result || Symbol.dispose in result)) {
			instance.dispose = (sync ? syncDisposerOf : disposerOf)(result);
		}
		instance.succeed(result);
	}
}

/** Whether only `await` can dispose `value`. */
function isAsyncDisposable(value: unknown): boolean {
	return isObject(value) && syncDisposerOf(value) === undefined && disposerOf(value) !== undefined;
}

/** Takes the generator's one value. Throws if it can't be one; a promise if that takes time. */
function takeStep(
	instance: Instance,
	generator: Generator | AsyncGenerator,
	step: IteratorResult<unknown>,
): Promise<never> | undefined {
	const { definition, owner } = instance;
	if (step.done) {
		throw new DidNotYieldError(
			`${definition.name} did not yield in ${placeText(definition, owner, instance.creator)}: its generator ended before it gave a value. Check that every path through the setup reaches the yield.`,
			detailsOf(definition, owner, instance.creator),
		);
	}
	let refusal: unknown;
	try {
		if (!isThenable(step.value)) {
			instance.succeed(step.value);
			return undefined;
		}
		// `await use()` would unwrap it, and give another value than the one yielded
		refusal = new InvalidArgumentError(
			`${definition.name} yielded a value with a then(): \`await use(${definition.name})\` would unwrap it. Yield it inside an object, or await it first.`,
		);
	} catch (error) {
		refusal = error; // of a value that can't even be looked at
	}
	return closeGenerator(owner, generator, refusal);
}

/** Recognises generators by what they do, so that wrapped and down-levelled ones count. */
export function isGenerator(value: unknown): value is NonNullable<Instance["generator"]> {
	// the promise of a generator that scoped() gives is not the generator
	if (!isObject(value) || isThenable(value)) return false;
	// `in` first: there are objects that throw for properties that they don't have
	if (!(Symbol.asyncIterator in value || Symbol.iterator in value)) return false;
	if (!("next" in value && "return" in value && "throw" in value)) return false;
	const { next, return: close, throw: fail } = value;
	return typeof next === "function" && typeof close === "function" && typeof fail === "function";
}

function asynchronousError({ definition, owner, creator }: Instance): InvalidArgumentError {
	return new InvalidArgumentError(
		`Cannot use ${definition.name} in a sync scope: its setup or its value is asynchronous, in ${placeText(definition, owner, creator)}. Use withScope()${owner.sync ? "" : `, or \`await use(${definition.name})\` before, in scope "${owner.name}"`}.`,
	);
}

function closedError(
	scope: Owner,
	definition: Definition,
	frame: Frame | undefined,
): ScopeClosedError {
	const requester = requesterOf(frame);
	return new ScopeClosedError(
		`Cannot use ${definition.name}: its ${placeText(definition, scope, requester)} is ${scope.state === "closed" ? "closed" : "closing"}. Acquire it before the scope closes, or use detach() for work that outlives it.`,
		detailsOf(definition, scope, requester),
	);
}

export function cycleError(path: readonly string[], scope: Owner): CircularDependencyError {
	const resource = path[path.length - 1] as string; // a path has at least its resource
	return new CircularDependencyError(
		`Circular dependency in scope "${scope.name}": ${joinPath(path)}. Pass what they share through a third resource, or use one of them after its setup.`,
		{ resource, scope: scope.name, path },
	);
}

/** Whether a scope of that lifetime, or of that name, is open in `scope` or below. */
function isOpenBelow(scope: Owner, lifetime: Lifetime): boolean {
	for (const each of scopesFrom(scope)) if ((each.lifetime ?? each.name) === lifetime) return true;
	return false;
}

function lifetimeError(
	scope: Owner,
	definition: Definition,
	lifetime: Lifetime,
	consumer: Instance | undefined,
): LifetimeError {
	const open: string[] = [];
	for (let at: Owner | undefined = scope; at !== undefined; at = at.parent) {
		open.push(`"${at.lifetime ?? at.name}"`);
	}
	const chain = `open are ${open.join(" < ")}`;
	const advice =
		lifetime === "handler" && open.includes('"request"')
			? 'A handler\'s scope ends before the first byte of the response: what is needed later takes the lifetime "request".'
			: `Open one with withScope({ lifetime: "${lifetime}" }, …) around this${lifetime === "app" ? ", in a server by requestScope({ parent: app })" : ""}, or choose another with use(${definition.name}, { lifetime }).`;
	const place = placeText(definition, scope, consumer);
	const message =
		consumer === undefined || !isOpenBelow(scope, lifetime)
			? `Cannot use ${definition.name} in ${place}: no open scope has its lifetime "${lifetime}"; ${chain}. ${advice}`
			: `Cannot use ${definition.name} (lifetime "${lifetime}") in ${consumer.definition.name}, which is owned by "${consumer.owner.name}" and would outlive it, in ${place}; ${chain}. Give ${consumer.definition.name} the shorter lifetime or ${definition.name} the longer one, or open a scope of that lifetime around both.`;
	return new LifetimeError(message, detailsOf(definition, scope, consumer));
}
