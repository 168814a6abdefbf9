import yieldscope = require("yieldscope");
import forExpress = require("yieldscope/express");

const Id = yieldscope.resource(() => 7);
const id: Promise<number> = yieldscope.withScope(() => yieldscope.use(Id));
// @ts-expect-error it is a number
const name: Promise<string> = id;
export = { handler: forExpress.handler({ id: Id }), name };
