import { apps, type Scenario, scenarios } from "./scenarios.ts";
import { makeStage, type Stage } from "./stage.ts";

const stages = new Map<string, Stage>();

function stageOf(name: string): Stage {
	let stage = stages.get(name);
	if (stage === undefined) {
		const { define, mounts = 1 } = (scenarios[name] ?? apps[name]) as Scenario;
		stage = makeStage(mounts);
		define(stage);
		stages.set(name, stage);
	}
	return stage;
}

/** Each scenario is an app of its own, named by a header. The test asks what has happened there, and opens gates. */
export default {
	async fetch(
		request: Request,
		env: unknown,
		context: Parameters<Stage["app"]["fetch"]>[2],
	): Promise<Response> {
		const stage = stageOf(decodeURIComponent(request.headers.get("x-scenario") ?? ""));
		const { log, root, app } = stage;
		const gate = request.headers.get("x-open");
		if (gate !== null) stage.open(gate);
		if (request.headers.has("x-look") || gate !== null) {
			return Response.json({ log, open: root.inspect().children.length });
		}
		const response = request.headers.has("x-no-wait-until")
			? await app.fetch(request, env as object)
			: await app.fetch(request, env as object, context);
		log.push(`head ${response.status}`);
		return response;
	},
};
