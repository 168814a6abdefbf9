import { InvalidArgumentError, ScopeError, ScopeNotClosedError } from "./errors.ts";
import { kindOf } from "./options.ts";
import { type ErrorReporter, type Owner, reportTo } from "./owner.ts";
import type { Scope } from "./scope.ts";
import type { SyncScope } from "./sync-scope.ts";

/** Which scopes {@link detectLeaks} watches. */
export type LeakDetection = "off" | "sampled" | "all";

/** A constructor or function that opens scopes: what stands above it in a stack is ours. */
export type Opener = (abstract new (...args: never) => unknown) | ((...args: never) => unknown);

/** A held root scope that isn't closed, as far as is known. Nothing in it keeps the scope alive. */
interface Watch {
	readonly name: string;
	readonly trace: string;
	readonly owner: WeakRef<Owner>;
	readonly reporter: WeakRef<ErrorReporter> | undefined;
	/** Whether there ever was something to release: without, nothing is lost. */
	isUsed: boolean;
}

/** All of the first scopes are watched, so that short programs and what opens at the start are seen in full. */
const FIRST = 100;
/** Then one in so many: to capture a stack takes ten times as long as to open a scope and close it. */
const INTERVAL = 1000;

let level: LeakDetection = "sampled";
let watched = 0;
/** How many scopes are opened until the next one is watched. */
let untilNext = 1;
let listens = false;
const watches = new Set<Watch>();
/** Where scopes were opened, as long as all are watched. */
const traces = new WeakMap<Owner, string>();
/** Where scopes were opened that have been reported: a loop that leaks is reported once. */
const reported = new Set<string>();

// not every runtime has one: Cloudflare Workers didn't for long
const registry =
	typeof FinalizationRegistry === "function"
		? new FinalizationRegistry<Watch>((watch) => {
				if (watches.delete(watch)) report(watch, "was garbage-collected open");
			})
		: undefined;

/**
 * Says for which scopes yieldscope finds out that nobody has closed them.
 *
 * A scope of {@link openScope} without a parent that has been used, and is garbage-collected open, or is open when the
 * process exits with code 0, is reported as {@link ScopeNotClosedError}, with the stack of where it was opened. That goes to
 * its `onReleaseError`, but if that has been collected together with it, or there is none, to `console.error`; the same
 * stack once. A scope with a parent is closed by that.
 *
 * - `"sampled"`: the first hundred, then one in a thousand. That costs nothing to speak of.
 * - `"all"`: each one. {@link Scope.inspect} then tells as well where it and the scopes below were opened. That takes
 *   some microseconds a scope: for tests, and for looking for a leak.
 * - `"off"`: none.
 *
 * It counts from the next scope on that is opened; `"off"` silences those opened before, too.
 *
 * @throws {@link InvalidArgumentError} If it is none of these.
 *
 * @example In a test's setup file
 * ```ts
 * import assert from "node:assert/strict";
 * import { detectLeaks, openScope, unclosedScopes } from "yieldscope";
 *
 * detectLeaks("all");
 * const job = openScope({ name: "job 7" });
 * assert.deepEqual(unclosedScopes(), [job]);
 * assert.match(job.inspect().openedAt ?? "", /^ {4}at .*\.ts:/);
 *
 * await job.disposeAsync();
 * assert.deepEqual(unclosedScopes(), []);
 * detectLeaks("sampled"); // the default
 * ```
 */
export function detectLeaks(detection: LeakDetection): void {
	if (detection !== "off" && detection !== "sampled" && detection !== "all") {
		const got = typeof detection === "string" ? JSON.stringify(detection) : kindOf(detection);
		throw new InvalidArgumentError(
			`Expected "off", "sampled" or "all" for detectLeaks(), got ${got}.`,
		);
	}
	level = detection;
	untilNext = level === "off" ? Number.POSITIVE_INFINITY : 1;
	if (level === "off") watches.clear();
}

/**
 * The scopes of {@link openScope} without a parent that nobody has closed, of those that were opened since
 * {@link detectLeaks} watches all.
 *
 * @throws {@link ScopeError} Unless {@link detectLeaks} watches all.
 */
export function unclosedScopes(): (Scope | SyncScope)[] {
	if (level !== "all") {
		throw new ScopeError(
			'Cannot tell which scopes are open: not all are watched. Call detectLeaks("all") before they are opened.',
		);
	}
	const owners = [...watches].map(({ owner }) => owner.deref());
	return owners.flatMap((owner) => (owner !== undefined && traces.has(owner) ? owner.scope : []));
}

/** Takes note of a scope that a call of `opener` opens. `held`: somebody is to close it. */
export function noteOpening(owner: Owner, opener: Opener, held: boolean): void {
	if (level === "all") traces.set(owner, traceAbove(opener));
	if (held && owner.parent === undefined && --untilNext <= 0) watch(owner, opener);
}

/** Where a scope was opened, if that is known. */
export function traceOf(owner: Owner): string | undefined {
	return traces.get(owner);
}

function watch(owner: Owner, opener: Opener): void {
	watched++;
	untilNext = level === "all" || watched < FIRST ? 1 : INTERVAL;
	if (registry === undefined) return;
	const { name, reporter, onFirstUse } = owner;
	const watch: Watch = {
		name,
		trace: traces.get(owner) ?? traceAbove(opener),
		owner: new WeakRef(owner),
		reporter: reporter && new WeakRef(reporter),
		isUsed: false,
	};
	watches.add(watch);
	registry.register(owner, watch);
	owner.onFirstUse = () => {
		watch.isUsed = true;
		onFirstUse?.();
	};
	owner.onFinish = () => watches.delete(watch);
	listen();
}

function listen(): void {
	if (listens) return;
	listens = true;
	const { process } = globalThis as { process?: Partial<NodeJS.Process> };
	process?.on?.("exit", (code) => {
		if (code !== 0) return; // it knows that it has failed
		for (const watch of watches) {
			const isClosing = (watch.owner.deref()?.state ?? "open") !== "open";
			report(watch, `is still ${isClosing ? "closing" : "open"} at exit`);
		}
	});
}

/** The stack above the call of `opener`. As text at once: unformatted, V8 keeps what the frames have as `this` alive. */
function traceAbove(opener: Opener): string {
	const holder: { stack?: unknown } = {};
	Error.captureStackTrace?.(holder, opener);
	return String(holder.stack ?? "").replace(/^.*\n?/, "");
}

function report({ name, trace, reporter, isUsed }: Watch, what: string): void {
	if (!isUsed || reported.has(trace)) return;
	reported.add(trace);
	const error = new ScopeNotClosedError(
		`Scope "${name}" ${what}: what it holds is not released. Close it with \`await using\` or disposeAsync(), and await that, or use withScope(). It was opened here:`,
		{ scope: name },
	);
	error.stack = `${error.name}: ${error.message}\n${trace}`;
	reportTo(reporter?.deref(), error);
}
