/**
 * Async generators as scoped resources: acquire before `yield`, release after it, whatever happens in between.
 *
 * @packageDocumentation
 */

export type { UseOptions } from "./acquire.ts";
export {
	currentScope,
	openScope,
	openScopeSync,
	tryCurrentScope,
	use,
	useAll,
	withScope,
	withScopeSync,
} from "./ambient.ts";
export {
	AcquireAbortedError,
	CircularDependencyError,
	DidNotYieldError,
	ErrorSwallowedError,
	InvalidArgumentError,
	LifetimeError,
	NoScopeError,
	NotProvidedError,
	ReleaseTimeoutError,
	ScopeClosedError,
	ScopeError,
	type ScopeErrorDetails,
	ScopeIncompleteError,
	ScopeNotClosedError,
	SuppressedError,
	type SuppressedErrorConstructor,
	YieldedTwiceError,
} from "./errors.ts";
export type {
	AcquireEvent,
	InstanceInfo,
	MarkEvent,
	ReleaseEvent,
	ReportEvent,
	ScopeEvent,
	ScopeInfo,
	TaskEvent,
	TracedEvent,
	WaitEvent,
} from "./events.ts";
export { family } from "./family.ts";
export { detectLeaks, type LeakDetection, unclosedScopes } from "./leaks.ts";
export type { Fault, Incomplete, Outcome, Success } from "./outcome.ts";
export {
	type Binding,
	type Dependencies,
	type Lifetime,
	override,
	provide,
	type Resource,
	type ResourceOptions,
	resource,
	type Setup,
	type SetupContext,
	type SetupResult,
	token,
	type Values,
	type Yielding,
} from "./resource.ts";
export { Scope, type ScopeOptions } from "./scope.ts";
export { type ScopedResult, scoped } from "./scoped.ts";
export type { ResourceSnapshot, ScopeSnapshot } from "./snapshot.ts";
export { SyncScope, type SyncScopeOptions } from "./sync-scope.ts";
