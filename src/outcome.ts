import { isObject, SuppressedError } from "./errors.ts";

/**
 * How a scope's work ended. `success`: it completed. `failure`: it failed, with `error`. `incomplete`: nobody said,
 * so nothing may be committed.
 */
export type Outcome = Success | Fault | Incomplete;

/** The work completed. */
export interface Success {
	/** Tells the outcomes apart. */
	readonly type: "success";
}

/** The work failed. */
export interface Fault {
	/** Tells the outcomes apart. */
	readonly type: "failure";
	/** The work's error, or what resources made of it. Anything can be thrown, `undefined` too. */
	readonly error: unknown;
}

/** Nobody said how the work ended. */
export interface Incomplete {
	/** Tells the outcomes apart. */
	readonly type: "incomplete";
}

/** A failed outcome, and what went wrong on top of it. Anything can be thrown, so there is no "no error" value. */
export class Failure {
	/** What the resources still to be released see: the work's error, or its last translation. */
	error: unknown;
	/** Whether whoever closes the scope has the error already, because they passed it to `fail` or `abort`. */
	known: boolean;
	/** Failures independent of `error`, oldest first. */
	readonly suppressed: unknown[] = [];
	/** Whether a release has put its own error in the place of the work's. */
	translated = false;

	constructor(error: unknown, known = false) {
		this.error = error;
		this.known = known;
	}

	/** Whether there is anything in it that whoever closes the scope doesn't have already. */
	get isNews(): boolean {
		return !this.known || this.suppressed.length > 0;
	}

	/** A resource answered `error` with `thrown`, which takes its place. */
	translate(thrown: unknown): void {
		attachCause(thrown, this.error);
		this.error = thrown;
		this.known = false;
		this.translated = true;
	}

	/**
	 * Everything that went wrong, as one error.
	 *
	 * {@link https://tc39.es/proposal-explicit-resource-management/#sec-disposeresources | DisposeResources}, 3.a.ii
	 */
	combined(): unknown {
		return this.suppressed.reduce(
			(older, newest) =>
				new SuppressedError(newest, older, `${textOf(newest)} (on top of: ${textOf(older)})`),
			this.error,
		);
	}
}

/** Makes `cause` the cause of `error`, where that has none and no circle arises. */
export function attachCause(error: unknown, cause: unknown): void {
	if (!isObject(error)) return;
	try {
		if ((error as { cause?: unknown }).cause !== undefined || isInCauses(error, cause)) return;
		Object.defineProperty(error, "cause", { value: cause, writable: true, configurable: true });
	} catch {
		// frozen, or with a getter that throws: it stays as it is
	}
}

/** Whether `error` is `from`, or among its causes. */
function isInCauses(error: object, from: unknown): boolean {
	let at = from;
	// a longer way back is no circle that anybody would notice
	for (let i = 0; i < 1000 && isObject(at); i++) {
		if (at === error) return true;
		at = (at as { cause?: unknown }).cause;
	}
	return false;
}

/** What an error says, whatever was thrown. */
function textOf(error: unknown): string {
	try {
		const text = isObject(error) ? String((error as { message?: unknown }).message) : typeof error;
		// each contains the one before it: a hundred thousand of them must not be a hundred thousand long
		return text.length > 200 ? `${text.slice(0, 199)}…` : text;
	} catch {
		return "an error that can't be read";
	}
}
