import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { openScope, override, provide, use, withScope } from "yieldscope";
import { Postgres } from "../docs/examples/shop/postgres.ts";
import { DatabaseUrl } from "../docs/examples/testing/orders.ts";
import {
	TemporaryDatabase,
	TemporaryDirectory,
	TemporaryTable,
} from "../docs/examples/testing/temporary.ts";
import { rejection } from "./support.ts";

vi.setConfig({ testTimeout: 60_000 }); // each of them makes databases

const server = openScope({ name: "server", lifetime: "process" });
let url: string;
beforeAll(async () => {
	url = await server.use(Postgres);
}, 60_000);
afterAll(() => server.disposeAsync());

const openSuite = () =>
	openScope({ name: "suite", lifetime: "process", bindings: [provide(Postgres, url)] });

/** The databases that tests have made. */
async function databases(): Promise<string[]> {
	const client = new pg.Client({ connectionString: url });
	await client.connect();
	const { rows } = await client.query(
		"SELECT regexp_replace(datname, '_.*', '') AS name FROM pg_database WHERE datname ~ '^(test|template)_' ORDER BY 1",
	);
	await client.end();
	return rows.map(({ name }) => name);
}

it("drops each database after its test, and the template after all", async () => {
	const suite = openSuite();
	const failure = new Error("broken");
	const failing = withScope({ parent: suite }, async () => {
		await use(TemporaryDatabase);
		await use(TemporaryDatabase, { fresh: true });
		expect(await databases()).toEqual(["template", "test", "test"]);
		throw failure;
	});
	expect(await rejection(failing)).toBe(failure);
	expect(await databases()).toEqual(["template"]);
	await suite.disposeAsync();
	expect(await databases()).toEqual([]);
});

it("drops the temporary table before the connection is closed, and never the real one", async () => {
	const suite = openSuite();
	const bindings = [override(DatabaseUrl, TemporaryDatabase)];
	await withScope({ parent: suite, bindings }, () => use(TemporaryTable));
	expect(await databases()).toEqual(["template"]);
	await suite.disposeAsync();
});

it("removes a folder with what is in it", async () => {
	let path = "";
	await withScope(async () => {
		path = await use(TemporaryDirectory);
		await writeFile(`${path}/file`, "text");
	});
	expect([path.length > 0, existsSync(path)]).toEqual([true, false]);
});

// the other two load TypeScript and `yieldscope` by other means
it.runIf(!("Bun" in globalThis || "Deno" in globalThis))("serves node:test", async () => {
	const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));
	const options = ["--disable-warning=ExperimentalWarning", "--test-reporter=tap"];
	const { stdout } = await promisify(execFile)(
		process.execPath,
		[
			...options,
			"--import",
			path("source.ts"),
			path("../docs/examples/testing/orders.node-test.ts"),
		],
		{ env: { PATH: process.env.PATH, DATABASE_URL: url } },
	);
	expect(stdout.match(/^(not )?ok .*/gm)).toEqual([
		"ok 1 - a database and a clock for this test alone",
		"ok 2 - a database for this test alone",
	]);
	expect(await databases()).toEqual([]);
});
