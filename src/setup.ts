import { disposerOf, syncDisposerOf } from "./disposer.ts";
import { DidNotYieldError, InvalidArgumentError, isObject, isThenable } from "./errors.ts";
import type { Instance } from "./instance.ts";
import type { Owner } from "./owner.ts";
import { detailsOf, placeText } from "./path.ts";
import { closeGenerator } from "./release.ts";
import type { Definition, SetupContext } from "./resource.ts";
import type { Scope } from "./scope.ts";

/** What the setup is given; the signal is made when asked for. */
class Context implements SetupContext {
	readonly scope: Scope;
	readonly #owner: Owner;

	constructor(owner: Owner) {
		this.scope = owner.scope as Scope; // a sync scope's setups are typed for what they can do with it
		this.#owner = owner;
	}

	get signal(): AbortSignal {
		return this.#owner.signal;
	}
}

export function invoke(instance: Instance, dependencies: object | undefined): void {
	const { owner, definition } = instance;
	const setup = definition.setup as NonNullable<Definition["setup"]>; // tokens have been refused
	owner.setupContext ??= new Context(owner);
	const context = owner.setupContext;
	try {
		accept(instance, dependencies === undefined ? setup(context) : setup(dependencies, context));
	} catch (error) {
		instance.fail(error);
	}
}

/** Decides by what a setup returned what kind of setup it is. */
function accept(instance: Instance, result: unknown): void {
	const { sync } = instance.owner;
	// a generator comes first: on Node 24 an async one is disposable as well
	if (isGenerator(result)) {
		// once begun, it would have to be undone later
		if (sync && Symbol.asyncIterator in result) throw asynchronousError(instance);
		instance.generator = result;
		const step = result.next();
		if (isThenable(step)) {
			Promise.resolve(step).then(
				(done) => takeStep(instance, result, done),
				(error) => instance.fail(error),
			);
		} else takeStep(instance, result, step);
	} else if (isThenable(result) || (sync && isAsyncDisposable(result))) {
		Promise.resolve(result)
			.then((value) => accept(instance, value))
			.catch((error) => instance.fail(error));
	} else {
		// a dependency passed on is disposed as that
		const isOwn = !instance.dependencies?.some((each) => each.value === result);
		if (isOwn && isObject(result) && (Symbol.asyncDispose in result || Symbol.dispose in result)) {
			instance.dispose = (sync ? syncDisposerOf : disposerOf)(result);
		}
		instance.succeed(result);
	}
}

/** Whether only `await` can dispose `value`. */
function isAsyncDisposable(value: unknown): boolean {
	return isObject(value) && syncDisposerOf(value) === undefined && disposerOf(value) !== undefined;
}

/** Takes the generator's one value, or refuses it. */
function takeStep(
	instance: Instance,
	generator: NonNullable<Instance["generator"]>,
	step: IteratorResult<unknown>,
): void {
	const { definition, owner, creator } = instance;
	try {
		if (step.done) {
			throw new DidNotYieldError(
				`${definition.name} did not yield in ${placeText(definition, owner, creator)}: its generator ended before it gave a value. Check that every path through the setup reaches the yield.`,
				detailsOf(definition, owner, creator),
			);
		}
		const refusal = refusalOf(definition, step.value);
		if (refusal === undefined) instance.succeed(step.value);
		else closeGenerator(owner, generator, refusal.error).catch((error) => instance.fail(error));
	} catch (error) {
		instance.fail(error);
	}
}

/** Why `value` can't be handed out, if so. */
function refusalOf({ name }: Definition, value: unknown): { readonly error: unknown } | undefined {
	try {
		if (!isThenable(value)) return undefined;
	} catch (error) {
		return { error }; // it can't even be looked at
	}
	// `await use()` would unwrap it, and give another value than the one yielded
	const error = new InvalidArgumentError(
		`${name} yielded a value with a then(): \`await use(${name})\` would unwrap it. Yield it inside an object, or await it first.`,
	);
	return { error };
}

/** What async generators are instances of; JavaScript has no name for it. */
function AnyAsyncGenerator(): void {}
AnyAsyncGenerator.prototype = Object.getPrototypeOf(async function* () {}).prototype;

/** Recognises generators by what they do, so that wrapped and down-levelled ones count. */
export function isGenerator(value: unknown): value is NonNullable<Instance["generator"]> {
	// most are known by this, which is quicker
	if (value instanceof AnyAsyncGenerator) return true;
	// the promise of a generator that scoped() gives is not the generator
	if (!isObject(value) || isThenable(value)) return false;
	// `in` first: there are objects that throw for properties that they don't have
	if (!(Symbol.asyncIterator in value || Symbol.iterator in value)) return false;
	if (!("next" in value && "return" in value && "throw" in value)) return false;
	const { next, return: close, throw: fail } = value;
	return typeof next === "function" && typeof close === "function" && typeof fail === "function";
}

export function asynchronousError({ definition, owner, creator }: Instance): InvalidArgumentError {
	return new InvalidArgumentError(
		`Cannot use ${definition.name} in a sync scope: its setup or its value is asynchronous, in ${placeText(definition, owner, creator)}. Use withScope()${owner.sync ? "" : `, or \`await use(${definition.name})\` before, in scope "${owner.name}"`}.`,
	);
}
