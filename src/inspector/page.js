/** @import { Entry, ScopeRecord } from "./recording.ts" */

/**
 * One line of the waterfall: an instance from setup to release, a task, a callback or a scope.
 *
 * @typedef {Pick<Entry, "id" | "name" | "scope" | "kind" | "startedAt"> & {
 *   run: Entry | undefined;
 *   release: Entry | undefined;
 * }} Line
 */

/**
 * What takes time.
 *
 * @typedef {{ startedAt: number; endedAt?: number | undefined }} Span
 */

/**
 * Makes a bar of the waterfall.
 *
 * @typedef {(className: string, start: number, end: number, title: string) => HTMLElement} Draw
 */

/**
 * A part of a scope's life. `kind` is what it looks like.
 *
 * @typedef {{ name: string; kind: string; from: number; to: number }} Phase
 */

/**
 * Everything the server has told of, by id.
 *
 * @type {Map<number, ScopeRecord>}
 */
const records = new Map();
/** The server's clock, when it spoke last. */
const clock = { now: 0, at: 0, timeOrigin: 0 };
/** @type {{ selected: number | undefined; isPaused: boolean; missing: number }} */
const view = { selected: undefined, isPaused: false, missing: 0 };
/** Lifetimes of scopes that are open all the time: there is nothing slow about that. */
const lasting = new Set(["app", "process"]);

/**
 * An element of the page.
 *
 * @param {string} id
 */
function find(id) {
	const found = document.getElementById(id);
	if (found === null) throw new Error(`unreachable: #${id}`);
	return found;
}

const now = () => (view.isPaused ? clock.now : clock.now + performance.now() - clock.at);

/**
 * An element with text, never with markup: names can be anything.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | undefined>} options
 * @param {(Node | string)[]} children
 */
function element(tag, options = {}, ...children) {
	const { text, className, ...attributes } = options;
	const made = document.createElement(tag);
	if (text !== undefined) made.textContent = text;
	if (className !== undefined) made.className = className;
	for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value ?? "");
	made.append(...children);
	return made;
}

/**
 * A button in a part of the page.
 *
 * @param {Element} within
 * @returns {HTMLButtonElement | null}
 */
function buttonIn(within, selector = "button") {
	return within.querySelector(selector);
}

/**
 * Milliseconds, to three digits.
 *
 * @param {number} ms
 */
function duration(ms) {
	if (ms >= 60_000) return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
	if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
	if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
	return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`;
}

/** @param {{ endedAt?: number | undefined }} each */
const isOpen = (each) => each.endedAt === undefined;
/** @param {Span} each */
const endOf = (each) => each.endedAt ?? now();
/** @param {Span} each */
const lengthOf = (each) => Math.max(0, endOf(each) - each.startedAt);
/** @param {string | undefined} error */
const isTimeout = (error) => /timeout/i.test(error ?? "");
/** @param {string} error */
const errorText = (error) => (isTimeout(error) ? `timed out: ${error}` : `failed: ${error}`);

/** @param {ScopeRecord} record */
function outcomeOf(record) {
	return isOpen(record) ? "open" : (record.outcome ?? "");
}

/** @param {ScopeRecord} record */
const isLasting = ({ lifetime }) => lifetime !== undefined && lasting.has(lifetime);

/**
 * The status of the response that was sent: what the handler said may have been dropped.
 *
 * @param {ScopeRecord} record
 */
function statusOf({ marks }) {
	/** @type {(name: string) => number | undefined} */
	const statusAt = (name) => marks.find((mark) => mark.name === name)?.status;
	return statusAt("response:start") ?? statusAt("response:end");
}

/**
 * Whether another response took the place of the handler's, and nobody knows which: Hono's, when a release has failed.
 *
 * @param {ScopeRecord} record
 */
function isReplaced(record) {
	const isOver = ["response:start", "response:end"].every(
		(name) => markOf(record, name) !== undefined,
	);
	const hadStatus = record.marks.some(({ name, status }) => name === "handler:end" && status);
	return isOver && hadStatus && statusOf(record) === undefined;
}

/** @param {ScopeRecord} record */
function hasError(record) {
	return (
		record.error !== undefined ||
		record.reported.length > 0 ||
		record.entries.some(({ error }) => error !== undefined)
	);
}

/** @param {ScopeRecord} record */
function linesOf(record) {
	/** @type {Line[]} */
	const lines = [];
	/** @type {Map<number | undefined, Line>} */
	const byInstance = new Map();
	for (const entry of record.entries) {
		const { kind, id, name, scope, startedAt } = entry;
		const known = kind === "release" ? byInstance.get(id) : undefined;
		if (known !== undefined) {
			known.release = entry;
			continue;
		}
		// the phases show the handler's
		if (kind === "scope" && name === "handler") continue;
		const [run, release] = kind === "release" ? [undefined, entry] : [entry, undefined];
		const line = { id, name, scope, kind, startedAt, run, release };
		lines.push(line);
		if (kind === "setup") byInstance.set(id, line);
	}
	return lines.sort((a, b) => a.startedAt - b.startedAt);
}

/**
 * Whether something can't go on until it is over.
 *
 * @param {Entry["kind"]} kind
 */
const isAwaited = (kind) => kind === "setup" || kind === "wait";

/**
 * When a setup waited for others, in order, without overlaps.
 *
 * @param {Entry} setup
 * @param {ScopeRecord} record
 */
function waitsOf(setup, record) {
	const inner = record.entries
		.filter(({ kind, id, requester }) => {
			if (!isAwaited(kind) || id === setup.id) return false;
			return requester === setup.id || setup.dependencies?.some((each) => each.id === id);
		})
		.sort((a, b) => a.startedAt - b.startedAt);
	const waits = [];
	let until = setup.startedAt;
	for (const each of inner) {
		const from = Math.max(each.startedAt, until);
		const to = Math.min(endOf(each), endOf(setup));
		if (to > from) waits.push({ from, to, isOver: !isOpen(each) });
		until = Math.max(until, to);
	}
	return waits;
}

/**
 * What a setup took without those it waited for.
 *
 * @param {Entry} setup
 * @param {ScopeRecord} record
 */
function ownTime(setup, record) {
	return waitsOf(setup, record).reduce((left, { from, to }) => left - (to - from), lengthOf(setup));
}

/**
 * @param {ScopeRecord} record
 * @param {string} name
 */
const markOf = (record, name) => record.marks.find((mark) => mark.name === name)?.at;

/**
 * The parts of a scope's life, in order, as far as they are known.
 *
 * @param {ScopeRecord} record
 */
function phasesOf(record) {
	const { entries } = record;
	const end = endOf(record);
	/** @type {Phase[]} */
	const phases = [];
	let from = record.startedAt;
	/** @type {(name: string, kind: string, to: number | undefined) => boolean} */
	const add = (name, kind, to) => {
		const until = Math.min(Math.max(to ?? end, from), end);
		const last = phases.at(-1);
		if (last?.name === name) last.to = until;
		else if (until > from) phases.push({ name, kind, from, to: until });
		from = until;
		return to !== undefined;
	};
	const answered = markOf(record, "handler:end") ?? markOf(record, "response:start");
	if (answered === undefined && record.lifetime !== "request") {
		const over = entries.find(({ kind, id }) => kind === "release" && isLast(record, id));
		if (add("work", "work", over?.startedAt)) add("release", "release", end);
		return phases;
	}
	const begun = markOf(record, "handler:start");
	const setups = entries.filter(({ kind }) => isAwaited(kind));
	if (begun !== undefined) {
		add("setup", "setup", begun);
	} else if (setups.length > 0 && (answered === undefined || hasError(record))) {
		// its handler was never called: setups are all it has done
		const last = setups.some(isOpen) ? undefined : Math.max(...setups.map(endOf));
		if (!add("setup", "setup", last)) return phases;
	}
	const over = markOf(record, "response:end");
	if (answered === undefined) {
		// nothing is released before the first byte: nobody looks when that is
		if (!add(begun === undefined ? "work" : "work and response", "work", over)) return phases;
	} else {
		add("work", "work", answered);
		if (!add("handler release", "release", markOf(record, "response:start"))) return phases;
		if (!add("response", "response", over)) return phases;
	}
	const after = entries.filter(({ kind, startedAt }) => kind === "after" && startedAt >= from);
	if (after.length > 0) {
		const last = after.some(isOpen) ? undefined : Math.max(...after.map(endOf));
		if (!add("tasks", "task", last)) return phases;
	}
	const release = entries.find(
		({ kind, startedAt }) => kind === "release" && startedAt >= from - 1,
	);
	if (release === undefined && entries.some(({ kind }) => kind === "spawn"))
		add("tasks", "task", undefined);
	else add("release", "release", undefined);
	return phases;
}

/**
 * Whether `id` isn't one that was released early, while others were still acquired.
 *
 * @param {ScopeRecord} record
 * @param {number | undefined} id
 */
function isLast(record, id) {
	const release = record.entries.find((each) => each.kind === "release" && each.id === id);
	return !record.entries.some(
		({ kind, startedAt }) => kind !== "release" && startedAt > (release?.startedAt ?? 0),
	);
}

/** @type {Record<Entry["kind"], (name: string, asker: string | undefined) => string>} */
const verbs = {
	setup: (name) => `the setup of ${name}`,
	wait: (name, asker) =>
		`the wait for the setup of ${name}, which ${asker ?? "another scope"} had asked for`,
	release: (name) => (name === "callback" ? "a release callback" : `the release of ${name}`),
	spawn: () => "a task that spawn() started",
	after: () => "work that after() put off",
	scope: (name) => `the scope ${name}`,
};
/** @param {Entry} entry */
const nameOf = ({ kind, name, asker }) => verbs[kind](name, asker);

/**
 * What runs and waits for nothing else that is known to run.
 *
 * @param {ScopeRecord} record
 */
function runningIn(record) {
	const running = record.entries.filter((each) => isOpen(each) && each.kind !== "scope");
	return running.filter(
		({ kind, id }) => kind !== "setup" || !running.some(({ requester }) => requester === id),
	);
}

/**
 * @param {number} part
 * @param {number} whole
 */
function percent(part, whole) {
	return whole > 0 ? ` (${Math.round((100 * part) / whole)} %)` : "";
}

/**
 * The answers to: what made it slow, what keeps it open, what failed.
 *
 * @param {ScopeRecord} record
 */
function verdictOf(record) {
	/** @type {{ text: string; className: string }[]} */
	const verdict = [];
	const total = lengthOf(record);
	const phases = phasesOf(record);
	/** @type {(text: string, className?: string) => unknown} */
	const add = (text, className = "") => verdict.push({ text, className });

	if (isOpen(record)) {
		const running = runningIn(record);
		const current = phases.at(-1)?.name ?? "work";
		if (running.length > 0) {
			const what = running
				.slice(0, 3)
				.map((each) => `${nameOf(each)}, for ${duration(lengthOf(each))} so far`);
			const more = running.length > 3 ? `; and ${running.length - 3} more` : "";
			add(`Kept open by ${what.join("; ")}${more}.`, "kept");
		} else if (record.lifetime === "request") {
			const unsent = "which isn't completely sent: its body goes on, or the client reads slowly";
			/** @type {Record<string, string>} */
			const parts = {
				work: "the handler, which hasn't answered",
				"work and response": `the handler or its response, ${unsent}`,
				response: `the response, ${unsent}`,
			};
			const what = parts[current] ?? `its ${current}`;
			add(`Kept open by ${what}, so far ${duration(lastOf(phases, total))}.`, "kept");
		} else if (record.older) {
			add("It was opened before the inspector; only what happened since is known.");
		} else add("Open, and nothing is being set up or released.");
		for (const { name, entry } of waitingIn(record)) {
			add(`${entry.name} waits for ${name}.`, "kept");
		}
	} else {
		const candidates = record.entries
			.filter(({ kind }) => kind !== "scope")
			.map((entry) => {
				const time = entry.kind === "setup" ? ownTime(entry, record) : lengthOf(entry);
				return { what: nameOf(entry), time, of: time < lengthOf(entry) ? " in its own code" : "" };
			});
		const sending = "sending the response, as its body is made and as the client reads";
		for (const { name, from, to } of phases) {
			if (name === "work") {
				const inside = record.entries.filter(
					({ kind, startedAt }) => isAwaited(kind) && startedAt >= from && startedAt < to,
				);
				const setups = inside.reduce((sum, each) => sum + ownTime(each, record), 0);
				const what = record.lifetime === "request" ? "the handler's own work" : "its own work";
				candidates.push({ what, time: to - from - setups, of: "" });
			}
			if (name === "work and response") {
				const what = `the handler's own work and ${sending}`;
				candidates.push({ what, time: to - from, of: "" });
			}
			if (name === "response") candidates.push({ what: sending, time: to - from, of: "" });
		}
		const [slowest] = candidates.sort((a, b) => b.time - a.time);
		if (slowest !== undefined) {
			add(
				`Took ${duration(total)}, ${part(slowest.time, total)} ${slowest.what}: ${duration(slowest.time)}${slowest.of}${percent(slowest.time, total)}.`,
			);
		} else add(`Took ${duration(total)}.`);
		const answered = markOf(record, "response:end");
		// less isn't worth a word
		if (answered !== undefined && endOf(record) - answered > Math.max(1, total / 20)) {
			const late = record.entries
				.filter((each) => each.kind !== "scope" && endOf(each) > answered + 0.5)
				.map((each) => ({ each, time: endOf(each) - Math.max(each.startedAt, answered) }))
				.sort((a, b) => b.time - a.time)[0];
			const kept = endOf(record) - answered;
			const by =
				late === undefined
					? "by the handler, which went on"
					: `${part(late.time, kept)} by ${nameOf(late.each)}: ${duration(late.time)}`;
			add(`Kept open for ${duration(kept)} after the response, ${by}.`, "kept");
		}
	}

	const blamed = new Set();
	for (const entry of record.entries) {
		// what a release is told of the work isn't its own
		if (entry.error === undefined || entry.kind === "scope" || isTold(entry, record)) continue;
		blamed.add(entry.error);
		const all = entry.error === record.error ? `, and the ${whole(record)} with it` : "";
		add(`${upper(nameOf(entry))} ${errorText(entry.error)}${all}.`, "bad");
	}
	const isAnswered = markOf(record, "response:end") !== undefined;
	if (record.error === "AbortError" && isAnswered)
		add("The client left before the response was complete: AbortError.", "bad");
	else if (record.error === prematureClose && isAnswered) {
		add(
			`The connection closed before the response was complete, as a rule by the client: ${record.error}.`,
			"bad",
		);
	} else if (record.error !== undefined && !blamed.has(record.error))
		add(`The scope ${errorText(record.error)}.`, "bad");
	for (const name of record.reported) add(`An error reached no caller: ${name}.`, "bad");
	if (record.missing > 0) add(`${record.missing} entries are left out: there were too many.`);
	const rank = (/** @type {{ className: string }} */ each) => (each.className === "bad" ? 0 : 1);
	// what failed says more than what took its time
	if (!isOpen(record)) verdict.sort((a, b) => rank(a) - rank(b));
	return verdict;
}

/** What a handler gets from `pipeline()` whose client has left, or whose source has ended too early. */
const prematureClose = "ERR_STREAM_PREMATURE_CLOSE";

/** @type {(time: number, total: number) => string} */
const part = (time, total) => (time >= total / 2 ? "most of it" : "the longest part");

/** @param {ScopeRecord} record */
const whole = ({ lifetime }) => (lifetime === "request" ? "request" : "scope");

/** @param {string} text */
const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
/**
 * @param {Phase[]} phases
 * @param {number} total
 */
const lastOf = (phases, total) => {
	const last = phases.at(-1);
	return last === undefined ? total : last.to - last.from;
};

/**
 * Whether a release only threw on what it was told.
 *
 * @param {Entry} entry
 * @param {ScopeRecord} record
 */
function isTold({ kind, outcome, error, startedAt }, record) {
	if (kind !== "release" || outcome === "success") return false;
	return (
		record.error === error ||
		record.entries.some((each) => each.error === error && each.startedAt < startedAt)
	);
}

/**
 * Setups that wait for another.
 *
 * @param {ScopeRecord} record
 */
function waitingIn(record) {
	const running = record.entries.filter((each) => isOpen(each) && isAwaited(each.kind));
	return running.flatMap((entry) =>
		running.filter(({ requester }) => requester === entry.id).map(({ name }) => ({ entry, name })),
	);
}

/**
 * @param {Line} line
 * @param {ScopeRecord} record
 */
function stateOf({ kind, run, release }, record) {
	const errors = [run, release].flatMap((each) =>
		each?.error === undefined || isTold(each, record) ? [] : errorText(each.error),
	);
	if (errors.length > 0) return errors.join("; ");
	const isRunning = run !== undefined && isOpen(run);
	if (release !== undefined) return isOpen(release) ? "releasing" : `released: ${release.outcome}`;
	if (kind === "wait") return isRunning ? "waited for" : "was waited for";
	if (kind !== "setup") return isRunning ? "running" : "done";
	if (isRunning) {
		const waits = waitingIn(record).filter(({ entry }) => entry === run);
		return waits.length > 0
			? `pending, waits for ${waits.map(({ name }) => name).join(", ")}`
			: "pending";
	}
	return "in use";
}

// --- what is open

function renderOpen() {
	const open = [...records.values()].filter(isOpen);
	const ids = new Set(open.map(({ id }) => id));
	const roots = open.filter(({ parent }) => parent === undefined || !ids.has(parent.id));
	const shape = JSON.stringify(
		open.map((each) => [
			each.id,
			each.parent?.id,
			...linesOf(each).map((line) => [line.id, stateOf(line, each)]),
		]),
	);
	const list = find("open");
	find("nothing-open").hidden = open.length > 0;
	if (shape !== list.dataset.shape) {
		const { activeElement } = document;
		const focused = activeElement instanceof HTMLElement ? activeElement.dataset.open : undefined;
		list.dataset.shape = shape;
		list.replaceChildren(...inOrder(roots.map((each) => openItem(each, open))));
		if (focused !== undefined) buttonIn(list, `[data-open="${focused}"]`)?.focus();
	}
	/** @type {NodeListOf<HTMLElement>} */
	const ages = list.querySelectorAll("[data-since]");
	for (const small of ages) small.textContent = duration(now() - Number(small.dataset.since));
}

/**
 * An item of the list, and where it belongs among others: what others may wait for comes first.
 *
 * @typedef {{ item: HTMLElement; place: number }} Placed
 */

/** @param {Placed[]} placed */
const inOrder = (placed) => placed.sort((a, b) => a.place - b.place).map(({ item }) => item);

/**
 * @param {ScopeRecord} record
 * @param {ScopeRecord[]} open
 * @returns {Placed}
 */
function openItem(record, open) {
	const { id, name, lifetime, startedAt, older } = record;
	const button = element("button", { type: "button", text: name, "data-open": String(id) });
	const item = element("li", {}, button);
	if (lifetime !== undefined && lifetime !== name)
		item.append(element("small", { text: ` ${lifetime} ` }));
	item.append(" ", older ? element("small", { text: "opened before" }) : age(startedAt));
	const inner = linesOf(record)
		.filter(({ run, release, scope, kind }) => {
			const isForeign = kind === "setup" && scope !== undefined && !ownsScope(record, scope);
			if (isForeign && run?.endedAt !== undefined) return false;
			if (run?.error !== undefined) return false;
			const isRunning = run !== undefined && isOpen(run);
			return release === undefined ? kind === "setup" || isRunning : isOpen(release);
		})
		.map((line) => {
			const state = stateOf(line, record);
			const latest = line.release ?? line.run;
			const isWaiting = latest?.endedAt === undefined;
			const className = isWaiting ? "waiting" : "";
			const text = element("small", { text: ` ${state} `, className });
			const since = age(latest?.startedAt ?? line.startedAt);
			return { item: element("li", {}, line.name, text, since), place: isWaiting ? 0 : 3 };
		});
	const children = open
		.filter(({ parent }) => parent?.id === id)
		.map((each) => openItem(each, open));
	const all = [...inner, ...children];
	const isWaiting = all.some(({ place }) => place <= 1);
	if (all.length > 0) item.append(element("ul", {}, ...inOrder(all)));
	return { item, place: isWaiting ? 1 : isLasting(record) ? 4 : 2 };
}

/**
 * Whether a scope of that name is told of with `record`.
 *
 * @param {ScopeRecord} record
 * @param {string} scope
 */
function ownsScope(record, scope) {
	return (
		scope === "handler" ||
		record.entries.some(({ kind, name }) => kind === "scope" && name === scope)
	);
}

/** @param {number} since */
const age = (since) => element("small", { "data-since": String(since) });

// --- the list

/** @type {Map<number, HTMLTableRowElement>} */
const rows = new Map();

/** @param {string} id */
function chosenIn(id) {
	return /** @type {HTMLInputElement | HTMLSelectElement} */ (find(id)).value;
}

function isLastingShown() {
	return /** @type {HTMLInputElement} */ (find("lasting")).checked;
}

/**
 * The scopes around one, from the inside out, as far as they are known.
 *
 * @param {ScopeRecord} record
 */
function enclosing({ parent }) {
	const scopes = [];
	for (let each = parent; each !== undefined; each = records.get(each.id)?.parent)
		scopes.push(each);
	return scopes;
}

/**
 * The app's scope, or the outermost there is.
 *
 * @param {ScopeRecord} record
 */
function appOf(record) {
	const scopes = enclosing(record);
	return scopes.find(({ id }) => records.get(id)?.lifetime === "app") ?? scopes.at(-1);
}

/**
 * What a scope is found by.
 *
 * @param {ScopeRecord} record
 */
function namesOf(record) {
	const { name, entries, error, reported } = record;
	return [
		name,
		...enclosing(record).map((each) => each.name),
		...entries.flatMap((each) => [each.name, each.error ?? ""]),
		error ?? "",
		...reported,
		isReplaced(record) ? "status unknown" : String(statusOf(record) ?? ""),
		outcomeOf(record),
	];
}

/** @param {ScopeRecord} record */
function matches(record) {
	if (isLasting(record) && !isLastingShown()) return false;
	const words = chosenIn("query").toLowerCase().split(/\s+/);
	const wanted = chosenIn("outcome");
	const names = namesOf(record).map((name) => name.toLowerCase());
	if (!words.every((word) => names.some((name) => name.includes(word)))) return false;
	if (wanted === "error") return hasError(record);
	return wanted === "" || outcomeOf(record) === wanted;
}

function renderList() {
	const body = find("rows");
	const isByLength = chosenIn("order") === "longest";
	const shown = [...records.values()]
		.filter(matches)
		.sort((a, b) => (isByLength ? lengthOf(b) - lengthOf(a) : b.startedAt - a.startedAt));
	const apps = new Set([...records.values()].map((each) => appOf(each)?.id));
	apps.delete(undefined);
	find("rows").classList.toggle("several", apps.size > 1);
	const ids = new Set(shown.map(({ id }) => id));
	for (const [id, row] of rows) {
		if (ids.has(id)) continue;
		row.remove();
		rows.delete(id);
	}
	let at = body.firstElementChild;
	for (const record of shown) {
		const row = rows.get(record.id) ?? makeRow(record);
		if (row === at) at = row.nextElementSibling;
		else body.insertBefore(row, at);
		updateRow(row, record);
	}
	const choice = rowOf(view.selected) ?? body.firstElementChild;
	for (const row of rows.values()) {
		const button = buttonIn(row);
		if (button !== null) button.tabIndex = row === choice ? 0 : -1;
	}
	const missing = view.missing > 0 ? ` ${view.missing} were not recorded: too many were open.` : "";
	const count = `${shown.length} of ${records.size} scopes.${missing}`;
	if (find("count").textContent !== count) find("count").textContent = count;
}

/** @param {number | undefined} id */
function rowOf(id) {
	return id === undefined ? undefined : rows.get(id);
}

/** @param {ScopeRecord} record */
function makeRow(record) {
	const { id, name, lifetime } = record;
	const app = element("small", { text: appOf(record)?.name ?? "" });
	const button = element("button", { type: "button", "data-id": String(id) }, name, " ", app);
	if (lifetime !== undefined) button.title = `lifetime ${lifetime}`;
	const row = element(
		"tr",
		{},
		element("td", {}, button),
		element("td"),
		element("td", { className: "number" }),
	);
	rows.set(id, row);
	return row;
}

/**
 * @param {HTMLTableRowElement} row
 * @param {ScopeRecord} record
 */
function updateRow(row, record) {
	const [, outcome, time] = row.cells;
	const type = outcomeOf(record);
	const status = isReplaced(record) ? "status unknown," : statusOf(record);
	const isOdd = type !== "failure" && hasError(record);
	if (outcome === undefined || time === undefined) return; // makeRow makes them
	outcome.textContent = `${status ?? ""} ${type}${isOdd ? " ✕ error" : ""}`.trim();
	outcome.className = isOdd ? "bad" : type;
	time.textContent = record.older ? "" : duration(lengthOf(record));
	const button = buttonIn(row);
	if (record.id === view.selected) button?.setAttribute("aria-current", "true");
	else button?.removeAttribute("aria-current");
}

// --- the selected scope

function selectedRecord() {
	return view.selected === undefined ? undefined : records.get(view.selected);
}

function renderDetail() {
	const record = selectedRecord();
	find("selected").hidden = record === undefined;
	if (record === undefined) {
		if (view.selected === undefined) return;
		find("name").textContent = "No scope selected";
		find("about").textContent = "The one you selected has made way for later ones.";
		return;
	}
	const started = new Date(clock.timeOrigin + record.startedAt).toLocaleTimeString();
	const status = statusOf(record);
	const parts = [
		record === longest() ? `the longest ${isOpen(record) ? "open" : "recorded"}` : "",
		record.lifetime === undefined ? "scope" : `${record.lifetime} scope`,
		record.parent === undefined ? "" : `in ${record.parent.name}`,
		status === undefined ? "" : `answered with ${status}`,
		isReplaced(record) ? "status unknown: the response was replaced" : "",
		record.older ? "opened before the inspector" : `opened at ${started}`,
		isOpen(record)
			? `open for ${duration(lengthOf(record))}`
			: `${record.outcome} in ${duration(lengthOf(record))}`,
	];
	find("name").textContent = record.name;
	find("about").textContent = parts.filter((part) => part !== "").join(", ");
	const verdict = verdictOf(record);
	find("verdict").replaceChildren(...verdict.map((each) => element("li", each)));
	const phases = phasesOf(record);
	find("phases").replaceChildren(
		...phases.map(({ name, kind, from, to }) =>
			element(
				"li",
				{},
				element("i", { className: `swatch ${kind}` }),
				`${name} ${duration(to - from)}`,
			),
		),
	);
	renderChart(record, phases);
	renderTable(record);
}

/**
 * @param {ScopeRecord} record
 * @param {Phase[]} phases
 */
function renderChart(record, phases) {
	const from = Math.min(record.startedAt, ...record.entries.map(({ startedAt }) => startedAt));
	const to = Math.max(endOf(record), ...record.entries.map(endOf), from + 0.01);
	/** @type {(time: number) => number} */
	const scale = (time) => (100 * (time - from)) / (to - from);
	/** @type {Draw} */
	const bar = (className, start, end, title) => {
		const made = element("div", { className: `bar ${className}`, title });
		made.style.left = `${scale(start)}%`;
		made.style.width = `${Math.max(0, scale(end) - scale(start))}%`;
		return made;
	};
	const grid = element("div", { className: "grid" });
	const axis = element("div", { className: "track" });
	for (const time of ticks(to - from)) {
		const left = `${(100 * time) / (to - from)}%`;
		const line = element("i", { className: "at" });
		line.style.left = left;
		grid.append(line);
		if (time / (to - from) > 0.93) continue;
		const tick = element("span", { className: "tick", text: tickText(time) });
		tick.style.left = left;
		axis.append(tick);
	}
	const band = element("div", { className: "track" });
	for (const phase of phases) {
		const { name, kind, from: start, to: end } = phase;
		const share = scale(end) - scale(start);
		const made = bar(`phase ${kind}`, start, end, `${name} ${duration(end - start)}`);
		if (share < 1 + name.length * 1.1) made.classList.add("narrow");
		else made.textContent = name;
		band.append(made);
	}
	const chart = find("chart");
	const lines = linesOf(record);
	/** @type {Map<number | undefined, { line: Line; row: HTMLElement; track: HTMLElement }>} */
	const drawn = new Map();
	const made = lines.map((line) => {
		const track = element("div", { className: "track" });
		const label = element(
			"span",
			{ title: line.name },
			line.name,
			" ",
			element("small", { className: "times", text: timesOf(line) }),
		);
		const row = element("div", { className: "row" }, label, track);
		drawn.set(line.id, { line, row, track });
		addBars(line, record, track, bar, to);
		return row;
	});
	const head = element("div", { className: "row axis" }, element("span"), axis);
	const phaseRow = element("div", { className: "row" }, element("span", { text: "phases" }), band);
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	chart.replaceChildren(grid, head, phaseRow, ...made, element("div", { className: "grid" }, svg));
	/** @type {(track: HTMLElement) => number} */
	const middle = (track) => track.offsetTop + track.offsetHeight / 2;
	for (const { line, track } of drawn.values()) {
		const { run } = line;
		if (run === undefined || line.kind !== "setup") continue;
		for (const { id } of usedBy(run, record)) {
			const used = drawn.get(id);
			if (used === undefined || used.line === line) continue;
			const until = Math.min(endOf(used.line.run ?? used.line), endOf(run));
			draw(svg, scale(Math.max(line.startedAt, until)), middle(used.track), middle(track));
		}
	}
}

/**
 * What a setup uses: known at its end; until then, what it asked for.
 *
 * @param {Entry} setup
 * @param {ScopeRecord} record
 */
function usedBy({ id, dependencies }, record) {
	if (dependencies !== undefined) return dependencies;
	return record.entries.filter((each) => isAwaited(each.kind) && each.requester === id);
}

/**
 * @param {SVGElement} svg
 * @param {number} x
 * @param {number} from
 * @param {number} to
 */
function draw(svg, x, from, to) {
	/** @type {(tag: string, attributes: Record<string, string | number>) => void} */
	const make = (tag, attributes) => {
		const made = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
		for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
	};
	make("line", { x1: `${x}%`, x2: `${x}%`, y1: from, y2: to });
	make("circle", { cx: `${x}%`, cy: to, r: 3.5 });
}

/**
 * @param {Line} line
 * @param {ScopeRecord} record
 * @param {HTMLElement} track
 * @param {Draw} bar
 * @param {number} to
 */
function addBars({ name, kind, run, release }, record, track, bar, to) {
	if (run !== undefined) {
		const type = kind === "spawn" || kind === "after" ? "task" : kind;
		track.append(
			flagged(
				bar(
					barClass(type, run, record),
					run.startedAt,
					endOf(run),
					`${name}: ${timesOf({ kind, run, release: undefined })}`,
				),
				run,
				record,
			),
		);
		const waits = kind === "setup" ? waitsOf(run, record) : [];
		for (const { from, to: until, isOver } of waits) {
			const title = `${name}: waits for ${duration(until - from)}`;
			track.append(bar(isOver ? "waits" : "waits running", from, until, title));
		}
	}
	if (kind === "setup" && run?.endedAt !== undefined && run.error === undefined) {
		const isOutlived = isOpen(record) || run.endedAt > endOf(record);
		const until = release?.startedAt ?? (isOutlived ? to : endOf(record));
		track.append(bar("use", endOf(run), until, `${name}: in use`));
	}
	if (release !== undefined) {
		track.append(
			flagged(
				bar(
					barClass("release", release, record),
					release.startedAt,
					endOf(release),
					`${name}: ${timesOf({ kind, run: undefined, release })}`,
				),
				release,
				record,
			),
		);
	}
}

/**
 * @param {string} type
 * @param {Entry} entry
 * @param {ScopeRecord} record
 */
function barClass(type, entry, record) {
	const isBad = entry.error !== undefined && !isTold(entry, record);
	return `${isBad ? "error" : type}${isOpen(entry) ? " running" : ""}`;
}

/**
 * Marks an error, and a timeout, not by colour alone.
 *
 * @param {HTMLElement} bar
 * @param {Entry} entry
 * @param {ScopeRecord} record
 */
function flagged(bar, entry, record) {
	if (entry.error === undefined || isTold(entry, record)) return bar;
	bar.append(element("span", { className: "flag", text: isTimeout(entry.error) ? "⏱" : "✕" }));
	bar.style.minWidth = "14px";
	return bar;
}

/** @param {Pick<Line, "kind" | "run" | "release">} line */
function timesOf({ kind, run, release }) {
	const parts = [];
	if (run !== undefined)
		parts.push(`${kind === "setup" ? "" : `${kind} `}${duration(lengthOf(run))}`);
	if (release !== undefined) parts.push(`release ${duration(lengthOf(release))}`);
	return parts.join(", ");
}

/** @param {number} time */
const tickText = (time) => (time === 0 ? "0" : duration(time).replace(/\.0+ /, " "));

/**
 * Round times that cut a length into a few parts.
 *
 * @param {number} length
 */
function ticks(length) {
	const power = 10 ** Math.floor(Math.log10(length / 4));
	const step =
		[1, 2, 5, 10].map((each) => each * power).find((each) => length / each <= 6) ?? length;
	return Array.from({ length: Math.floor(length / step) + 1 }, (_, i) => i * step);
}

/** @param {ScopeRecord} record */
function renderTable(record) {
	/** @type {(text: string, className?: string) => HTMLElement} */
	const cell = (text, className = "") => element("td", { text, className });
	find("entries").replaceChildren(
		...linesOf(record).map((line) => {
			const { name, scope, kind, run, release, startedAt } = line;
			const state = stateOf(line, record);
			const used = run !== undefined && kind === "setup" ? usedBy(run, record) : [];
			return element(
				"tr",
				{},
				element("th", {
					scope: "row",
					text: isAwaited(kind) ? name : `${kind} ${name === kind ? "" : name}`,
				}),
				cell(state, /^(?:failed|timed out)/.test(state) ? "bad" : ""),
				cell(scope ?? record.name),
				cell(duration(Math.max(0, startedAt - record.startedAt)), "number"),
				cell(run === undefined ? "" : duration(lengthOf(run)), "number"),
				cell(release === undefined ? "" : duration(lengthOf(release)), "number"),
				cell(used.map((each) => each.name).join(", ")),
			);
		}),
	);
}

// --- what the user does

/** As long as nobody has chosen: what took longest, or is open for longest if nothing has closed. */
function selectFirst() {
	view.selected = longest()?.id;
}

function longest() {
	const candidates = [...records.values()].filter((each) => !each.older && !isLasting(each));
	const closed = candidates.filter((each) => !isOpen(each));
	return (closed.length > 0 ? closed : candidates).sort((a, b) => lengthOf(b) - lengthOf(a))[0];
}

/** @param {number} id */
function select(id) {
	view.selected = id;
	render();
}

/**
 * Selects what was clicked on; on a phone, what is shown of it is further down.
 *
 * @param {number} id
 */
function show(id) {
	select(id);
	const detail = find("detail");
	if (detail.getBoundingClientRect().top > innerHeight / 2) detail.scrollIntoView();
}

/** @param {KeyboardEvent} event */
function go(event) {
	const buttons = [...find("rows").querySelectorAll("button")];
	const { activeElement } = document;
	const at = activeElement instanceof HTMLButtonElement ? buttons.indexOf(activeElement) : -1;
	/** @type {Record<string, number>} */
	const keys = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 };
	const next = buttons[keys[event.key] ?? -1];
	if (at === -1 || next === undefined) return;
	event.preventDefault();
	select(Number(next.dataset.id));
	next.focus();
}

find("rows").addEventListener("click", ({ target }) => {
	const row = target instanceof Element ? target.closest("tr") : null;
	const id = row && buttonIn(row)?.dataset.id;
	if (id) show(Number(id));
});
find("rows").addEventListener("keydown", go);
find("open").addEventListener("click", ({ target }) => {
	const button = target instanceof Element ? target.closest("button") : null;
	if (button?.dataset.open) show(Number(button.dataset.open));
});
for (const id of ["query", "outcome", "order", "lasting"])
	find(id).addEventListener("input", renderList);
find("pause").addEventListener("click", () => {
	view.isPaused = !view.isPaused;
	find("pause").textContent = view.isPaused ? "Resume" : "Pause";
	if (view.isPaused) {
		source?.close();
		say("Paused.");
	} else connect();
	render();
});
addEventListener("resize", renderDetail);

/** @param {string} text */
function say(text) {
	if (find("status").textContent !== text) find("status").textContent = text;
}

function render() {
	renderOpen();
	renderList();
	renderDetail();
}

// --- what the server says

/** @type {EventSource} */
let source;

function connect() {
	source = new EventSource(`${location.pathname.replace(/\/$/, "")}/events`);
	source.addEventListener("open", () => {
		records.clear(); // the server may be another one
		say("Live.");
	});
	source.addEventListener("error", () => {
		say("The connection is lost; trying again…");
		// a refusal ends it for good, else the browser does so itself
		if (source.readyState === EventSource.CLOSED)
			setTimeout(() => view.isPaused || connect(), 3000);
	});
	source.addEventListener("message", ({ data }) => {
		const message = JSON.parse(data);
		Object.assign(clock, {
			now: message.now,
			at: performance.now(),
			timeOrigin: message.timeOrigin,
		});
		view.missing = message.missing;
		for (const record of message.records) records.set(record.id, record);
		const ids = new Set(message.ids);
		for (const id of records.keys()) if (!ids.has(id)) records.delete(id);
		if (view.selected === undefined) selectFirst();
		render();
	});
}

setInterval(() => {
	const isLive = source.readyState === EventSource.OPEN && !view.isPaused;
	if (!isLive || document.hidden) return;
	renderOpen();
	for (const [id, row] of rows) {
		const record = records.get(id);
		if (record !== undefined && isOpen(record)) updateRow(row, record);
	}
	const selected = selectedRecord();
	if (selected !== undefined && isOpen(selected)) renderDetail();
}, 250);

connect();
