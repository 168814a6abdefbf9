import { appendFileSync } from "node:fs";
import { family, type Resource, ScopeIncompleteError, token } from "../../src/index.ts";

/** Writes a line to the file that the test which runs this process reads. */
export function log(line: string): void {
	appendFileSync(process.env.TRACE as string, `${line}\n`);
}

export const User = token<string>("User");

/** Its value is its name; it tells how it is released. */
export const Traced: (name: string) => Resource<string> = family(async function* (name: string) {
	log(`${name}: acquired`);
	try {
		yield name;
		log(`${name}: committed`);
	} catch (error) {
		log(`${name}: ${error instanceof ScopeIncompleteError ? "rolled back" : textOf(error)}`);
		throw error;
	}
});

function textOf(error: unknown): string {
	const { name, message } = error as Error;
	return `${error instanceof Error ? name : "?"} ${message?.split("\n")[0]}`;
}
