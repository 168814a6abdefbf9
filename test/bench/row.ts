/** What a row must reach: a limit for `ours / theirs`, or for `ours` where there is nothing to compare with. */
export type Bar = { readonly atMost: number } | { readonly atLeast: number };

type Unit = "µs" | "ms" | "B" | "KiB" | "req/s" | "×";

/** One line of the table. */
export interface Row {
	readonly what: string;
	readonly ours: number;
	readonly unit: Unit;
	/** What `theirs` is. */
	readonly against?: string;
	readonly theirs?: number;
	/** Where it isn't simply `ours / theirs`: the median of many rounds, say. */
	readonly ratio?: number;
	/** The lowest and the highest of several processes, of which the row tells the middle one. */
	readonly range?: readonly [number, number];
	/** Without one, the row is there to be read. */
	readonly bar?: Bar;
}

/** What each file of measurements gives. */
export interface Measurements {
	/** @param short - A few seconds' worth: enough to see gross regressions. */
	measure(short: boolean): Promise<Row[]>;
}

export type Verdict = "" | "ok" | "missed" | "missed by twice";

export function ratio(row: Row): number | undefined {
	return row.ratio ?? (row.theirs === undefined ? undefined : row.ours / row.theirs);
}

/** What is held against the bar. */
export function reached(row: Row): number {
	return ratio(row) ?? row.ours;
}

export function verdict(row: Row): Verdict {
	if (row.bar === undefined) return "";
	// how many times over the bar
	const excess =
		"atMost" in row.bar ? reached(row) / row.bar.atMost : row.bar.atLeast / reached(row);
	if (excess <= 1) return "ok";
	return excess <= 2 ? "missed" : "missed by twice";
}
