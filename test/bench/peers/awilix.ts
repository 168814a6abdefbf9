import { asFunction, createContainer } from "awilix";

interface Cradle {
	a: Promise<number>;
	b: Promise<number>;
	c: Promise<number>;
}

const nothing = async () => {};

// awilix knows no asynchronous setup: dependents await promises
const container = createContainer<Cradle>().register({
	a: asFunction(async () => {
		await undefined;
		return 1;
	})
		.scoped()
		.disposer(nothing),
	b: asFunction(async ({ a }: Cradle) => {
		const value = await a;
		await undefined;
		return value + 2;
	})
		.scoped()
		.disposer(nothing),
	c: asFunction(async ({ b }: Cradle) => {
		const value = await b;
		await undefined;
		return value + 3;
	})
		.scoped()
		.disposer(nothing),
});

export async function threeResources(): Promise<number> {
	const scope = container.createScope();
	const value = await scope.resolve("c");
	await scope.dispose();
	return value;
}
