export interface Rounds {
	readonly rounds: number;
	/** Calls per round. */
	readonly batch: number;
}

/** Microseconds per call of `fn`, each awaited. */
async function time(fn: () => unknown, calls: number): Promise<number> {
	const start = performance.now();
	for (let i = 0; i < calls; i++) await fn();
	return ((performance.now() - start) * 1000) / calls;
}

/**
 * Microseconds per call of each variant, at its fastest. The variants take turns, so that whatever else the machine does
 * falls on all of them, and the fastest round is the one that was disturbed least.
 */
export async function fastest<K extends string>(
	variants: Readonly<Record<K, () => unknown>>,
	{ rounds, batch }: Rounds,
): Promise<Record<K, number>> {
	const entries = Object.entries(variants) as [K, () => unknown][];
	const best = {} as Record<K, number>;
	for (const [name, fn] of entries) {
		await time(fn, 20 * batch); // until it is compiled
		best[name] = Number.POSITIVE_INFINITY;
	}
	for (let round = 0; round < rounds; round++)
		for (const [name, fn] of entries) best[name] = Math.min(best[name], await time(fn, batch));
	return best;
}
