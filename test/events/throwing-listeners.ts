import { channel } from "node:diagnostics_channel";
import { resource, type TracedEvent, use, withScope } from "yieldscope";

process.on("uncaughtException", (error) => console.log(`uncaught: ${error.message}`));

for (const operation of ["scope", "acquire", "release", "task"])
	for (const phase of ["start", "asyncEnd"])
		channel(`tracing:yieldscope:${operation}:${phase}`).subscribe(() => {
			throw new Error(`${operation} ${phase}`);
		});

for (const operation of ["scope", "acquire", "release", "task"])
	channel(`tracing:yieldscope:${operation}:start`).subscribe((message) => {
		(message as TracedEvent).around = () => {
			throw new Error(`${operation} around`);
		};
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
