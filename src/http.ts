import { AsyncResource } from "node:async_hooks";
import {
	AcquireAbortedError,
	type Binding,
	type Dependencies,
	InvalidArgumentError,
	NoScopeError,
	type Outcome,
	openScope,
	resource,
	Scope,
	ScopeError,
	ScopeIncompleteError,
	tryCurrentScope,
	useAll,
} from "./index.ts";

/** The options of an adapter's `requestScope`; `A` are the framework's own objects. */
export interface RequestScopeOptions<A extends unknown[]> {
	/**
	 * The scope that encloses every request, as a rule the `"app"` scope.
	 *
	 * @defaultValue the scope that is ambient when the middleware is made, if any
	 */
	readonly parent?: Scope | undefined;
	/** Values and replacements for one request. */
	readonly bindings?: ((...framework: A) => readonly Binding[]) | undefined;
	/**
	 * How long a handler may go on after its client has gone, or its response was dropped, before its resources are
	 * released under it, in milliseconds.
	 *
	 * @defaultValue 30000
	 */
	readonly abortGrace?: number | undefined;
	/**
	 * Receives the errors that can't reach the client or the framework.
	 *
	 * @defaultValue the enclosing scope's
	 */
	readonly onReleaseError?: ((error: unknown) => void) | undefined;
}

/** {@link RequestScopeOptions} with what is decided once for all requests. */
export interface RequestDefaults {
	readonly parent: Scope | null;
	readonly abortGrace: number;
	readonly onReleaseError: ((error: unknown) => void) | undefined;
}

/** Decides what is the same for all requests. */
export function requestDefaults(options: RequestScopeOptions<never>): RequestDefaults {
	for (const name of Object.keys(options)) {
		if (/^(?:parent|bindings|abortGrace|onReleaseError)$/.test(name)) continue;
		throw new InvalidArgumentError(
			`Expected \`parent\`, \`bindings\`, \`abortGrace\` or \`onReleaseError\` for requestScope(), got \`${name}\`. If that is the framework's: it makes the middleware, and isn't one itself: app.use(requestScope()).`,
		);
	}
	const { parent, bindings, abortGrace } = options;
	if (abortGrace !== undefined && !(abortGrace >= 0)) {
		throw new InvalidArgumentError("Expected `abortGrace` to be a number of milliseconds.");
	}
	if (parent !== undefined && !(parent instanceof Scope)) {
		throw new InvalidArgumentError(
			`Expected \`parent\` to be a Scope, as openScope() makes it, got ${parent === null ? "null" : typeof parent}.`,
		);
	}
	if (bindings !== undefined && typeof bindings !== "function") {
		throw new InvalidArgumentError(
			"Expected `bindings` to be a function from a request to its bindings.",
		);
	}
	return {
		parent: options.parent ?? tryCurrentScope() ?? null,
		abortGrace: options.abortGrace ?? 30_000,
		onReleaseError: options.onReleaseError,
	};
}

/** What went wrong. Anything can be thrown. */
interface Fault {
	readonly error: unknown;
}

/** What there is to know about a response when it is over. */
export interface ResponseState {
	status(): number;
	/** Whether the handler gave all of it, though the client may not have got it. */
	isComplete(): boolean;
	/** Takes an error that nobody has been told of yet. */
	onLateError(error: unknown): void;
}

/**
 * The life of one request: a `"request"` scope, and in it a `"handler"` scope that is ambient in the handlers.
 *
 * Success: {@link Exchange.endHandler} before the first byte, {@link Exchange.end} after the last. Failure:
 * {@link Exchange.fail}, before the framework makes a response of the error.
 */
export class Exchange {
	/** Open until the response is over. */
	readonly request: Scope;
	/** Open until the first byte. */
	readonly handler: Scope;
	readonly #abortGrace: number;
	/** The async context in which the request began. */
	readonly #outside = new AsyncResource("yieldscope.request");
	/** What the request scope stays open for, when the handlers are done. */
	#bodies: Promise<unknown>[] | undefined;
	/** How many handlers run. */
	#working = 0;
	/** Told when none does. */
	#onIdle: (() => void)[] | undefined;
	/** The error in an object: a promise would unwrap one that has a `then`. */
	#failing: Promise<Fault> | undefined;
	#isDropping = false;
	#isAbandoned = false;
	#isCut = false;
	#isOver = false;
	#bodyFailure: { readonly error: unknown } | undefined;
	/** Whether there is something to release before the first byte. */
	#isHandlerUsed = false;
	#isHandlerEnded = false;
	/** The end of the handler scope, if there was something to release. */
	#handlerEnd: Promise<void> | undefined;
	/** The failure that came with a response that stays. */
	#declared: { readonly error: unknown } | undefined;
	/** Told when everything is released. */
	#onClosed: (() => void) | undefined;

	/**
	 * @param onHandlerUse - Called when there first is something that must be released before the first byte.
	 * @throws ScopeClosedError If the enclosing scope is closing or closed.
	 */
	constructor(
		defaults: RequestDefaults,
		name: string,
		bindings: readonly Binding[],
		onHandlerUse?: () => void,
	) {
		const { parent, abortGrace, onReleaseError } = defaults;
		// what withScope() opens: the parent's close waits for a request
		const options = { parent, bindings, onReleaseError, name, lifetime: "request" };
		this.request = new Scope(options, Exchange, false);
		this.#abortGrace = abortGrace;
		this.handler = openScope({
			parent: this.request,
			lifetime: "handler",
			onFirstUse: () => {
				this.#isHandlerUsed = true;
				onHandlerUse?.();
			},
		});
	}

	/** Resolves when everything is released. To be asked for before that, and once. */
	closed(): Promise<void> {
		return new Promise((resolve) => {
			this.#onClosed = resolve;
		});
	}

	/** Whether its resources have been told of a failure. */
	get hasFailed(): boolean {
		return this.#failing !== undefined;
	}

	/** Runs `fn` with the handler's scope ambient. */
	run<R>(fn: () => R): R {
		return this.handler.run(fn);
	}

	/** {@link Exchange.run}, unless that scope is ambient already, which is cheaper. */
	restore<R>(fn: () => R): R {
		const scope = this.handler.disposed ? this.request : this.handler;
		return tryCurrentScope() === scope ? fn() : this.run(fn);
	}

	/** A handler begins, which the release after an abort waits for. */
	beginWork(): void {
		this.#working++;
	}

	endWork(): void {
		if (--this.#working > 0 || this.#onIdle === undefined) return;
		for (const tell of this.#onIdle.splice(0)) tell();
	}

	/**
	 * Runs a route: acquires its dependencies, and calls it with them and the framework's own arguments.
	 *
	 * @param onError - Makes of an error what the framework is to see.
	 */
	handle(
		route: Route,
		args: readonly unknown[],
		onError: (error: unknown) => Promise<void>,
	): Promise<unknown> {
		this.beginWork();
		return this.restore(() => this.#handle(route, args, onError));
	}

	async #handle(
		{ dependencies, fn }: Route,
		args: readonly unknown[],
		onError: (error: unknown) => Promise<void>,
	): Promise<unknown> {
		try {
			const values = dependencies && (await useAll(dependencies));
			if (fn !== goOn) this.request.mark("handler:start");
			const result = await (values === undefined ? fn(...args) : fn(values, ...args));
			this.endWork();
			return result;
		} catch (error) {
			this.endWork();
			return onError(error);
		}
	}

	/** Keeps the request scope open until `body` has settled. */
	addBody(body: Promise<unknown>): void {
		this.#bodies ??= [];
		this.#bodies.push(body);
	}

	/**
	 * Runs what writes a body: keeps the request scope open until it has settled. Its failure is the body's. That it gave up
	 * when the request's signal told it to is no error that somebody else should see.
	 */
	async writeBody(write: () => Promise<void>): Promise<void> {
		const written = (async () => write())();
		this.addBody(written);
		try {
			await written;
		} catch (error) {
			const { signal } = this.request;
			const hasGivenUp = signal.aborted && isEcho(error, signal.reason);
			this.failBody(hasGivenUp ? signal.reason : error);
			if (!hasGivenUp) throw error;
		}
	}

	/**
	 * Releases the handler's resources, before the first byte of a response.
	 *
	 * @param status - The response's; a 5xx is a failure, though nobody threw it.
	 * @returns `undefined` if there was nothing to release.
	 * @throws What a release threw: the response is to be dropped.
	 */
	endHandler(status: number): Promise<void> | undefined {
		const { handler } = this;
		if (this.#isHandlerEnded) return this.#handlerEnd;
		this.#isHandlerEnded = true;
		if (handler.disposed) {
			if (this.#failing === undefined) this.#mark("response:start", status);
			// by a handler, before anybody could say that it succeeded: what was rolled back must not go unnoticed
			if (this.#isHandlerUsed && handler.outcome.type === "incomplete") this.report(closedEarly());
			return undefined;
		}
		const byStatus =
			status >= 500 ? new ScopeError(`The response has the status ${status}.`) : undefined;
		if (byStatus !== undefined) handler.fail(byStatus);
		handler.complete();
		if (this.#isHandlerUsed) {
			if (this.#failing === undefined) this.#mark("handler:end", status);
			this.#handlerEnd = this.#endHandler(this.#close(handler), status, byStatus);
		} else {
			void handler.disposeAsync(); // there is nothing in it that it could wait for
			this.#mark("response:start", status);
			if (handler.outcome.type === "failure") this.#declare(handler.outcome.error);
		}
		return this.#handlerEnd;
	}

	/** Outside: a close that is awaited inside, by what it waits for, would be refused. */
	#close(scope: Scope): Promise<void> {
		return this.#outside.runInAsyncScope(scope.disposeAsync, scope);
	}

	async #endHandler(
		closing: Promise<void>,
		status: number,
		byStatus: ScopeError | undefined,
	): Promise<void> {
		const { outcome, rejected } = await this.#awaitEnd(this.handler, closing);
		const hasFailed = outcome.type === "failure";
		// a failure that was declared in good order, by a status or by fail(), leaves the response as it is
		if (hasFailed && rejected && !Object.is(outcome.error, byStatus)) throw outcome.error;
		this.#mark("response:start", status);
		if (hasFailed) this.#declare(outcome.error);
	}

	/** Tells who listens to events, as long as the response isn't over. */
	#mark(name: string, detail?: unknown): void {
		if (!this.#isOver) this.request.mark(name, detail);
	}

	/** The work has failed, and the response says so. */
	#declare(error: unknown): void {
		this.#declared = { error };
		this.request.fail(error);
	}

	/**
	 * The response is dropped, because of `error`: releases everything with it, once the handler, which may go on after it
	 * has answered, and the body's own cleanup are done.
	 *
	 * @param working - Settles when the handler has.
	 * @returns The error that the framework is to see.
	 */
	async drop(error: unknown, working: Promise<unknown> = this.#worked()): Promise<Fault> {
		if (this.#failing !== undefined) return this.fail(error);
		const settled = working.catch(() => {}).then(() => Promise.allSettled(this.#bodies ?? []));
		this.#isDropping = true;
		this.#failing = this.#withinGrace(settled).then(() => {
			this.#isDropping = false;
			return this.#fail(error);
		});
		return this.#failing;
	}

	/**
	 * The work failed with `error`: releases both scopes with it.
	 *
	 * @returns The error that the framework is to see: what the resources made of it.
	 */
	async fail(error: unknown): Promise<Fault> {
		if (this.#failing !== undefined) {
			// that waits for the handler, whose error this may be
			if (!this.#isDropping) await this.#failing;
			return { error };
		}
		this.#failing = this.#fail(error);
		return this.#failing;
	}

	async #fail(error: unknown): Promise<Fault> {
		const { handler, request } = this;
		let isUnanswered = !this.#isHandlerEnded;
		if (isUnanswered) this.#mark("handler:end");
		// closing the handler's scope doesn't tell its own signal
		request.cancel(error);
		let told: Fault = { error };
		// whoever called endHandler has its error
		if (this.#isHandlerEnded) {
			await this.#handlerEnd?.catch(() => {
				isUnanswered = true;
			});
		} else told = await this.#failScope(handler, error);
		if (request.disposed) request.complete(); // reports what a handler's own close rolled back
		const answer = await this.#failScope(request, told.error);
		this.#onClosed?.();
		if (isUnanswered) this.#mark("response:start");
		return answer;
	}

	/** Closes a scope whose work failed with `error`; gives what its resources made of it. */
	async #failScope(scope: Scope, error: unknown): Promise<Fault> {
		const isFirst = !scope.disposed && scope.outcome.type !== "failure";
		scope.fail(error);
		const { outcome } = await this.#awaitEnd(scope, this.#close(scope));
		if (outcome.type !== "failure") return { error };
		if (isFirst) return outcome;
		// a task failed before; nobody else would hear of it
		if (!Object.is(outcome.error, error) && !this.#isDeclared(outcome.error)) {
			scope.report(outcome.error);
		}
		return { error };
	}

	/** {@link ended}, before the response. */
	async #awaitEnd(scope: Scope, closing: Promise<unknown>): ReturnType<typeof ended> {
		const notice = setTimeout(() => this.report(waits(scope)), patience);
		const end = await ended(scope, closing);
		clearTimeout(notice);
		return end;
	}

	#isDeclared(error: unknown): boolean {
		return this.#declared !== undefined && Object.is(this.#declared.error, error);
	}

	/** Nobody waits for the response any more, as a rule because the client has gone: tells the handler so. */
	abandon(reason: unknown = clientGone()): void {
		this.#isAbandoned = true;
		this.request.cancel(reason);
	}

	/** Gives an error that can't reach anybody else to `onReleaseError`. */
	report(error: unknown): void {
		this.request.report(error);
	}

	/** Nobody reads the bodies any more: what writes them has no more time than after an abort. */
	cutBodies(): void {
		this.#isCut = true;
	}

	/** The body failed half-way. */
	failBody(error: unknown): void {
		this.#bodyFailure ??= { error };
	}

	/**
	 * The response is over: waits for the handler and the body, and releases what is left.
	 *
	 * @param response - Looked at when they have settled.
	 */
	async end(response: ResponseState): Promise<void> {
		const { request } = this;
		this.#isOver = true;
		// the answer to a failure is the framework's: nobody knows its status before
		const isAnswered = this.#failing !== undefined && response.isComplete();
		request.mark("response:end", (isAnswered && response.status()) || undefined);
		if (this.#working > 0 || this.#bodies !== undefined || this.#handlerEnd !== undefined) {
			await this.#settled();
		}
		const isComplete = response.isComplete();
		if (this.#failing !== undefined || this.#bodyFailure !== undefined || !isComplete) {
			await this.#endFailed(response, isComplete);
			return;
		}
		try {
			const ending = this.endHandler(response.status());
			if (ending !== undefined) await ending;
		} catch (error) {
			response.onLateError((await this.fail(error)).error);
			return;
		}
		request.complete();
		try {
			await this.#close(request);
		} catch (error) {
			reportRest(request, error);
		}
		this.#onClosed?.();
		const { outcome } = request;
		if (outcome.type === "failure" && !this.#isDeclared(outcome.error))
			response.onLateError(outcome.error);
	}

	async #endFailed(response: ResponseState, isComplete: boolean): Promise<void> {
		const failure = this.#bodyFailure ?? (isComplete ? undefined : { error: clientGone() });
		const told = await this.fail(failure?.error);
		if (failure !== undefined && !Object.is(told.error, failure.error))
			response.onLateError(told.error);
	}

	/** Resolves when handlers and body are done, or their time is up once the client has gone. */
	async #settled(): Promise<void> {
		const settled = this.#worked()
			.then(() => Promise.allSettled(this.#bodies ?? []))
			.then(() => this.#handlerEnd?.catch(() => {}));
		if (this.#isAbandoned || this.#isCut) await this.#withinGrace(settled);
		else await settled;
	}

	async #worked(): Promise<void> {
		while (this.#working > 0) {
			await new Promise<void>((resolve) => {
				this.#onIdle ??= [];
				this.#onIdle.push(resolve);
			});
		}
	}

	async #withinGrace(settled: Promise<unknown>): Promise<void> {
		// a timer can't wait longer than this; that is for ever
		if (this.#abortGrace > 2 ** 31 - 1) {
			await settled;
			return;
		}
		let timer: ReturnType<typeof setTimeout> | undefined;
		const grace = new Promise<void>((resolve) => {
			timer = setTimeout(resolve, this.#abortGrace);
		});
		await Promise.race([settled, grace]);
		clearTimeout(timer);
	}
}

/** How a scope ended, once it has closed. */
async function ended(
	scope: Scope,
	closing: Promise<unknown>,
): Promise<{ readonly outcome: Outcome; readonly rejected: boolean }> {
	let rejected = false;
	try {
		await closing;
	} catch (error) {
		rejected = true;
		reportRest(scope, error);
	}
	return { outcome: scope.outcome, rejected };
}

/** Reports what failed on top of the outcome's own error. */
function reportRest(scope: Scope, error: unknown): void {
	const { outcome } = scope;
	let rest = error;
	while (outcome.type === "failure" && !Object.is(rest, outcome.error) && isSuppressed(rest)) {
		scope.report(rest.error);
		rest = rest.suppressed;
	}
}

function isSuppressed(
	error: unknown,
): error is { readonly error: unknown; readonly suppressed: unknown } {
	return typeof error === "object" && error !== null && "error" in error && "suppressed" in error;
}

function closedEarly(): ScopeIncompleteError {
	return new ScopeIncompleteError(
		'The handler closed its "handler" scope itself: its resources were rolled back, and the response is sent all the same. Leave that to requestScope(), or call complete() before.',
		{ scope: "handler" },
	);
}

/** How long a response waits for a scope to close before somebody is told, in milliseconds. */
const patience = 10_000;

/** Says what keeps a response from being sent: for ever, if that waits for the response in turn. */
function waits(scope: Scope): ScopeError {
	const { resources, children, running } = scope.inspect();
	const what = children.map(({ name }) => `the scope "${name}"`);
	for (const { name, state } of resources) {
		if (state === "ready") continue;
		what.push(`the ${state === "pending" ? "setup" : "release"} of ${name}`);
	}
	if (what.length === 0) what.push(running > 0 ? "a task" : "a callback");
	return new ScopeError(
		`The response has waited ${patience / 1000} s for its scope "${scope.name}" to close, which waits for ${what.join(", ")}. If that waits for the response in turn, neither ends: take what the body is read from, like a cursor's transaction, by use(…, { lifetime: "request" }), and don't await the response in a scope, task or setup of the handler's.`,
		{ scope: scope.name },
	);
}

function clientGone(): DOMException {
	return new DOMException(
		"The client closed the connection before the response was complete.",
		"AbortError",
	);
}

/** A handler as the adapters call it. */
interface Route {
	readonly dependencies: Dependencies | undefined;
	readonly fn: (...args: unknown[]) => unknown;
}

/** Splits the arguments of an adapter's `handler`. */
export function routeOf(args: readonly unknown[]): Route {
	const [first, second] = args;
	if (args.length === 1 && typeof first === "function") {
		return { dependencies: undefined, fn: first as Route["fn"] };
	}
	const dependencies = first as Dependencies;
	if (args.length > 1 && typeof second !== "function") {
		throw new InvalidArgumentError(
			"Expected the last argument of handler() to be a function. Dependencies come before it.",
		);
	}
	resource(dependencies, goOn); // refuses what are no dependencies
	return { dependencies, fn: (second ?? goOn) as Route["fn"] };
}

/** Calls `next`, which all frameworks pass last. */
function goOn(...args: unknown[]): unknown {
	return (args.at(-1) as () => unknown)();
}

/** Says that the middleware is missing. */
export function missingMiddleware(entry: string, what = "this handler()"): NoScopeError {
	return new NoScopeError(
		`Cannot run ${what}: the request has no scope. Mount requestScope() of "yieldscope/${entry}" before the routes: app.use(requestScope()).`,
	);
}

/** Says that a middleware is another framework's. */
export function foreignCaller(entry: string): InvalidArgumentError {
	return new InvalidArgumentError(
		`Expected requestScope() of "yieldscope/${entry}" to be called by that framework. Import it from your own framework's entry point.`,
	);
}

/** Whether `error` is what a handler throws because `first` made its response be dropped. */
export function isEcho(error: unknown, first: unknown): boolean {
	if (Object.is(error, first)) return true;
	try {
		const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
		const isAbort = error instanceof AcquireAbortedError || code === "ABORT_ERR";
		return code === "ERR_STREAM_PREMATURE_CLOSE" || (isAbort && Object.is(cause, first));
	} catch {
		return false; // it doesn't let itself be read
	}
}

/** Frameworks test errors for truth; anything can be thrown. */
export function truthyError(error: unknown): unknown {
	return error || new Error(`A falsy value was thrown: ${String(error)}`, { cause: error });
}

/** Some error handlers are given nothing but errors: anything else would pass them by. */
export function asError(error: unknown): Error {
	let text = "an object that can't be read";
	try {
		if (error instanceof Error) return error;
		text = String(error);
	} catch {} // a revoked proxy, or an object without a prototype
	return new Error(`A non-error was thrown: ${text}`, { cause: error });
}
