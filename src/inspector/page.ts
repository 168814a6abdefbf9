import style from "./page.css?raw";
import html from "./page.html?raw";
// biome-ignore lint/correctness/useImportExtensions: there is no module behind it, only text
import script from "./page.js?raw";

/** The page, and the policy under which nothing but its own style and script runs. */
export async function renderPage(): Promise<{ readonly html: string; readonly policy: string }> {
	return {
		html: html
			.replace("<style></style>", () => `<style>${style}</style>`)
			.replace("<script></script>", () => `<script type="module">${script}</script>`),
		policy: [
			"default-src 'none'",
			`script-src ${await hashOf(script)}`,
			`style-src ${await hashOf(style)}`,
			"img-src data:",
			"connect-src 'self'",
			"base-uri 'none'",
			"form-action 'none'",
			"frame-ancestors 'none'",
			"require-trusted-types-for 'script'",
		].join("; "),
	};
}

async function hashOf(text: string): Promise<string> {
	const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
	return `'sha256-${btoa(String.fromCharCode(...new Uint8Array(hash)))}'`;
}
