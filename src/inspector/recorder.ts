import { channel } from "node:diagnostics_channel";
import type {
	AcquireEvent,
	InstanceInfo,
	MarkEvent,
	ReportEvent,
	ScopeEvent,
	ScopeInfo,
	TracedEvent,
	WaitEvent,
} from "../index.ts";
import { Recordings } from "./recorded.ts";
import { Recording, type ScopeRecord } from "./recording.ts";

/** Remembers the scopes that are open and the last ones that were, until it is disposed. */
export class Recorder implements Disposable {
	readonly #limit: number;
	/** Where each scope is told of: with the one around it, if it has no life of its own. */
	readonly #recordings = new Recordings();
	/** In no order: each knows its place. */
	readonly #open: Recording[] = [];
	/** The last ones. The oldest is at `#next`, if it is full. */
	readonly #closed: Recording[] = [];
	#next = 0;
	readonly #listeners: readonly (readonly [string, (message: unknown) => void])[];
	/** How many scopes were not recorded, since too many were open. */
	missing = 0;

	constructor(limit: number) {
		this.#limit = limit;
		const started = (operation: string) => `tracing:yieldscope:${operation}:start`;
		const ended = (operation: string) => `tracing:yieldscope:${operation}:asyncEnd`;
		const failed = (operation: string) => `tracing:yieldscope:${operation}:error`;
		const fail = (message: unknown) => this.#failed(message as TracedEvent);
		const add = (message: unknown) => {
			const event = message as TracedEvent;
			this.#recordingOf(event.scope, event.startedAt)?.add(event);
		};
		this.#listeners = [
			[started("scope"), (message) => this.#opened(message as ScopeEvent)],
			[ended("scope"), (message) => this.#ended(message as ScopeEvent)],
			[started("acquire"), (message) => this.#acquiring(message as AcquireEvent)],
			[started("release"), add],
			[started("task"), add],
			[failed("scope"), fail],
			[failed("acquire"), fail],
			[failed("release"), fail],
			[failed("task"), fail],
			["yieldscope:wait", (message) => this.#waiting(message as WaitEvent)],
			["yieldscope:mark", (message) => this.#marked(message as MarkEvent)],
			["yieldscope:error", (message) => this.#reported(message as ReportEvent)],
		];
		for (const [name, listener] of this.#listeners) channel(name).subscribe(listener);
	}

	[Symbol.dispose](): void {
		for (const [name, listener] of this.#listeners) channel(name).unsubscribe(listener);
		this.#open.length = 0;
		this.#closed.length = 0;
	}

	/** All scopes there is something to say about: first those that have closed, then the others, as they were opened. */
	*records(): Generator<ScopeRecord> {
		const { length } = this.#closed;
		for (let i = 0; i < length; i++)
			yield (this.#closed[(this.#next + i) % length] as Recording).describe(); // the index is in range
		const open = this.#open.filter((each) => each.isWorthTelling);
		for (const each of open.sort((a, b) => a.scope.id - b.scope.id)) yield each.describe();
	}

	#opened(event: ScopeEvent): void {
		const { scope, startedAt } = event;
		const { parent } = scope;
		const around = parent && isPart(scope, parent) ? this.#recordings.get(parent) : undefined;
		if (around === undefined) {
			this.#record(scope, event, startedAt);
			return;
		}
		this.#recordings.set(scope, around);
		if (around.place !== undefined) around.add(event);
	}

	#record(scope: ScopeInfo, event: ScopeEvent | undefined, startedAt: number): Recording {
		const recording = new Recording(scope, event ?? startedAt);
		this.#recordings.set(scope, recording);
		if (!this.#add(recording)) this.missing++;
		return recording;
	}

	/** Among those that are open, if there is room, or a scope in which nothing goes on any more and whose end nobody will tell. */
	#add(recording: Recording): boolean {
		if (this.#open.length >= this.#limit) {
			const idle = this.#open.find((each) => !each.isWorthTelling);
			if (idle === undefined) return false;
			this.#remove(idle);
		}
		recording.place = this.#open.push(recording) - 1;
		return true;
	}

	#ended({ scope }: ScopeEvent): void {
		const recording = this.#recordings.get(scope);
		if (recording?.scope !== scope || !this.#remove(recording)) return;
		recording.close();
		this.#closed[this.#next] = recording;
		this.#next = (this.#next + 1) % this.#limit;
	}

	/** Takes it out of those that are open, if it is there. */
	#remove(recording: Recording): boolean {
		const { place } = recording;
		if (place === undefined) return false;
		const last = this.#open.pop() as Recording; // at least this one
		if (last !== recording) {
			this.#open[place] = last;
			last.place = place;
		}
		recording.place = undefined;
		return true;
	}

	/** Where what happens in an open scope is recorded, if it is; that scope may have been opened before. */
	#recordingOf(scope: ScopeInfo, now: number): Recording | undefined {
		const recording = this.#recordings.get(scope) ?? this.#record(scope, undefined, now);
		const isOpen = recording.place !== undefined || (recording.isOlder && this.#add(recording));
		return isOpen ? recording : undefined;
	}

	/** A setup is told of where it was asked for, as well. */
	#acquiring(event: AcquireEvent): void {
		const { scope, startedAt } = event;
		const { requestedIn } = event.instance;
		const recording = this.#recordingOf(scope, startedAt);
		recording?.add(event);
		if (requestedIn === undefined || requestedIn === scope) return;
		const asking = this.#recordingOf(requestedIn, startedAt);
		if (asking !== recording) asking?.add(event);
	}

	/** A setup is told of in two scopes, and in those that wait for it. */
	#failed(event: TracedEvent & Partial<AcquireEvent>): void {
		this.#recordings.get(event.scope)?.fail(event);
		this.#recordings.get(event.instance?.requestedIn)?.fail(event);
		for (const each of this.#open) if (each.hasWaits) each.fail(event);
	}

	#waiting(wait: WaitEvent): void {
		const { scope, at, instance, setup } = wait;
		const recording = this.#recordingOf(scope, at);
		// of a setup that had begun before, nobody knows when it is over
		if (recording === undefined || setup === undefined || recording.has(instance)) return;
		recording.addWait({ wait, setup, asker: this.#askerOf(instance) });
	}

	/** The name of the scope that is told of where an instance was asked for first. */
	#askerOf({ requestedIn }: InstanceInfo): string | undefined {
		return requestedIn && (this.#recordings.get(requestedIn)?.scope ?? requestedIn).name;
	}

	#marked(event: MarkEvent): void {
		const recording = this.#recordings.get(event.scope);
		if (recording === undefined) return;
		if (event.name === ownRequest) this.#remove(recording);
		else recording.mark(event);
	}

	#reported({ scope, error }: ReportEvent): void {
		this.#recordings.get(scope)?.report(error);
	}
}

/** The mark of a request to the inspector itself, which isn't worth recording. */
export const ownRequest = "yieldscope:inspector";

/** Whether a scope is told of with the one around it. What others are, is done in the app or the process. */
function isPart({ lifetime }: ScopeInfo, parent: ScopeInfo): boolean {
	if (lifetime === "handler") return true;
	return lifetime === undefined && parent.lifetime !== "app" && parent.lifetime !== "process";
}
