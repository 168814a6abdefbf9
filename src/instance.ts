import { type KnownInstance, publishAcquired } from "./events.ts";
import type { Linked, List } from "./list.ts";
import type { Owner } from "./owner.ts";
import type { Departure } from "./release-early.ts";
import type { Definition, Replacement } from "./resource.ts";

/** Anything that a scope releases. */
export type Entry = Instance | Callback;

/** What `use` found: an instance, or a provided value. */
export type Acquisition = Instance | Replacement;

/** A rejection that is delivered elsewhere, or that nobody needs to await. */
export function ignore(): void {}

/** What `defer`, `adopt` or `use(disposable)` registered. */
export class Callback implements Linked {
	readonly sequence: number;
	/** Disposes; `undefined` for `use(null)`, which counts as an await and no more. */
	readonly run: (() => unknown) | undefined;
	previous: Entry | undefined;
	next: Entry | undefined;

	constructor(sequence: number, run: (() => unknown) | undefined) {
		this.sequence = sequence;
		this.run = run;
	}
}

/**
 * One acquisition of a resource. It serves as the ambient frame of its own setup.
 *
 * pending -> ready -> releasing -> released, or pending -> failed
 */
export class Instance implements Linked {
	readonly definition: Definition;
	/** The order of the uses that made instances. */
	readonly sequence: number;
	/** The instance whose setup asked first; undefined where no setup did. */
	creator: Instance | undefined;
	/** The binding that put this instance in another's place. */
	readonly binding: Replacement | undefined;
	/** How many setups wait for this one synchronously: long chains are cut, or they overflow the stack. */
	readonly depth: number;
	owner: Owner;
	state: "pending" | "ready" | "failed" | "releasing" | "released" = "pending";
	value: unknown;
	/** Why the setup failed. */
	error: unknown;
	/** What its setup used, twice if used twice. */
	dependencies: Instance[] | undefined;
	/** What its setup registered with its owner, released right after it. */
	registered: Callback[] | undefined;
	generator:
		| Generator<unknown, unknown, undefined>
		| AsyncGenerator<unknown, unknown, undefined>
		| undefined;
	/** Disposes a returned value. */
	dispose: (() => unknown) | undefined;
	/** The same clock, when its setup had come to its end. */
	readySequence = 0;
	/** What was shared in the owner before it, for `Shared` alone to look after. */
	sharedBefore: Instance | undefined;
	/** Its neighbours among the owner's setups in flight, later among its entries. */
	previous: Entry | undefined;
	next: Entry | undefined;
	/** How many wait for its setup. */
	waiting = 0;
	/** Those of them who do so in other scopes than the owner; or what they are told who still come. */
	#waiters: Waiter[] | Refusal | undefined;
	/** Whether one of those was aborted. */
	deserted = false;
	/** Whether the error, which reaches no caller, has been reported. */
	reported = false;
	/** The early release that took it, which is in charge of it from then on. */
	departure: Departure | undefined;
	/** While an order is made: how many of its dependents are still to be released. */
	dependents = 0;
	readonly startedAt: number = performance.now();
	/** What listeners know it by. */
	info: KnownInstance | undefined;
	#promise: Promise<unknown> | undefined;
	#resolve: (value: unknown) => void = ignore;
	#reject: (error: unknown) => void = ignore;
	#end: { readonly promise: Promise<void>; readonly tell: () => void } | undefined;

	constructor(
		owner: Owner,
		definition: Definition,
		creator: Instance | undefined,
		binding: Replacement | undefined,
	) {
		this.owner = owner;
		this.definition = definition;
		this.sequence = owner.nextSequence();
		this.creator = creator;
		this.binding = binding;
		this.depth = creator === undefined ? 0 : creator.depth + 1;
	}

	get pending(): boolean {
		return this.state === "pending";
	}

	/** Settles with the value; rejects early when the owner is aborted. */
	get promise(): Promise<unknown> {
		if (this.#promise === undefined) {
			if (this.state !== "ready")
				this.#promise = new Promise((resolve, reject) => {
					this.#resolve = resolve;
					this.#reject = reject;
				});
			// it is to last, and Node 22 would keep the context alive in which it is made: that of whoever asks first
			else
				this.#promise = this.owner.enterContext(
					this.owner,
					(value) => Promise.resolve(value),
					this.value,
				);
		}
		return this.#promise;
	}

	/** It is told when the setup is over. */
	addWaiter(waiter: Waiter): void {
		if (this.#waiters instanceof Refusal) waiter.reject(this.#waiters.error);
		else if (this.#waiters === undefined) this.#waiters = [waiter];
		else this.#waiters.push(waiter);
	}

	#forgetWaiters(): void {
		this.#waiters = undefined;
		this.#promise = undefined;
		this.#resolve = ignore;
		this.#reject = ignore;
	}

	/** Its setup uses `dependency`. */
	dependOn(dependency: Instance): void {
		if (this.dependencies === undefined) this.dependencies = [dependency];
		else this.dependencies.push(dependency);
	}

	/** pending -> ready */
	succeed(value: unknown): void {
		this.state = "ready";
		const { owner } = this;
		this.readySequence = owner.nextSequence();
		this.value = value;
		owner.endSetup(this);
		// a long-lived instance doesn't hang on to the request that asked first
		if (this.creator?.owner !== owner) this.creator = undefined;
		if (this.registered !== undefined) for (const each of this.registered) owner.entries.push(each);
		owner.entries.push(this);
		this.#resolve(value);
		if (Array.isArray(this.#waiters)) for (const each of this.#waiters) each.resolve(value);
		this.#forgetWaiters();
		this.#end?.tell();
		owner.wake();
		if (this.info !== undefined) publishAcquired(this, this.info);
	}

	/** pending -> failed */
	fail(error: unknown): void {
		this.state = "failed";
		this.error = error;
		this.generator = undefined;
		const { owner } = this;
		owner.hasFailedSetup = true;
		owner.endSetup(this);
		owner.forget(this);
		// what it registered is released before what it had used, like an instance's
		if (this.registered !== undefined) {
			for (const each of this.registered) owner.entries.push(each);
			owner.entries.push(this);
		}
		this.abandon(error);
		this.#end?.tell();
		// an abort has sent away who waited, here or in the scopes below
		const deserted = owner.aborted !== undefined || (this.deserted && this.waiting === 0);
		if ((deserted || owner.state !== "open") && !owner.followsFromAbort(error)) {
			if (!this.#passesOn(error)) owner.report(error);
			this.reported = true;
		}
		owner.wake();
		if (this.info !== undefined) publishAcquired(this, this.info);
	}

	/** releasing -> released. A timer made in the setup may hold on to this for ever: nothing else may come with it. */
	finish(): void {
		this.state = "released";
		this.value = undefined;
		if (this.#promise !== undefined) this.#forgetWaiters();
		this.dependencies = undefined;
		this.registered = undefined;
		this.generator = undefined;
		this.dispose = undefined;
		this.departure = undefined;
		this.owner.forget(this);
	}

	/** Whether the error is a dependency's, which has been reported there. */
	#passesOn(error: unknown): boolean {
		return (
			this.dependencies?.some((each) => each.reported && Object.is(each.error, error)) ?? false
		);
	}

	/** When a pending setup has come to its end, which it may do long after an abort sent those away who waited. */
	ended(): Promise<void> {
		if (this.#end === undefined) {
			let tell = ignore;
			const promise = new Promise<void>((resolve) => {
				tell = resolve;
			});
			this.#end = { promise, tell };
		}
		return this.#end.promise;
	}

	/** Rejects whoever waits, now or later; the setup goes on. */
	abandon(error: unknown): void {
		const { promise } = this;
		this.#reject(error);
		const waiters = this.#waiters;
		if (!(waiters instanceof Refusal)) this.#waiters = new Refusal(error);
		// not at once: those whose own scope is being aborted as well are told of that
		promise.catch(() => {
			if (Array.isArray(waiters)) for (const each of waiters) each.reject(error);
		});
	}
}

class Refusal {
	readonly error: unknown;

	constructor(error: unknown) {
		this.error = error;
	}
}

/** Somebody who waits for the setup of an instance in another scope than its owner. */
export class Waiter implements Linked {
	readonly instance: Instance;
	/** All who wait in that scope, as long as it is one of them. */
	#all: List<Waiter> | undefined;
	/** Unset when it is over, as all of them are: a setup that takes its time isn't to keep what they were told. */
	#promise: Promise<unknown> | undefined;
	#resolve: (value: unknown) => void = ignore;
	#reject: (error: unknown) => void = ignore;
	previous: Waiter | undefined;
	next: Waiter | undefined;

	constructor(instance: Instance, all: List<Waiter>) {
		this.instance = instance;
		this.#all = all;
		all.push(this);
	}

	wait(): Promise<unknown> {
		const promise = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
		this.#promise = promise;
		this.instance.addWaiter(this);
		return promise;
	}

	resolve(value: unknown): void {
		this.#resolve(value);
		this.#leave();
	}

	reject(error: unknown): void {
		this.#promise?.catch(ignore); // not before: it would take a promise more each time
		this.#reject(error);
		this.#leave();
	}

	#leave(): void {
		this.#all?.remove(this);
		this.#all = undefined;
		this.#promise = undefined;
		this.#resolve = ignore;
		this.#reject = ignore;
	}

	/** Its scope is aborted. */
	giveUp(error: unknown): void {
		const { instance } = this;
		instance.waiting--;
		instance.deserted = true;
		this.reject(error);
	}
}
