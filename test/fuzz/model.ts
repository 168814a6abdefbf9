import type { Reply } from "./plan.ts";

/**
 * A scope as the contract describes it, for code that does one thing after the other: who is released when, and what
 * everybody is told (rules 3, 6, 11, 12 and 15 to 18). It is slow and simple, and shares nothing with the library.
 */

/** A resource of a sequence. */
export interface Ingredient {
	/** Whether it is a generator, which is told the outcome, or a value with a disposer. */
	readonly kind: "async generator" | "generator" | "disposable";
	/** What its setup uses, in this order: resources of lower numbers. */
	readonly needs: readonly number[];
	/** Whether its setup's last act is to throw. */
	readonly fails: boolean;
	/** The callbacks that its setup registers when it has used what it needs: whether each throws. */
	readonly registers: readonly boolean[];
	readonly reply: Reply;
}

/** What the code in the scope does; errors are caught. */
export type Act =
	| { readonly do: "use" | "release"; readonly resource: number }
	| { readonly do: "register"; readonly fails: boolean };

/** How the work ends: in `withScope`, or by what is said to a held scope. */
export type End = "return" | "throw" | "complete" | "fail" | "nothing";

/** A strictly sequential scenario. */
export interface Sequence {
	readonly ingredients: readonly Ingredient[];
	readonly acts: readonly Act[];
	readonly end: End;
}

/** What can be seen of a scenario. */
export interface Outcome {
	readonly trace: readonly string[];
	/** What the scope's promise rejects with, described; `undefined` if it fulfils. */
	readonly rejection: string | undefined;
	readonly reports: readonly string[];
}

interface ModelError {
	readonly label: string;
	cause: ModelError | undefined;
}

/** What is released together: an instance, and after it what its setup registered, the last first. */
interface Unit {
	readonly sequence: number;
	readonly name: string;
	readonly ingredient: Ingredient | undefined;
	/** Whether there is an instance: the setup didn't fail. */
	acquired: boolean;
	readonly dependencies: Set<Unit>;
	readonly callbacks: { readonly name: string; readonly fails: boolean }[];
}

/** What the releases go by. */
interface Verdict {
	completed: boolean;
	error: ModelError | undefined;
	known: boolean;
	readonly suppressed: ModelError[];
}

const INCOMPLETE: ModelError = { label: "incomplete", cause: undefined };

function describe({ label, cause }: ModelError): string {
	return cause === undefined ? label : `${label} < ${describe(cause)}`;
}

/** Works out what a sequence must do. */
export function predict({ ingredients, acts, end }: Sequence): Outcome {
	const trace: string[] = [];
	const reports: string[] = [];
	let units: Unit[] = [];
	const live = new Map<number, Unit>();
	let uses = 0;
	let names = 0;
	/** How often each resource has been acquired. */
	const acquired = new Map<number, number>();

	const use = (resource: number, consumer?: Unit): string | undefined => {
		const existing = live.get(resource);
		if (existing !== undefined) {
			consumer?.dependencies.add(existing);
			return undefined;
		}
		const ingredient = ingredients[resource] as Ingredient;
		const unit: Unit = {
			sequence: uses++,
			name: `R${resource}.${(acquired.get(resource) ?? 0) + 1}`,
			ingredient,
			acquired: false,
			dependencies: new Set(),
			callbacks: [],
		};
		consumer?.dependencies.add(unit);
		units.push(unit);
		for (const need of ingredient.needs) {
			const error = use(need, unit);
			if (error !== undefined) return error;
		}
		for (const fails of ingredient.registers) unit.callbacks.push({ name: `C${names++}`, fails });
		if (ingredient.fails) return `setup ${unit.name}`;
		unit.acquired = true;
		live.set(resource, unit);
		acquired.set(resource, (acquired.get(resource) ?? 0) + 1);
		return undefined;
	};

	const answer = (unit: Unit, verdict: Verdict): void => {
		const { kind, reply } = unit.ingredient as Ingredient;
		const error = (label: string): ModelError => ({ label, cause: undefined });
		if (kind === "disposable") {
			trace.push(`-${unit.name}`);
			if (reply.startsWith("throw")) suppress(verdict, error(`release ${unit.name}`));
			return;
		}
		const sent = verdict.error ?? (verdict.completed ? undefined : INCOMPLETE);
		trace.push(`-${unit.name} ${sent === undefined ? "success" : describe(sent)}`);
		let thrown: ModelError | undefined;
		if (reply === "yield twice") thrown = error("yielded twice");
		else if (reply === "throw always") thrown = error(`release ${unit.name}`);
		else if (reply === "throw on success" && sent === undefined)
			thrown = error(`release ${unit.name}`);
		else if (reply === "translate" && sent !== undefined) thrown = error(`release ${unit.name}`);
		else if (reply === "swallow" && sent !== undefined && sent !== INCOMPLETE)
			reports.push(`swallowed < ${describe(sent)}`);
		if (thrown === undefined) return;
		thrown.cause = sent;
		verdict.error = thrown;
		verdict.known = false;
	};

	const release = (doomed: readonly Unit[], verdict: Verdict): void => {
		const left = new Set(doomed);
		while (left.size > 0) {
			let next: Unit | undefined;
			for (const unit of left) {
				const held = [...left].some((other) => other !== unit && other.dependencies.has(unit));
				if (!held && (next === undefined || unit.sequence > next.sequence)) next = unit;
			}
			const unit = next as Unit; // there are no circles
			left.delete(unit);
			if (unit.acquired) answer(unit, verdict);
			for (const { name, fails } of [...unit.callbacks].reverse()) {
				trace.push(`-${name}`);
				if (fails) suppress(verdict, { label: `callback ${name}`, cause: undefined });
			}
		}
	};

	for (const act of acts) {
		if (act.do === "use") {
			const error = use(act.resource);
			if (error !== undefined) trace.push(`caught ${error}`);
		} else if (act.do === "register") {
			const name = `C${names++}`;
			units.push({
				sequence: uses++,
				name,
				ingredient: undefined,
				acquired: false,
				dependencies: new Set(),
				callbacks: [{ name, fails: act.fails }],
			});
		} else {
			const root = live.get(act.resource);
			if (root === undefined) continue;
			const doomed = new Set([root]);
			for (const each of doomed)
				for (const unit of units) if (unit.dependencies.has(each)) doomed.add(unit);
			const verdict: Verdict = { completed: true, error: undefined, known: false, suppressed: [] };
			for (const [resource, unit] of [...live]) if (doomed.has(unit)) live.delete(resource);
			units = units.filter((unit) => !doomed.has(unit));
			release([...doomed], verdict);
			const error = rejectionOf(verdict);
			if (error !== undefined) trace.push(`caught ${error}`);
		}
	}
	const failed = end === "throw" || end === "fail";
	const verdict: Verdict = {
		completed: end === "return" || end === "complete",
		error: failed ? { label: "work", cause: undefined } : undefined,
		known: end === "fail",
		suppressed: [],
	};
	release(units, verdict);
	return { trace, rejection: rejectionOf(verdict), reports };
}

/** A failure that answers nothing: it counts as the work's if that had none. */
function suppress(verdict: Verdict, error: ModelError): void {
	if (verdict.error === undefined) verdict.error = error;
	else verdict.suppressed.push(error);
}

function rejectionOf({ error, known, suppressed }: Verdict): string | undefined {
	if (error === undefined || (known && suppressed.length === 0)) return undefined;
	return suppressed.reduce(
		(older, newest) => `(${describe(newest)} over ${older})`,
		describe(error),
	);
}
