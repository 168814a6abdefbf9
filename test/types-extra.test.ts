import { describe, expectTypeOf, it } from "vitest";
import {
	family,
	openScopeSync,
	override,
	provide,
	type Resource,
	resource,
	type Scope,
	type SetupContext,
	SyncScope,
	type SyncScopeOptions,
	scoped,
	use,
	withScopeSync,
} from "../src/index.ts";

const Db = resource(async function* () {
	yield { id: 1 };
});
const Name = resource(() => "name");

describe("scoped's types", () => {
	it("infer dependencies, parameters and the result", () => {
		const fn = scoped(
			{ db: Db, name: Name },
			async ({ db, name }, count: number, flag?: boolean) => {
				expectTypeOf(db).toEqualTypeOf<{ id: number }>();
				expectTypeOf(name).toEqualTypeOf<string>();
				return flag ? count : undefined;
			},
		);
		expectTypeOf(fn).toEqualTypeOf<
			(this: unknown, count: number, flag?: boolean) => Promise<number | undefined>
		>();
		expectTypeOf(scoped({}, () => true)).returns.toEqualTypeOf<Promise<boolean>>();
		const variadic = scoped({}, (_, ...rest: string[]) => rest);
		expectTypeOf(variadic).toEqualTypeOf<(this: unknown, ...args: string[]) => Promise<string[]>>();
		// @ts-expect-error: an argument of the wrong type
		() => fn("1");
		// @ts-expect-error: no such dependency
		scoped({ db: Db }, async ({ nothing }) => nothing);
		// @ts-expect-error: not a resource
		() => scoped({ db: 1 }, async () => 1);
	});

	it("keep an async generator one, and make a sync one async", () => {
		const rows = scoped({ db: Db }, async function* ({ db }, n: number) {
			const got: string = yield db.id + n;
			return got;
		});
		expectTypeOf(rows).parameters.toEqualTypeOf<[n: number]>();
		expectTypeOf(rows).returns.toEqualTypeOf<AsyncGenerator<number, string, string>>();
		const sync = scoped({ db: Db }, function* ({ db }) {
			yield db.id;
		});
		expectTypeOf(sync).returns.toEqualTypeOf<AsyncGenerator<number, void, unknown>>();
		const arrow = scoped({}, () => rows(1));
		expectTypeOf(arrow).returns.toEqualTypeOf<AsyncGenerator<number, string, string>>();
	});

	it("ask for the function's this", () => {
		const fn = scoped({ db: Db }, async function (this: { factor: number }, { db }, n: number) {
			return this.factor * db.id * n;
		});
		const shop = { factor: 2, fn };
		expectTypeOf(() => shop.fn(1)).returns.toEqualTypeOf<Promise<number>>();
		// @ts-expect-error: no `this`
		() => fn(1);
	});
});

describe("family's types", () => {
	it("infer key and value", () => {
		const TenantDb = family(
			async function* (tenant: string) {
				yield { tenant };
			},
			{ name: "TenantDb", lifetime: "app" },
		);
		expectTypeOf(TenantDb).toEqualTypeOf<(key: string) => Resource<{ tenant: string }>>();
		expectTypeOf(() => use(TenantDb("a"))).returns.toEqualTypeOf<Promise<{ tenant: string }>>();
		expectTypeOf(family(async (n: number) => n)).toEqualTypeOf<(key: number) => Resource<number>>();
		expectTypeOf(family((n: 1 | 2, { signal }) => [n, signal] as const)).returns.toEqualTypeOf<
			Resource<readonly [1 | 2, AbortSignal]>
		>();
		// @ts-expect-error: a key of the wrong type
		() => TenantDb(1);
		// @ts-expect-error: a value of the wrong type
		() => provide(TenantDb("a"), { tenant: 1 });
		provide(TenantDb("a"), { tenant: "b" });
		override(TenantDb("a"), TenantDb("b"));
	});

	it("infer dependencies", () => {
		const Repository = family({ db: Db, name: Name }, ({ db, name }, table: string, context) => {
			expectTypeOf(db).toEqualTypeOf<{ id: number }>();
			expectTypeOf(context).toEqualTypeOf<SetupContext>();
			return [name, table] as const;
		});
		expectTypeOf(Repository).toEqualTypeOf<(key: string) => Resource<readonly [string, string]>>();
	});

	it("take a class", () => {
		class Lock {
			readonly file: string;
			constructor(file: string, context: SetupContext) {
				this.file = `${context.scope.name}${file}`;
			}
		}
		expectTypeOf(family(Lock)).toEqualTypeOf<(key: string) => Resource<Lock>>();
		class Table {
			readonly id: number;
			constructor({ db }: { db: { id: number } }, name: string) {
				this.id = db.id + name.length;
			}
		}
		expectTypeOf(family({ db: Db }, Table)).toEqualTypeOf<(key: string) => Resource<Table>>();
	});
});

describe("a sync scope's types", () => {
	it("give values instead of promises", () => {
		using scope = openScopeSync();
		const plain = { [Symbol.dispose]() {}, id: 1 };
		expectTypeOf(() => scope.use(Db)).returns.toEqualTypeOf<{ id: number }>();
		expectTypeOf(scope.use(plain)).toEqualTypeOf(plain);
		expectTypeOf(scope.use(null)).toEqualTypeOf<null>();
		expectTypeOf(
			scope.adopt(1, (n) => expectTypeOf(n).toEqualTypeOf<number>()),
		).toEqualTypeOf<number>();
		expectTypeOf(scope.complete(1)).toEqualTypeOf<number>();
		expectTypeOf(scope.complete()).toEqualTypeOf<void>();
		expectTypeOf(scope.parent).toEqualTypeOf<Scope | SyncScope | undefined>();
		expectTypeOf<SyncScope>().toExtend<Disposable>();
		// @ts-expect-error: it can't wait for a disposer
		() => scope.use({ async [Symbol.asyncDispose]() {} });
	});

	it("infer the result of withScopeSync", () => {
		expectTypeOf(withScopeSync((scope) => scope.name)).toEqualTypeOf<string>();
		expectTypeOf(withScopeSync({ name: "a" }, () => 1)).toEqualTypeOf<number>();
		expectTypeOf(new SyncScope({ name: undefined }).move()).toEqualTypeOf<SyncScope>();
		// @ts-expect-error: a sync scope has no signal
		const options: SyncScopeOptions = { signal: new AbortController().signal };
		openScopeSync({ parent: null, ...options });
	});
});
