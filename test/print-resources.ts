import { subscribe } from "node:diagnostics_channel";
import type { AcquireEvent, ReleaseEvent } from "yieldscope";

/** Prints when a transaction or its connection was acquired, and how it was released. */
export function printResources(print: (line: string, scope: string) => void): void {
	const shown = ["Connection", "Tx"];
	subscribe("tracing:yieldscope:acquire:asyncEnd", (message) => {
		const { instance, scope } = message as AcquireEvent;
		if (shown.includes(instance.resource)) print(`+ ${instance.resource}`, scope.name);
	});
	subscribe("tracing:yieldscope:release:asyncEnd", (message) => {
		const { instance, outcome, scope, error } = message as ReleaseEvent;
		if (instance === undefined || !shown.includes(instance.resource)) return;
		print(`- ${instance.resource}: ${error === undefined ? outcome : "error"}`, scope.name);
	});
}
