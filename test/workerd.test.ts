import { fileURLToPath } from "node:url";
import { build, type Rolldown } from "vite";
import { describe, expect, it } from "vitest";

const runsOnNode = !("Bun" in globalThis) && !("Deno" in globalThis);

/** The worker as one module. */
async function bundle(): Promise<string> {
	const src = (name: string) => fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
	const result = await build({
		configFile: false,
		logLevel: "silent",
		resolve: {
			alias: [
				{ find: /^yieldscope$/, replacement: src("index") },
				{ find: /^yieldscope\/(\w+)$/, replacement: src("$1") },
			],
		},
		build: {
			write: false,
			target: "es2022",
			lib: { entry: fileURLToPath(new URL("workerd/worker.ts", import.meta.url)), formats: ["es"] },
			rolldownOptions: { external: [/^node:/] },
		},
	});
	const [output] = [result].flat() as Rolldown.RolldownOutput[];
	const chunk = output?.output[0];
	if (chunk === undefined) throw new Error("Nothing was built");
	return chunk.code;
}

// miniflare is driven from Node
describe.skipIf(!runsOnNode).each(["nodejs_als", "nodejs_compat"])("workerd with %s", (flag) => {
	it("runs the core and the Hono adapter", { timeout: 60_000 }, async () => {
		const { Miniflare } = await import("miniflare");
		const miniflare = new Miniflare({
			modules: true,
			script: await bundle(),
			compatibilityDate: "2026-04-01",
			compatibilityFlags: [flag],
		});
		const get = async (path: string) => {
			const response = await miniflare.dispatchFetch(`http://worker${path}`);
			return [response.status, await response.text()];
		};
		const happened = async (lines: number) => {
			const log: unknown[] = [];
			for (let i = 0; i < 100 && log.length < lines; i++) {
				const [, text] = await get("/log");
				log.push(...(JSON.parse(text as string) as unknown[]));
				if (log.length < lines) await new Promise((resolve) => setTimeout(resolve, 10));
			}
			return log;
		};
		try {
			expect(await get("/core")).toEqual([200, '"core"']);
			const [, events] = await get("/events");
			const both = (operation: string) => [`${operation} start`, `${operation} asyncEnd`];
			expect(JSON.parse(String(events))).toEqual(
				flag === "nodejs_als"
					? [] // there is no such module
					: ["scope start", ...both("acquire"), ...both("release"), "scope asyncEnd"],
			);
			expect(await get("/ok")).toEqual([200, '{"ok":true}']);
			expect(await happened(5)).toEqual([
				"+tx",
				"+audit",
				"-tx:success",
				"after",
				"-audit:success",
			]);
			expect(await get("/fails")).toEqual([500, '{"error":"failed"}']);
			expect(await happened(4)).toEqual(["+tx", "+audit", "-tx:failure", "-audit:failure"]);
			expect(await get("/stream")).toEqual([200, "ab"]);
			expect(await happened(5)).toEqual([
				"+tx",
				"-tx:success",
				"+audit",
				"body ends",
				"-audit:success",
			]);
			const url = await miniflare.ready;
			const failed = ["+tx", "+audit", "-tx:success", "-audit:failure"];
			for (const path of ["/ok", "/ticks", "/empty"]) {
				const method = path === "/empty" ? "GET" : "HEAD";
				expect((await fetch(new URL(path, url), { method })).ok).toBe(true);
				const lines = path === "/empty" ? 4 : 5;
				const seen = (await happened(lines)).filter((line) => !/^(after|ticks)/.test(String(line)));
				expect([path, ...seen]).toEqual([
					path,
					...["+tx", "+audit", "-tx:success", "-audit:success"],
				]);
			}
			const conflict = await fetch(new URL("/conflict", url));
			expect([conflict.status, await conflict.text()]).toEqual([500, '{"error":"conflict"}']);
			expect([conflict.headers.get("set-cookie"), conflict.headers.get("etag")]).toEqual([
				null,
				null,
			]);
			expect(await happened(3)).toEqual(["+audit", "+conflict", "-audit:failure"]);
			await fetch(new URL("/half", url))
				.then((response) => response.text())
				.catch(() => {}); // whether the client is told is the server's affair
			expect(await happened(4)).toEqual(failed);
		} finally {
			await miniflare.dispose();
		}
	});
});
