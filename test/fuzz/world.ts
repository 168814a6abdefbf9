import {
	type Binding,
	currentScope,
	openScope,
	override,
	provide,
	type Resource,
	resource,
	Scope,
	ScopeError,
	ScopeIncompleteError,
	type ScopeOptions,
	type SetupContext,
	type SetupResult,
	SuppressedError,
	scoped,
	tryCurrentScope,
	use,
	useAll,
	withScope,
} from "../../src/index.ts";
import type { Plan, ResourcePlan, ScopePlan, Step, Wait } from "./plan.ts";
import { limitOf, pick, reachOf } from "./reach.ts";

/** What a resource of a scenario gives; a provided one has no life. */
export interface Value {
	readonly life: Life | undefined;
}

/** An error that the scenario throws, and which must reach somebody. */
export class Injected extends Error {}

/** One acquisition, as its setup and its release see it. */
export class Life {
	readonly resource: number;
	/** The scope that its setup was told of, or to which that was moved. */
	scope: Scope;
	/** Whether anybody can see its release. */
	readonly releasable: boolean;
	readonly dependents = new Set<Life>();
	readonly dependencies = new Set<Life>();
	readonly startedAt: number;
	setup: "pending" | "ready" | "failed" = "pending";
	/** Whether an early release made it go. */
	early = false;
	releases = 0;
	releaseStartedAt = Number.POSITIVE_INFINITY;
	releaseEndedAt = Number.POSITIVE_INFINITY;
	/** What its release was told; other kinds than generators aren't told. */
	seen: "success" | "failure" | "incomplete" | undefined;
	releaseFailed = false;

	constructor(resource: number, scope: Scope, releasable: boolean, startedAt: number) {
		this.resource = resource;
		this.scope = scope;
		this.releasable = releasable;
		this.startedAt = startedAt;
	}
}

type Setup = (values: readonly Value[], context: SetupContext) => SetupResult<Value>;

/** Code that its scope has to wait for before it releases anything. */
interface Work {
	scope: Scope;
	readonly kind: string;
}

/** What happened to a scope that counts for its outcome. */
interface Story {
	/** Whether something that must keep it from success has happened. */
	spoilt: string | undefined;
	/** Whether a release failed. Where releases run at once, the others may have begun before that was known. */
	failedRelease: string | undefined;
	bodyClosedIt: boolean;
	readonly plan: ScopePlan;
	readonly held: boolean;
	/** Whose setup opened it, which then is in charge of it. */
	readonly opener: Life | undefined;
	completed: boolean;
	/** Whether whoever holds it can move it. */
	readonly movable: boolean;
}

/** Where a step runs. */
interface Place {
	readonly scope: Scope;
	/** The setup that runs it and waits for it. */
	readonly life: Life | undefined;
	/** Whether nobody awaits it. */
	readonly floats?: boolean;
	/** Resources below this number can be used. */
	readonly limit: number;
}

/** Lets microtasks run. */
export async function pause(ticks: number): Promise<void> {
	for (let i = 0; i < ticks; i++) await undefined;
}

/** Runs a scenario, and collects what breaks the rules. */
export class World {
	readonly plan: Plan;
	readonly violations: string[] = [];
	readonly lives: Life[] = [];
	readonly trace: string[] = [];
	readonly #resources: Resource<Value>[];
	readonly #thrown = new Set<Injected>();
	/** Errors that somebody has got. */
	readonly #roots: unknown[] = [];
	/** Errors that `onReleaseError` has got. */
	readonly #reports: unknown[] = [];
	/** Errors that nobody can have been waiting for. */
	readonly #owed = new Set<Injected>();
	/** Uses that are still to settle. */
	readonly #waiting = new Set<{ scope: Scope; readonly what: string }>();
	/** Promises that nobody awaits until the end. */
	readonly #forgotten: {
		readonly promise: PromiseLike<unknown>;
		readonly what: string;
		readonly silent: boolean;
	}[] = [];
	readonly #works = new Set<Work>();
	readonly #stories = new Map<Scope, Story>();
	/** What aborts a scope from outside. */
	readonly #controllers = new Map<Scope, AbortController>();
	/** Where what was moved has gone. */
	readonly #moved = new Map<Scope, Scope>();
	readonly #callbacks: { readonly what: string; runs: number }[] = [];
	/** Early releases under way, by resource. */
	readonly #early: number[] = [];
	readonly #earlyEver = new Set<number>();
	/** What each resource may depend on. */
	readonly #reach: readonly ReadonlySet<number>[];
	readonly #freshEver: boolean;
	/** Whether each instance's owner is the nearest scope of its resource's lifetime. */
	readonly #ownLifetimes: boolean;
	readonly app: Scope;
	#clock = 0;
	/** How many steps are left: what sets itself up again and again must come to an end. */
	#budget = 3_000;
	#errors = 0;
	#scopes = 0;

	constructor(plan: Plan) {
		this.plan = plan;
		this.#freshEver = JSON.stringify(plan).includes('"fresh":true');
		this.#ownLifetimes =
			!/"bindings":\[\{|"ambient":\w+,"lifetime":"|"lifetime":"\w+","ambient"/.test(
				JSON.stringify(plan),
			);
		this.#reach = reachOf(plan);
		this.#resources = [];
		plan.resources.forEach((each, index) => {
			this.#resources.push(this.#define(each, index));
		});
		this.app = openScope({
			...this.#options(plan.app),
			parent: null,
			onReleaseError: (error) => {
				this.#roots.push(error);
				this.#reports.push(error);
			},
		});
		this.#stories.set(this.app, this.#story(plan.app, true));
	}

	/** Runs the tracks and closes the app scope. */
	async run(): Promise<void> {
		const { plan, app } = this;
		const place: Place = { scope: app, life: undefined, limit: plan.resources.length };
		const tracks = plan.tracks.map((steps) =>
			app.run(() => this.#steps(steps, place)).catch((error) => this.#caught(error)),
		);
		if (plan.closesAfter === undefined) await Promise.all(tracks);
		else await pause(plan.closesAfter);
		this.#end(app, plan.ending);
		this.#record("close app");
		const closed = Array.from({ length: plan.closes }, () =>
			app.disposeAsync().catch((error) => this.#caught(error)),
		);
		await Promise.all([...tracks, ...closed]);
		await app.disposeAsync();
	}

	/** What holds when everything is over. */
	async verify(): Promise<void> {
		const unsettled = new Set(this.#forgotten);
		for (const each of this.#forgotten) {
			each.promise.then(
				() => unsettled.delete(each),
				(error) => {
					unsettled.delete(each);
					if (!each.silent) this.#caught(error);
				},
			);
		}
		await pause(10);
		for (const { what } of unsettled) this.#violate(`${what} never settles`);
		for (const life of this.lives) {
			if (life.setup === "pending") this.#violate(`setup of ${this.#name(life)} never ends`);
			if (life.setup === "failed" && life.releases > 0)
				this.#violate(`${this.#name(life)} failed and is released`);
			if (life.setup !== "ready" || !life.releasable) continue;
			if (life.releases !== 1)
				this.#violate(`${this.#name(life)} is released ${life.releases} times`);
			else if (life.releaseEndedAt === Number.POSITIVE_INFINITY)
				this.#violate(`release of ${this.#name(life)} never ends`);
		}
		for (const { what, runs } of this.#callbacks)
			if (runs !== 1) this.#violate(`${what} runs ${runs} times`);
		const found = new Set<unknown>();
		for (const root of this.#roots) reach(root, found);
		for (const error of this.#thrown)
			if (!found.has(error) && !(this.plan.wide && error.message.startsWith("setup")))
				this.#violate(`nobody gets "${error.message}"`);
		const reported = new Set<unknown>();
		for (const root of this.#reports) reach(root, reported);
		for (const error of this.#owed)
			if (!reported.has(error)) this.#violate(`"${error.message}" is not reported`);
		for (const error of found) {
			if (
				!this.plan.cyclic &&
				error instanceof ScopeError &&
				error.code === "YS_ERR_CIRCULAR_DEPENDENCY"
			)
				this.#violate(`no cycle: ${error.message}`);
			const known =
				error instanceof ScopeError ||
				error instanceof Injected ||
				error instanceof SuppressedError ||
				(error instanceof ReferenceError && error.message.startsWith("Cannot call")) ||
				(error instanceof DOMException && error.name === "AbortError");
			if (!known)
				this.#violate(`unexpected error: ${error instanceof Error ? error.stack : String(error)}`);
		}
		const { state, resources, children, callbacks, running } = this.app.inspect();
		if (state !== "closed" || resources.length + children.length + callbacks + running > 0)
			this.#violate(`the app scope is not empty: ${JSON.stringify(this.app.inspect())}`);
	}

	#name(life: Life): string {
		return `R${life.resource}#${this.lives.indexOf(life)}@${life.scope.name}`;
	}

	#record(event: string): void {
		this.#clock++;
		this.trace.push(event);
	}

	#violate(what: string): void {
		this.trace.push(`!! ${what}`);
		this.violations.push(what);
	}

	#caught(error: unknown): void {
		this.#roots.push(error);
	}

	#error(what: string): Injected {
		const error = new Injected(`${what} ${this.#errors++}`);
		this.#thrown.add(error);
		this.#record(`throws ${error.message}`);
		return error;
	}

	/** An error that a setup throws: while its scope closes it must be reported. */
	#setupError(life: Life): Injected {
		const error = this.#error(`setup R${life.resource}`);
		if (life.scope.inspect().state === "closing") this.#owed.add(error);
		return error;
	}

	#story(plan: ScopePlan, held: boolean, opener?: Life): Story {
		return {
			opener,
			failedRelease: undefined,
			spoilt: undefined,
			bodyClosedIt: false,
			plan,
			held,
			completed: false,
			movable: false,
		};
	}

	#spoil(scope: Scope, why: string): void {
		const story = this.#stories.get(scope);
		if (story !== undefined) story.spoilt ??= why;
	}

	#options(plan: ScopePlan): ScopeOptions & { readonly name: string } {
		return {
			name: `S${this.#scopes++}${plan.lifetime === undefined ? "" : `(${plan.lifetime})`}`,
			lifetime: plan.lifetime,
			release: plan.concurrent ? "concurrent" : "sequential",
			bindings: this.#bindings(plan.bindings),
		};
	}

	#bindings(plans: ScopePlan["bindings"]): Binding[] {
		const count = this.plan.resources.length;
		const bindings: Binding[] = [];
		for (const { replaced, by } of plans) {
			const index = replaced % count;
			const target = this.#resources[index] as Resource<Value>;
			const other = by === undefined ? undefined : pick(by, limitOf(this.plan, index));
			if (other === undefined) bindings.push(provide(target, { life: undefined }));
			else if (other !== index)
				bindings.push(override(target, this.#resources[other] as Resource<Value>));
		}
		return bindings;
	}

	#end(scope: Scope, ending: Plan["ending"]): void {
		const story = this.#stories.get(scope) as Story;
		if (ending === "complete") {
			scope.complete();
			story.completed = true;
		} else if (ending === "fail") {
			const error = this.#error("fail");
			this.#caught(error); // whoever called has it
			scope.fail(error);
			if (scope.inspect().state !== "closed") story.spoilt ??= "fail()";
		}
	}

	// -- resources --------------------------------------------------------------------------------------------------

	#define(plan: ResourcePlan, index: number): Resource<Value> {
		const limit = limitOf(this.plan, index);
		const dependencies: Record<string, Resource<Value>> = {};
		for (const each of plan.injected) {
			const other = pick(each, index); // a dependencies object can't be circular
			if (other !== undefined)
				dependencies[`r${other}`] = this.#resources[other] as Resource<Value>;
		}
		const options = { name: `R${index}`, lifetime: plan.lifetime };
		const make = this.#setups(plan, index, limit)[plan.kind];
		const hasDependencies = plan.injected.length > 0;
		return hasDependencies
			? resource(dependencies, (values, context) => make(Object.values(values), context), options)
			: resource((context) => make([], context), options);
	}

	/** The setup of each kind. */
	#setups(plan: ResourcePlan, index: number, limit: number) {
		const isGenerator = plan.kind.endsWith("generator");
		const begin = (values: readonly Value[], { scope }: SetupContext): Life => {
			const life = new Life(index, scope, isGenerator || plan.dispose !== "none", this.#clock);
			this.#checkUnique(life);
			if (this.#ownLifetimes && plan.lifetime !== undefined && scope.lifetime !== plan.lifetime)
				this.#violate(`R${index} of lifetime ${plan.lifetime} is owned by ${scope.name}`);
			this.lives.push(life);
			this.#record(`+${this.#name(life)}`);
			if (tryCurrentScope() !== scope)
				this.#violate(`setup of ${this.#name(life)} isn't in its scope`);
			for (const value of values) this.#edge(life, value);
			return life;
		};
		const acquire = async (values: readonly Value[], context: SetupContext): Promise<Life> => {
			const life = begin(values, context);
			await this.#work({ scope: context.scope, kind: `setup of ${this.#name(life)}` }, async () => {
				try {
					await this.#steps(plan.setup, { scope: context.scope, life, limit });
				} catch (error) {
					life.setup = "failed";
					throw error;
				}
			});
			this.#ready(life);
			return life;
		};
		const acquireSync = (values: readonly Value[], context: SetupContext): Life => {
			const life = begin(values, context);
			try {
				for (const step of plan.setup) {
					if (step.do === "register") this.#register(step, context.scope, life);
					if (step.do === "throw") throw this.#setupError(life);
				}
			} catch (error) {
				life.setup = "failed";
				throw error;
			}
			this.#ready(life);
			return life;
		};
		const disposable = (life: Life): Value => this.#disposable(life, plan);
		const world = this;
		async function* asyncGenerator(values: readonly Value[], context: SetupContext) {
			const life = await acquire(values, context);
			let sent: unknown;
			let seen: Life["seen"] = "success";
			try {
				yield { life };
			} catch (error) {
				seen = error instanceof ScopeIncompleteError ? "incomplete" : "failure";
				sent = error;
			}
			world.#startRelease(life, seen);
			if (plan.releaseUses !== undefined) await world.#useInRelease(life, plan.releaseUses, limit);
			await pause(plan.releaseTicks);
			if (tryCurrentScope() !== life.scope)
				world.#violate(`release of ${world.#name(life)} isn't in its scope`);
			world.#endRelease(life, world.#fails(plan, seen));
			if (plan.reply === "yield twice") yield { life };
			else world.#reply(life, plan, seen, sent);
		}
		function* generator(values: readonly Value[], context: SetupContext) {
			const life = acquireSync(values, context);
			let sent: unknown;
			let seen: Life["seen"] = "success";
			try {
				yield { life };
			} catch (error) {
				seen = error instanceof ScopeIncompleteError ? "incomplete" : "failure";
				sent = error;
			}
			world.#startRelease(life, seen);
			world.#endRelease(life, world.#fails(plan, seen));
			if (plan.reply === "yield twice") yield { life };
			else world.#reply(life, plan, seen, sent);
		}
		return {
			"async generator": asyncGenerator,
			generator,
			"returned generator": async (values: readonly Value[], context: SetupContext) => {
				await pause(plan.releaseTicks);
				return asyncGenerator(values, context);
			},
			"async function": async (values: readonly Value[], context: SetupContext) =>
				disposable(await acquire(values, context)),
			function: (values: readonly Value[], context: SetupContext) =>
				disposable(acquireSync(values, context)),
			class: (values: readonly Value[], context: SetupContext) =>
				disposable(acquireSync(values, context)),
		} satisfies Record<ResourcePlan["kind"], Setup> as Record<ResourcePlan["kind"], Setup>;
	}

	#disposable(life: Life, plan: ResourcePlan): Value {
		const fails = plan.reply.startsWith("throw");
		const dispose = () => {
			this.#endRelease(life, fails);
			if (fails) throw this.#error(`dispose R${life.resource}`);
		};
		if (plan.dispose === "sync") {
			return {
				life,
				[Symbol.dispose]: () => {
					this.#startRelease(life, undefined);
					dispose();
				},
			} as Value;
		}
		if (plan.dispose === "none") return { life };
		return {
			life,
			[Symbol.asyncDispose]: async () => {
				this.#startRelease(life, undefined);
				await pause(plan.releaseTicks);
				dispose();
			},
		} as Value;
	}

	/** Whether a release makes the outcome a failure. */
	#fails({ reply }: ResourcePlan, seen: Life["seen"]): boolean {
		if (reply === "throw always" || reply === "yield twice") return true;
		if (reply === "throw on success") return seen === "success";
		return reply === "translate" && seen !== "success";
	}

	#reply(life: Life, { reply }: ResourcePlan, seen: Life["seen"], sent: unknown): void {
		const success = seen === "success";
		if (
			reply === "throw always" ||
			(success ? reply === "throw on success" : reply === "translate")
		)
			throw this.#error(`release R${life.resource}`);
		if (!success && reply !== "swallow") throw sent;
	}

	async #useInRelease(life: Life, wanted: number, limit: number): Promise<void> {
		const index = pick(wanted, limit);
		if (index === undefined) return;
		if (life.early) {
			// a setup may wait for what this early release keeps open: only a close tells its release code so
			const used = use(this.#resources[index] as Resource<Value>);
			this.#forgotten.push({
				promise: used,
				what: `use in release of ${this.#name(life)}`,
				silent: false,
			});
			return;
		}
		const asked = this.#clock;
		try {
			const value = await use(this.#resources[index] as Resource<Value>);
			this.#checkAlive(value, asked, `release of ${this.#name(life)}`);
		} catch (error) {
			this.#caught(error);
		}
	}

	// -- what must hold at every moment -----------------------------------------------------------------------------

	#checkUnique(life: Life): void {
		if (this.#freshEver || this.#earlyEver.size > 0) return;
		for (const other of this.lives) {
			if (
				other.resource !== life.resource ||
				other.scope !== life.scope ||
				other.setup === "failed"
			)
				continue;
			this.#violate(`R${life.resource} is acquired twice in ${life.scope.name}`);
		}
	}

	#edge(life: Life, { life: dependency }: Value): void {
		if (dependency === undefined || life.setup !== "pending") return;
		// what a scope opened by the setup owns ends before the setup does
		if (!isWithin(life.scope, dependency.scope)) return;
		life.dependencies.add(dependency);
		dependency.dependents.add(life);
	}

	#releaseFailed(scope: Scope, why: string): void {
		const story = this.#stories.get(scope);
		if (story === undefined) return;
		story.failedRelease ??= why;
		if (!story.plan.concurrent) story.spoilt ??= why;
	}

	#ready(life: Life): void {
		life.setup = "ready";
		this.#record(`=${this.#name(life)}`);
	}

	/** Whether an early release under way is a reason to release it. */
	#isEarly(life: Life): boolean {
		return this.#early.some((index) => this.#reach[life.resource]?.has(index));
	}

	#startRelease(life: Life, seen: Life["seen"]): void {
		life.releaseStartedAt = this.#clock;
		this.#record(`-${this.#name(life)}${seen === undefined ? "" : `:${seen}`}`);
		life.releases++;
		life.seen = seen;
		life.early = this.#isEarly(life);
		if (life.releases > 1) this.#violate(`${this.#name(life)} is released twice`);
		for (const dependent of allDependents(life)) {
			// a circle, which a use without await has made
			if (this.plan.cyclic && this.#isOpenedInSetup(dependent.scope, life)) continue;
			if (dependent.setup === "pending")
				this.#violate(
					`${this.#name(life)} is released while ${this.#name(dependent)}, which uses it, is being set up`,
				);
			else if (
				dependent.setup === "ready" &&
				dependent.releasable &&
				dependent.releaseEndedAt > this.#clock
			)
				this.#violate(
					`${this.#name(life)} is released before ${this.#name(dependent)}, which uses it`,
				);
		}
		if (life.early) return;
		for (const work of this.#works) {
			if (work.scope !== life.scope && this.#isOpenedInSetup(work.scope)) continue;
			if (isWithin(work.scope, life.scope))
				this.#violate(
					`${this.#name(life)} is released while ${work.kind} of ${work.scope.name} runs`,
				);
		}
		const story = this.#stories.get(life.scope);
		for (const other of this.lives) {
			if (other === life || other.setup !== "ready" || !other.releasable) continue;
			if (
				other.scope !== life.scope &&
				!this.#isOpenedInSetup(other.scope) &&
				isWithin(other.scope, life.scope) &&
				other.releaseEndedAt > this.#clock
			)
				this.#violate(
					`${this.#name(life)} is released before ${this.#name(other)} in a scope below`,
				);
			if (
				other.scope === life.scope &&
				!story?.plan.concurrent &&
				!other.early &&
				other.releaseStartedAt < this.#clock - 1 &&
				other.releaseEndedAt > this.#clock
			)
				this.#violate(`${this.#name(life)} is released together with ${this.#name(other)}`);
		}
		if (story === undefined) return;
		if (seen === "success" && story.spoilt !== undefined)
			this.#violate(`${this.#name(life)} sees success after ${story.spoilt}`);
		if (seen === "success" && story.held && !story.completed)
			this.#violate(`${this.#name(life)} sees success, and nobody called complete()`);
		if (seen === "incomplete" && !story.held && !story.bodyClosedIt)
			this.#violate(`${this.#name(life)} sees incomplete`);
		// a body that closes its own scope may do so just before the scope learns that it threw
		const raced = story.bodyClosedIt && story.spoilt === "a failed body";
		if (seen === "incomplete" && story.spoilt !== undefined && !raced)
			this.#violate(`${this.#name(life)} sees incomplete after ${story.spoilt}`);
	}

	/** Whether a scope goes with the instance whose setup opened it or one around it: with `life`, or with any. */
	#isOpenedInSetup(scope: Scope, life?: Life): boolean {
		for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
			const opener = this.#stories.get(at)?.opener;
			if (opener !== undefined && (life === undefined || opener === life)) return true;
		}
		return false;
	}

	#endRelease(life: Life, failed: boolean): void {
		life.releaseEndedAt = this.#clock;
		this.#record(`~${this.#name(life)}${failed ? " fails" : ""}`);
		life.releaseFailed = failed;
		if (failed && !life.early)
			this.#releaseFailed(life.scope, `the failed release of ${this.#name(life)}`);
	}

	#checkAlive(value: Value, asked: number, who: string): void {
		if (value.life !== undefined && value.life.releaseStartedAt < asked)
			this.#violate(`${who} is given ${this.#name(value.life)}, which has been released`);
	}

	/** Runs code that its scope has to wait for. */
	async #work<T>(work: Work, fn: () => Promise<T>): Promise<T> {
		this.#works.add(work);
		try {
			return await fn();
		} finally {
			this.#works.delete(work);
		}
	}

	// -- steps ------------------------------------------------------------------------------------------------------

	async #steps(steps: readonly Step[], place: Place): Promise<void> {
		for (const step of steps) await this.#step(step, place);
	}

	async #step(step: Step, place: Place): Promise<void> {
		if (this.#budget-- === 0) this.#violate("it goes on for ever");
		if (this.#budget < 0) throw new Error("over");
		const { scope, life, limit } = place;
		switch (step.do) {
			case "tick":
				return await pause(step.ticks);
			case "use": {
				const index = pick(step.resource, limit);
				if (index === undefined) return;
				const target = this.#resources[index] as Resource<Value>;
				const options = {
					fresh: step.fresh,
					...(step.lifetime === undefined ? {} : { lifetime: step.lifetime }),
				};
				const asked = this.#clock;
				const used = step.ambient ? use(target, options) : scope.use(target, options);
				const waiting = {
					scope: step.ambient ? (tryCurrentScope() as Scope) : scope,
					what: `use of R${index} in ${scope.name}`,
				};
				this.#waiting.add(waiting);
				const settle = () => void this.#waiting.delete(waiting);
				// a derived promise that never rejects leaves the use itself unhandled, where it is forgotten
				if (step.wait !== "forget") used.then(settle, settle);
				else settle();
				return await this.#wait(used, step.wait, `use of R${index} in ${scope.name}`, (value) =>
					this.#got(value, asked, place),
				);
			}
			case "use all": {
				const indexes = step.resources
					.map((each) => pick(each, limit))
					.filter((each) => each !== undefined);
				const asked = this.#clock;
				const used = useAll(
					Object.fromEntries(
						indexes.map((each) => [`r${each}`, this.#resources[each] as Resource<Value>]),
					),
				);
				return await this.#wait(used, step.wait, `useAll in ${scope.name}`, (values) => {
					for (const value of Object.values(values)) this.#got(value, asked, place);
				});
			}
			case "register":
				return this.#register(step, scope, life);
			case "after": {
				const target = scope;
				let owner = scope;
				while (owner.lifetime === "handler" && owner.parent !== undefined) owner = owner.parent;
				target.after(() =>
					this.#part(owner, "after", () => this.#steps(step.steps, { ...place, life: undefined })),
				);
				return;
			}
			case "spawn": {
				const spawned = scope.spawn(() =>
					this.#part(scope, "task", () => this.#steps(step.steps, { ...place, life: undefined })),
				);
				return await this.#wait(spawned, step.wait, `task in ${scope.name}`, undefined, true);
			}
			case "detach": {
				const detached = scope.detach((own) => {
					this.#stories.set(
						own,
						this.#story({ lifetime: "task", concurrent: false, bindings: [] }, false),
					);
					return this.#part(own, "body", () =>
						this.#steps(step.steps, { ...place, scope: own, life: undefined }),
					);
				});
				return await this.#wait(
					detached,
					step.wait,
					`detached from ${scope.name}`,
					undefined,
					true,
				);
			}
			case "scope": {
				const options = this.#options(step.options);
				const controller = new AbortController();
				let own: Scope | undefined;
				const result = withScope({ ...options, signal: controller.signal }, (inner) => {
					own = inner;
					this.#record(`open ${inner.name}`);
					this.#stories.set(inner, this.#story(step.options, false));
					this.#controllers.set(inner, controller);
					return this.#part(inner, "body", () =>
						this.#steps(step.steps, { scope: inner, life, limit }),
					);
				});
				const done = () => {
					const story = own && this.#stories.get(own);
					const why = story?.spoilt ?? story?.failedRelease;
					if (why !== undefined) this.#violate(`withScope ${own?.name} fulfils after ${why}`);
				};
				return await this.#wait(result, step.wait, `withScope ${options.name}`, done);
			}
			case "open": {
				const opened = this.#open(step, place);
				opened.catch((error) => this.#caught(error));
				return await this.#wait(opened, step.wait, "open");
			}
			case "iterate": {
				const iterated = this.#iterate(step, place);
				iterated.catch((error) => this.#caught(error));
				return await this.#wait(iterated, step.wait, `generator in ${scope.name}`);
			}
			case "move":
				return await this.#move(step, place);
			case "bind": {
				const handle = scope.bind(...this.#bindings(step.bindings));
				try {
					return await this.#steps(step.steps, place);
				} finally {
					handle[Symbol.dispose]();
				}
			}
			case "release": {
				const index = pick(step.resource, limit);
				if (index === undefined) return;
				this.#record(`release R${index} early in ${scope.name}`);
				this.#early.push(index);
				this.#earlyEver.add(index);
				const released = scope.release(this.#resources[index] as Resource<Value>).finally(() => {
					this.#early.splice(this.#early.indexOf(index), 1);
				});
				released.catch((error) => this.#caught(error));
				return await this.#wait(released, step.wait, `release of R${index}`);
			}
			case "abort": {
				const error = this.#error("abort");
				this.#caught(error);
				if (!isOver(scope)) this.#spoil(scope, "abort()");
				if (isOver(scope)) return;
				scope.abort(error);
				return await this.#checkWaiters(scope);
			}
			case "signal": {
				const controller = this.#controllers.get(scope);
				if (controller === undefined || controller.signal.aborted || isOver(scope)) return;
				const error = this.#error("signal");
				this.#caught(error);
				this.#spoil(scope, "its signal's abort");
				controller.abort(error);
				return await this.#checkWaiters(scope);
			}
			case "cancel": {
				const error = this.#error("cancel");
				this.#caught(error);
				if (isOver(scope)) return;
				scope.cancel(error);
				return await this.#checkWaiters(scope);
			}
			case "complete":
				return this.#end(scope, "complete");
			case "fail":
				return this.#end(scope, "fail");
			case "throw":
				if (life === undefined) throw this.#error("work");
				if (life.scope !== scope || place.floats) throw this.#error(`setup R${life.resource}`);
				throw this.#setupError(life);
			case "close": {
				const target = step.which === "own" ? scope : this.app;
				const story = this.#stories.get(target) as Story;
				story.bodyClosedIt = true;
				for (const work of this.#works)
					if (work.scope === target && work.kind === "body") this.#works.delete(work);
				this.#record(`close ${target.name}`);
				const closed = target.disposeAsync();
				closed.catch((error) => this.#caught(error));
				return await this.#wait(closed, step.wait, `close of ${target.name}`);
			}
			case "float":
				void this.#wait(
					this.#steps(step.steps, { ...place, floats: true }).catch((error) => this.#caught(error)),
					"forget",
					`float in ${scope.name}`,
				);
				return;
		}
	}

	/** Whoever waits in an aborted scope is sent away, whatever the setup does. */
	async #checkWaiters(scope: Scope): Promise<void> {
		const waiting = [...this.#waiting].filter((each) => each.scope === scope);
		await pause(8);
		for (const each of waiting)
			if (this.#waiting.has(each)) this.#violate(`${each.what} still waits after an abort`);
	}

	async #open(step: Step & { do: "open" }, { life, limit }: Place): Promise<void> {
		const controller = new AbortController();
		const { signal } = controller;
		const first = new Scope({ ...this.#options(step.options), signal });
		this.#stories.set(first, {
			...this.#story(step.options, true, life),
			movable: true,
		});
		this.#controllers.set(first, controller);
		this.#record(`open ${first.name}`);
		try {
			await first.run(() => this.#steps(step.steps, { scope: first, life, limit }));
		} catch (error) {
			this.#caught(error);
		}
		const scope = this.#current(first);
		this.#end(scope, step.ending);
		const closed = Array.from({ length: step.closes }, () => {
			this.#record(`close ${scope.name}`);
			return scope.disposeAsync().catch((error) => this.#caught(error));
		});
		await Promise.all(closed);
	}

	/** Moves a scope that somebody holds, and goes on in the new one. */
	async #move({ steps }: Step & { do: "move" }, place: Place): Promise<void> {
		const { scope } = place;
		const story = this.#stories.get(scope) as Story;
		if (!story.movable) return await this.#steps(steps, place);
		const moved = scope.move();
		this.#record(`move ${scope.name}`);
		this.#stories.set(moved, story);
		this.#moved.set(scope, moved);
		const controller = this.#controllers.get(scope);
		if (controller !== undefined) this.#controllers.set(moved, controller);
		for (const each of [...this.lives, ...this.#works, ...this.#waiting])
			if (each.scope === scope) each.scope = moved;
		await moved.run(() => this.#steps(steps, { ...place, scope: moved }));
	}

	/** The scope that holds what `scope` held, wherever that was moved. */
	#current(scope: Scope): Scope {
		let at = scope;
		for (let next = this.#moved.get(at); next !== undefined; next = this.#moved.get(at)) at = next;
		return at;
	}

	/** Reads a generator. */
	async #iterate(
		{ options, steps, rest, reader }: Step & { do: "iterate" },
		{ life, limit }: Place,
	): Promise<void> {
		const world = this;
		const controller = new AbortController();
		const generate = async function* () {
			const scope = currentScope();
			const story = world.#story(options, true);
			world.#stories.set(scope, story);
			world.#controllers.set(scope, controller);
			world.#record(`open ${scope.name}`);
			const place = { scope, life, limit };
			await world.#part(scope, "body", () => world.#steps(steps, place));
			try {
				yield 1;
			} catch (error) {
				world.#spoil(scope, "what its reader threw");
				throw error;
			}
			await world.#part(scope, "body", () => world.#steps(rest, place));
			story.completed = true;
		};
		const { signal } = controller;
		const iterator = scoped({}, generate, { ...this.#options(options), signal })();
		await iterator.next();
		if (reader === "reads") await iterator.next();
		else if (reader === "stops") await iterator.return(undefined);
		else if (reader === "throws") await iterator.throw(this.#error("reader"));
	}

	/** A part of a scope's work: its failure is the scope's. */
	async #part(scope: Scope, kind: string, fn: () => Promise<void>): Promise<void> {
		for (const work of this.#works) {
			if (kind === "after" && work.kind === "after" && work.scope === scope)
				this.#violate(`two pieces of after work of ${scope.name} run at once`);
		}
		await this.#work({ scope, kind }, async () => {
			try {
				await fn();
			} catch (error) {
				if (kind !== "body" || !this.#stories.get(scope)?.bodyClosedIt)
					this.#spoil(scope, `a failed ${kind}`);
				throw error;
			}
		});
	}

	#got(value: Value, asked: number, { life, scope }: Place): void {
		this.#checkAlive(value, asked, `code in ${scope.name}`);
		if (life !== undefined) this.#edge(life, value);
	}

	/** Awaits a promise, or not. `silent`: that nobody gets its error is no excuse for losing it. */
	async #wait<T>(
		promise: Promise<T>,
		wait: Wait,
		what: string,
		then?: (value: T) => void,
		silent = false,
	): Promise<void> {
		if (wait === "forget") {
			this.#forgotten.push({ promise, what, silent });
			return;
		}
		try {
			const value = await promise;
			then?.(value);
		} catch (error) {
			this.#caught(error);
			if (wait === "await") throw error;
		}
	}

	#register(
		{ how, ticks, fails }: Step & { do: "register" },
		scope: Scope,
		life: Life | undefined,
	): void {
		const callback = {
			what: `${how} callback ${this.#callbacks.length} of ${scope.name}`,
			runs: 0,
		};
		const run = async () => {
			callback.runs++;
			this.#record(`- ${callback.what}`);
			await pause(ticks);
			if (fails) {
				const early = life !== undefined && (life.early || this.#isEarly(life));
				if (!early) this.#releaseFailed(scope, `the failed ${callback.what}`);
				throw this.#error(how);
			}
		};
		if (how === "defer") scope.defer(run);
		else if (how === "adopt") scope.adopt(1, run);
		else scope.use({ [Symbol.asyncDispose]: run });
		this.#callbacks.push(callback); // only once it has been taken in
	}
}

/** Those that use `life`, also through what can't be seen released. */
function allDependents(life: Life): Set<Life> {
	const found = new Set(life.dependents);
	for (const each of found) {
		if (each.setup === "ready" && !each.releasable)
			for (const further of each.dependents) found.add(further);
	}
	return found;
}

function isOver(scope: Scope): boolean {
	return scope.inspect().state === "closed";
}

function isWithin(inner: Scope, outer: Scope): boolean {
	for (let at: Scope | undefined = inner; at !== undefined; at = at.parent)
		if (at === outer) return true;
	return false;
}

/** Collects an error and all that it carries. */
function reach(error: unknown, found: Set<unknown>): void {
	if (error === undefined || found.has(error)) return;
	found.add(error);
	if (typeof error !== "object" || error === null) return;
	const {
		cause,
		error: newest,
		suppressed,
	} = error as { cause?: unknown; error?: unknown; suppressed?: unknown };
	reach(cause, found);
	if (error instanceof SuppressedError) {
		reach(newest, found);
		reach(suppressed, found);
	}
}
