declare module "disposablestack/AsyncDisposableStack/implementation" {
	/** The implementation, also where there is a native one. */
	const implementation: typeof AsyncDisposableStack;
	export default implementation;
}
