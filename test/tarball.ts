import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** A clean copy of the repository, to build and to pack: beside the tests, others may read `dist`. */
export function copyRepository(): { copy: string; npm(...args: readonly string[]): string } {
	const copy = mkdtempSync(join(tmpdir(), "yieldscope-"));
	const left = new Set([".git", "node_modules", "dist", "generated", "api", "coverage"]);
	cpSync(root, copy, { recursive: true, filter: (path) => !left.has(basename(path)) });
	symlinkSync(join(root, "node_modules"), join(copy, "node_modules"), "junction");
	const npm = (...args: readonly string[]) =>
		execFileSync("npm", args, { cwd: copy, encoding: "utf8", stdio: "pipe" });
	return { copy, npm };
}
