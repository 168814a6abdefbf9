import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { withScope } from "yieldscope";
import { fastest } from "./rounds.ts";
import type { Row } from "./row.ts";
import { inARow, injected, nested } from "./three-resources.ts";

async function* generator(value: number) {
	await undefined;
	yield value;
	await undefined;
}

/** No error reaches a generator, nothing is released if one fails, nothing is shared or ambient. */
async function byHand(): Promise<number> {
	const a = generator(1);
	const x = (await a.next()).value as number;
	const b = generator(2);
	const y = (await b.next()).value as number;
	const c = generator(3);
	const z = (await c.next()).value as number;
	await c.next();
	await b.next();
	await a.next();
	return x + y + z;
}

/** What was made by hand, with what `use` in a setup can't do without: an async context for each, within the scope's own. */
async function inContexts(): Promise<number> {
	const scope = new AsyncResource("scope");
	return scope.runInAsyncScope(async () => {
		storage.enterWith(scope);
		const made: AsyncGenerator<number>[] = [];
		const make = async (value: number) => {
			const each = generator(value);
			made.push(each);
			const step = await scope.runInAsyncScope(() => {
				storage.enterWith(each);
				return each.next();
			});
			return step.value as number;
		};
		let sum = 0;
		for (let value = 1; value <= 3; value++) sum += await make(value);
		for (const each of made.reverse()) await each.next();
		return sum;
	});
}

async function disposable(value: number): Promise<AsyncDisposable & { value: number }> {
	await undefined;
	return {
		value,
		async [Symbol.asyncDispose]() {
			await undefined;
		},
	};
}

async function native(): Promise<number> {
	const stack = new AsyncDisposableStack();
	const a = stack.use(await disposable(1));
	const b = stack.use(await disposable(2));
	const c = stack.use(await disposable(3));
	await stack.disposeAsync();
	return a.value + b.value + c.value;
}

const storage = new AsyncLocalStorage<object>();
const nothing = async () => {};

export async function measure(short: boolean): Promise<Row[]> {
	const rounds = { rounds: short ? 40 : 200, batch: short ? 500 : 1000 };
	const three = await fastest({ byHand, inContexts, inARow, nested, injected }, rounds);
	// Node 22 has none
	const stack =
		"AsyncDisposableStack" in globalThis
			? await fastest({ native, inARow, nested, injected }, rounds)
			: undefined;
	const empty = await fastest(
		{ ours: () => withScope(nothing), theirs: () => storage.run({}, nothing) },
		rounds,
	);
	const forms = [
		["nested", "by use()"],
		["injected", "by a dependencies object"],
		["inARow", "by scope.use(), one after another"],
	] as const;
	return [
		...forms.flatMap(([form, how]): Row[] => [
			...(stack === undefined
				? []
				: [
						{
							what: `scope with three resources, ${how}`,
							unit: "µs" as const,
							ours: stack[form],
							against: "native AsyncDisposableStack",
							theirs: stack.native,
							bar: { atMost: 1.25 },
						},
					]),
			{
				what: `scope with three resources, ${how}`,
				unit: "µs",
				ours: three[form],
				against: "generators driven by hand",
				theirs: three.byHand,
				bar: { atMost: 3 },
			},
		]),
		{
			what: "by hand, with an async context for each setup",
			unit: "µs",
			ours: three.inContexts,
			against: "generators driven by hand",
			theirs: three.byHand,
		},
		{
			what: "withScope(async () => {})",
			unit: "µs",
			...empty,
			against: "AsyncLocalStorage.run()",
			bar: { atMost: 2 },
		},
	];
}
