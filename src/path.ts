import type { ScopeErrorDetails } from "./errors.ts";
import type { Instance } from "./instance.ts";
import type { Owner } from "./owner.ts";
import type { Definition } from "./resource.ts";

/** Who asked for `definition`, outermost first. */
function pathOf(definition: Definition, requester: Instance | undefined): string[] {
	const path = [definition.name];
	for (let at = requester; at !== undefined; at = at.creator) path.push(at.definition.name);
	return path.reverse();
}

/** A path is for reading: the middle of a long one says nothing. */
export function joinPath(path: readonly string[], separator = " > "): string {
	const short =
		path.length <= 12
			? path
			: [...path.slice(0, 5), `… ${path.length - 10} more …`, ...path.slice(-5)];
	return short.join(separator);
}

/** Where something went wrong, for an error's message: `scope "request" (Orders > Tx > Pool)`. */
export function placeText(
	definition: Definition,
	scope: Owner,
	requester: Instance | undefined,
): string {
	return `scope "${scope.name}" (${joinPath(pathOf(definition, requester))})`;
}

/** Where something went wrong, as an error's fields. */
export function detailsOf(
	definition: Definition,
	scope: Owner,
	requester: Instance | undefined,
): ScopeErrorDetails {
	return { resource: definition.name, scope: scope.name, path: pathOf(definition, requester) };
}
