import type { Books, Entry } from "./ledger.ts";
import type { Visit } from "./plan.ts";
import type { Answer } from "./send.ts";

/** What a server holds when it has nothing to do. */
export interface State {
	readonly scopes: number;
	readonly connections: number;
	readonly idle: number;
	readonly waiting: number;
	/** In bytes. */
	readonly heap: number;
}

/** What the servers said of an order. */
export interface Marks {
	readonly xid: string;
	/** Whether the COMMIT was going to be sent. */
	readonly commits: boolean;
	/** Whether PostgreSQL has confirmed it. */
	readonly committed: boolean;
}

/** All that a soak leaves behind. */
export interface Evidence {
	readonly answers: ReadonlyMap<Visit, Answer>;
	readonly marks: ReadonlyMap<string, Marks>;
	/** What PostgreSQL says of transactions, by their ids. */
	readonly fates: ReadonlyMap<string, string>;
	readonly books: Books;
	/** The last server's, before and after most of its work, when nothing was going on. */
	readonly states: readonly [before: State, after: State];
	/** PostgreSQL's count of the pool's sessions, at the second of these moments. */
	readonly sessions: { readonly open: number; readonly busy: number };
	/** ... and when all servers have ended. */
	readonly sessionsAtEnd: number;
	/** What the servers printed and shouldn't have had to. */
	readonly strays: readonly string[];
	/** Ends of servers that weren't as they were told to end. */
	readonly exits: readonly string[];
	/** The statuses of orders placed at the end, that nothing was done to. */
	readonly plain: readonly (number | undefined)[];
}

/** Something that must not be, and where it is so all the same. */
export interface Check {
	readonly label: string;
	readonly offenders: readonly string[];
}

/** How many plain orders may time out: those that are under way when the machine stands still for half a second. */
export const STALLED = 4;

/** How much more heap, in bytes, is noise: what is compiled late has taken up to 1.9 MB. */
export const NOISE = 3_000_000;

/**
 * What a client may conclude about its order.
 *
 * A refused one is not there, but for those in doubt: the server couldn't see what became of the COMMIT, because its
 * connection was lost, or it took too long. No client of any database can know then; PostgreSQL does.
 */
const fates = ["acknowledged", "refused", "in doubt", "unanswered", "never sent"] as const;
export type Fate = (typeof fates)[number];

export function fateOf({ reached, status }: Answer, marks: Marks | undefined): Fate {
	if (!reached) return "never sent";
	if (status === undefined) return "unanswered";
	if (status < 400) return "acknowledged";
	// below 500 it was PostgreSQL that refused the COMMIT, or it was never sent
	return status >= 500 && marks?.commits && !marks.committed ? "in doubt" : "refused";
}

/** How much of an order is there. */
export type Presence = "absent" | "whole" | "doubled" | "half";

export function presenceOf(entry: Entry | undefined, amount: number): Presence {
	if (entry === undefined) return "absent";
	const { orders, debits, credits } = entry;
	const times = orders.length;
	const isEven =
		debits.length === times &&
		credits.length === times &&
		orders.every((each) => each === amount) &&
		debits.every((each) => each === -amount) &&
		credits.every((each) => each === amount);
	if (!isEven) return "half";
	return times === 1 ? "whole" : "doubled";
}

/** Compares what was promised with what there is. */
export function judge(evidence: Evidence): Check[] {
	const { answers, marks, books, states, sessions } = evidence;
	const visits = [...answers];
	const orders = visits.flatMap(([{ id, amount }, answer]) => {
		if (amount === undefined) return [];
		const fate = fateOf(answer, marks.get(id));
		return [{ id, fate, presence: presenceOf(books.entries.get(id), amount) }];
	});
	const known = new Set(orders.map(({ id }) => id));
	const ordersThat = (test: (fate: Fate, presence: Presence, id: string) => boolean) =>
		orders.filter(({ id, fate, presence }) => test(fate, presence, id)).map(({ id }) => id);
	const visitsThat = (test: (visit: Visit, answer: Answer) => boolean) =>
		visits
			.filter(([visit, answer]) => test(visit, answer))
			.map(([{ id }, { status }]) => `${id}: ${status}`);
	const [before, after] = states;
	const refusedPlain = evidence.plain.filter((status) => status !== 201);
	const isStall =
		refusedPlain.length <= STALLED &&
		refusedPlain.every((status) => status === 500 || status === 503);
	const unless = (holds: boolean, text: string) => (holds ? [] : [text]);

	return [
		{
			label: "the ledger doesn't balance",
			offenders: unless(books.balance === 0, `${books.balance}`),
		},
		{
			label: "orders acknowledged and not there",
			offenders: ordersThat((fate, there) => fate === "acknowledged" && there === "absent"),
		},
		{
			label: "orders refused and there",
			offenders: ordersThat((fate, there) => fate === "refused" && there !== "absent"),
		},
		{
			label: "orders never sent and there",
			offenders: ordersThat((fate, there) => fate === "never sent" && there !== "absent"),
		},
		{
			label: "orders there more than once",
			offenders: ordersThat((_, there) => there === "doubled"),
		},
		{
			label: "orders half there",
			offenders: ordersThat((_, there) => there === "half"),
		},
		{
			label: "orders in doubt that aren't as PostgreSQL says",
			offenders: ordersThat((fate, there, id) => {
				if (fate !== "in doubt") return false;
				const said = evidence.fates.get(marks.get(id)?.xid ?? "");
				return said !== (there === "absent" ? "aborted" : "committed");
			}),
		},
		{
			label: "entries of orders that nobody placed",
			offenders: [...books.entries.keys()].filter((id) => !known.has(id)),
		},
		{
			label: "answers that no fault explains",
			offenders: visitsThat(
				(visit, { status }) => status !== undefined && !isPossible(visit, status),
			),
		},
		{ label: "answers that didn't come", offenders: visitsThat((_, { hung }) => hung) },
		{
			label: "connections not back in the pool",
			offenders: unless(after.idle === after.connections, `${after.connections - after.idle}`),
		},
		{
			label: "sessions that PostgreSQL has beside the pool's",
			offenders: unless(
				sessions.open === after.connections,
				`${sessions.open - after.connections}`,
			),
		},
		{
			label: "sessions that aren't idle",
			offenders: unless(sessions.busy === 0, `${sessions.busy}`),
		},
		{
			label: "sessions when all servers have ended",
			offenders: unless(evidence.sessionsAtEnd === 0, `${evidence.sessionsAtEnd}`),
		},
		{
			label: "requests that wait for a connection",
			offenders: unless(after.waiting === 0, `${after.waiting}`),
		},
		{ label: "scopes open", offenders: unless(after.scopes === 0, `${after.scopes}`) },
		{
			label: "more heap than noise explains",
			offenders: unless(after.heap - before.heap <= NOISE, `${after.heap - before.heap} bytes`),
		},
		{
			label: "unhandled rejections, and errors that no fault explains",
			offenders: evidence.strays,
		},
		{ label: "servers that ended otherwise than told", offenders: evidence.exits },
		{
			label:
				"orders without a fault that weren't answered with 201, beyond one stall of the machine",
			offenders: isStall ? [] : refusedPlain.map(String),
		},
	];
}

/** A killed session, an exhausted pool and a shutdown can befall every request. */
function isPossible({ kind, status }: Visit, seen: number): boolean {
	// a COMMIT may be quicker than the cut
	return [status, 500, 503].includes(seen) || (kind === "cut" && seen === 201);
}
