import { Hono } from "hono";
import { currentScope, type Resource, resource, tryCurrentScope, use, withScope } from "yieldscope";
import { handler, releaseErrors, requestScope } from "yieldscope/hono";

/** What has happened in the requests so far; `GET /log` takes it. */
const log: string[] = [];

function logged(name: string, lifetime: string): Resource<string> {
	return resource(
		async function* () {
			log.push(`+${name}`);
			try {
				yield name;
				log.push(`-${name}:success`);
			} catch (error) {
				log.push(`-${name}:failure`);
				throw error;
			}
		},
		{ name, lifetime },
	);
}
const Tx = logged("tx", "handler");
const Audit = logged("audit", "request");
const Conflict = resource(
	async function* () {
		log.push("+conflict");
		yield "conflict";
		throw new Error("conflict");
	},
	{ lifetime: "handler" },
);
const Core = resource(() => "core");

async function* rows(): AsyncGenerator<string> {
	yield "a";
	await use(Audit);
	yield "b";
	log.push("body ends");
}

async function* ticks(): AsyncGenerator<string> {
	try {
		for (;;) {
			yield "tick ".repeat(1000); // workerd collects small ones
			await new Promise((resolve) => setTimeout(resolve, 1));
		}
	} finally {
		log.push(`ticks end in ${tryCurrentScope()?.name}`);
	}
}

async function* half(): AsyncGenerator<string> {
	yield "a";
	throw new Error("half-way");
}

function encoded(chunks: AsyncGenerator<string>): ReadableStream<Uint8Array> {
	return new ReadableStream({
		async pull(controller) {
			const { done, value } = await chunks.next();
			if (done) controller.close();
			else controller.enqueue(new TextEncoder().encode(value));
		},
		cancel: async () => void (await chunks.return(undefined)),
	});
}

const app = new Hono();
app.get("/log", (c) => c.json(log.splice(0)));
app.get("/core", async (c) => c.json(await withScope(() => use(Core))));
app.get("/events", async (c) => {
	const diagnostics = globalThis.process?.getBuiltinModule?.("node:diagnostics_channel");
	const seen: string[] = [];
	for (const operation of ["scope", "acquire", "release"])
		for (const phase of ["start", "asyncEnd"])
			diagnostics?.subscribe(`tracing:yieldscope:${operation}:${phase}`, () =>
				seen.push(`${operation} ${phase}`),
			);
	await withScope(() => use(Core));
	return c.json(seen.splice(0));
});
app.use(requestScope());
app.get(
	"/ok",
	handler({ tx: Tx, audit: Audit }, async (_values, c) => {
		currentScope().after(() => log.push("after"));
		return c.json({ ok: true });
	}),
);
app.get(
	"/fails",
	handler({ tx: Tx, audit: Audit }, async () => {
		throw new Error("failed");
	}),
);
app.get(
	"/stream",
	handler({ tx: Tx }, async (_values, c) => c.body(encoded(rows()))),
);
app.get(
	"/ticks",
	handler({ tx: Tx, audit: Audit }, async (_values, c) => c.body(encoded(ticks()))),
);
app.get(
	"/half",
	handler({ tx: Tx, audit: Audit }, async (_values, c) => c.body(encoded(half()))),
);
app.get(
	"/conflict",
	handler({ audit: Audit, conflict: Conflict }, async (_values, c) => {
		c.header("Set-Cookie", "order=7");
		return c.json({ ok: true }, 201, { ETag: '"1"' });
	}),
);
app.get(
	"/empty",
	handler({ tx: Tx, audit: Audit }, async (_values, c) => c.body(null, 204)),
);
app.onError(releaseErrors((error, c) => c.json({ error: error.message }, 500)));

export default app;
