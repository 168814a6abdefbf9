import { Hono } from "hono";
import { currentScope, type Resource, resource, use, withScope } from "yieldscope";
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
const Core = resource(() => "core");

async function* rows(): AsyncGenerator<string> {
	yield "a";
	await use(Audit);
	yield "b";
	log.push("body ends");
}

const app = new Hono();
app.get("/log", (c) => c.json(log.splice(0)));
app.get("/core", async (c) => c.json(await withScope(() => use(Core))));
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
	handler({ tx: Tx }, async (_values, c) => {
		const body = ReadableStream.from(rows()) as ReadableStream<string>;
		return c.body(body.pipeThrough(new TextEncoderStream()));
	}),
);
app.onError(releaseErrors((error, c) => c.json({ error: error.message }, 500)));

export default app;
