import { resource, use, withScope } from "yieldscope";

const A = resource(async function* A() {
	await undefined;
	yield 1;
	await undefined;
});
const B = resource(async function* B() {
	await undefined;
	yield 2;
	await undefined;
});
const C = resource(async function* C() {
	await undefined;
	yield 3;
	await undefined;
});

/** One after another in one scope. */
export function inARow(): Promise<number> {
	return withScope(
		async (scope) => (await scope.use(A)) + (await scope.use(B)) + (await scope.use(C)),
	);
}

const NestedB = resource(async function* B() {
	const a = await use(A);
	await undefined;
	yield a + 2;
	await undefined;
});
const NestedC = resource(async function* C() {
	const b = await use(NestedB);
	await undefined;
	yield b + 3;
	await undefined;
});

/** Each used by the next one's setup, through the ambient scope. */
export function nested(): Promise<number> {
	return withScope(() => use(NestedC));
}

const InjectedB = resource({ a: A }, async function* B({ a }) {
	await undefined;
	yield a + 2;
	await undefined;
});
const InjectedC = resource({ b: InjectedB }, async function* C({ b }) {
	await undefined;
	yield b + 3;
	await undefined;
});

/** Each injected into the next one. */
export function injected(): Promise<number> {
	return withScope(() => use(InjectedC));
}
