import { type Operation, resource, run, until } from "effection";

const nothing = async () => {};

const A: Operation<number> = resource(function* (provide) {
	yield* until(nothing());
	try {
		yield* provide(1);
	} finally {
		yield* until(nothing());
	}
});
const B: Operation<number> = resource(function* (provide) {
	const a = yield* A;
	yield* until(nothing());
	try {
		yield* provide(a + 2);
	} finally {
		yield* until(nothing());
	}
});
const C: Operation<number> = resource(function* (provide) {
	const b = yield* B;
	yield* until(nothing());
	try {
		yield* provide(b + 3);
	} finally {
		yield* until(nothing());
	}
});

export async function threeResources(): Promise<number> {
	return await run(function* () {
		return yield* C;
	});
}
