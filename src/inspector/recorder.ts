import { channel } from "node:diagnostics_channel";
import type {
	AcquireEvent,
	InstanceInfo,
	MarkEvent,
	ReleaseEvent,
	ReportEvent,
	ScopeEvent,
	ScopeInfo,
	TaskEvent,
	TracedEvent,
} from "../index.ts";

/** What the page is told of something that happened in a scope: names and times. */
interface Entry {
	readonly kind: "setup" | "release" | "spawn" | "after" | "scope";
	/** The resource's or scope's name. */
	readonly name: string;
	/** The instance's or scope's. */
	readonly id: number | undefined;
	/** The scope it happened in, if that isn't the record's own. */
	readonly scope: string | undefined;
	/** The instance whose setup asked for it. */
	readonly requester: number | undefined;
	readonly dependencies: readonly { readonly id: number; readonly name: string }[] | undefined;
	readonly startedAt: number;
	readonly endedAt: number | undefined;
	readonly outcome: string | undefined;
	/** The name of what was thrown. */
	readonly error: string | undefined;
}

/** What the page is told of a scope, with those in it that have no life of their own. */
export interface ScopeRecord {
	readonly id: number;
	readonly name: string;
	readonly lifetime: string | undefined;
	/** The enclosing scope. */
	readonly parent: { readonly id: number; readonly name: string } | undefined;
	readonly startedAt: number;
	readonly endedAt: number | undefined;
	readonly outcome: string | undefined;
	readonly error: string | undefined;
	/** Whether it was opened before anybody recorded. */
	readonly older: boolean;
	readonly marks: readonly Mark[];
	readonly entries: readonly Entry[];
	/** The names of errors that reached no caller. */
	readonly reported: readonly string[];
	/** How many entries there was no room for. */
	readonly missing: number;
}

interface Mark {
	readonly name: string;
	readonly at: number;
	/** The response's. */
	readonly status: number | undefined;
}

/** A scope that is open. Its events go on changing until they are over. */
interface Recording {
	readonly scope: ScopeInfo;
	/** Unset if it was opened before anybody recorded. */
	readonly event: ScopeEvent | undefined;
	readonly startedAt: number;
	entries: TracedEvent[];
	readonly marks: Mark[];
	readonly reported: string[];
	missing: number;
}

const mostEntries = 200;
const mostMarks = 50;

/** Remembers the scopes that are open and the last ones that were, until it is disposed. */
export class Recorder implements Disposable {
	readonly #limit: number;
	/** By the id of each open scope in it. `undefined`: not to be recorded. */
	readonly #recordings = new Map<number, Recording | undefined>();
	/** The last ones, and those of them that nobody has asked for yet as they were. The oldest is at `#next`, if it is full. */
	readonly #closed: (ScopeRecord | Recording)[] = [];
	#next = 0;
	#openCount = 0;
	/** Setups that one scope asked for and another owns. */
	readonly #shared = new WeakMap<InstanceInfo, AcquireEvent>();
	readonly #listeners: readonly (readonly [string, (message: unknown) => void])[];
	/** How many scopes were not recorded, since too many were open. */
	missing = 0;

	constructor(limit: number) {
		this.#limit = limit;
		const started = (operation: string) => `tracing:yieldscope:${operation}:start`;
		const ended = (operation: string) => `tracing:yieldscope:${operation}:asyncEnd`;
		const add = (message: unknown) => {
			const event = message as TracedEvent;
			this.#add(this.#recordingOf(event.scope, event.startedAt), event);
		};
		this.#listeners = [
			[started("scope"), (message) => this.#opened(message as ScopeEvent)],
			[ended("scope"), (message) => this.#ended(message as ScopeEvent)],
			[started("acquire"), (message) => this.#acquiring(message as AcquireEvent)],
			[ended("acquire"), (message) => this.#acquired(message as AcquireEvent)],
			[started("release"), add],
			[started("task"), add],
			["yieldscope:mark", (message) => this.#marked(message as MarkEvent)],
			["yieldscope:error", (message) => this.#reported(message as ReportEvent)],
		];
		for (const [name, listener] of this.#listeners) channel(name).subscribe(listener);
	}

	[Symbol.dispose](): void {
		for (const [name, listener] of this.#listeners) channel(name).unsubscribe(listener);
		this.#recordings.clear();
		this.#closed.length = 0;
	}

	/** All scopes there is something to say about, in the order in which they were opened. */
	*records(): Generator<ScopeRecord> {
		const { length } = this.#closed;
		for (let i = 0; i < length; i++) yield this.#closedAt((this.#next + i) % length);
		for (const [id, recording] of this.#recordings) {
			if (recording?.scope.id !== id) continue;
			const { event, entries } = recording;
			if (event !== undefined || entries.some((each) => !isOver(each, recording)))
				yield describe(recording);
		}
	}

	#closedAt(index: number): ScopeRecord {
		const closed = this.#closed[index] as ScopeRecord | Recording; // the caller counts
		const record = "scope" in closed ? describe(closed) : closed;
		this.#closed[index] = record;
		return record;
	}

	/** A scope isn't worth recording. */
	forget(scope: ScopeInfo): void {
		const recording = this.#recordings.get(scope.id);
		if (recording === undefined) return;
		this.#openCount--;
		for (const [id, each] of this.#recordings)
			if (each === recording) this.#recordings.set(id, undefined);
	}

	#opened(event: ScopeEvent): void {
		const { scope } = event;
		const { id, parent } = scope;
		if (parent !== undefined && isPart(scope, parent)) {
			const recording = this.#recordings.get(parent.id);
			if (recording !== undefined || this.#recordings.has(parent.id)) {
				this.#recordings.set(id, recording);
				if (recording !== undefined) this.#add(recording, event);
				return;
			}
		}
		this.#recordings.set(id, this.#record(scope, event));
	}

	#record(scope: ScopeInfo, event: ScopeEvent | undefined, now = event?.startedAt ?? 0) {
		if (this.#openCount >= this.#limit) {
			this.missing++;
			return undefined;
		}
		const recording: Recording = {
			scope,
			event,
			startedAt: now,
			entries: [],
			marks: [],
			reported: [],
			missing: 0,
		};
		this.#openCount++;
		return recording;
	}

	#ended(event: ScopeEvent): void {
		const { scope } = event;
		const recording = this.#recordings.get(scope.id);
		this.#recordings.delete(scope.id);
		if (recording?.scope !== scope) return;
		this.#openCount--;
		// what was thrown isn't to be kept
		const hasFailed = hasError(event) || recording.entries.some(hasError);
		this.#closed[this.#next] = hasFailed ? describe(recording) : recording;
		this.#next = (this.#next + 1) % this.#limit;
	}

	/** Where what happens in `scope` is recorded; that may have been opened before. */
	#recordingOf(scope: ScopeInfo, now: number): Recording | undefined {
		const known = this.#recordings.get(scope.id);
		if (known !== undefined || this.#recordings.has(scope.id)) return known;
		const recording = this.#record(scope, undefined, now);
		this.#recordings.set(scope.id, recording);
		return recording;
	}

	#acquiring(event: AcquireEvent): void {
		const { instance, startedAt } = event;
		const owner = this.#recordingOf(event.scope, startedAt);
		this.#add(owner, event);
		const { requestedIn } = instance;
		if (requestedIn === undefined || requestedIn === event.scope) return;
		const asking = this.#recordingOf(requestedIn, startedAt);
		if (asking === owner) return;
		this.#add(asking, event);
		this.#shared.set(instance, event);
	}

	/** A scope that was kept waiting by the setup of another tells of it, too. */
	#acquired(event: AcquireEvent): void {
		const recording = this.#recordings.get(event.scope.id);
		for (const dependency of event.dependencies ?? []) {
			const shared = this.#shared.get(dependency);
			if (shared?.endedAt === undefined || shared.endedAt < event.startedAt) continue;
			if (recording?.entries.includes(shared) === false) this.#add(recording, shared);
		}
	}

	#add(recording: Recording | undefined, event: TracedEvent): void {
		if (recording === undefined) return;
		const { entries } = recording;
		if (entries.length >= mostEntries) {
			// not each time, where all of them are in use
			if (recording.missing % 50 === 0) {
				const over = entries.filter((each) => isOver(each, recording)).slice(0, mostEntries / 2);
				recording.entries = entries.filter((each) => !over.includes(each));
				recording.missing += over.length;
			}
			if (recording.entries.length >= mostEntries) {
				recording.missing++;
				return;
			}
		}
		recording.entries.push(event);
	}

	#marked({ scope, name, at, detail }: MarkEvent): void {
		if (name === ownRequest) {
			this.forget(scope);
			return;
		}
		const recording = this.#recordings.get(scope.id);
		const isHttp = /^(?:handler|response):/.test(name);
		// any other detail is the app's own
		const status = isHttp && typeof detail === "number" ? detail : undefined;
		const mark = { name: shorten(name), at, status };
		if (recording !== undefined) {
			if (recording.marks.length < mostMarks) recording.marks.push(mark);
			return;
		}
		// a response may end after its request's scope
		const index = this.#closed.findIndex(
			(each) => ("scope" in each ? each.scope : each).id === scope.id,
		);
		if (index === -1) return;
		const record = this.#closedAt(index);
		if (record.marks.length < mostMarks)
			this.#closed[index] = { ...record, marks: [...record.marks, mark] };
	}

	#reported({ scope, error }: ReportEvent): void {
		const recording = this.#recordings.get(scope.id);
		if (recording !== undefined && recording.reported.length < mostMarks)
			recording.reported.push(nameOf(error));
	}
}

/** The mark of a request to the inspector itself. */
export const ownRequest = "yieldscope:inspector";

/** Whether a scope is told of with the one around it. What others are, is done in the app or the process. */
function isPart({ lifetime }: ScopeInfo, parent: ScopeInfo): boolean {
	if (lifetime === "handler") return true;
	return lifetime === undefined && parent.lifetime !== "app" && parent.lifetime !== "process";
}

/** Whether nothing will be added to it: an instance also has to be released. */
function isOver(event: TracedEvent, { entries }: Recording): boolean {
	if (event.endedAt === undefined) return false;
	if (kindOf(event) !== "setup" || "error" in event) return true;
	const { instance } = event as AcquireEvent;
	return entries.some(
		(each) =>
			kindOf(each) === "release" &&
			(each as ReleaseEvent).instance === instance &&
			each.endedAt !== undefined,
	);
}

function kindOf(event: TracedEvent): Entry["kind"] {
	if ("early" in event) return "release";
	if ("instance" in event) return "setup";
	return "kind" in event ? (event as TaskEvent).kind : "scope";
}

function describe(recording: Recording): ScopeRecord {
	const { scope, event, startedAt, entries, marks, reported, missing } = recording;
	const { id, name, lifetime, parent } = scope;
	return {
		id,
		name: shorten(name),
		lifetime: lifetime === undefined ? undefined : shorten(lifetime),
		parent: parent && { id: parent.id, name: shorten(parent.name) },
		startedAt,
		endedAt: event?.endedAt,
		outcome: event?.outcome,
		error: event && errorOf(event),
		older: event === undefined,
		marks: [...marks],
		entries: entries.map((each) => entryOf(each, scope)),
		reported: [...reported],
		missing,
	};
}

function entryOf(event: TracedEvent, recorded: ScopeInfo): Entry {
	const { scope, startedAt, endedAt } = event;
	const { instance, dependencies, outcome } = event as Partial<AcquireEvent & ReleaseEvent>;
	const kind = kindOf(event);
	return {
		kind,
		name: shorten(instance?.resource ?? (kind === "release" ? "callback" : nameIn(event, kind))),
		id: kind === "scope" ? scope.id : instance?.id,
		scope: scope === recorded ? undefined : shorten(scope.name),
		requester: instance?.requester?.id,
		dependencies: dependencies?.map(({ id, resource }) => ({ id, name: shorten(resource) })),
		startedAt,
		endedAt,
		outcome,
		error: errorOf(event),
	};
}

function nameIn({ scope }: TracedEvent, kind: Entry["kind"]): string {
	return kind === "scope" ? scope.name : kind;
}

function hasError(event: TracedEvent): boolean {
	return "error" in event;
}

function errorOf(event: TracedEvent): string | undefined {
	return "error" in event ? nameOf(event.error) : undefined;
}

/** What an error is called; what it says may hold values. */
function nameOf(error: unknown): string {
	try {
		const name = (error as { name?: unknown } | null | undefined)?.name;
		return typeof name === "string" && name !== "" ? shorten(name) : `a thrown ${typeof error}`;
	} catch {
		return "an error"; // it throws when it is looked at
	}
}

function shorten(name: string): string {
	return name.length > 200 ? `${name.slice(0, 199)}…` : name;
}
