/** See contextual.ts: TypeScript 5 doesn't look at where the call stands. There, path params are to be annotated. */
export type Contextual<F, _R> = F;

/** What a type parameter is before anything is inferred for it. */
export interface Uninferred {
	readonly uninferred: unique symbol;
}
