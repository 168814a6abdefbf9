import type Cursor from "pg-cursor";
import { type Binding, override, resource } from "yieldscope";
import {
	type Audit,
	AuditLog,
	Catalogue,
	type Product,
	RequestId,
	Tx,
} from "../../docs/examples/shop/resources.ts";

/** What a fault throws. */
export class Fault extends Error {
	override readonly name = "Fault";
}

const FailingTx = resource(
	{ tx: Tx, request: RequestId },
	({ tx, request }) => {
		if (request.startsWith("setup-")) throw new Fault("in a setup, after BEGIN");
		return tx;
	},
	{ lifetime: "handler" },
);

const FailingCatalogue = resource(
	{ catalogue: Catalogue, request: RequestId },
	({ catalogue, request }) => {
		let reads = 0;
		const read = async (count: number) => {
			reads++;
			if (reads === 3 && request.startsWith("stream-")) throw new Fault("in a stream");
			return reads > BATCHES ? [] : catalogue.read(count);
		};
		return { read } as Cursor<Product>; // nobody calls anything else
	},
	{ lifetime: "request" },
);

/** How much of an export's rows there are here: enough that it isn't sent at once. */
const BATCHES = 10;

const FailingAuditLog = resource(
	{ audit: AuditLog, request: RequestId },
	({ audit, request }): Audit => {
		if (!request.startsWith("after-")) return audit;
		return () => {
			throw new Fault("in the work after the response");
		};
	},
	{ lifetime: "request" },
);

/** What makes the shop fail for the requests whose name says so. */
export const faults: readonly Binding[] = [
	override(Tx, FailingTx),
	override(Catalogue, FailingCatalogue),
	override(AuditLog, FailingAuditLog),
];
