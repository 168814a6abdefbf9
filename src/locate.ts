import { LifetimeError, NotProvidedError } from "./errors.ts";
import { type Frame, requesterOf } from "./frame.ts";
import type { Instance } from "./instance.ts";
import { printable } from "./options.ts";
import { isWithin, type Owner, scopesFrom } from "./owner.ts";
import { detailsOf, joinPath, placeText } from "./path.ts";
import { type Definition, isSame, type Lifetime, type Replacement } from "./resource.ts";

/** A binding, and the scope that has it. */
export interface Bound {
	readonly binding: Replacement;
	readonly scope: Owner;
}

/** The nearest binding of `definition`; for a replacement that asks for what it replaces, the next one out. */
export function findBinding(
	origin: Owner,
	definition: Definition,
	consumer: Instance | undefined,
): Bound | undefined {
	let skipping =
		consumer?.binding !== undefined && isSame(consumer.binding.resource, definition)
			? consumer.binding
			: undefined;
	for (let scope: Owner | undefined = origin; scope !== undefined; scope = scope.parent) {
		if (scope.bindings === undefined) continue;
		for (let i = scope.bindings.length - 1; i >= 0; i--) {
			const binding = scope.bindings[i] as Replacement; // i is in range
			if (skipping !== undefined) {
				if (binding === skipping) skipping = undefined;
			} else if (isSame(binding.resource, definition) && !isOwnReplacement(binding, consumer)) {
				return { binding, scope };
			}
		}
	}
	return undefined;
}

/** The error for a token, which nothing in `origin` stands for. */
export function notProvided(
	origin: Owner,
	token: Definition,
	frame: Frame | undefined,
): NotProvidedError {
	const requester = requesterOf(frame);
	return new NotProvidedError(
		`Cannot use ${token.name}: nobody provides it in ${placeText(token, origin, requester)}. Open that scope, or one around it, with bindings: [provide(${token.name}, value)].`,
		detailsOf(token, origin, requester),
	);
}

function isOwnReplacement(binding: Replacement, consumer: Instance | undefined): boolean {
	return (
		consumer !== undefined &&
		binding.definition !== undefined &&
		isSame(binding.definition, consumer.definition)
	);
}

/** Decides which scope is to own `target`, which stands for `definition` if there is a binding. */
export function findOwner(
	origin: Owner,
	definition: Definition,
	target: Definition,
	chosen: Lifetime | undefined,
	consumer: Instance | undefined,
	bound: Bound | undefined,
): Owner {
	const own = chosen ?? target.lifetime;
	const lifetime = own ?? definition.lifetime;
	let owner = lifetime === undefined ? defaultOwner(origin, consumer) : nearest(origin, lifetime);
	if (bound !== undefined) {
		// a stand-in for a longer-lived resource needs no scope of that lifetime
		if (owner === undefined ? own === undefined : isWithin(bound.scope, owner)) owner = bound.scope;
	}
	if (owner === undefined) throw lifetimeError(origin, target, lifetime as Lifetime, consumer);
	if (consumer !== undefined && !isWithin(consumer.owner, owner) && !isOpenedIn(owner, consumer)) {
		throw lifetimeError(owner, target, owner.lifetime ?? owner.name, consumer);
	}
	return owner;
}

function nearest(origin: Owner, lifetime: Lifetime): Owner | undefined {
	let scope: Owner | undefined = origin;
	while (scope !== undefined && scope.lifetime !== lifetime) scope = scope.parent;
	return scope;
}

/** The scope that owns what asks for no lifetime: a setup's own, else the nearest one that isn't a handler's. */
export function defaultOwner(origin: Owner, consumer?: Instance): Owner {
	if (consumer?.owner === origin) return origin;
	let scope = origin;
	while (scope.lifetime === "handler" && scope.parent !== undefined) scope = scope.parent;
	return scope;
}

/** Whether `owner` was opened by `instance`'s setup, which then is in charge of it. */
function isOpenedIn(owner: Owner, instance: Instance): boolean {
	for (let scope: Owner | undefined = owner; scope !== undefined; scope = scope.parent) {
		if (scope.opener === instance) return true;
	}
	return false;
}

/** Whether a scope of that lifetime, or of that name, is open in `scope` or below. */
function isOpenBelow(scope: Owner, lifetime: Lifetime): boolean {
	for (const each of scopesFrom(scope)) if ((each.lifetime ?? each.name) === lifetime) return true;
	return false;
}

function lifetimeError(
	scope: Owner,
	definition: Definition,
	wanted: Lifetime,
	consumer: Instance | undefined,
): LifetimeError {
	const lifetime = printable(wanted);
	const open: string[] = [];
	for (let at: Owner | undefined = scope; at !== undefined; at = at.parent) {
		open.push(`"${printable(at.lifetime ?? at.name)}"`);
	}
	const isLate = lifetime === "handler" && open.includes('"request"');
	const reason = isLate ? "A handler's scope ends before the first byte of the response. " : "";
	const inServer =
		lifetime === "app"
			? ', in a server by const root = openScope({ lifetime: "app" }) and requestScope({ parent: root })'
			: "";
	const advice = `${reason}Open one with withScope({ lifetime: "${lifetime}" }, …) around this${inServer}, or choose another with use(${definition.name}, { lifetime }).`;
	const shorter =
		definition.lifetime === wanted ? `\`lifetime: "${lifetime}"\`` : "shorter lifetime";
	const details = detailsOf(definition, scope, consumer);
	const message =
		consumer === undefined || !isOpenBelow(scope, wanted)
			? `Cannot use ${definition.name} in ${placeText(definition, scope, consumer)}: no open scope has its lifetime "${lifetime}"; open are ${joinPath(open, " < ")}. ${advice}`
			: `Cannot use ${definition.name} in ${consumer.definition.name}, which would outlive it: ${definition.name} belongs to a scope "${lifetime}", ${consumer.definition.name} to "${consumer.owner.name}" (${joinPath(details.path ?? [])}). Give ${consumer.definition.name} the ${shorter}, or ${definition.name} the longer one, or pass it to methods of ${consumer.definition.name}.`;
	return new LifetimeError(message, details);
}

/** The outermost scope, or the nearest `"app"` scope on the way there. */
export function detachTarget(owner: Owner): Owner {
	let target = owner;
	while (target.lifetime !== "app" && target.parent !== undefined) target = target.parent;
	return target;
}
