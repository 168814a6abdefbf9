import { describe, expect, it } from "vitest";
import {
	CircularDependencyError,
	openScope,
	type Resource,
	resource,
	scoped,
	use,
	withScope,
} from "../src/index.ts";
import { rejection, ticks } from "./support.ts";

describe("what reviews found", () => {
	it("aborts every running child, though one closes its own scope when it is told", async () => {
		const log: string[] = [];
		const parent = openScope();
		const child = (name: string) =>
			withScope({ parent }, async (scope) => {
				await new Promise<void>((resolve) => {
					scope.signal.addEventListener("abort", () => {
						log.push(name);
						void scope.disposeAsync();
						resolve();
					});
				});
			});
		const children = [child("a"), child("b"), child("c")];
		parent.fail(new Error("failed"));
		await parent.disposeAsync();
		await Promise.allSettled(children);
		expect(log.sort()).toEqual(["a", "b", "c"]);
	});

	it("refuses a setup that detaches its own resource for ever", async () => {
		const reported: unknown[] = [];
		const Self: Resource<number> = resource(async function* ({ scope }): AsyncGenerator<number> {
			yield await scope.detach(() => use(Self));
		});
		await withScope(
			{ lifetime: "app", onReleaseError: (error) => void reported.push(error) },
			async () => {
				const error = await rejection(use(Self));
				expect(error).toBeInstanceOf(CircularDependencyError);
			},
		);
		expect(reported.every((error) => error instanceof CircularDependencyError)).toBe(true);
	});

	it("releases what a scoped generator had acquired when its scope has failed", async () => {
		const log: string[] = [];
		const failure = new Error("failed");
		const Db = resource(async function* Db({ scope }) {
			scope.fail(failure);
			try {
				yield 1;
			} catch (error) {
				log.push("rolled back");
				throw error;
			}
		});
		const rows = scoped({ db: Db }, async function* () {
			yield 1;
		});
		expect(await rejection(rows().next())).toBe(failure);
		expect(log).toEqual(["rolled back"]);
	});

	it("disposes a dependency's value once, though a setup passes it on", async () => {
		let disposed = 0;
		const Inner = resource(() => ({ [Symbol.asyncDispose]: async () => void disposed++ }));
		const Outer = resource({ inner: Inner }, ({ inner }) => inner);
		await withScope(() => use(Outer));
		await ticks();
		expect(disposed).toBe(1);
	});
});
