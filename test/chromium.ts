import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
	(path) => path !== undefined && existsSync(path),
);

/** Why tests that need a browser are skipped, for their title. In CI a missing one is an error. */
export const noChromium: string =
	executablePath || process.env.CI ? "" : " (skipped: no Chromium is installed)";

export async function openChromium(): Promise<Browser> {
	if (executablePath === undefined)
		throw new Error("There is no Chromium. Install it, or say in CHROMIUM where it is.");
	return await chromium.launch({ executablePath, args: ["--no-sandbox"] });
}
