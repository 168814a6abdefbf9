import { Same } from "../attachments.ts";
import type { ScopeInfo } from "../index.ts";
import type { Recording } from "./recording.ts";

/**
 * Remembers where scopes are told of, for one recorder. Not by `attachments()`, which the adapters use as well: with two
 * memories in use it takes five times as long, for both of them.
 */
export class Recordings {
	/** For scopes that another recorder has come to know first. */
	readonly #others = new WeakMap<ScopeInfo, Recording>();

	get(scope: ScopeInfo | undefined): Recording | undefined {
		return scope && Recorded.get(scope, this, this.#others);
	}

	/** Once for each scope. */
	set(scope: ScopeInfo, recording: Recording): void {
		if (Recorded.is(scope)) this.#others.set(scope, recording);
		else new Recorded(scope, this, recording);
	}
}

class Recorded extends Same {
	readonly #by: Recordings;
	readonly #recording: Recording;

	constructor(scope: ScopeInfo, by: Recordings, recording: Recording) {
		super(scope);
		this.#by = by;
		this.#recording = recording;
	}

	static is(scope: object): boolean {
		return #by in scope;
	}

	static get(
		scope: ScopeInfo,
		by: Recordings,
		others: WeakMap<ScopeInfo, Recording>,
	): Recording | undefined {
		if (!(#by in scope)) return undefined;
		return scope.#by === by ? scope.#recording : others.get(scope);
	}
}
