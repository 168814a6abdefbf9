import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { styleText } from "node:util";
import { override, withScope } from "yieldscope";
import { openInspector } from "yieldscope/inspector";
import { ORDERS, type Proof, prove } from "./proof.ts";
import { Database } from "./resources.ts";
import { database, PRODUCTS } from "./schema.ts";
import { openShop, type Shop, servers } from "./shops.ts";
import { rows } from "./timeline.ts";
import { makeTrouble } from "./trouble.ts";

const WIDTH = 36;
const INTERRUPTED = "Interrupted.";
const ORDER = { product: 1, quantity: 2 };

/** Drives a shop and gives what the client saw. The request whose timeline is shown has the scenario's `id`. */
type Scenario = (shop: Shop, id: string) => Promise<string>;

const scenarios: Record<string, Scenario> = {
	[`${ORDERS} orders at once over 10 connections; one of them`]: async (shop, id) => {
		const ids = [...Array.from({ length: ORDERS - 1 }, (_, i) => `${id} #${i}`), id];
		const answers = await Promise.all(ids.map((each) => shop.send(each, "/orders", ORDER)));
		return `${answers.filter(({ status }) => status === 201).length} x 201`;
	},

	"An order whose COMMIT fails: there is no such product": async (shop, id) =>
		tell(await shop.send(id, "/orders", { ...ORDER, product: PRODUCTS + 1 })),

	"A handler that throws a 404 after it has written": async (shop, id) =>
		tell(await shop.send(id, "/orders", { ...ORDER, replaces: 999_999 })),

	"Work after the response": async (shop, id) =>
		tell(await shop.send(id, "/receipts", { order: 1 })),

	"A streamed export, read through a cursor": async (shop, id) => {
		const lines = (await (await shop.send(id, "/products")).text()).trimEnd().split("\n");
		return `200, ${lines.length} lines`;
	},

	"A client that leaves in mid-stream": async (shop, id) => {
		const client = new AbortController();
		const response = await shop.send(id, "/products", undefined, client.signal);
		await response.body?.getReader().read();
		client.abort();
		return "200, left after the first byte";
	},
};

async function tell(response: Response): Promise<string> {
	const { message } = (await response.json()) as { message: string };
	return `${response.status} ${message}`;
}

function print(cells: readonly string[]): void {
	const row = cells.map((cell) => cell.padEnd(WIDTH)).join("");
	console.log(row.trimEnd());
}

async function play(title: string, run: Scenario, shops: readonly Shop[]): Promise<void> {
	const seen: string[] = [];
	for (const shop of shops) {
		seen.push(await run(shop, title));
		await shop.idle();
	}
	console.log(styleText("bold", `\n${title}`));
	print(shops.map((shop) => `     ms  ${shop.name}`));
	for (const row of rows(shops.map((shop) => shop.timeline.of(title)))) print(row);
	print(seen.map((text) => ` client  ${text}`));
}

async function check(shops: readonly Shop[]): Promise<boolean> {
	const proofs = await Promise.all(shops.map(prove));
	console.log(styleText("bold", "\nProof, from PostgreSQL, the pools and the scopes"));
	print(["", ...shops.map((shop) => shop.name)]);
	for (const [i, { label }] of (proofs[0] ?? []).entries()) {
		print([label, ...proofs.map((all) => verdict(all[i]))]);
	}
	return proofs.flat().every(({ found, expected }) => found === expected);
}

function verdict(proof: Proof | undefined): string {
	if (proof === undefined) return "";
	const { found, expected } = proof;
	return found === expected ? `ok  ${found}` : styleText("red", `NO  ${found}, not ${expected}`);
}

/** Serves the inspector's page, and gives it something to show, until somebody interrupts: `npm run demo -- --inspect`. */
const inspector = process.argv.includes("--inspect")
	? openInspector({ limit: 2 * ORDERS })
	: undefined;

async function serveInspector(shops: readonly Shop[], signal: AbortSignal): Promise<void> {
	if (inspector === undefined) return;
	const server = createServer(inspector.listener).listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo; // it listens on TCP
	console.log(
		`\nThe inspector is at http://localhost:${port}/ until you press Ctrl+C. Find out what is slow, and why.`,
	);
	try {
		await makeTrouble(shops, signal);
	} finally {
		inspector[Symbol.dispose]();
		server.close();
		server.closeAllConnections();
	}
}

async function main(): Promise<boolean> {
	const signal = inspector === undefined ? AbortSignal.timeout(60_000) : undefined;
	return withScope({ name: "demo", lifetime: "process", signal }, async (scope) => {
		process.once("SIGINT", () => scope.abort(INTERRUPTED));
		process.once("SIGTERM", () => scope.abort(INTERRUPTED));
		const shops: Shop[] = [];
		for (const [name, create] of Object.entries(servers)) {
			const shop = await openShop(name, create, override(Database, database(name)));
			shops.push(scope.use(shop));
		}
		for (const [title, run] of Object.entries(scenarios)) await play(title, run, shops);
		const ok = await check(shops);
		await serveInspector(shops, scope.signal);
		return ok;
	});
}

try {
	const ok = await main();
	console.log(ok ? "\nEverything holds." : "\nNOT everything holds.");
	process.exitCode = ok ? 0 : 1;
} catch (error) {
	console.error(error);
	process.exitCode = error === INTERRUPTED ? 130 : 1;
}
