/** What a type parameter is before anything is inferred for it. */
export interface Uninferred {
	readonly uninferred: unique symbol;
}

/**
 * `F`, a function that returns `R`, as the type of an argument whose other type parameters are to be inferred from where
 * the call stands, as a route's path params are.
 *
 * TypeScript looks there only if what it has inferred from the other arguments says nothing of the function. So this is
 * `any` as long as `R` isn't inferred, which the function itself is needed for.
 */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Contextual<F, R> = unknown extends R ? F : [Uninferred] extends [R] ? any : F;
