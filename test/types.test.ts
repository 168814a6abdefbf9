import { describe, expectTypeOf, it } from "vitest";
import {
	type Binding,
	type CircularDependencyError,
	currentScope,
	type Dependencies,
	type Lifetime,
	type Outcome,
	openScope,
	override,
	provide,
	type Resource,
	type ResourceOptions,
	resource,
	Scope,
	ScopeClosedError,
	type ScopeError,
	type ScopeOptions,
	type SetupContext,
	type SetupResult,
	SuppressedError,
	token,
	tryCurrentScope,
	type UseOptions,
	use,
	useAll,
	type Values,
	withScope,
} from "../src/index.ts";

/** Takes code that is for the compiler only, which `npm run check` runs: most of it would throw. */
function typed(..._code: readonly (() => unknown)[]): void {}

interface Connection {
	query(sql: string): Promise<string[]>;
}
declare const connection: Connection;

async function* openDb() {
	yield { query: (sql: string) => sql.length };
}
const Db = resource(openDb);
const Count = resource(() => 1);
const Name = resource(async () => "name");

describe("resource", () => {
	it("infers the value of every kind of setup", () => {
		typed(() => {
			expectTypeOf(
				resource(async function* () {
					yield 1;
				}),
			).toEqualTypeOf<Resource<number>>();
			expectTypeOf(
				resource(function* () {
					yield "text";
				}),
			).toEqualTypeOf<Resource<string>>();
			expectTypeOf(resource(async () => true)).toEqualTypeOf<Resource<boolean>>();
			expectTypeOf(resource(() => new Date())).toEqualTypeOf<Resource<Date>>();
			expectTypeOf(resource(() => connection)).toEqualTypeOf<Resource<Connection>>();
			expectTypeOf(resource(() => Promise.resolve(1))).toEqualTypeOf<Resource<number>>();
			expectTypeOf(Db).toEqualTypeOf<Resource<{ query: (sql: string) => number }>>();
		});
	});

	it("infers the value of an async function that returns a generator", () => {
		typed(() => {
			expectTypeOf(resource(async () => openDb())).toEqualTypeOf<
				Resource<{ query: (sql: string) => number }>
			>();
			expectTypeOf(
				resource(async () =>
					(function* () {
						yield 1;
					})(),
				),
			).toEqualTypeOf<Resource<number>>();
			expectTypeOf(resource(() => openDb())).toEqualTypeOf<
				Resource<{ query: (sql: string) => number }>
			>();
		});
	});

	it("infers the value of annotated generators", () => {
		typed(
			() => {
				async function* short(): AsyncGenerator<Connection> {
					yield connection;
				}
				async function* long(): AsyncGenerator<Connection, void, unknown> {
					yield connection;
				}
				async function* strict(): AsyncGenerator<Connection, void, undefined> {
					yield connection;
				}
				function* sync(): Generator<Connection, string> {
					yield connection;
					return "ignored";
				}
				expectTypeOf(resource(short)).toEqualTypeOf<Resource<Connection>>();
				expectTypeOf(resource(long)).toEqualTypeOf<Resource<Connection>>();
				expectTypeOf(resource(strict)).toEqualTypeOf<Resource<Connection>>();
				expectTypeOf(resource(sync)).toEqualTypeOf<Resource<Connection>>();
			},
			() => {
				const Declared: Resource<Connection> = resource(async function* () {
					yield connection;
				});
				return Declared;
			},
			() => {
				expectTypeOf(
					resource<Connection>(async function* () {
						yield connection;
					}),
				).toEqualTypeOf<Resource<Connection>>();
				expectTypeOf(resource<number | string>(() => 1)).toEqualTypeOf<Resource<number | string>>();
			},
		);
	});

	it("infers the value of a class", () => {
		class Clock {
			now(): number {
				return 0;
			}
		}
		class Service {
			readonly scope: Scope;
			constructor({ scope }: SetupContext) {
				this.scope = scope;
			}
		}
		const Clock_ = resource(Clock);
		class Orders {
			readonly at: number;
			constructor({ clock }: { clock: Clock }) {
				this.at = clock.now();
			}
		}
		typed(() => {
			expectTypeOf(resource(Clock)).toEqualTypeOf<Resource<Clock>>();
			expectTypeOf(resource(Service)).toEqualTypeOf<Resource<Service>>();
			expectTypeOf(resource({ clock: Clock_ }, Orders)).toEqualTypeOf<Resource<Orders>>();
			// @ts-expect-error: it needs another dependency
			resource({ time: Clock_ }, Orders);
			// @ts-expect-error: it would take the context for its entries
			resource(Map<string, number>);
		});
	});

	it("infers the value of bound and wrapped functions", () => {
		function wrap<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R {
			return (...args) => fn(...args);
		}
		typed(() => {
			type Opened = Resource<{ query: (sql: string) => number }>;
			expectTypeOf(resource(openDb.bind(undefined))).toEqualTypeOf<Opened>();
			expectTypeOf(resource(wrap(openDb))).toEqualTypeOf<Opened>();
		});
	});

	it("keeps undefined, null and unions", () => {
		typed(() => {
			expectTypeOf(resource(() => undefined)).toEqualTypeOf<Resource<undefined>>();
			expectTypeOf(resource(() => null)).toEqualTypeOf<Resource<null>>();
			expectTypeOf(resource(() => {})).toEqualTypeOf<Resource<void>>();
			expectTypeOf(
				resource(async function* () {
					yield;
				}),
			).toEqualTypeOf<Resource<undefined>>();
			expectTypeOf(resource(async (): Promise<Connection | undefined> => undefined)).toEqualTypeOf<
				Resource<Connection | undefined>
			>();
			expectTypeOf(
				resource(function* (): Generator<number | string> {
					yield 1;
				}),
			).toEqualTypeOf<Resource<number | string>>();
		});
	});

	it("types the context without annotations", () => {
		typed(() => {
			resource((context) => {
				expectTypeOf(context).toEqualTypeOf<SetupContext>();
				expectTypeOf(context.scope).toEqualTypeOf<Scope>();
				expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
			});
			resource(async function* ({ scope, signal }) {
				expectTypeOf(scope).toEqualTypeOf<Scope>();
				expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
				yield 1;
			});
		});
	});

	it("types dependencies without annotations", () => {
		typed(() => {
			const Repo = resource(
				{ db: Db, count: Count, name: Name },
				async function* (values, context) {
					expectTypeOf(values).toEqualTypeOf<{
						readonly db: { query: (sql: string) => number };
						readonly count: number;
						readonly name: string;
					}>();
					expectTypeOf(context).toEqualTypeOf<SetupContext>();
					yield { count: values.count };
				},
			);
			expectTypeOf(Repo).toEqualTypeOf<Resource<{ count: number }>>();
			expectTypeOf(
				resource({ count: Count }, ({ count }, { signal }) => [count, signal.aborted] as const),
			).toEqualTypeOf<Resource<readonly [number, boolean]>>();
			expectTypeOf(resource({ name: Name }, async ({ name }) => name)).toEqualTypeOf<
				Resource<string>
			>();
			expectTypeOf(
				resource({ name: Name }, function* ({ name }) {
					yield name;
				}),
			).toEqualTypeOf<Resource<string>>();
			expectTypeOf(resource({}, () => 1)).toEqualTypeOf<Resource<number>>();
		});
	});

	it("types dependencies kept in a variable, and tokens", () => {
		const Tenant = token<{ id: string }>("Tenant");
		typed(() => {
			const needs = { tenant: Tenant, count: Count };
			expectTypeOf<Values<typeof needs>>().toEqualTypeOf<{
				readonly tenant: { id: string };
				readonly count: number;
			}>();
			expectTypeOf(needs).toExtend<Dependencies>();
			expectTypeOf(resource(needs, ({ tenant }) => tenant.id)).toEqualTypeOf<Resource<string>>();
		});
	});

	it("refuses setups and dependencies that don't fit", () => {
		typed(
			// @ts-expect-error: a value is no setup
			() => resource(1),
			// @ts-expect-error: neither is nothing
			() => resource(),
			// @ts-expect-error: a value is no dependency
			() => resource({ db: 1 }, () => 1),
			// @ts-expect-error: dependencies without a setup
			() => resource({ count: Count }),
			() =>
				resource({ count: Count }, (values) => {
					// @ts-expect-error: not among the dependencies
					return values.name;
				}),
			() =>
				resource({ count: Count }, (values) => {
					// @ts-expect-error: they are read-only
					values.count = 2;
				}),
			// @ts-expect-error: the setup wants another type than the dependency has
			() => resource({ count: Count }, ({ count }: { count: string }) => count),
			// @ts-expect-error: no such option
			() => resource(() => 1, { lifetme: "app" }),
			// @ts-expect-error: milliseconds
			() => resource(() => 1, { releaseTimeout: "1s" }),
			// @ts-expect-error: the setup makes another type than declared
			(): Resource<string> => resource(() => 1),
			() =>
				resource<string>(
					// @ts-expect-error: the generator yields another type than declared
					async function* () {
						yield 1;
					},
				),
		);
	});

	it("takes options of optional values", () => {
		typed((): Resource<number> => {
			const name: string | undefined = undefined;
			const options: ResourceOptions = { name, lifetime: undefined, releaseTimeout: undefined };
			return resource(() => 1, options);
		});
	});

	it("takes the known lifetimes and the user's own", () => {
		typed(() => {
			expectTypeOf<"app" | "request" | "handler" | "task" | "tenant">().toExtend<Lifetime>();
			resource(() => 1, { lifetime: "tenant" });
			// @ts-expect-error: lifetimes are strings
			resource(() => 1, { lifetime: 1 });
		});
	});

	it("is as wide as its value", () => {
		interface Animal {
			readonly name: string;
		}
		interface Dog extends Animal {
			bark(): void;
		}
		typed(() => {
			expectTypeOf<Resource<Dog>>().toExtend<Resource<Animal>>();
			expectTypeOf<Resource<Animal>>().not.toExtend<Resource<Dog>>();
			expectTypeOf<Resource<number>>().toExtend<Resource<unknown>>();
			expectTypeOf<Resource<number>>().not.toExtend<Resource<string>>();
			expectTypeOf<Resource<number | undefined>>().not.toExtend<Resource<number>>();
			expectTypeOf<Resource<undefined>>().not.toExtend<Resource<number>>();
		});
	});

	it("describes what a setup may return", () => {
		typed(() => {
			expectTypeOf<number>().toExtend<SetupResult<number>>();
			expectTypeOf<Promise<number>>().toExtend<SetupResult<number>>();
			expectTypeOf<AsyncGenerator<number, void, undefined>>().toExtend<SetupResult<number>>();
			expectTypeOf<Generator<number, void, undefined>>().toExtend<SetupResult<number>>();
			expectTypeOf<Promise<AsyncGenerator<number, void, undefined>>>().toExtend<
				SetupResult<number>
			>();
		});
	});
});

describe("token, provide and override", () => {
	const Port = token<number>("Port");

	it("types a token by its argument", () => {
		typed(() => {
			expectTypeOf(Port).toEqualTypeOf<Resource<number>>();
			expectTypeOf(token("Anything")).toEqualTypeOf<Resource<unknown>>();
			expectTypeOf(token<string>("Tenant", { lifetime: "request" })).toEqualTypeOf<
				Resource<string>
			>();
			// @ts-expect-error: a token has a name
			token<number>();
		});
	});

	it("takes a value of the resource's type", () => {
		typed(() => {
			expectTypeOf(provide(Port, 80)).toEqualTypeOf<Binding>();
			expectTypeOf(provide(Db, { query: () => 1 })).toEqualTypeOf<Binding>();
			expectTypeOf(provide(token<Connection | undefined>("C"), undefined)).toEqualTypeOf<Binding>();
		});
	});

	it("refuses a value of another type", () => {
		typed(
			// @ts-expect-error: a string is no number
			() => provide(Port, "80"),
			// @ts-expect-error: undefined is no number
			() => provide(Port, undefined),
			// @ts-expect-error: no value
			() => provide(Port),
			// @ts-expect-error: query is missing
			() => provide(Db, {}),
			// @ts-expect-error: it gives another type
			() => provide(Db, { query: () => "rows" }),
			// @ts-expect-error: there is no such property
			() => provide(Db, { query: () => 1, close: () => {} }),
			// @ts-expect-error: a promise is no number
			() => provide(Port, Promise.resolve(80)),
			// @ts-expect-error: a setup is no resource
			() => provide(() => 1, 1),
		);
	});

	it("takes a replacement of the same type, or a narrower one", () => {
		typed(() => {
			expectTypeOf(override(Port, Count)).toEqualTypeOf<Binding>();
			override(
				Db,
				resource(async () => ({ query: (_sql: string) => 1, close: () => {} })),
			);
			override(
				Db,
				resource({ db: Db }, ({ db }) => db),
			);
		});
	});

	it("refuses a replacement of another type", () => {
		typed(
			// @ts-expect-error: a string is no number
			() => override(Port, Name),
			() =>
				override(
					Db,
					// @ts-expect-error: query is missing
					resource(() => ({})),
				),
			// @ts-expect-error: a value is no resource
			() => override(Port, 80),
			// @ts-expect-error: a setup is no resource
			() => override(Port, () => 80),
		);
	});
});

describe("use and useAll", () => {
	it("give the value", () => {
		typed(() => {
			expectTypeOf(use(Count)).toEqualTypeOf<Promise<number>>();
			expectTypeOf(use(Name, { fresh: true })).toEqualTypeOf<Promise<string>>();
			expectTypeOf(use(Db, { lifetime: "app" })).toEqualTypeOf<
				Promise<{ query: (sql: string) => number }>
			>();
			expectTypeOf(use(token<Connection>("C"))).toEqualTypeOf<Promise<Connection>>();
		});
	});

	it("give the values by name", () => {
		typed(() => {
			expectTypeOf(useAll({ count: Count, name: Name })).toEqualTypeOf<
				Promise<{ readonly count: number; readonly name: string }>
			>();
			const none = useAll({});
			expectTypeOf<keyof Awaited<typeof none>>().toEqualTypeOf<never>();
		});
	});

	it("refuse what is no resource, and options that there aren't", () => {
		typed(
			// @ts-expect-error: a setup is no resource
			() => use(() => 1),
			// @ts-expect-error: a promise of a value is no resource
			() => use(use(Count)),
			// @ts-expect-error: nothing
			() => use(undefined),
			// @ts-expect-error: no such option
			() => use(Count, { refresh: true }),
			// @ts-expect-error: a list has no names
			() => useAll([Count, Name]),
			// @ts-expect-error: a value is no resource
			() => useAll({ count: 1 }),
			() => {
				const options: UseOptions = { fresh: true, lifetime: "app" };
				return use(Count, options);
			},
		);
	});
});

describe("withScope", () => {
	it("gives what its function returns, awaited", () => {
		typed(() => {
			expectTypeOf(withScope(() => 1)).toEqualTypeOf<Promise<number>>();
			expectTypeOf(withScope(async () => "text")).toEqualTypeOf<Promise<string>>();
			expectTypeOf(withScope(() => use(Count))).toEqualTypeOf<Promise<number>>();
			expectTypeOf(withScope(() => {})).toEqualTypeOf<Promise<void>>();
			expectTypeOf(withScope({ name: "work" }, async () => [1])).toEqualTypeOf<Promise<number[]>>();
			expectTypeOf(withScope(() => withScope(() => Promise.resolve(1)))).toEqualTypeOf<
				Promise<number>
			>();
			expectTypeOf(
				withScope((): never => {
					throw new Error();
				}),
			).toEqualTypeOf<Promise<never>>();
		});
	});

	it("hands its function the scope", () => {
		typed(() =>
			withScope({ lifetime: "request" }, (scope) => {
				expectTypeOf(scope).toEqualTypeOf<Scope>();
			}),
		);
	});

	it("refuses what it can't run", () => {
		typed(
			// @ts-expect-error: no function
			() => withScope({ name: "work" }),
			// @ts-expect-error: no such option
			() => withScope({ nam: "work" }, () => 1),
			// @ts-expect-error: not a resource
			() => withScope(Count),
			// @ts-expect-error: one of two
			() => openScope({ release: "parallel" }),
			// @ts-expect-error: bindings are made by provide() and override()
			() => openScope({ bindings: [{ resource: Count, value: 1 }] }),
		);
	});

	it("takes options of optional values", () => {
		typed(() => {
			const options: ScopeOptions = {
				lifetime: undefined,
				name: undefined,
				parent: undefined,
				bindings: undefined,
				signal: undefined,
				releaseTimeout: undefined,
				release: undefined,
				onReleaseError: undefined,
			};
			return openScope(options);
		});
	});
});

describe("Scope", () => {
	it("gives the value of a resource as a promise, and a disposable as it is", () => {
		typed(() => {
			const scope = openScope();
			expectTypeOf(scope.use(Count)).toEqualTypeOf<Promise<number>>();
			expectTypeOf(scope.use(Db, { fresh: true })).toEqualTypeOf<
				Promise<{ query: (sql: string) => number }>
			>();
			expectTypeOf(scope.use(null)).toEqualTypeOf<null>();
			expectTypeOf(scope.use(undefined)).toEqualTypeOf<undefined>();
			const sync = { [Symbol.dispose]() {}, id: 1 };
			expectTypeOf(scope.use(sync)).toEqualTypeOf<typeof sync>();
			const asynchronous = { async [Symbol.asyncDispose]() {}, id: 1 };
			expectTypeOf(scope.use(asynchronous)).toEqualTypeOf<typeof asynchronous>();
			const maybe = sync as typeof sync | undefined;
			expectTypeOf(scope.use(maybe)).toEqualTypeOf<typeof sync | undefined>();
			expectTypeOf(scope.use(connection as Connection & AsyncDisposable)).toEqualTypeOf<
				Connection & AsyncDisposable
			>();
		});
	});

	it("gives another scope as it is", () => {
		typed(() => {
			expectTypeOf(openScope().use(openScope())).toEqualTypeOf<Scope>();
		});
	});

	it("refuses what is neither", () => {
		typed(
			// @ts-expect-error: a plain object
			() => openScope().use({}),
			// @ts-expect-error: a setup
			() => openScope().use(() => 1),
			// @ts-expect-error: options are for resources
			() => openScope().use({ [Symbol.dispose]() {} }, { fresh: true }),
		);
	});

	it("types the rest of its methods", () => {
		typed(() => {
			const scope = new Scope();
			expectTypeOf(openScope()).toEqualTypeOf<Scope>();
			expectTypeOf(currentScope()).toEqualTypeOf<Scope>();
			expectTypeOf(tryCurrentScope()).toEqualTypeOf<Scope | undefined>();
			expectTypeOf(scope).toExtend<AsyncDisposable>();
			expectTypeOf(
				scope.adopt(connection, (adopted) => {
					expectTypeOf(adopted).toEqualTypeOf<Connection>();
				}),
			).toEqualTypeOf<Connection>();
			expectTypeOf(scope.adopt(1, async () => {})).toEqualTypeOf<number>();
			expectTypeOf(scope.defer(() => {})).toEqualTypeOf<void>();
			expectTypeOf(scope.defer(async () => {})).toEqualTypeOf<void>();
			expectTypeOf(scope.move()).toEqualTypeOf<Scope>();
			expectTypeOf(scope.disposed).toEqualTypeOf<boolean>();
			expectTypeOf(scope.disposeAsync()).toEqualTypeOf<Promise<void>>();
			expectTypeOf(scope[Symbol.asyncDispose]()).toEqualTypeOf<Promise<void>>();
			expectTypeOf(scope.complete(connection)).toEqualTypeOf<Connection>();
			expectTypeOf(scope.fail(undefined)).toEqualTypeOf<void>();
			expectTypeOf(scope.abort()).toEqualTypeOf<void>();
			expectTypeOf(scope.release(Count)).toEqualTypeOf<Promise<void>>();
			expectTypeOf(scope.run(() => 1)).toEqualTypeOf<number>();
			expectTypeOf(scope.run(async () => 1)).toEqualTypeOf<Promise<number>>();
			expectTypeOf(scope.enter()).toEqualTypeOf<Disposable>();
			expectTypeOf(scope.spawn(() => 1)).toEqualTypeOf<Promise<number>>();
			expectTypeOf(scope.spawn(async () => 1)).toEqualTypeOf<Promise<number>>();
			expectTypeOf(scope.after(async () => 1)).toEqualTypeOf<void>();
			expectTypeOf(
				scope.detach((own) => {
					expectTypeOf(own).toEqualTypeOf<Scope>();
					return use(Count);
				}),
			).toEqualTypeOf<Promise<number>>();
			expectTypeOf(scope.bind(provide(Count, 2))).toEqualTypeOf<Disposable>();
			expectTypeOf(scope.signal).toEqualTypeOf<AbortSignal>();
			expectTypeOf(scope.parent).toEqualTypeOf<Scope | undefined>();
			expectTypeOf(scope.lifetime).toEqualTypeOf<Lifetime | undefined>();
			expectTypeOf(scope.name).toEqualTypeOf<string>();
			expectTypeOf(scope.outcome).toEqualTypeOf<Outcome>();
		});
	});

	it("refuses to be changed", () => {
		typed(() => {
			const scope = openScope();
			// @ts-expect-error: read-only
			scope.name = "other";
			// @ts-expect-error: read-only
			scope.parent = scope;
			// @ts-expect-error: read-only
			scope.disposed = true;
			// @ts-expect-error: a callback gets nothing
			scope.defer((value: string) => value);
			// @ts-expect-error: the callback is for another type
			scope.adopt(1, (value: string) => void value);
		});
	});
});

describe("errors", () => {
	it("are told apart by code and by name", () => {
		typed(() => {
			type Error = ScopeClosedError | CircularDependencyError;
			expectTypeOf<Error["code"]>().toEqualTypeOf<
				"YS_ERR_SCOPE_CLOSED" | "YS_ERR_CIRCULAR_DEPENDENCY"
			>();
			const tell = (error: Error) => {
				if (error.code === "YS_ERR_SCOPE_CLOSED")
					expectTypeOf(error).toEqualTypeOf<ScopeClosedError>();
				if (error.name === "CircularDependencyError")
					expectTypeOf(error).toEqualTypeOf<CircularDependencyError>();
			};
			return tell;
		});
	});

	it("carry typed details", () => {
		typed((error: ScopeError = new ScopeClosedError("closed")) => {
			expectTypeOf(error).toExtend<Error>();
			expectTypeOf(error.code).toEqualTypeOf<string>();
			expectTypeOf(error.resource).toEqualTypeOf<string | undefined>();
			expectTypeOf(error.scope).toEqualTypeOf<string | undefined>();
			expectTypeOf(error.path).toEqualTypeOf<readonly string[]>();
			const suppressed = new SuppressedError(1, 2);
			expectTypeOf(suppressed.error).toEqualTypeOf<unknown>();
			expectTypeOf(suppressed.suppressed).toEqualTypeOf<unknown>();
		});
	});
});
