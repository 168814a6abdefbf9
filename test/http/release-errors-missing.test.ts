import express, { type NextFunction, type Request, type Response } from "express";
import { expect, it } from "vitest";
import { requestScope } from "../../src/express.ts";
import { use } from "../../src/index.ts";
import { httpError, type Kit, kits, stage } from "./kits.ts";

const scene = stage(kits[0] as Kit);

// in a file of its own: one releaseErrors() is enough for a process
it("warns once where a handler's resource is used and releaseErrors() isn't mounted", async () => {
	const its = scene();
	const warnings: Error[] = [];
	const listener = (warning: Error) => void warnings.push(warning);
	process.on("warning", listener);
	const app = express();
	app.use(requestScope({ parent: its.app }));
	app.get("/unused", (_req, res) => res.json(1));
	app.get("/", async () => {
		await use(its.H);
		throw httpError(404, "no such order");
	});
	app.use(
		(error: Error & { status: number }, _req: Request, res: Response, _next: NextFunction) => {
			res.sendStatus(error.status);
		},
	);
	const site = await its.serve(app);
	expect((await site.fetch("/unused")).status).toBe(200);
	await new Promise(setImmediate);
	expect(warnings).toEqual([]);
	for (let i = 0; i < 2; i++) expect((await site.fetch("/")).status).toBe(404);
	await its.idle();
	process.off("warning", listener);
	expect(warnings).toEqual([
		expect.objectContaining({
			code: "YS_WARN_RELEASE_ERRORS_MISSING",
			message: expect.stringContaining("app.use(releaseErrors())"),
		}),
	]);
	// which is what it warns of
	expect(its.log.slice(2, 6)).toEqual(["+H", "-H", "head 404", "sent"]);
});
