import { channel } from "node:diagnostics_channel";
import { resource, use, withScope } from "yieldscope";

process.on("uncaughtException", (error) => console.log(`uncaught: ${error.message}`));

for (const operation of ["scope", "acquire", "release", "task"])
	for (const phase of ["start", "asyncEnd"])
		channel(`tracing:yieldscope:${operation}:${phase}`).subscribe(() => {
			throw new Error(`${operation} ${phase}`);
		});

const A = resource(async function* A() {
	yield "a";
	console.log("released");
});
const value = await withScope(async (scope) => {
	await scope.spawn(() => console.log("task"));
	return use(A);
});
console.log(value);
