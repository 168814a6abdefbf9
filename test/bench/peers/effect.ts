import { Effect } from "effect";

const nothing = Effect.promise(async () => {});

const A = Effect.acquireRelease(Effect.as(nothing, 1), () => nothing);
const B = Effect.acquireRelease(
	Effect.gen(function* () {
		const a = yield* A;
		yield* nothing;
		return a + 2;
	}),
	() => nothing,
);
const C = Effect.acquireRelease(
	Effect.gen(function* () {
		const b = yield* B;
		yield* nothing;
		return b + 3;
	}),
	() => nothing,
);
const program = Effect.scoped(C);

export function threeResources(): Promise<number> {
	return Effect.runPromise(program);
}
