import express, { type Request, type RequestHandler, type Response } from "express";
import { type Context, Hono } from "hono";
import { hc } from "hono/client";
import Koa from "koa";
import { describe, expect, expectTypeOf, it } from "vitest";
import * as forExpress from "../../src/express.ts";
import * as forHono from "../../src/hono.ts";
import { resource } from "../../src/index.ts";
import * as forKoa from "../../src/koa.ts";

const Id = resource(() => 7);
const Name = resource(async function* () {
	yield "name";
});

// checked by tsc; the handlers need not run
describe("the types of handler()", () => {
	it("infer dependencies and path params in Express", () => {
		const { handler } = forExpress;
		const app = express();
		app.get(
			"/a/:id",
			handler((req) => {
				expectTypeOf(req.params).toEqualTypeOf<{ id: string }>();
			}),
		);
		app.get(
			"/a/:id",
			handler({ id: Id, name: Name }, ({ id, name }, req, res, next) => {
				expectTypeOf(id).toEqualTypeOf<number>();
				expectTypeOf(name).toEqualTypeOf<string>();
				expectTypeOf(req.params.id).toEqualTypeOf<string | undefined>();
				expectTypeOf(res).toEqualTypeOf<Response>();
				next();
			}),
		);
		app.get(
			"/a/:id",
			handler({ id: Id }, ({ id }, req: Request<{ id: string }>) => {
				expectTypeOf(id).toEqualTypeOf<number>();
				expectTypeOf(req.params).toEqualTypeOf<{ id: string }>();
			}),
			(req) => {
				expectTypeOf(req.params).toEqualTypeOf<{ id: string }>();
			},
		);
		const named = handler({ id: Id }, (_values, req: Request<{ id: string }>) => req.params.id);
		expectTypeOf(named).toEqualTypeOf<RequestHandler<{ id: string }>>();
		app.get("/a/:id", named);
		app.use(handler({ id: Id }, (_values, _req, _res, next) => next()));
		app.use(
			"/b",
			handler((_req, _res, next) => next()),
		);
		const loose = async ({ id }: { id: number }, _req: Request, res: Response) => {
			res.json(id);
		};
		app.get("/", handler({ id: Id }, loose));
		// @ts-expect-error the resource isn't a string
		handler({ id: Id }, ({ id }: { id: string }) => id);
		expect(app).toBeTypeOf("function");
	});

	it("infer dependencies and the state in Koa", () => {
		const { handler } = forKoa;
		const app = new Koa<{ user: string }>();
		app.use(
			handler({ id: Id }, async ({ id }, ctx, next) => {
				expectTypeOf(id).toEqualTypeOf<number>();
				expectTypeOf(ctx.status).toEqualTypeOf<number>();
				await next();
			}),
		);
		app.use(
			handler((ctx, next) => {
				expectTypeOf(ctx.path).toEqualTypeOf<string>();
				return next();
			}),
		);
		expect(app.middleware).toHaveLength(2);
	});

	it("infer dependencies, the environment, path params and the client in Hono", () => {
		const { handler } = forHono;
		interface AppEnv {
			Variables: { user: string };
		}
		const app = new Hono<AppEnv>()
			.get("/bare/:id", (c) => c.json({ id: c.req.param("id") }))
			.get(
				"/wrapped/:id",
				handler((c) => {
					return c.json({ id: c.req.param("id") });
				}),
			)
			.get(
				"/injected/:id",
				handler({ id: Id }, ({ id }, c) => {
					expectTypeOf(id).toEqualTypeOf<number>();
					expectTypeOf(c.req.param("id")).toEqualTypeOf<string | undefined>();
					return c.json({ id });
				}),
			)
			.get(
				"/annotated/:id",
				handler({ id: Id }, ({ id }, c: Context<AppEnv, "/annotated/:id">) => {
					expectTypeOf(c.req.param("id")).toEqualTypeOf<string>();
					expectTypeOf(c.get("user")).toEqualTypeOf<string>();
					return c.json({ id });
				}),
			);
		const client = hc<typeof app>("http://x");
		type Answer<F extends (...args: never) => Promise<{ json(): Promise<unknown> }>> = Awaited<
			ReturnType<Awaited<ReturnType<F>>["json"]>
		>;
		const at = (key: "bare" | "wrapped") => client[key][":id"].$get;
		expectTypeOf<Answer<(typeof client.bare)[":id"]["$get"]>>().toEqualTypeOf<{ id: string }>();
		expectTypeOf<Answer<(typeof client.wrapped)[":id"]["$get"]>>().toEqualTypeOf<{ id: string }>();
		expectTypeOf<Answer<(typeof client.injected)[":id"]["$get"]>>().toEqualTypeOf<{
			id: number;
		}>();
		expectTypeOf<Answer<(typeof client.annotated)[":id"]["$get"]>>().toEqualTypeOf<{
			id: number;
		}>();
		expect(at).toBeTypeOf("function");
	});
});
