import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout } from "node:timers/promises";
import express, { type NextFunction, type Request, type Response } from "express";
import { Hono } from "hono";
import { handler, releaseErrors, requestScope } from "../../src/express.ts";
import * as hono from "../../src/hono.ts";
import { currentScope, openScope, resource, type Scope } from "../../src/index.ts";
import { type InspectorOptions, openInspector } from "../../src/inspector.ts";
import { gate } from "../support.ts";

/** Holds a value that must never be shown. */
export const secret = "hunter2";

/** An app with an inspector, in which all goes wrong that the page is to show. */
export async function openShop(options: InspectorOptions = {}) {
	const inspector = openInspector(options);
	const app = openScope({ name: "shop", lifetime: "app", onReleaseError: () => {} });
	const mail = gate<string>();
	const templates = gate<string>();
	const audited = gate();

	const Pool = resource(
		async function* Pool() {
			await setTimeout(60);
			yield { password: secret };
		},
		{ lifetime: "app" },
	);
	const Connection = resource({ Pool }, async function* Connection() {
		await setTimeout(5);
		yield secret;
	});
	const Tx = resource(
		{ Connection },
		async function* Tx() {
			yield { secret };
			await setTimeout(15);
		},
		{ lifetime: "handler" },
	);
	const FailingTx = resource(
		{ Connection },
		async function* FailingTx() {
			yield secret;
			throw Object.assign(new Error(`duplicate key ${secret}`), { name: "ConflictError" });
		},
		{ lifetime: "handler" },
	);
	const AuditLog = resource(
		async function* AuditLog() {
			yield secret;
			await audited.promise;
		},
		{ lifetime: "request" },
	);
	const Smtp = resource(() => mail.promise, { name: "Smtp" });
	const Mailer = resource({ Smtp }, () => secret, { name: "Mailer", lifetime: "request" });
	const Templates = resource(() => templates.promise, { name: "Templates", lifetime: "app" });
	const Letter = resource({ Templates }, () => secret, { name: "Letter", lifetime: "request" });
	const Cursor = resource(
		async function* Cursor() {
			yield secret;
		},
		{ lifetime: "request" },
	);
	const Session = resource(
		async function* Session() {
			yield secret;
			await new Promise(() => {});
		},
		{ lifetime: "request" },
	);

	const shop = express();
	shop.use("/inspector", inspector.listener);
	shop.use(requestScope({ parent: app }));
	shop.get(
		"/orders",
		handler({ tx: Tx }, async (_, _req, res) => void res.json([])),
	);
	shop.get(
		"/conflict",
		handler({ tx: FailingTx }, async (_, _req, res) => void res.json([])),
	);
	shop.get(
		"/audited",
		handler({ audit: AuditLog }, async (_, _req, res) => void res.json([])),
	);
	shop.get(
		"/mail",
		handler({ mailer: Mailer }, async (_, _req, res) => void res.json([])),
	);
	for (const path of ["/newsletter", "/confirmation"]) {
		shop.get(
			path,
			handler({ letter: Letter }, async (_, _req, res) => void res.json([])),
		);
	}
	shop.get(
		"/session",
		handler({ session: Session }, async (_, _req, res) => void res.json([])),
	);
	shop.get(
		"/export",
		handler({ cursor: Cursor }, (_, _req, res) => {
			Readable.from(
				(async function* () {
					for (;;) {
						yield "row\n";
						await setTimeout(5);
					}
				})(),
			).pipe(res);
		}),
	);
	shop.get(
		"/pipeline",
		handler((_req, res) =>
			pipeline(async function* () {
				for (;;) {
					yield "row\n";
					await setTimeout(5);
				}
			}, res),
		),
	);
	shop.get(
		"/receipt",
		handler(async (_req, res) => {
			currentScope().after(() => setTimeout(20));
			res.json([]);
		}),
	);
	shop.use(releaseErrors());
	shop.use((_error: unknown, _req: Request, res: Response, _next: NextFunction) => {
		res.status(500).end();
	});

	const server = createServer(shop).listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	const url = `http://127.0.0.1:${port}`;
	return {
		inspector,
		app,
		mail,
		templates,
		audited,
		url,
		get: async (path: string) => (await fetch(url + path)).text(),
		async [Symbol.asyncDispose]() {
			mail.open("");
			templates.open("");
			audited.open();
			inspector[Symbol.dispose]();
			server.close();
			server.closeAllConnections();
			await app.disposeAsync();
		},
	};
}

/** The status of Hono's answer to a request whose commit fails. */
export async function conflictOnHono(parent: Scope): Promise<number> {
	const Tx = resource(
		async function* Tx() {
			yield secret;
			throw Object.assign(new Error(`duplicate key ${secret}`), { name: "ConflictError" });
		},
		{ lifetime: "handler" },
	);
	const app = new Hono();
	app.onError(hono.releaseErrors((_error, c) => c.text("no", 409)));
	app.use(hono.requestScope({ parent }));
	app.get(
		"/hono",
		hono.handler({ tx: Tx }, (_, c) => c.text("yes")),
	);
	const response = await app.request("/hono");
	await response.text();
	return response.status;
}
