/** What readers may call what a page calls otherwise. Only the search sees it. */
export const keywords: Readonly<Record<string, string>> = {
	"CONTRIBUTING.md": "contributing development architecture",
	"README.md": "npm install installation setup quickstart getting started introduction",
	"SECURITY.md": "vulnerability",
	"docs/benchmarks.md": "performance benchmark speed slow overhead cost latency memory",
	"docs/guide/coming-from-awilix.md":
		"dependency injection container inversify tsyringe gradually migrate",
	"docs/guide/coming-from-fastapi.md": "dependency injection depends python",
	"docs/guide/coming-from-nestjs-cls.md": "AsyncLocalStorage gradually migrate",
	"docs/guide/how-do-i-call-another-service.md": "fetch http client saga compensate undo",
	"docs/guide/how-do-i-let-only-one-process-do-it.md": "mutex leader deadlock schedule cron",
	"docs/guide/how-do-i-run-work-concurrently.md":
		"background task parallel mail email after response deadlock",
	"docs/guide/how-do-i-see-what-my-resources-do.md":
		"logging logger debug trace metrics monitoring profiling slow",
	"docs/guide/how-do-i-shut-down-without-losing-a-request.md":
		"graceful shutdown SIGTERM Kubernetes",
	"docs/guide/how-do-i-test-this.md": "mock stub spy fake jest vitest rollback leak",
	"docs/guide/how-do-i-use-drizzle-kysely-or-prisma.md": "ORM TypeORM Knex MySQL",
	"docs/guide/how-do-i-use-resources-in-a-job-worker.md": "background job queue retry mail email",
	"docs/guide/how-do-i-use-resources-in-a-script.md": "CLI command line",
	"docs/guide/how-do-i-use-several-systems-at-once.md": "outbox message queue mail email",
	"docs/guide/how-do-i-write-a-resource.md": "tutorial pool class guard",
	"docs/guide/how-long-does-my-resource-live.md": "singleton transient connection leak tenant",
	"docs/guide/what-does-this-error-mean.md": "error exception code",
	"docs/guide/what-goes-wrong.md": "troubleshooting pitfall connection memory leak hang",
	"docs/guide/what-happens-when-something-fails.md": "error handler exception catch throw",
	"docs/guide/what-happens-when-the-client-goes-away.md": "disconnect cancel stream SSE download",
	"docs/guide/what-should-a-coding-assistant-know.md": "AI LLM agent",
	"docs/guide/when-is-my-transaction-committed.md":
		"rollback database PostgreSQL MySQL savepoint deadlock",
	"docs/guide/who-deletes-an-uploaded-file.md": "multipart multer temporary",
	"docs/guide/why-not-just-await-using.md": "AsyncDisposableStack try finally",
};
