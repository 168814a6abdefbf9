import { isObject } from "./errors.ts";
import {
	type AnySetup,
	Definition,
	type Dependencies,
	type Resource,
	type ResourceOptions,
	resource,
	type Setup,
	type SetupContext,
	type Values,
} from "./resource.ts";

/**
 * Defines resources that differ by a key: a database per tenant, a lock per file.
 *
 * What it returns makes the resource for a key; like any other, that has one instance per owning scope, and can be
 * overridden, provided and released on its own. Keys are compared as by `Object.is`, objects thus by identity: where
 * several values make up a key, join them to a string. Nothing is kept for a key that no scope uses.
 *
 * @param setup - Acquires the value; {@link resource} tells what it may be. The key comes before the context.
 * @throws {@link InvalidArgumentError} If an argument is of the wrong kind.
 *
 * @example A database per tenant
 * ```ts
 * import assert from "node:assert/strict";
 * import { family, use, withScope } from "yieldscope";
 *
 * const log: string[] = [];
 * const TenantDb = family(
 * 	async function* (tenant: string) {
 * 		log.push(`open ${tenant}`);
 * 		yield { tenant };
 * 		log.push(`close ${tenant}`);
 * 	},
 * 	{ name: "TenantDb" },
 * );
 *
 * await withScope(async () => {
 * 	const db = await use(TenantDb("acme"));
 * 	assert.equal(await use(TenantDb("acme")), db);
 * 	await use(TenantDb("umbrella"));
 * });
 * assert.deepEqual(log, ["open acme", "open umbrella", "close umbrella", "close acme"]);
 * ```
 */
export function family<K, T>(
	setup: Setup<[key: K, context: SetupContext], T>,
	options?: ResourceOptions,
): (key: K) => Resource<T>;
export function family<const D extends Dependencies, K, T>(
	dependencies: D,
	setup: Setup<[dependencies: Values<D>, key: K, context: SetupContext], T>,
	options?: ResourceOptions,
): (key: K) => Resource<T>;
export function family(...definition: unknown[]): (key: unknown) => Resource<unknown> {
	// resource() checks the arguments and sees to classes; only the setup takes one more here
	const common = resource(...(definition as Parameters<typeof resource>)) as Definition;
	const { name, lifetime, releaseTimeout, dependencies } = common;
	const setup = common.setup as AnySetup; // only a token has none
	return (key) =>
		new Definition(
			dependencies === undefined
				? (context) => setup(key, context)
				: (values, context) => setup(values, key, context),
			{ name: `${name}(${keyText(key)})`, lifetime, releaseTimeout },
			dependencies,
			// a Map, unlike Object.is, takes -0 for 0
			{ family: common, key: key === 0 ? 0 : key },
		);
}

/** A key as errors show it. What is in an object may be a secret. */
function keyText(key: unknown): string {
	if (isObject(key)) return typeof key;
	const text = String(key);
	const short = text.length > 40 ? `${text.slice(0, 39)}…` : text;
	return typeof key === "string" ? JSON.stringify(short) : short;
}
