import { closedError } from "./open.ts";
import type { Owner } from "./owner.ts";
import { type Binding, replacementsOf } from "./resource.ts";

/** Adds bindings for as long as the handle lives. */
export function addBindings(owner: Owner, bindings: readonly Binding[]): Disposable {
	if (owner.state !== "open") throw closedError(owner, "bind in");
	const added = replacementsOf(bindings);
	owner.bindings ??= [];
	// the list goes along when the scope moves
	const list = owner.bindings;
	list.push(...added);
	return {
		[Symbol.dispose]() {
			// one of each: another handle may hold the same
			for (const binding of added.splice(0)) list.splice(list.lastIndexOf(binding), 1);
		},
	};
}
