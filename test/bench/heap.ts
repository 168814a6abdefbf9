import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { openScope, resource, type Scope, withScope } from "yieldscope";
import type { Row } from "./row.ts";

const { gc } = globalThis as { gc?: () => Promise<void> | void };

async function heap(): Promise<number> {
	for (let i = 0; i < 5; i++) {
		await new Promise((resolve) => setImmediate(resolve));
		await gc?.();
	}
	return process.memoryUsage().heapUsed;
}

/** Bytes that each of `count` objects keeps in the heap. */
async function bytes<T>(count: number, open: () => T, close: (opened: T) => unknown) {
	for (let i = 0; i < 2000; i++) await close(open()); // code and feedback are not theirs
	const all = new Array<T>(count);
	const before = await heap();
	for (let i = 0; i < count; i++) all[i] = open();
	const size = ((await heap()) - before) / count;
	for (const each of all) await close(each);
	return size;
}

const [A, B, C] = [1, 2, 3].map((value) =>
	resource(async function* () {
		yield value;
	}),
) as [Numbers, Numbers, Numbers];
type Numbers = ReturnType<typeof resource<number>>;

async function* generator(value: number) {
	yield value;
}

function withThree(): Scope {
	const scope = openScope();
	void scope.use(A);
	void scope.use(B);
	void scope.use(C);
	return scope;
}

function threeGenerators(): AsyncGenerator<number>[] {
	return [1, 2, 3].map((value) => {
		const each = generator(value);
		void each.next();
		return each;
	});
}

/** A `withScope` whose work hasn't ended. */
function running(): { end: () => void; done: Promise<void> } {
	let end = () => {};
	const done = withScope(
		() =>
			new Promise<void>((resolve) => {
				end = resolve;
			}),
	);
	return { end, done };
}

/** Bytes for each scope that are left of `count` scopes of three generators, in a program of its own. */
async function left(count: number): Promise<number> {
	const program = fileURLToPath(new URL("../leak/many-scopes.ts", import.meta.url));
	const args = ["--expose-gc", program, String(count)];
	const { stdout } = await promisify(execFile)(process.execPath, args);
	return JSON.parse(stdout).growth / count;
}

export async function measure(short: boolean): Promise<Row[]> {
	const count = short ? 5000 : 50_000;
	const many = short ? 100_000 : 1_000_000;
	const close = (scope: Scope) => scope.disposeAsync();
	const three = await bytes(count, withThree, close);
	const generators = await bytes(count, threeGenerators, (all) =>
		Promise.all(all.map((each) => each.next())),
	);
	return [
		{
			what: "heap for an open idle scope",
			unit: "B",
			ours: await bytes(count, () => openScope(), close),
			bar: { atMost: 512 },
		},
		{
			what: "heap for a withScope() that runs, its promise and callback included",
			unit: "B",
			ours: await bytes(count, running, ({ end, done }) => {
				end();
				return done;
			}),
		},
		{
			what: "heap for an open scope with three resources",
			unit: "B",
			ours: three,
			bar: { atMost: 2048 },
		},
		{
			what: "heap for an open scope with three resources",
			unit: "B",
			ours: three,
			against: "three generators, which are part of it",
			theirs: generators,
		},
		{
			// the smallest of objects takes 12
			what: `heap left after ${many.toLocaleString("en")} scopes with three resources, for each`,
			unit: "B",
			ours: await left(many),
			bar: { atMost: 1 },
		},
	];
}
