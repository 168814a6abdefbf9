import express, { type Request, type RequestHandler, type Response } from "express";
import { type Context, Hono } from "hono";
import { hc } from "hono/client";
import { validator } from "hono/validator";
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
			"/a/:id/:part",
			handler({ id: Id, name: Name }, ({ id, name }, req, res, next) => {
				expectTypeOf(id).toEqualTypeOf<number>();
				expectTypeOf(name).toEqualTypeOf<string>();
				expectTypeOf(req.params).toEqualTypeOf<{ id: string } & { part: string }>();
				expectTypeOf(res).toEqualTypeOf<Response>();
				// @ts-expect-error the route has no such param
				expect(req.params.other).toBeUndefined();
				next();
			}),
			(req) => {
				expectTypeOf(req.params).toEqualTypeOf<{ id: string } & { part: string }>();
			},
		);
		app.get(
			"/a/:id",
			handler({ id: Id }, async ({ id }, req: Request<{ id: string }>) => {
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
		const loose = handler({ id: Id }, ({ id }, req) => {
			expectTypeOf(id).toEqualTypeOf<number>();
			expectTypeOf(req.params.any).toEqualTypeOf<string | undefined>();
		});
		app.get("/a/:id", loose);
		app.use(handler({ id: Id }, (_values, _req, _res, next) => next()));
		app.use(
			"/b",
			handler((_req, _res, next) => next()),
		);
		app.use("/b", handler({ id: Id }));
		app.get("/a/:id", handler({ id: Id }), (req) => {
			expectTypeOf(req.params).toEqualTypeOf<{ id: string }>();
		});
		const declared = async ({ id }: { id: number }, _req: Request, res: Response) => {
			res.json(id);
		};
		app.get("/", handler({ id: Id }, declared));
		const throws = handler({ id: Id }, ({ id }): never => {
			expectTypeOf(id).toEqualTypeOf<number>();
			throw new Error("no");
		});
		app.get("/", throws);
		// @ts-expect-error the resource isn't a string
		handler({ id: Id }, ({ id }: { id: string }) => id);
		app.get(
			"/",
			// @ts-expect-error nor in a route
			handler({ id: Id }, async ({ id }: { id: string }) => id),
		);
		// @ts-expect-error not a resource
		expect(() => handler({ id: 7 }, () => {})).toThrow(TypeError);
		expect(app).toBeTypeOf("function");
	});

	it("infer dependencies, state and context in Koa", () => {
		const { handler } = forKoa;
		const app = new Koa<{ user: string }, { trace: number }>();
		app.use(
			handler({ id: Id }, async ({ id }, ctx, next) => {
				expectTypeOf(id).toEqualTypeOf<number>();
				expectTypeOf(ctx.status).toEqualTypeOf<number>();
				expectTypeOf(ctx.state.user).toEqualTypeOf<string>();
				expectTypeOf(ctx.trace).toEqualTypeOf<number>();
				await next();
			}),
		);
		app.use(
			handler((ctx, next) => {
				expectTypeOf(ctx.path).toEqualTypeOf<string>();
				return next();
			}),
		);
		app.use(handler({ id: Id }));
		const loose = handler({ id: Id }, ({ id }, ctx) => {
			expectTypeOf(id).toEqualTypeOf<number>();
			expectTypeOf(ctx.path).toEqualTypeOf<string>();
		});
		new Koa().use(loose);
		// @ts-expect-error the resource isn't a string
		app.use(handler({ id: Id }, async ({ id }: { id: string }) => id));
		expect(app.middleware).toHaveLength(4);
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
				handler((c) => c.json({ id: c.req.param("id") })),
			)
			.get(
				"/injected/:id",
				handler({ id: Id }, async ({ id }, c) => {
					expectTypeOf(id).toEqualTypeOf<number>();
					expectTypeOf(c.req.param("id")).toEqualTypeOf<string>();
					expectTypeOf(c.get("user")).toEqualTypeOf<string>();
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
			)
			.post(
				"/validated",
				validator("json", (body: { a: number }) => ({ a: body.a })),
				handler(
					{ id: Id },
					({ id }, c: Context<AppEnv, "/validated", { out: { json: { a: number } } }>) => {
						expectTypeOf(c.req.valid("json")).toEqualTypeOf<{ a: number }>();
						return c.json({ id });
					},
				),
			);
		app.use(
			"/guarded/:id/*",
			handler({ id: Id }),
			handler({ id: Id }, async ({ id }, c, next) => {
				expectTypeOf(id).toEqualTypeOf<number>();
				expectTypeOf(c.get("user")).toEqualTypeOf<string>();
				await next();
			}),
		);
		const loose = handler({ id: Id }, ({ id }, c) => {
			expectTypeOf(id).toEqualTypeOf<number>();
			return c.text("x");
		});
		app.get("/loose", loose);
		app.get(
			"/wrong",
			// @ts-expect-error the resource isn't a string
			handler({ id: Id }, ({ id }: { id: string }, c: Context) => c.text(id)),
		);

		const client = hc<typeof app>("http://x");
		type Answer<F extends (...args: never) => Promise<{ json(): Promise<unknown> }>> = Awaited<
			ReturnType<Awaited<ReturnType<F>>["json"]>
		>;
		expectTypeOf<Answer<(typeof client.bare)[":id"]["$get"]>>().toEqualTypeOf<{ id: string }>();
		expectTypeOf<Answer<(typeof client.wrapped)[":id"]["$get"]>>().toEqualTypeOf<{ id: string }>();
		const injected = () => client.injected[":id"].$get({ param: { id: "1" } });
		expectTypeOf<Answer<typeof injected>>().toEqualTypeOf<{ id: number }>();
		expectTypeOf<Answer<(typeof client.annotated)[":id"]["$get"]>>().toEqualTypeOf<{
			id: number;
		}>();
		expectTypeOf<Answer<(typeof client.validated)["$post"]>>().toEqualTypeOf<{ id: number }>();
		expect(injected).toBeTypeOf("function");
	});
});
