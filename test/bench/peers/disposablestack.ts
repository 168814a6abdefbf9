import AsyncDisposableStack from "disposablestack/AsyncDisposableStack/implementation";

async function acquire(value: number): Promise<AsyncDisposable & { value: number }> {
	await undefined;
	return {
		value,
		async [Symbol.asyncDispose]() {
			await undefined;
		},
	};
}

export async function threeResources(): Promise<number> {
	const stack = new AsyncDisposableStack();
	const a = stack.use(await acquire(1));
	const b = stack.use(await acquire(2));
	const c = stack.use(await acquire(3));
	await stack.disposeAsync();
	return a.value + b.value + c.value;
}
