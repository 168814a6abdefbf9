import type { Instance } from "./instance.ts";
import type { Outcome } from "./outcome.ts";
import type { Owner } from "./owner.ts";
import type { Lifetime } from "./resource.ts";

/** Says in events which scope they are about: the same object whenever it is the same scope. */
export interface ScopeInfo {
	/** Unique in this process, together with those of {@link InstanceInfo}. */
	readonly id: number;
	/** The scope's name. */
	readonly name: string;
	/** The scope's lifetime, if it has one. */
	readonly lifetime: Lifetime | undefined;
	/** The enclosing scope. */
	readonly parent: ScopeInfo | undefined;
	/** The instance whose setup opened the scope, if one did. */
	readonly opener: InstanceInfo | undefined;
}

/** Says in events which instance of a resource they are about: the same object whenever it is the same instance. */
export interface InstanceInfo {
	/** Unique in this process, together with those of {@link ScopeInfo}. */
	readonly id: number;
	/** The resource's name. */
	readonly resource: string;
	/** The name of the family that it is a member of, if it is: the name without the key. */
	readonly family: string | undefined;
	/** The scope that owns it. */
	readonly scope: ScopeInfo;
	/** The instance whose setup asked for it first, if one did. */
	readonly requester: InstanceInfo | undefined;
	/**
	 * The scope in which it was asked for first, which may be further in, or if that is a handler's that hasn't been used yet, the
	 * one around it; unknown if nobody listened then.
	 */
	readonly requestedIn: ScopeInfo | undefined;
}

/** What the messages of all tracing channels have in common. Each is one object from `start` to `asyncEnd`. */
export interface TracedEvent {
	/** The scope that it happens in. */
	readonly scope: ScopeInfo;
	/** When it began, in milliseconds, as `performance.now()` gives them. */
	readonly startedAt: number;
	/** When it ended. */
	endedAt?: number;
	/** What went wrong, if something did: then there is such a property, whatever was thrown. */
	error?: unknown;
	/**
	 * May be set at `start` to run the user's code in a context of the listener's own: it is to call `fn` and return what
	 * that returns. A store bound to the `start` channel does the same.
	 */
	around?: <R>(fn: () => R) => R;
}

/**
 * On `yieldscope:scope`: a scope from its opening until everything in it is released; a `"handler"` scope with a
 * parent and an `onFirstUse`, as adapters open it, from that use, if ever. Nothing is run in its `around`.
 */
export interface ScopeEvent extends TracedEvent {
	/** How the work ended; known at the end. `error` is there if it failed. */
	outcome?: Outcome["type"];
}

/** On `yieldscope:acquire`: a setup, from its call until the value is there. */
export interface AcquireEvent extends TracedEvent {
	/** What is acquired. */
	readonly instance: InstanceInfo;
	/** What its setup used; known at the end. */
	dependencies?: readonly InstanceInfo[];
}

/**
 * On `yieldscope:release`: the release of an instance, or of what `defer`, `adopt` or `use(disposable)` registered. If it
 * takes longer than `releaseTimeout`, it ends then, and its error is the {@link ReleaseTimeoutError}.
 */
export interface ReleaseEvent extends TracedEvent {
	/** What is released; unset for a callback. */
	readonly instance: InstanceInfo | undefined;
	/** What the resource is told of the work. An error that it throws on isn't its own. */
	readonly outcome: Outcome["type"];
	/** Whether it comes before the scope closes, by {@link Scope.release}. */
	readonly early: boolean;
}

/** On `yieldscope:task`: work of a scope that its close waits for. */
export interface TaskEvent extends TracedEvent {
	/** Which method started it. */
	readonly kind: "spawn" | "after";
}

/**
 * On `yieldscope:wait`: somebody needs an instance that isn't there yet, and whose setup somebody else has started. They
 * wait until that is over, unless their scope is aborted.
 */
export interface WaitEvent {
	/** The scope in which it is needed. */
	readonly scope: ScopeInfo;
	/** When, in milliseconds, as `performance.now()` gives them. */
	readonly at: number;
	/** What is waited for. */
	readonly instance: InstanceInfo;
	/** Its setup, if somebody listened when that began: `endedAt` tells when it was over. */
	readonly setup: AcquireEvent | undefined;
	/** The instance whose setup needs it, if one does. */
	readonly requester: InstanceInfo | undefined;
}

/** On `yieldscope:mark`: a moment in the life of a scope, by {@link Scope.mark}. */
export interface MarkEvent {
	/** The scope that it happens in. */
	readonly scope: ScopeInfo;
	/** What happens. */
	readonly name: string;
	/** When, in milliseconds, as `performance.now()` gives them. */
	readonly at: number;
	/** What there is to say about it. */
	readonly detail: unknown;
}

/** On `yieldscope:error`: an error that can't reach a caller, whatever `onReleaseError` does with it. */
export interface ReportEvent {
	/** The scope that it happened in. */
	readonly scope: ScopeInfo;
	/** What was thrown. */
	readonly error: unknown;
}

// not imported: there are runtimes without it
const diagnostics = globalThis.process?.getBuiltinModule?.("node:diagnostics_channel");

type Channel = import("node:diagnostics_channel").Channel;
type TracingChannel = import("node:diagnostics_channel").TracingChannel;

const marks = diagnostics?.channel("yieldscope:mark");

/** Cloudflare's channels say by a method whether somebody listens, which as a property would be true. */
const tellsByMethod = typeof marks?.hasSubscribers === "function";

function isHeard(channel: Channel): boolean {
	return tellsByMethod
		? (channel as unknown as { hasSubscribers(): boolean }).hasSubscribers()
		: channel.hasSubscribers;
}

/** The tracing channel of one kind of operation: `tracing:yieldscope:acquire:start` and so on. */
class Trace<E extends TracedEvent> {
	readonly #channels: TracingChannel | undefined;

	constructor(operation: string) {
		this.#channels = diagnostics?.tracingChannel(`yieldscope:${operation}`);
	}

	/** Whether an event is to be made at all. Bun's tracing channels can't say. */
	get hasSubscribers(): boolean {
		const channels = this.#channels;
		return (
			channels !== undefined &&
			(isHeard(channels.start) ||
				isHeard(channels.end) ||
				isHeard(channels.asyncStart) ||
				isHeard(channels.asyncEnd) ||
				isHeard(channels.error))
		);
	}

	/** It begins, and runs nothing: publishes `start` and `end`. */
	begin(event: E): void {
		const { start, end } = this.#channels as TracingChannel; // somebody listens
		start.publish(event);
		end.publish(event);
	}

	/** Publishes `start`, calls `fn` with its arguments in the contexts that listeners want for it, and publishes `end`. */
	run<A, B, R>(event: E, fn: (a: A, b: B) => R, a: A, b: B): R {
		const { start, end } = this.#channels as TracingChannel; // somebody listens
		try {
			return start.runStores(event, runEvent<A, B, R>, undefined, event, fn, a, b);
		} finally {
			end.publish(event);
		}
	}

	/** It has ended, at `at`: publishes `error`, if there was one, `asyncStart` and `asyncEnd`. */
	finish(event: E, at: number = performance.now()): void {
		const { asyncStart, asyncEnd, error } = this.#channels as TracingChannel; // somebody listened
		event.endedAt = at;
		if ("error" in event) error.publish(event);
		asyncStart.publish(event);
		asyncEnd.publish(event);
	}
}

function runEvent<A, B, R>(event: TracedEvent, fn: (a: A, b: B) => R, a: A, b: B): R {
	return event.around ? runAround(event.around, () => fn(a, b)) : fn(a, b);
}

/** Calls `fn` exactly once, in `around`, whatever that does: what it throws is thrown where it hurts nobody, as by channels. */
function runAround<R>(around: NonNullable<TracedEvent["around"]>, fn: () => R): R {
	let result: { readonly value: R } | { readonly error: unknown } | undefined;
	const once = (): R => {
		if (result === undefined) {
			try {
				result = { value: fn() };
			} catch (error) {
				result = { error };
			}
		}
		if ("error" in result) throw result.error;
		return result.value;
	};
	try {
		around(once);
	} catch (error) {
		const isOwn = result === undefined || !("error" in result && Object.is(result.error, error));
		if (isOwn) {
			process.nextTick(() => {
				throw error;
			});
		}
	}
	return once();
}

export const scopeTrace: Trace<ScopeEvent> = new Trace("scope");
export const acquireTrace: Trace<AcquireEvent> = new Trace("acquire");
export const releaseTrace: Trace<ReleaseEvent> = new Trace("release");
export const taskTrace: Trace<TaskEvent> = new Trace("task");
const waits = diagnostics?.channel("yieldscope:wait");
const errors = diagnostics?.channel("yieldscope:error");

let lastId = 0;

// Classes: where literals make objects that outlive the young generation at first, V8 puts all that they make into the old
// one, where each keeps alive what it refers to until that is collected. It cost a request more than its events did.

/** What listeners know, with the event that they have been told the beginning of. Two fields more made scopes a tenth slower. */
class Known<E extends TracedEvent> {
	readonly id: number = ++lastId;
	#event: E | undefined;

	static begin<E extends TracedEvent>(known: Known<E>, event: E): E {
		known.#event = event;
		return event;
	}

	static eventOf<E extends TracedEvent>(known: Known<E>): E | undefined {
		return known.#event;
	}

	static end<E extends TracedEvent>(known: Known<E>): E | undefined {
		const event = known.#event;
		known.#event = undefined;
		return event;
	}
}

export class KnownScope extends Known<ScopeEvent> implements ScopeInfo {
	readonly name: string;
	readonly lifetime: Lifetime | undefined;
	readonly parent: ScopeInfo | undefined;
	readonly opener: InstanceInfo | undefined;

	constructor({ name, lifetime, parent, opener }: Owner) {
		super();
		this.name = name;
		this.lifetime = lifetime;
		this.parent = parent?.info;
		this.opener = opener?.info;
	}
}

export class KnownInstance extends Known<AcquireEvent> implements InstanceInfo {
	readonly resource: string;
	readonly family: string | undefined;
	readonly scope: ScopeInfo;
	readonly requester: InstanceInfo | undefined;
	readonly requestedIn: ScopeInfo | undefined;

	/** @param origin - Where it is asked for, if that is now. */
	constructor({ creator, definition, owner }: Instance, origin: Owner | undefined) {
		super();
		this.resource = definition.name;
		this.family = definition.family?.name;
		this.scope = scopeInfo(owner);
		this.requester = creator?.info;
		this.requestedIn = origin && scopeInfo(origin);
	}
}

function scopeInfo(owner: Owner): KnownScope {
	return owner.info ?? firstScopeInfo(owner);
}

/** Makes those of the enclosing scopes, too. Deep nests overflow no stack. */
function firstScopeInfo(owner: Owner): KnownScope {
	if (owner.parent === undefined || owner.parent.info !== undefined) {
		owner.info = new KnownScope(owner);
		return owner.info;
	}
	const unknown: Owner[] = [];
	for (let at: Owner | undefined = owner; at !== undefined && at.info === undefined; at = at.parent)
		unknown.push(at);
	for (const each of unknown.reverse()) each.info = new KnownScope(each);
	return owner.info as KnownScope; // it was the last one
}

function instanceInfo(instance: Instance, origin?: Owner): KnownInstance {
	instance.info ??= new KnownInstance(instance, origin);
	return instance.info;
}

class Traced implements TracedEvent {
	readonly scope: ScopeInfo;
	readonly startedAt: number;
	endedAt?: number;
	around?: NonNullable<TracedEvent["around"]>;
	declare error?: unknown;

	constructor(owner: Owner, startedAt: number = performance.now()) {
		this.scope = scopeInfo(owner);
		this.startedAt = startedAt;
	}
}

class TracedScope extends Traced implements ScopeEvent {
	outcome?: Outcome["type"];
}

class TracedSetup extends Traced implements AcquireEvent {
	readonly instance: KnownInstance;
	dependencies?: readonly InstanceInfo[];

	constructor(instance: Instance, origin: Owner) {
		super(instance.owner, instance.startedAt);
		this.instance = instanceInfo(instance, origin);
	}
}

export class TracedRelease extends Traced implements ReleaseEvent {
	readonly instance: InstanceInfo | undefined;
	readonly outcome: Outcome["type"];
	readonly early: boolean;

	/** @param told - What it is told of anything but success. */
	constructor(
		owner: Owner,
		instance: Instance | undefined,
		told: { readonly incomplete: boolean } | undefined,
		early: boolean,
	) {
		super(owner);
		this.instance = instance && instanceInfo(instance);
		this.outcome = told === undefined ? "success" : told.incomplete ? "incomplete" : "failure";
		this.early = early;
	}
}

export class TracedTask extends Traced implements TaskEvent {
	readonly kind: TaskEvent["kind"];

	constructor(owner: Owner, kind: TaskEvent["kind"]) {
		super(owner);
		this.kind = kind;
	}
}

class Mark implements MarkEvent {
	readonly scope: ScopeInfo;
	readonly name: string;
	readonly at: number = performance.now();
	readonly detail: unknown;

	constructor(owner: Owner, name: string, detail: unknown) {
		this.scope = scopeInfo(owner);
		this.name = name;
		this.detail = detail;
	}
}

/** Tells of a scope that was opened: of an adapter's handler's, in which as a rule nothing is released, when it is used first. */
export function announce(owner: Owner): void {
	if (!isUnused(owner)) {
		publishOpening(owner);
		return;
	}
	const { onFirstUse } = owner;
	// setMethod() says why it isn't written where it is assigned; here it would take longer
	const tellFirst = () => {
		// as where it was opened, which is what tracers look at
		owner.enterContext(owner, publishOpening, owner);
		onFirstUse?.();
	};
	owner.onFirstUse = tellFirst;
}

/** Whether it is a handler's scope whose first use somebody waits for. */
function isUnused({ lifetime, parent, onFirstUse }: Owner): boolean {
	return lifetime === "handler" && onFirstUse !== undefined && parent !== undefined;
}

/** Where listeners are told that something happens in `scope`: of an unused handler's they don't know. */
function toldOf(scope: Owner): Owner {
	let at = scope;
	while (isUnused(at)) at = at.parent as Owner; // it has one
	return at;
}

export function publishOpening(owner: Owner): void {
	scopeTrace.begin(Known.begin(scopeInfo(owner), new TracedScope(owner)));
}

/** @param at - When, if the clock has been read already. */
export function publishClosing({ outcome }: Owner, info: KnownScope, at?: number): void {
	const event = Known.end(info);
	if (event === undefined) return;
	event.outcome = outcome.type;
	if ("error" in outcome) event.error = outcome.error;
	scopeTrace.finish(event, at);
}

/** The event of a setup that is asked for in `origin`. */
export function acquireEvent(instance: Instance, origin: Owner): AcquireEvent {
	const event = new TracedSetup(instance, toldOf(origin));
	return Known.begin(event.instance, event);
}

const none: readonly InstanceInfo[] = [];

export function publishAcquired(instance: Instance, info: KnownInstance): void {
	const event = Known.end(info);
	if (event === undefined) return;
	const { dependencies } = instance;
	event.dependencies = dependencies
		? Array.from(new Set(dependencies), (each) => instanceInfo(each))
		: none;
	if (instance.state === "failed") event.error = instance.error;
	acquireTrace.finish(event);
}

/** Somebody in `origin`, or the setup of `requester`, is to wait for `instance`. */
export function publishWait(
	origin: Owner,
	instance: Instance,
	requester: Instance | undefined,
): void {
	if (waits === undefined || !isHeard(waits)) return;
	const info = instanceInfo(instance);
	const event: WaitEvent = {
		scope: scopeInfo(toldOf(origin)),
		at: performance.now(),
		instance: info,
		setup: Known.eventOf(info),
		requester: requester && instanceInfo(requester),
	};
	waits.publish(event);
}

export function publishMark(owner: Owner, name: string, detail: unknown): void {
	if (marks !== undefined && isHeard(marks)) marks.publish(new Mark(toldOf(owner), name, detail));
}

export function publishError(owner: Owner, error: unknown): void {
	if (errors === undefined || !isHeard(errors)) return;
	const event: ReportEvent = { scope: scopeInfo(toldOf(owner)), error };
	errors.publish(event);
}
