import { openScope, provide, resource, type Scope, token, withScope } from "yieldscope";
import { expectNoOpenScopes } from "yieldscope/testing";

const log: string[] = [];

const Pool = resource(async function* Pool() {
	log.push("+Pool");
	try {
		yield { insert: (row: string) => log.push(row) };
	} finally {
		log.push("-Pool");
	}
});
const User = token<{ name: string }>("User");
const Orders = resource({ pool: Pool, user: User }, async function* Orders({ pool, user }) {
	// @ts-expect-error what a pool can do is inferred
	void pool.remove;
	try {
		yield { add: (product: string) => pool.insert(`${user.name}: ${product}`) };
		log.push("-Orders: success");
	} catch (error) {
		log.push(`-Orders: ${(error as Error).name}`);
		throw error;
	}
});

async function order(scope: Scope, product: string): Promise<number> {
	const orders = await scope.use(Orders);
	// @ts-expect-error and so is what came of it
	void orders.insert;
	return orders.add(product);
}

// it needs neither Node's types nor a framework's
const bindings = [provide(User, { name: "Ada" })];
const count: number = await withScope({ bindings }, (scope) => order(scope, "book"));
log.push(`${count} lines`);
const app = openScope({ lifetime: "app", bindings });
{
	await using scope = openScope({ parent: app });
	await order(scope, "unicorn"); // and no complete()
}
expectNoOpenScopes(app);
await app.disposeAsync();
console.log(JSON.stringify(log));
