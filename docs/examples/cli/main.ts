import { type Scope, type ScopeOptions, withScope } from "yieldscope";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Runs a command in an `"app"` scope. The process exits with 0 if it has succeeded, with 1 if it has failed.
 *
 * SIGINT and SIGTERM abort the scope: what the command had begun is undone and released. The process then ends by that
 * signal, so that a shell knows why, and stops its script, too. A second signal ends it at once.
 */
export async function main(
	options: ScopeOptions,
	command: (scope: Scope) => Promise<void>,
): Promise<void> {
	const interrupted = new AbortController();
	let received: NodeJS.Signals | undefined;
	const endBy = (signal: NodeJS.Signals) => {
		ignore();
		process.kill(process.pid, signal);
	};
	const interrupt = (signal: NodeJS.Signals) => {
		if (received !== undefined) return endBy(signal);
		received = signal;
		interrupted.abort(new Error(`Interrupted by ${signal}`));
	};
	const ignore = () => {
		for (const signal of SIGNALS) process.off(signal, interrupt);
	};
	for (const signal of SIGNALS) process.on(signal, interrupt);
	try {
		await withScope({ lifetime: "app", ...options, signal: interrupted.signal }, command);
	} catch (error) {
		if (error !== interrupted.signal.reason) console.error(error);
		if (received === undefined) process.exitCode = 1;
		else endBy(received);
	} finally {
		ignore();
	}
}
