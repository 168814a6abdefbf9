import { openScope, type Resource, resource, type Scope, withScope } from "yieldscope";
import type { Row } from "./row.ts";

/** Does something with `size` objects; gives the milliseconds it took. */
type Step = (size: number) => Promise<number>;

async function milliseconds(fn: () => Promise<unknown>): Promise<number> {
	const start = performance.now();
	await fn();
	return performance.now() - start;
}

const One = resource(async function* One() {
	yield 1;
});

const instances: Step = (size) =>
	milliseconds(() =>
		withScope(async (scope) => {
			for (let i = 0; i < size; i++) await scope.use(One, { fresh: true });
		}),
	);

async function* one() {
	yield 1;
}

const generators: Step = (size) =>
	milliseconds(async () => {
		const all: AsyncGenerator<number>[] = [];
		for (let i = 0; i < size; i++) {
			const each = one();
			await each.next();
			all.push(each);
		}
		for (const each of all.reverse()) await each.next();
	});

/** Objects that take up as many bytes as ours do: what memory costs, it costs both. */
class Weight {
	readonly #objects: number[][] = [];

	/** @param bytes - Of all together. An array takes 56, its place in the list included, and 8 for each element. */
	constructor(objects: number, bytes: number) {
		const length = Math.floor((bytes / objects - 56) / 8);
		for (let i = 0; i < objects; i++) this.#objects.push(new Array<number>(length).fill(0));
	}

	/** Looks at all of it once more. */
	drop(): void {
		for (const each of this.#objects) each.fill(1);
	}
}

/** A resource that uses one that uses one, and so on. */
function chain(length: number): Resource<number> {
	let last: Resource<number> = One;
	for (let i = 1; i < length; i++) {
		const next = last;
		last = resource(async function* Link({ scope }) {
			await undefined;
			yield (await scope.use(next)) + 1;
		});
	}
	return last;
}

const links: Step = (size) => {
	const last = chain(size);
	return milliseconds(() => withScope((scope) => scope.use(last)));
};

/**
 * What an instance in a chain keeps besides its generator, and what goes when its setup is over: promises and what waits for
 * them, the async context.
 */
const LINK = { kept: [3, 464], pending: [16, 896] } as const;

async function* link(next: AsyncGenerator<number> | undefined) {
	const kept = new Weight(...LINK.kept);
	let pending: Weight | undefined = new Weight(...LINK.pending);
	await undefined;
	const value = next === undefined ? 0 : ((await next.next()).value as number);
	pending.drop();
	pending = undefined;
	yield value + 1;
	kept.drop();
}

const linkedGenerators: Step = (size) => {
	const all: AsyncGenerator<number>[] = [];
	for (let i = 0; i < size; i++) all.push(link(all.at(-1)));
	return milliseconds(async () => {
		await all.at(-1)?.next();
		for (const each of all.reverse()) await each.next();
	});
};

/** Opens `size` children, then closes them in an order of their own. */
const children: Step = (size) =>
	milliseconds(async () => {
		const parent = openScope();
		const open: Scope[] = [];
		for (let i = 0; i < size; i++) open.push(openScope({ parent }));
		for (const each of shuffled(open)) await each.disposeAsync();
		await parent.disposeAsync();
	});

const closedByParent: Step = (size) =>
	milliseconds(async () => {
		const parent = openScope();
		for (let i = 0; i < size; i++) openScope({ parent });
		await parent.disposeAsync();
	});

/** What an open scope keeps: see the rows of the heap. */
const SCOPE = [4, 504] as const;

class Child {
	readonly #siblings: Set<Child>;
	readonly #kept = new Weight(...SCOPE);
	constructor(siblings: Set<Child>) {
		this.#siblings = siblings;
		siblings.add(this);
	}
	async dispose(): Promise<void> {
		this.#siblings.delete(this);
		this.#kept.drop();
	}
}

const setOfObjects: Step = (size) =>
	milliseconds(async () => {
		const siblings = new Set<Child>();
		const open: Child[] = [];
		for (let i = 0; i < size; i++) open.push(new Child(siblings));
		for (const each of shuffled(open)) await each.dispose();
	});

/** The same order each time, neither first nor last come first: every 7919th. */
function shuffled<T>(list: readonly T[]): T[] {
	const step = 7919; // a prime, which divides none of the sizes
	return list.map((_, i) => list[(i * step) % list.length] as T);
}

/** Microseconds per object for each size, the steps taking turns. */
async function perObject(steps: readonly Step[], sizes: readonly number[], rounds: number) {
	const best = steps.map(() => sizes.map(() => Number.POSITIVE_INFINITY));
	for (let round = -2; round < rounds; round++) {
		for (const [s, size] of sizes.entries()) {
			const repeat = Math.max(1, Math.floor(2000 / size)); // for the clock's sake
			for (const [i, step] of steps.entries()) {
				let total = 0;
				for (let n = 0; n < repeat; n++) total += await step(size);
				const each = (total * 1000) / repeat / size;
				const row = best[i] as number[];
				if (round >= 0) row[s] = Math.min(row[s] as number, each);
			}
		}
	}
	return best;
}

interface Scale {
	readonly what: string;
	readonly ours: Step;
	readonly against: string;
	readonly theirs: Step;
	readonly sizes: readonly number[];
}

const scales: readonly Scale[] = [
	{
		what: "instances in one scope",
		ours: instances,
		against: "generators in an array",
		theirs: generators,
		sizes: [1, 10, 100, 1000, 10_000, 100_000],
	},
	{
		what: "resources in a chain",
		ours: links,
		against: "generators of the same weight, driven by generators",
		theirs: linkedGenerators,
		sizes: [10, 100, 1000, 10_000],
	},
	{
		what: "open children, closed in any order",
		ours: children,
		against: "objects of the same weight in a Set",
		theirs: setOfObjects,
		sizes: [10, 100, 1000, 10_000, 100_000],
	},
	{
		what: "open children, closed by their parent",
		ours: closedByParent,
		against: "objects of the same weight in a Set",
		theirs: setOfObjects,
		sizes: [10, 100, 1000, 10_000, 100_000],
	},
];

/**
 * Time per object, by number of objects. More objects take longer each, whoever makes them: caches overflow, the garbage
 * collector moves what is alive. So the growth is compared with that of the plainest thing that takes up as much memory.
 */
export async function measure(short: boolean): Promise<Row[]> {
	const rows: Row[] = [];
	for (const { what, ours, against, theirs, sizes } of scales) {
		const used = short ? [100, 1000] : sizes; // what grows by its nature shows there, too
		const [mine = [], plain = []] = await perObject([ours, theirs], used, 15);
		for (const [i, size] of used.entries()) {
			rows.push({
				what: `${size.toLocaleString("en")} ${what}: each`,
				unit: "µs",
				ours: mine[i] as number,
				against,
				theirs: plain[i] as number,
			});
		}
		const growth = (times: readonly number[]) =>
			(times.at(-1) as number) / Math.min(...times.slice(0, -1));
		rows.push({
			what: `${what}: growth of the time for each`,
			unit: "×",
			ours: growth(mine),
			against,
			theirs: growth(plain),
			bar: { atMost: 1.25 },
		});
	}
	return rows;
}
