import {
	currentScope,
	ErrorSwallowedError,
	family,
	openScope,
	openScopeSync,
	override,
	provide,
	ReleaseTimeoutError,
	type Resource,
	resource,
	type Scope,
	ScopeIncompleteError,
	type ScopeOptions,
	type SetupContext,
	type SetupResult,
	SuppressedError,
	type SyncScope,
	type SyncScopeOptions,
	scoped,
	use,
	useAll,
	withScope,
	withScopeSync,
	YieldedTwiceError,
} from "../../src/index.ts";
import {
	type Act,
	type Body,
	type CallbackEnding,
	type Ingredient,
	leaves,
	type Outcome,
	type Sequence,
} from "./model.ts";
import type { Manner } from "./sequence.ts";
import { pause } from "./world.ts";

/** How long a release may take, if there is a limit, and how long the late ones take. */
const LIMIT = 10;
const LATE = 100_000;

/** Code for either kind of scope: what it yields is waited for where that is possible. */
type Steps<T> = Generator<unknown, T, unknown>;

async function waitFor<T>(steps: Steps<T>): Promise<T> {
	let step = steps.next();
	while (!step.done) {
		try {
			step = steps.next(await step.value);
		} catch (error) {
			step = steps.throw(error);
		}
	}
	return step.value;
}

function goThrough<T>(steps: Steps<T>): T {
	let step = steps.next();
	while (!step.done) step = steps.next(step.value);
	return step.value;
}

/** Goes round in a list for ever. */
function endless<T>(list: readonly T[]): () => T {
	let next = 0;
	return () => list[next++ % list.length] as T;
}

function describe(error: unknown): string {
	if (error instanceof SuppressedError)
		return `(${describe(error.error)} over ${describe(error.suppressed)})`;
	const { cause } = error as Error;
	return cause === undefined ? labelOf(error) : `${labelOf(error)} < ${describe(cause)}`;
}

function labelOf(error: unknown): string {
	if (error instanceof YieldedTwiceError) return "yielded twice";
	if (error instanceof ErrorSwallowedError) return "swallowed";
	if (error instanceof ScopeIncompleteError) return "incomplete";
	if (error instanceof ReleaseTimeoutError) return "timeout";
	return (error as Error).message;
}

/** A performance of a sequence with the library. */
class Performance {
	readonly trace: string[] = [];
	readonly reports: string[] = [];
	readonly #sequence: Sequence;
	readonly #manner: Manner;
	readonly #sync: boolean;
	readonly #resources: Resource<unknown>[] = [];
	/** The setups of the families' members. */
	readonly #setups = new Map<number, (context: SetupContext) => SetupResult<unknown>>();
	readonly #families = { any: this.#family(undefined), app: this.#family("app") };
	/** How often each resource has been acquired. */
	readonly #acquired = new Map<number, number>();
	readonly #tick: () => number;
	readonly #ask: () => Manner["asks"][number];
	readonly #host: () => Manner["hosts"][number];
	readonly #move: () => boolean;
	#names = 0;

	constructor(sequence: Sequence, manner: Manner, sync: boolean) {
		this.#sequence = sequence;
		this.#manner = manner;
		this.#sync = sync;
		this.#tick = endless(manner.ticks);
		this.#ask = endless(manner.asks);
		this.#host = endless(manner.hosts);
		this.#move = endless(manner.moves);
		for (const [index, each] of sequence.ingredients.entries())
			this.#resources.push(this.#define(each, index));
	}

	/** The options of the outermost scope. */
	get options() {
		return {
			lifetime: "app",
			parent: null,
			onReleaseError: (error: unknown) => void this.reports.push(describe(error)),
			...(this.#sequence.limited ? { releaseTimeout: LIMIT } : {}),
		};
	}

	// -- resources --------------------------------------------------------------------------------------------------

	#family(lifetime: string | undefined): (index: number) => Resource<unknown> {
		return family((index: number, context) => this.#setups.get(index)?.(context), { lifetime });
	}

	#define(ingredient: Ingredient, index: number): Resource<unknown> {
		const { kind, needs, isApp } = ingredient;
		const { injects, keyed } = this.#manner;
		// a dependencies object asks for all at once, which is the same for what can't wait
		const injected =
			(this.#sync || needs.length === 1) &&
			((kind === "generator" && !this.#sync) || injects[index] === true);
		const rest = injected ? [] : needs;
		const begin = ({ scope }: SetupContext): SetupResult<unknown> => {
			const name = `R${index}.${(this.#acquired.get(index) ?? 0) + 1}`;
			const steps = this.#acquire(ingredient, index, name, rest, scope);
			if (kind === "async generator") return this.#asyncGenerator(ingredient, name, steps);
			if (kind === "generator") return this.#generator(ingredient, name, steps);
			return this.#sync
				? this.#disposable(ingredient, name, steps)
				: this.#asyncDisposable(ingredient, name, steps);
		};
		const options = {
			name: `R${index}`,
			lifetime: isApp ? "app" : undefined,
			releaseTimeout: this.#sequence.limited && injected ? 2 * LIMIT : undefined,
		};
		const dependencies = Object.fromEntries(
			needs.map((need, i) => [`need${i}`, this.#resources[need] as Resource<unknown>]),
		);
		if (keyed[index] && injected)
			return family(dependencies, (_, _key: number, context) => begin(context), options)(index);
		if (keyed[index]) {
			this.#setups.set(index, begin);
			return this.#families[isApp ? "app" : "any"](index);
		}
		return injected
			? resource(dependencies, (_, context) => begin(context), options)
			: resource(begin, options);
	}

	*#acquire(
		{ registers, fails }: Ingredient,
		index: number,
		name: string,
		needs: readonly number[],
		scope: Scope,
	): Steps<void> {
		for (const need of needs) yield scope.use(this.#resources[need] as Resource<unknown>);
		for (const ending of registers) this.#register(scope, ending);
		if (fails) throw new Error(`setup ${name}`);
		this.#acquired.set(index, (this.#acquired.get(index) ?? 0) + 1);
	}

	async *#asyncGenerator({ reply }: Ingredient, name: string, steps: Steps<void>) {
		await pause(this.#tick());
		await waitFor(steps);
		let sent: unknown;
		let told = false;
		try {
			yield name;
		} catch (error) {
			told = true;
			sent = error;
		}
		this.trace.push(`-${name} ${told ? describe(sent) : "success"}`);
		await pause(this.#tick());
		if (reply.startsWith("late")) await late();
		if (reply === "yield twice") yield name;
		else answer(reply, name, told, sent);
	}

	*#generator({ reply }: Ingredient, name: string, steps: Steps<void>) {
		goThrough(steps);
		let sent: unknown;
		let told = false;
		try {
			yield name;
		} catch (error) {
			told = true;
			sent = error;
		}
		this.trace.push(`-${name} ${told ? describe(sent) : "success"}`);
		if (reply === "yield twice") yield name;
		else answer(reply, name, told, sent);
	}

	#disposable({ reply }: Ingredient, name: string, steps: Steps<void>) {
		goThrough(steps);
		return {
			[Symbol.dispose]: () => {
				this.trace.push(`-${name}`);
				answer(reply, name, false, undefined, "disposable");
			},
		};
	}

	async #asyncDisposable({ reply }: Ingredient, name: string, steps: Steps<void>) {
		await pause(this.#tick());
		await waitFor(steps);
		return {
			[Symbol.asyncDispose]: async () => {
				this.trace.push(`-${name}`);
				await pause(this.#tick());
				if (reply.startsWith("late")) await late();
				answer(reply, name, false, undefined, "disposable");
			},
		};
	}

	#register(scope: Scope | SyncScope, ending: CallbackEnding): void {
		const name = `C${this.#names++}`;
		const end = () => {
			if (ending === "throw always") throw new Error(`callback ${name}`);
			if (ending === "late throw") throw new Error(`late ${name}`);
		};
		if (this.#sync) {
			(scope as SyncScope).defer(() => {
				this.trace.push(`-${name}`);
				end();
			});
			return;
		}
		(scope as Scope).defer(async () => {
			this.trace.push(`-${name}`);
			await pause(this.#tick());
			if (ending.startsWith("late")) await late();
			end();
		});
	}

	// -- acts -------------------------------------------------------------------------------------------------------

	/** The work in a scope. */
	*work(body: Body, stage: Stage): Steps<void> {
		for (const act of body.acts) yield* this.#act(act, stage);
		if (body.end === "throw" || body.end === "fail") throw this.#workError();
	}

	#workError(): Error {
		return new Error(`work ${this.#names++}`);
	}

	*#act(act: Act, stage: Stage): Steps<void> {
		if (stage.held && this.#move()) stage.scope = stage.scope.move();
		const scope = stage.scope as Scope; // a sync scope's acts are none that it hasn't got
		switch (act.do) {
			case "use":
				return yield* this.#attempt(this.#use(act, scope));
			case "release":
				try {
					yield scope.release(this.#resources[act.resource] as Resource<unknown>);
				} catch (error) {
					this.trace.push(`released with ${leaves(describe(error))}`);
				}
				return;
			case "register":
				return this.#register(scope, act.ending);
			case "bind": {
				const replaced = this.#resources[act.replaced] as Resource<unknown>;
				const handle = scope.bind(
					act.by === undefined
						? provide(replaced, "provided")
						: override(replaced, this.#resources[act.by] as Resource<unknown>),
				);
				try {
					for (const each of act.acts) yield* this.#act(each, stage);
				} finally {
					handle[Symbol.dispose]();
				}
				return;
			}
			case "scope": {
				const run = this.#sync
					? this.#scopeSync(act, scope as unknown as SyncScope)
					: this.#scope(act, scope);
				return yield* act.catches ? this.#attempt(run) : run;
			}
			case "abort":
				return scope.abort(new Error(`abort ${this.#names++}`));
			case "signal":
				return stage.controller.abort(new Error(`signal ${this.#names++}`));
		}
	}

	*#attempt(steps: Steps<void>): Steps<void> {
		try {
			yield* steps;
		} catch (error) {
			this.trace.push(`caught ${describe(error)}`);
		}
	}

	*#use({ resource, fresh }: Act & { do: "use" }, scope: Scope): Steps<void> {
		const target = this.#resources[resource] as Resource<unknown>;
		const ask = this.#sync ? "scope.use" : this.#ask();
		if (ask === "scope.use") yield scope.use(target, { fresh });
		else if (ask === "use" || fresh) yield scope.run(() => use(target, { fresh }));
		else yield scope.run(() => useAll({ target }));
	}

	*#scope({ body, leaves }: Act & { do: "scope" }, parent: Scope): Steps<void> {
		const controller = new AbortController();
		const opened = this.open({ parent, signal: controller.signal }, controller, body, leaves);
		yield opened;
	}

	*#scopeSync({ body, leaves }: Act & { do: "scope" }, parent: SyncScope): Steps<void> {
		yield this.openSync({ parent }, body, leaves);
	}

	/** Opens a scope for `body`, in one of the ways that come to the same. */
	async open(
		options: ScopeOptions,
		controller: AbortController,
		body: Body,
		leaves: boolean,
	): Promise<void> {
		const host = this.#host();
		if (host === "generator") return this.#iterate(options, controller, body, leaves);
		if (body.end === "return" || body.end === "throw") {
			const work = (scope: Scope) => waitFor(this.work(body, { scope, controller, held: false }));
			return host === "function"
				? scoped({}, () => work(currentScope()), options)()
				: withScope(options, work);
		}
		const stage: Stage = { scope: openScope(options), controller, held: true };
		try {
			await waitFor(this.work(body, stage));
			if (body.end === "complete") stage.scope.complete();
		} catch (error) {
			stage.scope.fail(error);
		}
		if (!leaves) await (stage.scope as Scope).disposeAsync();
	}

	/** Does the work in a generator, which its consumer reads to the end, throws into, stops, or leaves to the parent. */
	async #iterate(
		options: ScopeOptions,
		controller: AbortController,
		body: Body,
		leaves: boolean,
	): Promise<void> {
		const { acts, end } = body;
		const held = end !== "return" && end !== "throw";
		const work = (scope: Scope) =>
			waitFor(this.work(held ? body : { acts, end: "return" }, { scope, controller, held: false }));
		const iterator = scoped(
			{},
			async function* () {
				const scope = currentScope();
				yield "before";
				try {
					await work(scope);
					if (end === "complete") scope.complete();
				} catch (error) {
					if (!held) throw error;
					scope.fail(error);
				}
				yield "after";
			},
			options,
		)();
		await iterator.next();
		await iterator.next();
		if (end === "return") await iterator.next();
		else if (end === "throw") await iterator.throw(this.#workError());
		else if (!leaves) await iterator.return(undefined);
	}

	/** {@link open} for a sync scope. */
	openSync(options: SyncScopeOptions, body: Body, leaves: boolean): void {
		const { end } = body;
		const controller = new AbortController(); // nobody listens
		if (end === "return" || end === "throw") {
			withScopeSync(options, (scope) =>
				goThrough(this.work(body, { scope, controller, held: false })),
			);
			return;
		}
		const stage: Stage = { scope: openScopeSync(options), controller, held: true };
		try {
			goThrough(this.work(body, stage));
			if (end === "complete") stage.scope.complete();
		} catch (error) {
			stage.scope.fail(error);
		}
		if (!leaves) (stage.scope as SyncScope).dispose();
	}
}

/** Where acts take place. */
interface Stage {
	scope: Scope | SyncScope;
	readonly controller: AbortController;
	/** Whether somebody holds the scope, and so may move it. */
	readonly held: boolean;
}

/** Waits for longer than a release may take. */
function late(): Promise<void> {
	return new Promise((resolve) => {
		setTimeout(resolve, LATE);
	});
}

/** Ends a release. */
function answer(
	reply: Ingredient["reply"],
	name: string,
	told: boolean,
	sent: unknown,
	kind?: "disposable",
): void {
	if (reply === "late throw") throw new Error(`late ${name}`);
	const throws = kind === "disposable" || !told ? "throw on success" : "translate";
	if (reply === "throw always" || reply === throws) throw new Error(`release ${name}`);
	if (told && !reply.endsWith("swallow")) throw sent;
}

/** Performs a sequence in scopes that can wait. */
export async function perform(sequence: Sequence, manner: Manner): Promise<Outcome> {
	const performance = new Performance(sequence, manner, false);
	const { trace, reports, options } = performance;
	const controller = new AbortController();
	let rejection: string | undefined;
	try {
		const { signal } = controller;
		await performance.open({ ...options, signal }, controller, sequence.body, false);
	} catch (error) {
		rejection = describe(error);
	}
	return { trace, rejection, reports };
}

/** Performs a sequence in scopes that can't. */
export function performSync(sequence: Sequence, manner: Manner): Outcome {
	const performance = new Performance(sequence, manner, true);
	const { trace, reports, options } = performance;
	let rejection: string | undefined;
	try {
		performance.openSync(options, sequence.body, false);
	} catch (error) {
		rejection = describe(error);
	}
	return { trace, rejection, reports };
}
