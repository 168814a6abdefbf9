import { closedError } from "./open.ts";
import type { Owner } from "./owner.ts";
import { type Binding, replacementsOf } from "./resource.ts";

/** Adds bindings for as long as the handle lives. */
export function addBindings(owner: Owner, bindings: readonly Binding[]): Disposable {
	if (owner.state !== "open") throw closedError(owner, "bind in");
	const added = replacementsOf(bindings);
	owner.bindings = [...(owner.bindings ?? []), ...added];
	return {
		[Symbol.dispose]() {
			const left = owner.bindings?.slice() ?? [];
			// one of each: another handle may hold the same
			for (const binding of added.splice(0)) left.splice(left.lastIndexOf(binding), 1);
			if (owner.bindings !== undefined) owner.bindings = left;
		},
	};
}
