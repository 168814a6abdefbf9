import { openScope, resource, withScope } from "../../src/index.ts";

/**
 * Opens and closes scopes under one long-lived parent, three generator resources in each, and tells how much the heap has
 * grown. It is a program of its own: a test runner's async hooks would make each scope dearer.
 */
const count = Number(process.argv[2]);
const { gc } = globalThis as { gc?: () => Promise<void> | void };

async function heap(): Promise<number> {
	for (let i = 0; i < 5; i++) {
		await new Promise((resolve) => setImmediate(resolve));
		await gc?.();
	}
	return process.memoryUsage().heapUsed;
}

let released = 0;
const app = openScope({ lifetime: "app" });
const Pool = resource(
	async function* () {
		yield {};
	},
	{ lifetime: "app" },
);
const Connection = resource({ pool: Pool }, async function* () {
	yield {};
	released++;
});
const Transaction = resource({ connection: Connection }, async function* () {
	yield {};
	released++;
});
const Orders = resource({ transaction: Transaction }, function* () {
	yield {};
	released++;
});

async function openAndClose(times: number): Promise<void> {
	for (let i = 0; i < times; i++)
		await withScope({ parent: app, lifetime: "request" }, (scope) => scope.use(Orders));
}

await openAndClose(10_000);
const before = await heap();
released = 0;
const start = performance.now();
await openAndClose(count);
const milliseconds = Math.round(performance.now() - start);
const growth = (await heap()) - before;
const { resources, children } = app.inspect();
const left = { resources: resources.length, children: children.length };
await app.disposeAsync();
console.log(JSON.stringify({ growth, milliseconds, released, left }));
