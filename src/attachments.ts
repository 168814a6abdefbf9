/** Gives back what it is given: the private fields of a subclass then go to that. */
export class Same {
	constructor(object: object) {
		// biome-ignore lint/correctness/noConstructorReturn: that is what it is for
		return object;
	}
}

/** Remembers something of objects that are somebody else's. */
export interface Attachments<T> {
	/** @param to - Not even an object where another framework calls. */
	get(to: object | undefined): T | undefined;
	/** Once for each object. */
	set(to: object, value: T): void;
}

/**
 * Makes a memory like a `WeakMap`; but of one of those, what the value holds is only collected with the old generation,
 * which cost more than all the rest of a request. A private field is neither seen nor inherited: an object made of another
 * is a request of its own.
 *
 * All memories run the same code, which V8 compiles for one of them: where a second is used as much, write another class.
 */
export function attachments<T>(): Attachments<T> {
	return class Attached extends Same {
		readonly #value: T;

		constructor(to: object, value: T) {
			super(to);
			this.#value = value;
		}

		static get(to: object | undefined): T | undefined {
			return to !== undefined && #value in to ? (to as Attached).#value : undefined;
		}

		static set(to: object, value: T): void {
			new Attached(to, value);
		}
	};
}
