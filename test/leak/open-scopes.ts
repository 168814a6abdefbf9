import {
	detectLeaks,
	openScope,
	openScopeSync,
	resource,
	Scope,
	withScope,
	withScopeSync,
} from "../../src/index.ts";

const Lock = resource(() => "lock", { name: "Lock" });

const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };

/** Collects what can be collected; it takes a few turns until that is told. */
async function collect(): Promise<void> {
	for (let i = 0; i < 10; i++) {
		await new Promise((resolve) => setTimeout(resolve, 1));
		if (Bun) Bun.gc(true);
		else gc?.();
	}
}

async function forget(name: string): Promise<void> {
	const scope = openScope({ name });
	await scope.use(Lock);
}

class Job {
	scope: Scope | undefined;

	async start(): Promise<void> {
		this.scope = new Scope({ name: "job" });
		await this.scope.use(Lock);
	}
}

async function openAndClose(): Promise<void> {
	const scope = openScope();
	await scope.use(Lock);
	await scope.disposeAsync();
}

function listen(error: unknown): void {
	console.log(`heard ${(error as Error).message.split(":")[0]}`);
}

const scenarios: Record<string, () => unknown> = {
	async "collected in a loop"() {
		await undefined; // the first one has the same stack then
		for (let i = 0; i < 5; i++) await forget(`job ${i}`);
	},
	async "collected with what opened it"() {
		await new Job().start();
	},
	async "collected, sync"() {
		openScopeSync({ name: "sync" }).defer(() => {});
	},
	async "collected with its children"() {
		const scope = openScope({ name: "root" });
		await openScope({ parent: scope }).use(Lock);
	},
	async "collected after a move"() {
		const scope = openScope({ name: "moved" });
		await scope.use(Lock);
		scope.move();
	},
	async "collected, and there is a handler"() {
		await openScope({ name: "job", onReleaseError: listen }).use(Lock);
	},
	async "alive at exit"() {
		const app = openScope({ name: "app", lifetime: "app" });
		await app.use(Lock);
		Object.assign(globalThis, { app });
	},
	async "alive at exit, and there is a handler"() {
		const app = openScope({ name: "app", onReleaseError: listen });
		await app.use(Lock);
		Object.assign(globalThis, { app });
	},
	async "alive at process.exit(0)"() {
		await openScope({ name: "app" }).use(Lock);
		process.exit(0);
	},
	async "alive at process.exit(3)"() {
		await openScope({ name: "app" }).use(Lock);
		process.exit(3);
	},
	async "alive at a crash"() {
		await openScope({ name: "app" }).use(Lock);
		throw new Error("crashed");
	},
	async "closing at exit"() {
		const app = openScope({ name: "app" });
		app.defer(() => new Promise(() => {}));
		void app.disposeAsync();
		Object.assign(globalThis, { app });
	},
	async closed() {
		await openAndClose();
		const [parent, moved, sync] = [openScope(), openScope(), openScopeSync()];
		await openScope({ parent }).use(Lock);
		await parent.disposeAsync();
		await moved.use(Lock);
		await moved.move().disposeAsync();
		sync.use(Lock);
		sync.dispose();
		await withScope(async (scope) => {
			await scope.use(Lock);
			await openScope().use(Lock);
		});
		withScopeSync((scope) => scope.use(Lock));
	},
	unused() {
		openScope();
		openScopeSync();
	},
	async "switched off before"() {
		detectLeaks("off");
		await forget("job");
	},
	async "switched off after"() {
		await forget("job");
		detectLeaks("off");
	},
	async "one after a hundred"() {
		for (let i = 0; i < 100; i++) await openAndClose();
		await forget("job");
	},
	async "one after a hundred, all watched"() {
		detectLeaks("all");
		for (let i = 0; i < 100; i++) await openAndClose();
		await forget("job");
	},
	async "a thousand after a hundred"() {
		for (let i = 0; i < 100; i++) await openAndClose();
		await undefined;
		for (let i = 0; i < 1000; i++) await forget("job");
	},
};

await scenarios[process.argv[2] as string]?.();
if (process.argv[3] === "collect") await collect();
console.log("done");
