import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openScope, override, provide, scoped } from "yieldscope";
import { testScope } from "yieldscope/testing";
import { Postgres } from "../shop/postgres.ts";
import { Clock, DatabaseUrl, Orders } from "./orders.ts";
import { TemporaryDatabase } from "./temporary.ts";

// what all tests share
const suite = openScope({ name: "suite", lifetime: "process" });
before(() => suite.use(Postgres));
after(() => suite.disposeAsync());

const bindings = [override(DatabaseUrl, TemporaryDatabase)];

test("a database and a clock for this test alone", async (t) => {
	const scope = testScope(t, { parent: suite, bindings });
	scope.bind(provide(Clock, { now: () => new Date("2001-06-01") }));
	const orders = await scope.use(Orders);
	await orders.place("pen");
	assert.deepEqual(await orders.list(), ["book of 1999", "pen of 2001"]);
});

// with any other runner: a wrapped function is a test
test(
	"a database for this test alone",
	scoped(
		{ orders: Orders },
		async ({ orders }) => assert.deepEqual(await orders.list(), ["book of 1999"]),
		{ parent: suite, bindings },
	),
);
