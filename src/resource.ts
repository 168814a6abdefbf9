import { InvalidArgumentError, isObject, isThenable } from "./errors.ts";
import { customInspect } from "./inspect.ts";
import { checkOptions, kindOf, printable } from "./options.ts";
import type { Scope } from "./scope.ts";

/**
 * The kind of scope that must own a resource. The names that yieldscope's adapters and docs use are
 * `"app"`, `"request"`, `"handler"` and `"task"`; any other string is yours.
 */
export type Lifetime = "app" | "request" | "handler" | "task" | (string & {});

/** What a setup is given. */
export interface SetupContext {
	/** The scope that owns the instance. */
	readonly scope: Scope;
	/** The owning scope's signal: aborted when nobody needs the resource any more. */
	readonly signal: AbortSignal;
}

/** The options of a resource. */
export interface ResourceOptions {
	/**
	 * What errors and {@link Scope.inspect} call the resource; with control characters escaped, and cut at 200.
	 *
	 * @defaultValue the name of the setup function
	 */
	readonly name?: string | undefined;
	/**
	 * The kind of scope that owns the resource.
	 *
	 * @defaultValue whoever asks for it decides: the owner of the resource that does, else the nearest scope
	 */
	readonly lifetime?: Lifetime | undefined;
	/**
	 * How long its release may take, in milliseconds.
	 *
	 * @defaultValue the scope's `releaseTimeout`
	 */
	readonly releaseTimeout?: number | undefined;
}

/** A definition: how to acquire a `T` and how to release it. Made by {@link resource}, {@link token} and {@link family}. */
export interface Resource<out T> {
	/** What errors and {@link Scope.inspect} call it. */
	readonly name: string;
	/** The kind of scope that owns it, if it asks for one. */
	readonly lifetime: Lifetime | undefined;
	/** Carries the type; there is no such property at run time. */
	readonly "~value": T;
}

/** Resources by the names under which a setup or a handler wants their values. */
export type Dependencies = Readonly<Record<string, Resource<unknown>>>;

/** The values of {@link Dependencies}, by the same names. */
export type Values<D extends Dependencies> = {
	readonly [K in keyof D]: D[K] extends Resource<infer T> ? T : never;
};

/** A generator that yields the value once. */
export type Yielding<T> = AsyncGenerator<T, unknown, undefined> | Generator<T, unknown, undefined>;

/** What a setup may return: a generator that yields the value once, the value itself, or a promise of either. */
export type SetupResult<T> = Yielding<T> | PromiseLike<Yielding<T> | T> | T;

/** A function that acquires a `T`, or a class of which an instance is one. */
export type Setup<A extends readonly unknown[], T> =
	| ((...args: A) => SetupResult<T>)
	| (new (
			...args: A
	  ) => T);

/** A setup whose arguments are of no interest to the engine. */
export type AnySetup = (...args: unknown[]) => unknown;

const optionNames = /^(?:name|lifetime|releaseTimeout)$/;

/** A {@link Resource} as the engine sees it. */
export class Definition implements Resource<unknown> {
	declare readonly "~value": unknown;
	readonly name: string;
	readonly lifetime: Lifetime | undefined;
	readonly releaseTimeout: number | undefined;
	/** `undefined`: the setup takes the context only. */
	readonly dependencies: NamedDefinitions | undefined;
	/** `undefined`: a token. */
	readonly setup: AnySetup | undefined;
	/** What makes two definitions the same resource: themselves, or their family and key. */
	readonly family: Definition | undefined;
	readonly key: unknown;

	constructor(
		setup: AnySetup | undefined,
		options: ResourceOptions,
		dependencies?: Definition["dependencies"],
		member?: { readonly family: Definition; readonly key: unknown },
	) {
		checkOptions(options);
		for (const key of Object.keys(options)) {
			if (!optionNames.test(key)) {
				throw new InvalidArgumentError(
					`Expected \`name\`, \`lifetime\` or \`releaseTimeout\`, got \`${printable(key)}\`.`,
				);
			}
		}
		this.setup = setup;
		// a class may have a static property of that name
		const setupName = typeof setup?.name === "string" ? setup.name : "";
		this.name = printable(options.name ?? (setupName || "(anonymous)"));
		this.lifetime = options.lifetime;
		this.releaseTimeout = options.releaseTimeout;
		this.dependencies = dependencies;
		this.family = member?.family;
		this.key = member?.key;
	}

	/** @internal */
	[customInspect](): string {
		return `Resource(${this.name})`;
	}

	/**
	 * Makes `await Db` say what to do. Without it the definition itself would come out, and fail far away.
	 *
	 * @throws {@link InvalidArgumentError} Always.
	 */
	// biome-ignore lint/suspicious/noThenProperty: that `await` calls it is the point
	then(_resolve: unknown, reject: (error: unknown) => void): void {
		reject(
			new InvalidArgumentError(
				`${this.name} is a definition, not a value: \`await use(${this.name})\`.`,
			),
		);
	}
}

/** A replacement that holds for lookups from a scope and below. Made by {@link provide} and {@link override}. */
export interface Binding {
	/** The resource replaced. */
	readonly resource: Resource<unknown>;
}

/** A {@link Binding} as the engine sees it; `provide`'s serves as the acquisition itself. */
export class Replacement implements Binding {
	readonly resource: Definition;
	/** `undefined`: a value. */
	readonly definition: Definition | undefined;
	readonly value: unknown;
	readonly state = "ready";
	#promise: Promise<unknown> | undefined;

	constructor(resource: Definition, definition: Definition | undefined, value?: unknown) {
		this.resource = resource;
		this.definition = definition;
		this.value = value;
	}

	/**
	 * Without the value, which may be a secret.
	 *
	 * @internal
	 */
	[customInspect](): string {
		return `Binding(${this.resource.name})`;
	}

	get promise(): Promise<unknown> {
		this.#promise ??= Promise.resolve(this.value);
		return this.#promise;
	}
}

/** The engine's view of a public {@link Resource}. */
export function definitionOf(resource: unknown): Definition {
	if (resource instanceof Definition) return resource;
	throw new InvalidArgumentError(
		`Expected a resource made by resource(), token() or family(), got ${kindOf(resource)}.${adviceFor(resource)}`,
	);
}

/** The engine's view of public {@link Binding}s. */
export function replacementsOf(bindings: readonly Binding[]): Replacement[] {
	if (!Array.isArray(bindings)) {
		throw new InvalidArgumentError(
			`Expected \`bindings\` to be an array, got ${kindOf(bindings)}.`,
		);
	}
	const replacements: Replacement[] = [];
	// map() would leave holes, Array.from() takes ten times as long
	for (const binding of bindings) {
		if (!(binding instanceof Replacement)) {
			throw new InvalidArgumentError(
				`Expected bindings made by provide() or override(), got ${kindOf(binding)}.`,
			);
		}
		replacements.push(binding);
	}
	return replacements;
}

/** What is wrong with something in a resource's place, as a rule. */
function adviceFor(value: unknown): string {
	if (value === undefined) return " Is it used before its definition?";
	if (typeof value === "function")
		return " Pass a setup to resource() first; call a family with its key.";
	return isObject(value)
		? " Give a value by provide(). If it is a resource, yieldscope is loaded twice: see `npm ls yieldscope`."
		: "";
}

/** Whether `a` and `b` define the same resource. */
export function isSame(a: Definition, b: Definition): boolean {
	return a === b || (a.family !== undefined && a.family === b.family && Object.is(a.key, b.key));
}

/** A setup, or a class whose instances are the values, as the engine calls it. */
function setupOf(setup: unknown): AnySetup {
	if (typeof setup !== "function") {
		throw new InvalidArgumentError(
			`Expected a resource's setup to be a function, got ${kindOf(setup)}. Pass the function itself, without calling it; dependencies come before it, options after it.`,
		);
	}
	// a class can only be told from a function by its text; calling it would throw
	if (!/^class(?!\s*\()[\s{]/.test(Function.prototype.toString.call(setup)))
		return setup as AnySetup;
	const construct = (...args: unknown[]) => Reflect.construct(setup, args);
	return Object.defineProperty(construct, "name", { value: setup.name });
}

/** Refuses what isn't an object that names resources. */
export function checkNamed(resources: unknown): void {
	const isResource = resources instanceof Definition;
	if (typeof resources === "object" && !isResource && !Array.isArray(resources) && resources)
		return;
	throw new InvalidArgumentError(
		`Expected resources by name, as in { db: Db }, got ${isResource ? resources.name : kindOf(resources)}.`,
	);
}

/** {@link Dependencies} as the engine sees them. */
interface NamedDefinitions {
	readonly names: readonly string[];
	readonly definitions: readonly Definition[];
}

/** The engine's view of {@link Dependencies}. Names the one that is no resource. */
export function dependenciesOf(dependencies: object): NamedDefinitions {
	checkNamed(dependencies);
	const definitions = Object.entries(dependencies).map(([key, dependency]) => {
		if (dependency instanceof Definition) return dependency;
		throw new InvalidArgumentError(
			`Expected dependency \`${printable(key)}\` to be a resource, got ${kindOf(dependency)}. ${optionNames.test(key) ? "Options come last." : "Is it used before its definition?"}`,
		);
	});
	return { names: Object.keys(dependencies), definitions };
}

/** `values` by their `names`: a fourth of `Object.fromEntries()`'s time. */
export function valuesByName(names: readonly string[], values: readonly unknown[]): object {
	const all: Record<string, unknown> = {};
	for (let i = 0; i < names.length; i++) {
		const name = names[i] as string; // i is in range
		const value = values[i];
		if (name !== "__proto__") all[name] = value;
		else
			Object.defineProperty(all, name, {
				value,
				enumerable: true,
				writable: true,
				configurable: true,
			});
	}
	return all;
}

/**
 * Defines a resource: how to acquire a value, and how to release it.
 *
 * The setup may be an async generator that yields the value once: what stands before the `yield` acquires, what
 * stands after it releases. `finally` always runs, `catch` sees the failure, and code after `yield` runs only when
 * the work succeeded. A sync generator, an async function and a plain function do as well; what such a function
 * returns is disposed if it has `Symbol.asyncDispose` or `Symbol.dispose`. Nothing runs until the resource is used.
 *
 * @param setup - Acquires the value.
 * @throws {@link InvalidArgumentError} If an argument is of the wrong kind.
 *
 * @example A transaction
 * ```ts
 * import assert from "node:assert/strict";
 * import { resource, withScope } from "yieldscope";
 *
 * const log: string[] = [];
 * const Tx = resource(async function* Tx() {
 * 	log.push("BEGIN");
 * 	try {
 * 		yield { insert: (row: string) => log.push(`INSERT ${row}`) };
 * 		log.push("COMMIT");
 * 	} catch (error) {
 * 		log.push("ROLLBACK");
 * 		throw error;
 * 	}
 * });
 *
 * await withScope(async (scope) => {
 * 	const tx = await scope.use(Tx);
 * 	tx.insert("a");
 * });
 * assert.deepEqual(log, ["BEGIN", "INSERT a", "COMMIT"]);
 * ```
 */
export function resource<T>(
	setup: Setup<[context: SetupContext], T>,
	options?: ResourceOptions,
): Resource<T>;
export function resource<const D extends Dependencies, T>(
	dependencies: D,
	setup: Setup<[dependencies: Values<D>, context: SetupContext], T>,
	options?: ResourceOptions,
): Resource<T>;
export function resource(
	first: unknown,
	second?: unknown,
	third?: ResourceOptions,
): Resource<unknown> {
	if (typeof first === "function") {
		return new Definition(setupOf(first), (second ?? {}) as ResourceOptions);
	}
	if (typeof first !== "object" || first === null) {
		throw new InvalidArgumentError(
			`Expected a setup function or dependencies, got ${kindOf(first)}.`,
		);
	}
	const dependencies = dependenciesOf(first);
	// a setup that was called: a generator or a promise, which has no properties
	const isSetup = second === undefined && dependencies.names.length === 0;
	return new Definition(setupOf(isSetup ? first : second), third ?? {}, dependencies);
}

/**
 * Defines a value that somebody must {@link provide}: the request, the tenant, the configuration.
 *
 * @param name - What errors call it.
 *
 * @example Passing a value down
 * ```ts
 * import assert from "node:assert/strict";
 * import { provide, token, use, withScope } from "yieldscope";
 *
 * const Tenant = token<string>("Tenant");
 * const greet = async () => `hello ${await use(Tenant)}`;
 *
 * assert.equal(await withScope({ bindings: [provide(Tenant, "acme")] }, greet), "hello acme");
 * ```
 */
export function token<T>(name: string, options?: Omit<ResourceOptions, "name">): Resource<T> {
	if (typeof name !== "string") {
		throw new InvalidArgumentError(`Expected a token's name to be a string, got ${kindOf(name)}.`);
	}
	return new Definition(undefined, { ...options, name }) as Resource<T>;
}

/**
 * Puts a value in a resource's place, for lookups from the scope that holds the binding and below.
 *
 * The value isn't owned and never released, and neither the resource's setup nor its dependencies run.
 *
 * @throws {@link InvalidArgumentError} If `value` has a `then` method: `await use()` would unwrap it. Provide it
 *   inside an object.
 *
 * @example Replacing a clock in a test
 * ```ts
 * import assert from "node:assert/strict";
 * import { provide, resource, use, withScope } from "yieldscope";
 *
 * const Clock = resource(() => ({ now: () => Date.now() }));
 * const frozen = { now: () => 0 };
 *
 * await withScope({ bindings: [provide(Clock, frozen)] }, async () => {
 * 	assert.equal((await use(Clock)).now(), 0);
 * });
 * ```
 */
export function provide<T>(resource: Resource<T>, value: NoInfer<T>): Binding;
export function provide(resource: unknown, ...values: unknown[]): Binding {
	const [value] = values;
	if (value instanceof Definition && !(resource instanceof Definition)) {
		throw new InvalidArgumentError(
			`Expected a resource, then its value: provide(${value.name}, value), not the other way round.`,
		);
	}
	const definition = definitionOf(resource);
	if (values.length === 0) {
		throw new InvalidArgumentError(
			`Expected a value for ${definition.name}: provide(${definition.name}, value).`,
		);
	}
	if (value instanceof Definition) {
		throw new InvalidArgumentError(
			`Cannot provide ${definition.name} a resource for its value: override(${definition.name}, ${value.name}) puts one in its place.`,
		);
	}
	if (isThenable(value)) {
		throw new InvalidArgumentError(
			`Cannot provide ${definition.name} a value with a then(): \`await use(${definition.name})\` would unwrap it. Await it first, or provide it inside an object.`,
		);
	}
	return new Replacement(definition, undefined, value);
}

/**
 * Puts another resource in a resource's place, for lookups from the scope that holds the binding and below.
 *
 * Its instance is owned no higher than that scope. A replacement that uses what it replaces gets the outer one, so
 * it can decorate it.
 *
 * @example Decorating a resource
 * ```ts
 * import assert from "node:assert/strict";
 * import { override, resource, use, withScope } from "yieldscope";
 *
 * const Greeting = resource(() => "hello");
 * const Loud = resource({ greeting: Greeting }, ({ greeting }) => `${greeting.toUpperCase()}!`);
 *
 * await withScope({ bindings: [override(Greeting, Loud)] }, async () => {
 * 	assert.equal(await use(Greeting), "HELLO!");
 * });
 * ```
 */
export function override<T>(resource: Resource<T>, replacement: Resource<NoInfer<T>>): Binding {
	return new Replacement(definitionOf(resource), definitionOf(replacement));
}
