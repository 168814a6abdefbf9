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

/** Objects that take up memory: what that costs, it costs ours and theirs. */
class Weight {
	readonly #objects: number[][];

	/** @param bytes - Of all together. */
	constructor(objects: number, bytes: number) {
		const length = Math.floor((bytes / objects - 40) / 8); // besides what an array and its place in the list take
		this.#objects = new Array(objects);
		for (let i = 0; i < objects; i++) this.#objects[i] = new Array<number>(length).fill(0);
	}

	/** Looks at all of it once more. */
	drop(): void {
		for (const each of this.#objects) each.fill(1);
	}
}

/** Takes 480 bytes while it is open; an instance of ours 481. */
async function* heavyOne() {
	const weight = new Weight(1, 184);
	yield 1;
	weight.drop();
}

const inAnArray =
	(generator: () => AsyncGenerator<number>): Step =>
	(size) =>
		milliseconds(async () => {
			const all: AsyncGenerator<number>[] = [];
			for (let i = 0; i < size; i++) {
				const each = generator();
				await each.next();
				all.push(each);
			}
			for (const each of all.reverse()) await each.next();
		});

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

async function* link(next: AsyncGenerator<number> | undefined) {
	await undefined;
	const value = next === undefined ? 0 : ((await next.next()).value as number);
	yield value + 1;
}

/** Takes 1,841 bytes while it waits and 897 then; an instance in a chain of ours 1,854 and 909. */
async function* heavyLink(next: AsyncGenerator<number> | undefined) {
	const kept = new Weight(3, 548);
	let pending: Weight | undefined = new Weight(8, 450);
	await undefined;
	const value = next === undefined ? 0 : ((await next.next()).value as number);
	pending.drop();
	pending = undefined;
	yield value + 1;
	kept.drop();
}

function linked(link: (next: AsyncGenerator<number> | undefined) => AsyncGenerator<number>): Step {
	return (size) => {
		const all: AsyncGenerator<number>[] = [];
		for (let i = 0; i < size; i++) all.push(link(all.at(-1)));
		return milliseconds(async () => {
			await all.at(-1)?.next();
			for (const each of all.reverse()) await each.next();
		});
	};
}

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

class Child {
	readonly #siblings: Set<Child>;

	constructor(siblings: Set<Child>) {
		this.#siblings = siblings;
		siblings.add(this);
	}

	async dispose(): Promise<void> {
		this.#siblings.delete(this);
	}
}

/** Takes 498 bytes; an open child scope 506. */
class HeavyChild extends Child {
	readonly #weight = new Weight(3, 330);

	override dispose(): Promise<void> {
		this.#weight.drop();
		return super.dispose();
	}
}

function inASet(
	Child: new (siblings: Set<Child>) => Child,
	order: (open: readonly Child[]) => readonly Child[] = shuffled,
): Step {
	return (size) =>
		milliseconds(async () => {
			const siblings = new Set<Child>();
			const open: Child[] = [];
			for (let i = 0; i < size; i++) open.push(new Child(siblings));
			for (const each of order(open)) await each.dispose();
		});
}

const latestFirst = <T>(list: readonly T[]): T[] => [...list].reverse();

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
	/** The same, of objects that take up as much memory as ours. */
	readonly heavy?: Step;
	readonly sizes: readonly number[];
}

const scales: readonly Scale[] = [
	{
		what: "instances in one scope",
		ours: instances,
		against: "generators in an array",
		theirs: inAnArray(one),
		heavy: inAnArray(heavyOne),
		sizes: [1, 10, 100, 1000, 10_000, 100_000],
	},
	{
		what: "resources in a chain",
		ours: links,
		against: "generators driven by generators",
		theirs: linked(link),
		heavy: linked(heavyLink),
		sizes: [10, 100, 1000, 10_000],
	},
	{
		what: "open children, closed in any order",
		ours: children,
		against: "objects in a Set",
		theirs: inASet(Child),
		heavy: inASet(HeavyChild),
		sizes: [10, 100, 1000, 10_000, 100_000],
	},
	{
		what: "open children, closed by their parent",
		ours: closedByParent,
		against: "objects in a Set, latest first",
		theirs: inASet(Child, latestFirst),
		heavy: inASet(HeavyChild, latestFirst),
		sizes: [10, 100, 1000, 10_000, 100_000],
	},
];

/**
 * Time per object, by number of objects. More objects take longer each, whoever makes them: caches overflow, the garbage
 * collector moves what is alive. So the growth is compared with that of the plainest thing, and the bar is for what
 * takes up as much memory.
 */
export async function measure(short: boolean): Promise<Row[]> {
	const rows: Row[] = [];
	for (const { what, ours, against, theirs, heavy, sizes } of scales) {
		const used = short ? [100, 1000] : sizes; // what grows by its nature shows there, too
		const steps = heavy === undefined ? [ours, theirs] : [ours, theirs, heavy];
		const [mine = [], plain = [], heavier] = await perObject(steps, used, 15);
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
		const row = {
			what: `${what}: growth of the time for each`,
			unit: "×",
			ours: growth(mine),
		} as const;
		const bar = { atMost: 1.25 };
		if (heavier === undefined) rows.push({ ...row, against, theirs: growth(plain), bar });
		else {
			rows.push({ ...row, against, theirs: growth(plain) });
			rows.push({ ...row, against: `${against}, as heavy`, theirs: growth(heavier), bar });
		}
	}
	return rows;
}
