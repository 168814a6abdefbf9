import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openScope } from "yieldscope";
import { Postgres } from "../docs/examples/shop/postgres.ts";
import { servers } from "../docs/examples/shop/shops.ts";
import { load } from "./load/load.ts";

// Bun and Deno have servers and clients of their own behind node:http, which take aborts in their own way
const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);

const suite = openScope({ name: "suite", lifetime: "process" });
afterAll(() => suite.disposeAsync());

// 20,000 requests: npm run load
describe.skipIf(!onNode)("under load, with clients that leave and faults in every phase", () => {
	beforeAll(() => suite.use(Postgres), 60_000);

	it.each(Object.entries(servers))(
		"%s loses nothing and leaves nothing open",
		{ timeout: 60_000 },
		async (name, create) => {
			const { answers, checks } = await suite.run(() =>
				load({ name, create, requests: 500, seed: 20_261_122 }),
			);
			expect(Object.keys(answers).sort()).toEqual([
				"abort",
				"after",
				"commit",
				"export",
				"handler",
				"order",
				"receipt",
				"setup",
				"stream",
				"user",
			]);
			for (const { label, found, expected } of checks)
				expect({ [label]: found }).toEqual({ [label]: expected });
		},
	);
});
