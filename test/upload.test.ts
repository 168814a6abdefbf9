import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openScope, override, provide, resource, type Scope } from "yieldscope";
import { expressUploads, honoUploads, koaUploads } from "../docs/examples/upload/servers.ts";
import { UploadDirectory, type UploadedFile, Uploads } from "../docs/examples/upload/upload.ts";

const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);
const servers = { Express: expressUploads, Koa: koaUploads, Hono: honoUploads };

describe.skipIf(!onNode).each(Object.entries(servers))("uploads on %s", (_name, create) => {
	let directory: string;
	let app: Scope;
	let server: Server;
	let url: string;
	let reported: unknown[];
	/** The files that a handler was given, and whether they were there. */
	let seen: [name: string, there: boolean][];

	const Seen = resource({ files: Uploads }, async ({ files }): Promise<UploadedFile[]> => {
		for (const { name, path } of files) seen.push([name, existsSync(path)]);
		if (files.some(({ name }) => name === "bad")) throw new Error("bad");
		return files;
	});

	beforeEach(async () => {
		directory = await mkdtemp(join(tmpdir(), "yieldscope-uploads-"));
		seen = [];
		reported = [];
		app = openScope({
			lifetime: "app",
			bindings: [provide(UploadDirectory, directory), override(Uploads, Seen)],
			onReleaseError: (error) => reported.push(error),
		});
		server = create(app);
		await once(server.listen(0, "127.0.0.1"), "listening");
		url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
	});
	afterEach(async () => {
		server.close();
		server.closeAllConnections();
		await idle();
		expect(await readdir(directory)).toEqual([]);
		expect(reported).toEqual([]);
		await app.disposeAsync();
		await rm(directory, { recursive: true });
	});

	const idle = () => vi.waitFor(() => expect(app.inspect().children).toEqual([]), 5_000);

	async function upload(files: Record<string, number>): Promise<unknown[]> {
		const body = new FormData();
		for (const [name, size] of Object.entries(files))
			body.append("file", new Blob([new Uint8Array(size)]), name);
		const response = await fetch(url, { method: "POST", body });
		return [response.status, await response.json()];
	}

	it("are there for the handler, and gone after the response", async () => {
		expect(await upload({ small: 10, large: 1_000_000 })).toEqual([
			200,
			{ small: 10, large: 1_000_000 },
		]);
		expect(seen).toEqual([
			["small", true],
			["large", true],
		]);
	});

	it("are gone when something fails later", async () => {
		expect(await upload({ good: 10, bad: 10 })).toEqual([
			500,
			{ status: 500, message: "Internal Server Error" },
		]);
		expect(seen).toEqual([
			["good", true],
			["bad", true],
		]);
	});

	it("are refused if they are too large", async () => {
		expect(await upload({ good: 10, huge: 11 * 2 ** 20 })).toEqual([
			413,
			{ status: 413, message: "huge is too large" },
		]);
		expect(seen).toEqual([]);
	});

	it("are refused if they are no such thing", async () => {
		const response = await fetch(url, { method: "POST", body: "text" });
		expect(response.status).toBe(415);
		expect(seen).toEqual([]);
	});

	it("are refused if they end too soon", async () => {
		const headers = { "content-type": "multipart/form-data; boundary=x" };
		const body =
			'--x\r\ncontent-disposition: form-data; name="file"; filename="half"\r\n\r\nhalf of it';
		const response = await fetch(url, { method: "POST", headers, body });
		expect(response.status).toBe(400);
		expect(seen).toEqual([]);
	});

	it("are gone when the client leaves half-way", async () => {
		const headers = {
			"content-type": "multipart/form-data; boundary=x",
			"content-length": 1_000_000,
		};
		const req = request(url, { method: "POST", headers });
		req.on("error", () => {}); // it is cut by us
		req.write(
			'--x\r\ncontent-disposition: form-data; name="file"; filename="half"\r\ncontent-type: text/plain\r\n\r\n',
		);
		req.write("x".repeat(200_000));
		await vi.waitFor(async () => {
			const [upload = ""] = await readdir(directory);
			expect(await readdir(join(directory, upload))).toHaveLength(1);
		}, 5_000);
		req.destroy();
		await idle();
		expect(seen).toEqual([]);
	});
});
