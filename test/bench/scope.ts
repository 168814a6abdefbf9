import { AsyncLocalStorage } from "node:async_hooks";
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
	const three = await fastest({ byHand, inARow, nested, injected }, rounds);
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
			what: "withScope(async () => {})",
			unit: "µs",
			...empty,
			against: "AsyncLocalStorage.run()",
			bar: { atMost: 2 },
		},
	];
}
