const assert = require("node:assert/strict");
const yieldscope = require("yieldscope");

for (const entry of ["express", "hono", "inspector", "koa", "opentelemetry", "testing"])
	assert.notDeepEqual(Object.keys(require(`yieldscope/${entry}`)), []);

const log = [];
const Db = yieldscope.resource(async function* Db() {
	yield "db";
	log.push("released");
});
yieldscope
	.withScope(async () => {
		const imported = await import("yieldscope"); // the same module, and so the same ambient scope
		log.push(await imported.use(Db));
	})
	.then(() => console.log(JSON.stringify(log)));
