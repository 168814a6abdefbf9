import { PRODUCTS } from "../../docs/examples/shop/schema.ts";
import { seeded } from "../load/random.ts";

/** How often each kind of request comes, in a thousand. Those after `receipt` name what goes wrong in the server. */
const weights = {
	/** A plain one. */
	order: 400,
	/** Its body comes in pieces, with pauses. */
	slow: 80,
	/** The client leaves at a random byte, of its request or of the answer. */
	abort: 150,
	export: 50,
	receipt: 30,
	/** The handler throws a 404, when it has written. */
	handler: 50,
	/** PostgreSQL refuses the COMMIT. */
	commit: 50,
	/** A setup throws, when it has written. */
	setup: 50,
	/** A release throws, when it has written, before the COMMIT. */
	release: 50,
	/** A release before the COMMIT hangs past its timeout. */
	hang: 10,
	/** A release throws when the answer is out. */
	audit: 30,
	/** A release hangs past its timeout when the answer is out. */
	"audit-hang": 10,
	/** The connection to PostgreSQL is cut when the COMMIT has been sent. */
	cut: 30,
	/** The COMMIT takes longer than its timeout, and succeeds. */
	stuck: 5,
	/** The COMMIT takes longer than its timeout, and is refused. */
	"stuck-refused": 5,
};

export type Kind = keyof typeof weights;

/** When a client leaves: at which byte, of what it sends or of what it gets; politely or with a reset. */
export interface Departure {
	readonly from: "request" | "answer";
	/** Of the request, a share of its length; of the answer, a number of bytes. */
	readonly at: number;
	/** How long it hesitates, in milliseconds. */
	readonly ms: number;
	readonly resets: boolean;
}

/** One request. */
export interface Visit {
	/** Also the customer: `kind-number`. */
	readonly id: string;
	readonly kind: Kind;
	readonly path: "/orders" | "/products" | "/receipts";
	readonly body: object | undefined;
	/** What is to be transferred, if it is an order: its number, so that no two are the same. */
	readonly amount: number | undefined;
	/** What the client may be told if nobody kills anything. */
	readonly status: number;
	readonly departure: Departure | undefined;
	/** Where the body is divided, as shares of its length, with a pause in milliseconds before each piece but the first. */
	readonly pauses: readonly { readonly at: number; readonly ms: number }[];
}

const statuses: Readonly<Partial<Record<Kind, number>>> = {
	export: 200,
	receipt: 202,
	handler: 404,
	commit: 409,
	setup: 500,
	release: 500,
	hang: 500,
	cut: 500,
	stuck: 500,
	"stuck-refused": 500,
};

/** The order that receipts are asked for. Nobody replaces it. */
export const STOCK = "stock-0";

/** The requests of one client, for ever: every `clients`th number from `first` on is its. */
export function* plan(seed: number, first: number, clients: number): Generator<Visit, never> {
	const random = seeded(seed + first);
	for (let number = first; ; number += clients) yield visit(kindAt(random()), number, random);
}

/** An order that nothing is done to. */
export function plainOrder(number: number): Visit {
	return visit("order", number, () => 0);
}

const kinds = (Object.keys(weights) as Kind[]).flatMap((kind) =>
	Array<Kind>(weights[kind]).fill(kind),
);

function kindAt(share: number): Kind {
	return kinds[Math.floor(share * kinds.length)] as Kind; // less than 1
}

function visit(kind: Kind, number: number, random: () => number): Visit {
	const exports = kind === "export" || (kind === "abort" && random() < 0.3);
	const path = exports ? "/products" : kind === "receipt" ? "/receipts" : "/orders";
	const order = {
		product: kind === "commit" || kind === "stuck-refused" ? PRODUCTS + 1 : 1,
		quantity: number,
		...(kind === "handler" && { replaces: 2 ** 31 - 1 }),
	};
	return {
		id: `${kind}-${number}`,
		kind,
		path,
		body: { "/orders": order, "/products": undefined, "/receipts": { order: 1 } }[path],
		amount: path === "/orders" ? number : undefined,
		status: statuses[kind] ?? (exports ? 200 : 201),
		departure: kind === "abort" ? departure(exports, random) : undefined,
		pauses: kind === "slow" ? pauses(random) : [],
	};
}

/** An order's answer has about 250 bytes, an export's 2 million. */
function departure(exports: boolean, random: () => number): Departure {
	const resets = random() < 0.5;
	// of those that leave in mid-request, one in five has sent it all
	return random() < 0.6
		? { from: "request", at: Math.min(1, random() * 1.25), ms: random() ** 2 * 50, resets }
		: { from: "answer", at: random() ** 3 * (exports ? 2e6 : 250), ms: 0, resets };
}

function pauses(random: () => number): Visit["pauses"] {
	const count = 1 + Math.floor(random() * 4);
	return Array.from({ length: count }, (_, index) => ({
		at: (index + random()) / count,
		ms: random() ** 2 * 300,
	}));
}
