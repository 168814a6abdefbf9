import { readdir, writeFile } from "node:fs/promises";
import { afterAll, test as base, beforeAll, describe, expect } from "vitest";
import { detectLeaks, openScope, override, provide } from "yieldscope";
import { expectNoOpenScopes, fixture, scopeFixture } from "yieldscope/testing";
import { Postgres } from "../shop/postgres.ts";
import { Clock, Connection, DatabaseUrl, Orders } from "./orders.ts";
import {
	SharedDatabase,
	TemporaryDatabase,
	TemporaryDirectory,
	TemporaryTable,
} from "./temporary.ts";

detectLeaks("all");

// what all tests share
const suite = openScope({ name: "suite", lifetime: "process" });
beforeAll(() => suite.use(Postgres), 60_000);
afterAll(async () => {
	expectNoOpenScopes(suite);
	await suite.disposeAsync();
	expectNoOpenScopes();
});

describe("with a database for each test", () => {
	const bindings = [override(DatabaseUrl, TemporaryDatabase)];
	const test = base
		.extend("scope", scopeFixture({ parent: suite, bindings }))
		.extend("orders", ({ scope }) => scope.use(Orders));

	describe.concurrent("that no other test sees", () => {
		for (const product of ["pen", "ink"]) {
			test(`lists the ${product}`, async ({ orders }) => {
				await orders.place(product);
				const year = new Date().getFullYear();
				expect(await orders.list()).toEqual(["book of 1999", `${product} of ${year}`]);
			});
		}
	});

	test("and a clock of its own", async ({ scope }) => {
		scope.bind(provide(Clock, { now: () => new Date("2001-06-01") }));
		const orders = await scope.use(Orders);
		await orders.place("pen");
		expect(await orders.list()).toEqual(["book of 1999", "pen of 2001"]);
	});
});

describe("with one database, and a transaction for each test that is rolled back", () => {
	const bindings = [override(DatabaseUrl, SharedDatabase)];
	const file = openScope({ parent: suite, lifetime: "file", bindings });
	afterAll(() => file.disposeAsync());
	const test = base.extend("orders", fixture(Orders, { parent: file, rollback: true }));

	for (const attempt of ["first", "second"]) {
		test(`finds what is there, the ${attempt} time`, async ({ orders }) => {
			expect(await orders.list()).toEqual(["book of 1999"]);
			await orders.place("pen");
			expect(await orders.list()).toHaveLength(2);
		});
	}
});

describe("with a temporary table", () => {
	const bindings = [override(DatabaseUrl, TemporaryDatabase)];
	const test = base.extend("scope", scopeFixture({ parent: suite, bindings }));

	test("hides the real one", async ({ scope }) => {
		const table = await scope.use(TemporaryTable);
		const orders = await scope.use(Orders);
		expect(await orders.list()).toEqual([]);
		const connection = await scope.use(Connection);
		const { rowCount } = await connection.query(`SELECT FROM public.${table}`);
		expect(rowCount).toBe(1);
	});
});

describe("with a folder for each test", () => {
	const test = base.extend("directory", fixture(TemporaryDirectory));
	for (const name of ["a.txt", "b.txt"]) {
		test(`that begins empty, for ${name}`, async ({ directory }) => {
			expect(await readdir(directory)).toEqual([]);
			await writeFile(`${directory}/${name}`, "text");
		});
	}
});
