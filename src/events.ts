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
	/** The scope in which it was asked for first, which may be further in; unknown if nobody listened then. */
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

/** On `yieldscope:scope`: a scope from its opening until everything in it is released. Its `around` runs nothing. */
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

type TracingChannel = import("node:diagnostics_channel").TracingChannel;

/** Remembers something of an object, as a `WeakMap` does; but that is what the collector took most of a request's time for. */
class Attachment<K extends object, V> {
	readonly #key = Symbol("yieldscope");

	get(to: K): V | undefined {
		return (to as Record<symbol, V>)[this.#key];
	}

	set(to: K, value: V): void {
		(to as Record<symbol, V>)[this.#key] = value;
	}
}

/** The tracing channel of one kind of operation: `tracing:yieldscope:acquire:start` and so on. */
class Trace<E extends TracedEvent, S extends object = object> {
	readonly #channels: TracingChannel | undefined;
	/** Where what has begun keeps its event while somebody listens. Unset until somebody does. */
	underway: Attachment<S, E> | undefined;

	constructor(operation: string) {
		this.#channels = diagnostics?.tracingChannel(`yieldscope:${operation}`);
	}

	/** Whether an event is to be made at all. Bun's tracing channels can't say. */
	get hasSubscribers(): boolean {
		const channels = this.#channels;
		return (
			channels !== undefined &&
			(channels.start.hasSubscribers ||
				channels.end.hasSubscribers ||
				channels.asyncStart.hasSubscribers ||
				channels.asyncEnd.hasSubscribers ||
				channels.error.hasSubscribers)
		);
	}

	/** Publishes `start`, calls `fn` in the contexts that listeners want for it, and publishes `end`. */
	run<R>(event: E, fn: () => R): R {
		const { start, end } = this.#channels as TracingChannel; // somebody listens
		try {
			return start.runStores(event, () => (event.around ? runAround(event.around, fn) : fn()));
		} finally {
			end.publish(event);
		}
	}

	/** {@link Trace.run} for what ends somewhere else. */
	begin(subject: S, event: E, fn: () => void): void {
		this.underway ??= new Attachment();
		this.underway.set(subject, event);
		this.run(event, fn);
	}

	/** It has ended: publishes `error`, if there was one, `asyncStart` and `asyncEnd`. */
	finish(event: E): void {
		const { asyncStart, asyncEnd, error } = this.#channels as TracingChannel; // somebody listened
		event.endedAt = performance.now();
		if ("error" in event) error.publish(event);
		asyncStart.publish(event);
		asyncEnd.publish(event);
	}
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

export const scopeTrace: Trace<ScopeEvent, Owner> = new Trace("scope");
export const acquireTrace: Trace<AcquireEvent, Instance> = new Trace("acquire");
export const releaseTrace: Trace<ReleaseEvent> = new Trace("release");
export const taskTrace: Trace<TaskEvent> = new Trace("task");
const marks = diagnostics?.channel("yieldscope:mark");
const errors = diagnostics?.channel("yieldscope:error");

const scopeInfos = new Attachment<Owner, ScopeInfo>();
const instanceInfos = new Attachment<Instance, InstanceInfo>();
let lastId = 0;

function scopeInfo(owner: Owner): ScopeInfo {
	const unknown: Owner[] = [];
	for (let at: Owner | undefined = owner; at && !scopeInfos.get(at); at = at.parent)
		unknown.push(at);
	for (const each of unknown.reverse()) {
		const { name, lifetime, parent, opener } = each;
		scopeInfos.set(each, {
			id: ++lastId,
			name,
			lifetime,
			parent: parent && scopeInfos.get(parent),
			opener: opener && instanceInfos.get(opener),
		});
	}
	return scopeInfos.get(owner) as ScopeInfo; // at the latest since now
}

/** @param origin - Where it is asked for, if that is now. */
function instanceInfo(instance: Instance, origin?: Owner): InstanceInfo {
	const { creator, definition, owner } = instance;
	const info = instanceInfos.get(instance) ?? {
		id: ++lastId,
		resource: definition.name,
		family: definition.family?.name,
		scope: scopeInfo(owner),
		requester: creator && instanceInfos.get(creator),
		requestedIn: origin && scopeInfo(origin),
	};
	instanceInfos.set(instance, info);
	return info;
}

/** What all events say of their beginning. */
export function beginning(owner: Owner): Pick<TracedEvent, "scope" | "startedAt"> {
	return { scope: scopeInfo(owner), startedAt: performance.now() };
}

export function publishOpening(owner: Owner): void {
	scopeTrace.begin(owner, beginning(owner), () => {});
}

export function publishClosing(owner: Owner): void {
	const event = scopeTrace.underway?.get(owner);
	if (event === undefined) return;
	const { outcome } = owner;
	event.outcome = outcome.type;
	if ("error" in outcome) event.error = outcome.error;
	scopeTrace.finish(event);
}

/** Runs the setup of `instance`, which was asked for in `origin`. */
export function publishSetup(
	origin: Owner,
	setup: (instance: Instance) => void,
	instance: Instance,
): void {
	const event = { ...beginning(instance.owner), instance: instanceInfo(instance, origin) };
	acquireTrace.begin(instance, event, () => setup(instance));
}

export function publishAcquired(instance: Instance): void {
	const event = acquireTrace.underway?.get(instance);
	if (event === undefined) return;
	event.dependencies = [...new Set(instance.dependencies)].map((each) => instanceInfo(each));
	if (instance.state === "failed") event.error = instance.error;
	acquireTrace.finish(event);
}

/** @param told - What it is told of anything but success. */
export function releaseEvent(
	owner: Owner,
	instance: Instance | undefined,
	told: { readonly incomplete: boolean } | undefined,
	early: boolean,
): ReleaseEvent {
	return {
		...beginning(owner),
		instance: instance && instanceInfo(instance),
		outcome: told === undefined ? "success" : told.incomplete ? "incomplete" : "failure",
		early,
	};
}

export function publishMark(owner: Owner, name: string, detail: unknown): void {
	if (!marks?.hasSubscribers) return;
	const event: MarkEvent = { scope: scopeInfo(owner), name, at: performance.now(), detail };
	marks.publish(event);
}

export function publishError(owner: Owner, error: unknown): void {
	if (!errors?.hasSubscribers) return;
	const event: ReportEvent = { scope: scopeInfo(owner), error };
	errors.publish(event);
}
