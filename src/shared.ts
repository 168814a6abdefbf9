import type { Instance } from "./instance.ts";
import { type Definition, isSame } from "./resource.ts";

/** A linear search is faster than a Map up to about this size. */
const SMALL = 8;

/** The instances that everybody in a scope shares, by what they are instances of. */
export class Shared {
	/** The few that there are as a rule, latest first. */
	#latest: Instance | undefined;
	#count = 0;
	/** When there are more: by definition, or by family and key. */
	#index: Map<object, Instance | Map<unknown, Instance>> | undefined;

	find(definition: Definition): Instance | undefined {
		if (this.#index !== undefined) {
			const found = this.#index.get(definition.family ?? definition);
			return found instanceof Map ? found.get(definition.key) : found;
		}
		let at = this.#latest;
		while (at !== undefined && !isSame(at.definition, definition)) at = at.sharedBefore;
		return at;
	}

	add(instance: Instance): void {
		if (this.#index !== undefined) {
			addTo(this.#index, instance);
			return;
		}
		instance.sharedBefore = this.#latest;
		this.#latest = instance;
		if (++this.#count <= SMALL) return;
		this.#index = new Map();
		for (let at = this.#latest as Instance | undefined; at !== undefined; ) {
			const { sharedBefore }: Instance = at;
			at.sharedBefore = undefined;
			addTo(this.#index, at);
			at = sharedBefore;
		}
		this.#latest = undefined;
	}

	delete(instance: Instance): void {
		// as a rule the latest goes first
		if (this.#latest === instance) {
			this.#latest = instance.sharedBefore;
			instance.sharedBefore = undefined;
			this.#count--;
			return;
		}
		const { definition } = instance;
		if (this.find(definition) !== instance) return;
		if (this.#index !== undefined) {
			const { family, key } = definition;
			if (family === undefined) this.#index.delete(definition);
			else (this.#index.get(family) as Map<unknown, Instance>).delete(key); // it was found there
			return;
		}
		let at = this.#latest as Instance; // it is somewhere further back
		while (at.sharedBefore !== instance) at = at.sharedBefore as Instance;
		at.sharedBefore = instance.sharedBefore;
		instance.sharedBefore = undefined;
		this.#count--;
	}
}

function addTo(index: Map<object, Instance | Map<unknown, Instance>>, instance: Instance): void {
	const { family, key } = instance.definition;
	if (family === undefined) {
		index.set(instance.definition, instance);
		return;
	}
	const members = index.get(family) as Map<unknown, Instance> | undefined; // a family has nothing else
	if (members === undefined) index.set(family, new Map([[key, instance]]));
	else members.set(key, instance);
}
