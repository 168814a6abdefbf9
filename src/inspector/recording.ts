import type {
	AcquireEvent,
	InstanceInfo,
	MarkEvent,
	ReleaseEvent,
	ScopeEvent,
	ScopeInfo,
	TaskEvent,
	TracedEvent,
	WaitEvent,
} from "../index.ts";

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

/** What the page is told of something that happened in a scope: names and times. */
export interface Entry {
	readonly kind: "setup" | "wait" | "release" | "spawn" | "after" | "scope";
	/** The resource's or scope's name. */
	readonly name: string;
	/** The instance's or scope's. */
	readonly id: number | undefined;
	/** The scope it happened in, if that isn't the record's own. */
	readonly scope: string | undefined;
	/** The instance whose setup asked for it. */
	readonly requester: number | undefined;
	/** Of a wait: the scope that had asked for it. */
	readonly asker: string | undefined;
	readonly dependencies: readonly { readonly id: number; readonly name: string }[] | undefined;
	readonly startedAt: number;
	readonly endedAt: number | undefined;
	readonly outcome: string | undefined;
	/** The name of what was thrown. */
	readonly error: string | undefined;
}

/** A moment in the life of a scope. */
export interface Mark {
	readonly name: string;
	readonly at: number;
	/** The response's. */
	readonly status: number | undefined;
}

/** What is kept of a mark: the event, which takes no time, unless there is a detail. */
type KeptMark = Pick<MarkEvent, "name" | "at" | "detail">;

/** The adapters' marks whose detail is the response's status. */
const withStatus = new Set(["handler:end", "response:start", "response:end"]);

/** Leaves out a detail that is the app's own. */
function keptOf(event: MarkEvent): KeptMark {
	const { name, at, detail } = event;
	if (detail === undefined || (typeof detail === "number" && withStatus.has(name))) return event;
	return { name, at, detail: undefined };
}

/** Somebody waits for a setup that another scope has asked for. */
interface Waiting {
	readonly wait: WaitEvent;
	readonly setup: AcquireEvent;
	/** The name of that scope. */
	readonly asker: string | undefined;
}

/** An entry is what is kept of an event that has failed. */
type Item = TracedEvent | Waiting | Entry;

class Link<T> {
	value: T;
	next: Link<T> | undefined;

	constructor(value: T) {
		this.value = value;
	}
}

/** A list. Arrays V8 would put into the old generation, as it does literals, and what they hold with them. */
class Chain<T> {
	#first: Link<T> | undefined;
	#last: Link<T> | undefined;
	length = 0;

	push(value: T): void {
		const link = new Link(value);
		if (this.#last === undefined) this.#first = link;
		else this.#last.next = link;
		this.#last = link;
		this.length++;
	}

	some(test: (value: T) => boolean): boolean {
		let at = this.#first;
		while (at !== undefined && !test(at.value)) at = at.next;
		return at !== undefined;
	}

	replace(change: (value: T) => T): void {
		for (let at = this.#first; at !== undefined; at = at.next) at.value = change(at.value);
	}

	*[Symbol.iterator](): Generator<T> {
		for (let at = this.#first; at !== undefined; at = at.next) yield at.value;
	}
}

const mostItems = 200;
const mostMarks = 50;

/** What happens in a scope. As long as that is open, its events go on changing until they are over. */
export class Recording {
	readonly scope: ScopeInfo;
	/** Where it is among those of open scopes; `undefined` if it isn't to be recorded, or not any more. */
	place: number | undefined;
	/** Unset if the scope was opened before anybody recorded. */
	#event: ScopeEvent | undefined;
	readonly #startedAt: number | undefined;
	#items = new Chain<Item>();
	readonly #marks = new Chain<KeptMark>();
	#reported: string[] | undefined;
	#missing = 0;
	#isClosed = false;
	/** Whether it is told of setups that others have asked for. */
	hasWaits = false;
	/** What there is to say of a scope that has closed; the events are not needed any more then. */
	#settled: ScopeRecord | undefined;

	/** @param opening - The event; of a scope that was opened before, when it was heard of first. */
	constructor(scope: ScopeInfo, opening: ScopeEvent | number) {
		this.scope = scope;
		if (typeof opening === "number") this.#startedAt = opening;
		else this.#event = opening;
	}

	/** Whether the scope was opened before anybody recorded: nobody will tell when it closes. */
	get isOlder(): boolean {
		return this.#startedAt !== undefined;
	}

	/** Whether there is anything to say of it: of a scope that was opened before, only what goes on. */
	get isWorthTelling(): boolean {
		return !this.isOlder || this.#items.some((each) => !this.#isOver(each));
	}

	/** The scope has closed. */
	close(): void {
		this.#isClosed = true;
		// of what it still waits for, nobody tells it any more
		if (this.hasWaits || (this.#event !== undefined && "error" in this.#event)) this.#settle();
	}

	/** An event has failed: the name of what was thrown takes the place of that. */
	fail(event: TracedEvent): void {
		this.#items.replace((item) => {
			if (item === event) return entryOf(event, this.scope);
			return "wait" in item && item.setup === event ? waitOf(item, this.#event?.endedAt) : item;
		});
	}

	#settle(): ScopeRecord {
		this.#settled ??= this.#describe();
		this.#event = undefined;
		this.#items = new Chain();
		return this.#settled;
	}

	/** Adds what waits for a setup that another scope has asked for. */
	addWait(wait: Waiting): void {
		this.hasWaits = true;
		this.add(wait);
	}

	add(item: Item): void {
		// not each time, where all of them are in use
		if (this.#items.length >= mostItems && this.#missing % 50 === 0) this.#dropOver(mostItems / 2);
		if (this.#items.length < mostItems) this.#items.push(item);
		else this.#missing++;
	}

	/** Drops the oldest that are over. */
	#dropOver(most: number): void {
		const kept = new Chain<Item>();
		let left = most;
		for (const each of this.#items) {
			if (left > 0 && this.#isOver(each)) left--;
			else kept.push(each);
		}
		this.#missing += most - left;
		this.#items = kept;
	}

	/** Whether it tells of the setup of `instance` already. */
	has(instance: InstanceInfo): boolean {
		return this.#items.some((each) => {
			if ("wait" in each) return each.wait.instance === instance;
			if ("asker" in each) return each.id === instance.id && each.kind !== "release";
			return isSetup(each) && each.instance === instance;
		});
	}

	mark(event: MarkEvent): void {
		if (this.#marks.length >= mostMarks) return;
		this.#marks.push(keptOf(event));
		this.#amend();
	}

	report(error: unknown): void {
		this.#reported ??= [];
		if (this.#reported.length >= mostMarks) return;
		this.#reported.push(nameOf(error));
		this.#amend();
	}

	/** Takes in what comes when the scope has closed: a response may end after it. */
	#amend(): void {
		if (this.#settled !== undefined)
			this.#settled = {
				...this.#settled,
				marks: this.#describeMarks(),
				reported: [...(this.#reported ?? [])],
			};
	}

	/** What there is to say of it now; of a scope that has closed, the same object until something is added. */
	describe(): ScopeRecord {
		return this.#isClosed ? this.#settle() : this.#describe();
	}

	#describeMarks(): Mark[] {
		return Array.from(this.#marks, ({ name, at, detail }) => ({
			name: shorten(name),
			at,
			status: detail as number | undefined, // keptOf() leaves out any other
		}));
	}

	#describe(): ScopeRecord {
		const { scope } = this;
		const { id, name, lifetime, parent } = scope;
		const event = this.#event;
		return {
			id,
			name: shorten(name),
			lifetime: lifetime === undefined ? undefined : shorten(lifetime),
			parent: parent && { id: parent.id, name: shorten(parent.name) },
			startedAt: event?.startedAt ?? (this.#startedAt as number), // it has either
			endedAt: event?.endedAt,
			outcome: event?.outcome,
			error: event && errorOf(event),
			older: event === undefined,
			marks: this.#describeMarks(),
			entries: Array.from(this.#items, (each) => {
				if ("wait" in each) return waitOf(each, event?.endedAt);
				return "asker" in each ? each : entryOf(each, scope);
			}),
			reported: [...(this.#reported ?? [])],
			missing: this.#missing,
		};
	}

	/** Whether nothing will be added to it: an instance also has to be released. */
	#isOver(item: Item): boolean {
		if ("wait" in item) return item.setup.endedAt !== undefined;
		if (item.endedAt === undefined) return false;
		if (!isSetup(item) || "error" in item) return true;
		return this.#items.some(
			(each) => isRelease(each) && each.instance === item.instance && each.endedAt !== undefined,
		);
	}
}

function isRelease(item: Item): item is ReleaseEvent {
	return "early" in item;
}

function isSetup(item: Item): item is AcquireEvent {
	return "instance" in item && !isRelease(item);
}

function kindOf(event: TracedEvent): Entry["kind"] {
	if (isRelease(event)) return "release";
	if (isSetup(event)) return "setup";
	return "kind" in event ? (event as TaskEvent).kind : "scope";
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
		asker: undefined,
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

/** @param end - When whoever waited closed. */
function waitOf({ wait, setup, asker }: Waiting, end: number | undefined): Entry {
	const { instance, requester, at } = wait;
	const isOver = setup.endedAt !== undefined && setup.endedAt <= (end ?? Number.POSITIVE_INFINITY);
	return {
		kind: "wait",
		name: shorten(instance.resource),
		id: instance.id,
		scope: shorten(instance.scope.name),
		requester: requester?.id,
		asker: asker && shorten(asker),
		dependencies: undefined,
		startedAt: at,
		endedAt: isOver ? setup.endedAt : end,
		outcome: undefined,
		error: isOver ? errorOf(setup) : undefined,
	};
}

function errorOf(event: TracedEvent): string | undefined {
	return "error" in event ? nameOf(event.error) : undefined;
}

/** What an error is called; what it says may hold values. One of Node's that says who left is known by its code alone. */
function nameOf(error: unknown): string {
	try {
		const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
		if (code === "ERR_STREAM_PREMATURE_CLOSE") return code;
		return typeof name === "string" && name !== "" ? shorten(name) : `a thrown ${typeof error}`;
	} catch {
		return "an error"; // it throws when it is looked at
	}
}

function shorten(name: string): string {
	return name.length > 200 ? `${name.slice(0, 199)}…` : name;
}
