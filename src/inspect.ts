import type { ScopeSnapshot } from "./snapshot.ts";

/** Where `console.log` looks for how to print something. */
export const customInspect: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;

/** How many levels, and of a kind, are printed at most: a scope may have thousands of children. */
const most = 10;

/** Prints a scope as a tree, and `depth` levels below it: all, if it is `null`. */
export function inspectScope(scope: ScopeSnapshot, depth: number | null): string {
	return treeOf(scope, Math.min(depth ?? most, most), "");
}

function treeOf(scope: ScopeSnapshot, depth: number, indent: string): string {
	const { name, lifetime, state, outcome, resources, callbacks, running, children } = scope;
	const isNamed = lifetime !== undefined && lifetime !== name;
	const head = `Scope "${name}" (${isNamed ? `${lifetime}, ` : ""}${state}, ${outcome})`;
	if (depth < 0) return `${head} …`;
	const inner = `${indent}  `;
	const lines = some(resources, (each) => {
		const uses = some(each.dependencies).join(", ");
		const waitsFor = some(each.waitsFor).join(", ");
		const edges = `${uses && ` uses ${uses}`}${waitsFor && `, waits for ${waitsFor}`}`;
		return `${each.name} (${each.state}, ${Math.round(each.age)} ms)${edges}`;
	});
	if (callbacks > 0) lines.push(`callbacks: ${callbacks}`);
	if (running > 0) lines.push(`running: ${running}`);
	lines.push(...some(children, (child) => treeOf(child, depth - 1, inner)));
	return [head, ...lines.map((line) => inner + line)].join("\n");
}

function some<T>(all: readonly T[], print: (each: T) => string = String): string[] {
	const printed = all.slice(0, most).map((each) => print(each));
	if (all.length > most) printed.push(`… ${all.length - most} more`);
	return printed;
}
