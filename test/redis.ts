import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { resource } from "yieldscope";
import { freePort } from "../docs/examples/shop/postgres.ts";

/** Whether there is a Redis to test with. In CI there has to be. */
export function hasRedis(): boolean {
	const { error } = spawnSync("redis-server", ["--version"]);
	if (error !== undefined && process.env.CI) throw error;
	return error === undefined;
}

interface Started {
	readonly server: ChildProcessByStdio<null, Readable, null>;
	readonly port: number;
	readonly kill: () => void;
}

/** Starts a server on a free port; on another, if somebody takes that meanwhile. */
async function start(directory: string, attempts = 5): Promise<Started> {
	const port = await freePort();
	const server = spawn(
		"redis-server",
		["--bind", "127.0.0.1", "--port", `${port}`, "--dir", directory, "--save", ""],
		{ stdio: ["ignore", "pipe", "inherit"] },
	);
	const kill = () => server.kill("SIGKILL");
	process.on("exit", kill);
	const log: string[] = [];
	for await (const line of createInterface(server.stdout)) {
		log.push(line);
		if (line.includes("Ready to accept connections")) return { server, port, kill };
	}
	// it has stopped, though its exit code may not be there yet
	process.off("exit", kill);
	if (attempts > 1) return start(directory, attempts - 1);
	throw new Error(`Redis has stopped:\n${log.join("\n")}`);
}

/** A server of our own, which leaves nothing on the disk. */
export const RedisServer = resource(async function* RedisServer() {
	const directory = mkdtempSync(join(tmpdir(), "yieldscope-redis-"));
	try {
		const { server, port, kill } = await start(directory);
		try {
			server.stdout.resume(); // it would wait for us when the pipe is full
			yield { host: "127.0.0.1", port };
		} finally {
			process.off("exit", kill);
			if (server.exitCode === null && server.kill("SIGTERM")) await once(server, "exit");
		}
	} finally {
		rmSync(directory, { recursive: true });
	}
});
