import { against } from "./peer.ts";
import type { Measurements } from "./row.ts";

/** Each runs in a process of its own. */
export const sections: Readonly<Record<string, () => Promise<Measurements>>> = {
	scope: () => import("./scope.ts"),
	effect: against("effect", () => import("./peers/effect.ts"), { atMost: 1 }),
	effection: against("effection", () => import("./peers/effection.ts"), { atMost: 1 }),
	awilix: against("awilix", () => import("./peers/awilix.ts"), { atMost: 1 }),
	disposablestack: against("disposablestack", () => import("./peers/disposablestack.ts"), {
		atMost: 1,
	}),
	"nestjs-cls": against(
		"nestjs-cls",
		() => import("./peers/nestjs-cls.ts"),
		undefined,
		" and try/finally by hand: it releases nothing",
	),
	events: () => import("./events.ts"),
	acquired: () => import("./acquired.ts"),
	scale: () => import("./scale.ts"),
	http: () => import("./http.ts"),
	inspector: () => import("./inspector.ts"),
	heap: () => import("./heap.ts"),
	size: () => import("./size.ts"),
	import: () => import("./import-time.ts"),
};

/** What differs between two processes of the same program by as much as from its bar: in how many it is measured. */
export const processes: Readonly<Record<string, number>> = {
	scope: 5,
	events: 3,
	acquired: 3,
	scale: 5,
	heap: 3,
};

/** What a short run does without: gross regressions against peers show elsewhere, `bundle.test.ts` watches the sizes. */
export const long: ReadonlySet<string> = new Set([
	"effect",
	"effection",
	"awilix",
	"disposablestack",
	"nestjs-cls",
	"size",
]);
