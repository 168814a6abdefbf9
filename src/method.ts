/**
 * Gives `target` a function of its own, of which there is one for each scope or request.
 *
 * V8 takes a function that is written on the right of such an assignment for one that is there to stay, and allocates it
 * where only a full collection looks
 * ([`CheckAssigningFunctionLiteralToProperty`](https://github.com/v8/v8/blob/13.6.233/src/parsing/parser.h)); until then
 * it keeps alive all that it refers to: a whole request. An argument isn't taken for that.
 */
export function setMethod<T, K extends keyof T>(target: T, name: K, method: T[K]): void {
	target[name] = method;
}
