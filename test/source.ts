import { registerHooks } from "node:module";

/** Lets Node run what imports the package by its name, on the sources: `node --import ./test/source.ts`. */
registerHooks({
	resolve(specifier, context, next) {
		const [, entry] = /^yieldscope(?:\/(\w+))?$/.exec(specifier) ?? [];
		return /^yieldscope(?:\/|$)/.test(specifier)
			? next(new URL(`../src/${entry ?? "index"}.ts`, import.meta.url).href, context)
			: next(specifier, context);
	},
});
