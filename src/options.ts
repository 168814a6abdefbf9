import { InvalidArgumentError } from "./errors.ts";

/** A name as a line of a log can bear it: not too long, and without what would break, colour or reorder the line. */
export function printable(name: string): string {
	if (isPlain(name)) return name;
	const short = name.length > 200 ? `${name.slice(0, 199)}…` : name;
	return short.replace(
		/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_C}]/gu,
		(character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
	);
}

/** Whether `name` is short and ASCII, as nearly all are. Listeners are told each scope's name; an expression takes longer. */
function isPlain(name: string): boolean {
	if (name.length > 200) return false;
	for (let i = 0; i < name.length; i++) {
		const code = name.charCodeAt(i);
		if (code < 0x20 || code > 0x7e) return false;
	}
	return true;
}

/** Names what a bad argument is without printing its value, which may be a secret. */
export function kindOf(value: unknown): string {
	if (value === null) return "null";
	if (Array.isArray(value)) return "an array";
	return typeof value === "object"
		? "an object"
		: typeof value === "undefined"
			? "undefined"
			: `a ${typeof value}`;
}

/** Checks what definitions and scopes have in common. */
export function checkOptions(options: {
	readonly name?: unknown;
	readonly lifetime?: unknown;
	readonly releaseTimeout?: unknown;
}): void {
	if (typeof options !== "object")
		throw new InvalidArgumentError(`Expected options to be an object, got ${kindOf(options)}.`);
	checkKind("name", options.name, "string");
	checkKind("lifetime", options.lifetime, "string");
	checkTimeout(options.releaseTimeout);
}

export function checkKind(name: string, value: unknown, kind: "string" | "function"): void {
	if (value === undefined || typeof value === kind) return;
	throw new InvalidArgumentError(`Expected \`${name}\` to be a ${kind}, got ${kindOf(value)}.`);
}

/** Refuses a `releaseTimeout` that is no duration. */
function checkTimeout(releaseTimeout: unknown): void {
	if (releaseTimeout === undefined || (typeof releaseTimeout === "number" && releaseTimeout > 0))
		return;
	throw new InvalidArgumentError(
		`Expected \`releaseTimeout\` to be a positive number of milliseconds, got ${typeof releaseTimeout === "number" ? releaseTimeout : kindOf(releaseTimeout)}.`,
	);
}
