import type { Reply } from "./plan.ts";

/**
 * Scopes as the contract describes them, for code that does one thing after the other: who is released when, and what
 * everybody is told (rules 3, 4, 6, 7, 11 to 18, 20 to 22 and 24). It is slow and simple, and shares nothing with the
 * library.
 */

/** How a release ends; `late` ones overrun their `releaseTimeout`, and end all the same. */
export type Ending = Reply | "late" | "late throw" | "late swallow";

/** A resource of a sequence. */
export interface Ingredient {
	/** Whether it is a generator, which is told the outcome, or a value with a disposer. */
	readonly kind: "async generator" | "generator" | "disposable";
	/** Whether the outermost scope owns it, whoever asks. */
	readonly isApp: boolean;
	/** What its setup uses, in this order: resources of lower numbers. */
	readonly needs: readonly number[];
	/** Whether its setup's last act is to throw. */
	readonly fails: boolean;
	/** How the callbacks end that its setup registers when it has used what it needs. */
	readonly registers: readonly CallbackEnding[];
	readonly reply: Ending;
}

export type CallbackEnding = Extract<Ending, "pass" | "throw always" | "late" | "late throw">;

/** What the code in a scope does. */
export type Act =
	| { readonly do: "use"; readonly resource: number; readonly fresh: boolean }
	| { readonly do: "release"; readonly resource: number }
	| { readonly do: "register"; readonly ending: CallbackEnding }
	/** `by: undefined` provides a value. Holds for the acts. */
	| {
			readonly do: "bind";
			readonly replaced: number;
			readonly by: number | undefined;
			readonly acts: readonly Act[];
	  }
	/** A child scope. `leaves`: it is held, and its parent is to close it. */
	| {
			readonly do: "scope";
			readonly body: Body;
			readonly leaves: boolean;
			readonly catches: boolean;
	  }
	/** Aborts the scope: itself, or by the signal that it was opened with. */
	| { readonly do: "abort" | "signal" };

/** How the work ends: in `withScope`, or by what is said to a held scope. */
export type End = "return" | "throw" | "complete" | "fail" | "nothing";

/** The work in a scope. Errors of a use or a release are caught. */
export interface Body {
	readonly acts: readonly Act[];
	readonly end: End;
}

/** A strictly sequential scenario. */
export interface Sequence {
	readonly ingredients: readonly Ingredient[];
	readonly body: Body;
	/** Whether there is a `releaseTimeout`. */
	readonly limited: boolean;
}

/** What can be seen of a scenario. */
export interface Outcome {
	readonly trace: readonly string[];
	/** What the scope's promise rejects with, described; `undefined` if it fulfils. */
	readonly rejection: string | undefined;
	readonly reports: readonly string[];
}

interface ModelError {
	readonly label: string;
	cause: ModelError | undefined;
}

/** What is released together: an instance, and after it what its setup registered, the last first. */
interface Unit {
	readonly sequence: number;
	readonly name: string;
	readonly room: Room;
	readonly ingredient: Ingredient | undefined;
	/** Whether there is an instance: the setup didn't fail. */
	acquired: boolean;
	readonly dependencies: Set<Unit>;
	readonly callbacks: { readonly name: string; readonly ending: CallbackEnding }[];
}

/** What the releases go by. */
interface Verdict {
	completed: boolean;
	error: ModelError | undefined;
	/** Whether whoever closes the scope has the error. */
	known: boolean;
	readonly suppressed: ModelError[];
}

/** A scope. */
interface Room {
	readonly parent: Room | undefined;
	readonly verdict: Verdict;
	readonly bindings: { readonly replaced: number; readonly by: number | undefined }[];
	readonly live: Map<number, Unit>;
	units: Unit[];
	/** Those below that are still open, in the order in which they were opened. */
	readonly open: Room[];
	aborted: ModelError | undefined;
	signalled: boolean;
}

const INCOMPLETE: ModelError = { label: "incomplete", cause: undefined };

function error(label: string): ModelError {
	return { label, cause: undefined };
}

function describe({ label, cause }: ModelError): string {
	return cause === undefined ? label : `${label} < ${describe(cause)}`;
}

/** Works out what a sequence must do. */
export function predict({ ingredients, body }: Sequence): Outcome {
	const trace: string[] = [];
	const reports: string[] = [];
	const lateReports: string[] = [];
	let uses = 0;
	let names = 0;
	/** How often each resource has been acquired. */
	const acquired = new Map<number, number>();

	const open = (parent: Room | undefined): Room => {
		const room: Room = {
			parent,
			verdict: { completed: false, error: undefined, known: false, suppressed: [] },
			bindings: [],
			live: new Map(),
			units: [],
			open: [],
			aborted: parent?.aborted,
			signalled: false,
		};
		parent?.open.push(room);
		return room;
	};
	const root = open(undefined);

	/** Which resource `resource` means in a scope, and which scope is to own it; nothing for a provided value. */
	const locate = (resource: number, room: Room): { target: number; owner: Room } | undefined => {
		let bound: { readonly by: number | undefined; readonly room: Room } | undefined;
		for (let at: Room | undefined = room; at !== undefined && bound === undefined; at = at.parent) {
			const binding = [...at.bindings].reverse().find(({ replaced }) => replaced === resource);
			if (binding !== undefined) bound = { by: binding.by, room: at };
		}
		if (bound !== undefined && bound.by === undefined) return undefined;
		const target = bound?.by ?? resource;
		const isApp = ingredients[target]?.isApp || ingredients[resource]?.isApp;
		const owner = isApp ? root : room;
		// owned no higher than the binding
		return {
			target,
			owner: bound !== undefined && isWithin(bound.room, owner) ? bound.room : owner,
		};
	};

	/** Throws what the setup throws. */
	const use = (resource: number, room: Room, fresh: boolean, consumer?: Unit): void => {
		if (room.aborted !== undefined) throw room.aborted;
		const place = locate(resource, room);
		if (place === undefined) return;
		const { target, owner } = place;
		const existing = fresh ? undefined : owner.live.get(target);
		if (existing !== undefined) {
			consumer?.dependencies.add(existing);
			return;
		}
		const ingredient = ingredients[target] as Ingredient;
		const unit: Unit = {
			sequence: uses++,
			name: `R${target}.${(acquired.get(target) ?? 0) + 1}`,
			room: owner,
			ingredient,
			acquired: false,
			dependencies: new Set(),
			callbacks: [],
		};
		consumer?.dependencies.add(unit);
		owner.units.push(unit);
		for (const need of ingredient.needs) use(need, owner, false, unit);
		for (const ending of ingredient.registers) unit.callbacks.push({ name: `C${names++}`, ending });
		if (ingredient.fails) throw error(`setup ${unit.name}`);
		unit.acquired = true;
		if (!fresh) owner.live.set(target, unit);
		acquired.set(target, (acquired.get(target) ?? 0) + 1);
	};

	/** A release takes too long. */
	const overrun = (verdict: Verdict): void => {
		if (verdict.error === undefined) verdict.error = error("timeout");
		else reports.push("timeout");
	};

	const answer = (unit: Unit, verdict: Verdict): void => {
		const { kind, reply } = unit.ingredient as Ingredient;
		if (kind === "disposable") {
			trace.push(`-${unit.name}`);
			if (reply.startsWith("late")) overrun(verdict);
			if (reply === "late throw") lateReports.push(`late ${unit.name}`);
			if (reply.startsWith("throw")) suppress(verdict, error(`release ${unit.name}`));
			return;
		}
		const sent = verdict.error ?? (verdict.completed ? undefined : INCOMPLETE);
		trace.push(`-${unit.name} ${sent === undefined ? "success" : describe(sent)}`);
		const swallowed =
			sent !== undefined && sent !== INCOMPLETE ? `swallowed < ${describe(sent)}` : undefined;
		let thrown: ModelError | undefined;
		if (reply.startsWith("late")) overrun(verdict);
		if (reply === "late throw") lateReports.push(`late ${unit.name}`);
		else if (reply === "late swallow" && swallowed !== undefined) lateReports.push(swallowed);
		else if (reply === "yield twice") thrown = error("yielded twice");
		else if (reply === "throw always") thrown = error(`release ${unit.name}`);
		else if (reply === "throw on success" && sent === undefined)
			thrown = error(`release ${unit.name}`);
		else if (reply === "translate" && sent !== undefined) thrown = error(`release ${unit.name}`);
		else if (reply === "swallow" && swallowed !== undefined) reports.push(swallowed);
		if (thrown === undefined) return;
		thrown.cause = sent;
		verdict.error = thrown;
		verdict.known = false;
	};

	const release = (doomed: readonly Unit[], verdictOf: (unit: Unit) => Verdict): void => {
		const left = new Set(doomed);
		while (left.size > 0) {
			let next: Unit | undefined;
			for (const unit of left) {
				const held = [...left].some((other) => other !== unit && other.dependencies.has(unit));
				if (!held && (next === undefined || unit.sequence > next.sequence)) next = unit;
			}
			const unit = next as Unit; // there are no circles
			const verdict = verdictOf(unit);
			left.delete(unit);
			if (unit.acquired) answer(unit, verdict);
			for (const { name, ending } of [...unit.callbacks].reverse()) {
				trace.push(`-${name}`);
				if (ending === "throw always") suppress(verdict, error(`callback ${name}`));
				if (ending.startsWith("late")) overrun(verdict);
				if (ending === "late throw") lateReports.push(`late ${name}`);
			}
		}
	};

	const releaseEarly = (resource: number, room: Room): void => {
		const place = locate(resource, room);
		const first = place?.owner.live.get(place.target);
		if (place === undefined || first === undefined) return;
		const units = roomsFrom(place.owner).flatMap((each) => each.units);
		const doomed = new Set([first]);
		for (const each of doomed)
			for (const unit of units) if (unit.dependencies.has(each)) doomed.add(unit);
		/** Those of a scope that has failed are told so; the others that all is well. */
		const succeeded: Verdict = { completed: true, error: undefined, known: false, suppressed: [] };
		const verdicts = new Map<Room, Verdict>();
		for (const { room: each } of doomed) {
			const failed = each.verdict.error;
			verdicts.set(
				each,
				failed === undefined
					? succeeded
					: { ...succeeded, error: failed, known: true, suppressed: [] },
			);
		}
		for (const each of roomsFrom(place.owner)) {
			for (const [key, unit] of [...each.live]) if (doomed.has(unit)) each.live.delete(key);
			each.units = each.units.filter((unit) => !doomed.has(unit));
		}
		release([...doomed], (unit) => verdicts.get(unit.room) as Verdict);
		const news = [...new Set([succeeded, ...verdicts.values()])]
			.filter(isNews)
			.map((verdict) => describe(combine(verdict)));
		if (news.length > 0) trace.push(`released with ${leaves(news.join())}`);
	};

	/** The work of a scope has failed, or a part of it. That it was aborted is no news to an aborted one. */
	const fail = ({ verdict, aborted }: Room, thrown: ModelError, known: boolean): void => {
		if (verdict.error === undefined) {
			verdict.error = thrown;
			verdict.known = known;
		} else if (!known && verdict.error !== thrown && aborted !== thrown)
			verdict.suppressed.push(thrown);
	};

	const abort = (room: Room, reason: ModelError): void => {
		for (const each of roomsFrom(room)) each.aborted ??= reason;
	};

	/** Throws what the code doesn't catch. */
	const act = (step: Act, room: Room): void => {
		switch (step.do) {
			case "use":
				attempt(() => use(step.resource, room, step.fresh));
				return;
			case "release":
				releaseEarly(step.resource, room);
				return;
			case "register":
				room.units.push({
					sequence: uses++,
					name: "",
					room,
					ingredient: undefined,
					acquired: false,
					dependencies: new Set(),
					callbacks: [{ name: `C${names++}`, ending: step.ending }],
				});
				return;
			case "bind": {
				const binding = { replaced: step.replaced, by: step.by };
				room.bindings.push(binding);
				try {
					for (const each of step.acts) act(each, room);
				} finally {
					room.bindings.splice(room.bindings.indexOf(binding), 1);
				}
				return;
			}
			case "scope": {
				const run = () => {
					const child = open(room);
					work(step.body, child);
					if (!step.leaves) close(child, step.body.end);
				};
				if (step.catches) attempt(run);
				else run();
				return;
			}
			case "abort":
				abort(room, error(`abort ${names++}`));
				fail(room, room.aborted as ModelError, true);
				return;
			case "signal": {
				const reason = error(`signal ${names++}`);
				if (room.signalled) return;
				room.signalled = true;
				abort(room, reason);
				fail(room, reason, true);
				return;
			}
		}
	};

	const attempt = (fn: () => void): void => {
		try {
			fn();
		} catch (thrown) {
			trace.push(`caught ${describe(thrown as ModelError)}`);
		}
	};

	const work = ({ acts, end }: Body, room: Room): void => {
		const known = end !== "return" && end !== "throw";
		try {
			for (const each of acts) act(each, room);
			if (end === "throw" || end === "fail") throw error(`work ${names++}`);
			if (end !== "nothing") room.verdict.completed = true;
		} catch (thrown) {
			fail(room, thrown as ModelError, known);
		}
	};

	/** Throws what whoever closes the scope is to get. */
	const close = (room: Room, end: End): void => {
		for (let child = room.open.pop(); child !== undefined; child = room.open.pop()) {
			// it is taken from the list of its parent here already
			try {
				close(child, "nothing");
			} catch (thrown) {
				fail(room, thrown as ModelError, false);
			}
		}
		const at = room.parent?.open.indexOf(room) ?? -1;
		if (at >= 0) room.parent?.open.splice(at, 1);
		const { verdict, units } = room;
		release(units, () => verdict);
		const isWorks = end === "return" || end === "throw";
		if (isWorks ? verdict.error !== undefined : isNews(verdict)) throw combine(verdict);
	};

	let rejection: string | undefined;
	try {
		work(body, root);
		close(root, body.end);
	} catch (thrown) {
		rejection = describe(thrown as ModelError);
	}
	return { trace, rejection, reports: [...reports, ...lateReports] };
}

/** A scope and those below that are still open. */
function roomsFrom(room: Room): Room[] {
	return [room, ...room.open.flatMap(roomsFrom)];
}

function isWithin(inner: Room, outer: Room): boolean {
	for (let at: Room | undefined = inner; at !== undefined; at = at.parent)
		if (at === outer) return true;
	return false;
}

/** A failure that answers nothing: it counts as the work's if that had none. */
function suppress(verdict: Verdict, thrown: ModelError): void {
	if (verdict.error === undefined) verdict.error = thrown;
	else verdict.suppressed.push(thrown);
}

/** Whether whoever closes the scope hasn't got all of it. */
function isNews({ error: thrown, known, suppressed }: Verdict): boolean {
	return thrown !== undefined && (!known || suppressed.length > 0);
}

/** All that went wrong as one error. */
function combine({ error: first, suppressed }: Verdict): ModelError {
	return suppressed.reduce(
		(older, newest) => error(`(${describe(newest)} over ${describe(older)})`),
		first as ModelError,
	);
}

/** The errors in a description, in an order that doesn't depend on how they were combined. */
export function leaves(description: string): string {
	return description
		.split(/[(),]| over /)
		.filter((each) => each !== "")
		.sort()
		.join();
}
