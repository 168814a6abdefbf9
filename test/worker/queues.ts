import { Queue } from "bullmq";
import pg from "pg";
import { PgBoss } from "pg-boss";
import { type Resource, resource } from "yieldscope";
import { database } from "../../docs/examples/shop/schema.ts";
import { JOBS_DONE } from "../../docs/examples/worker/work-redis-queue.ts";
import { RedisServer } from "../redis.ts";

interface Order {
	readonly customer: string;
	readonly product: number;
}

/** A queue of orders, on which the tests' processes work. */
export interface OrderQueue {
	readonly database: pg.PoolConfig;
	/** A connection to it, which none of the workers uses. */
	readonly client: pg.Client;
	/** What the workers are to be told besides. */
	readonly args: readonly string[];
	add(orders: readonly Order[], retries: number): Promise<void>;
	/** How many jobs are in which state. */
	states(): Promise<Record<string, number>>;
}

const Client = (name: string) =>
	resource({ config: database(name) }, async function* Client({ config }) {
		const { connectionString, options } = config;
		const client = new pg.Client({ connectionString, options });
		await client.connect();
		try {
			yield { config, client };
		} finally {
			await client.end();
		}
	});

/** A queue of pg-boss. */
export const Boss: Resource<OrderQueue> = resource(
	{ shop: Client("worker") },
	async function* Boss({ shop: { config, client } }) {
		const schema = `${config.application_name}_jobs`;
		// finds out soon which jobs have been taken too long ago
		const boss = new PgBoss({
			connectionString: config.connectionString ?? "",
			schema,
			superviseIntervalSeconds: 1,
			monitorIntervalSeconds: 1,
		});
		await boss.start();
		await boss.createQueue("orders", { expireInSeconds: 2 });
		try {
			yield {
				database: config,
				client,
				args: [],
				async add(orders, retryLimit) {
					await boss.insert(
						"orders",
						orders.map((data) => ({ data, retryLimit })),
					);
				},
				async states() {
					const { rows } = await client.query<{ state: string; jobs: number }>(
						`SELECT state, count(*)::int AS jobs FROM ${schema}.job WHERE name = 'orders' GROUP BY 1`,
					);
					return Object.fromEntries(rows.map(({ state, jobs }) => [state, jobs]));
				},
			};
		} finally {
			await boss.stop({ graceful: false });
			await client.query(`SET client_min_messages TO warning; DROP SCHEMA ${schema} CASCADE`);
		}
	},
);

/** A queue of BullMQ. */
export const Bull: Resource<OrderQueue> = resource(
	{ shop: Client("redis_worker"), connection: RedisServer },
	async function* Bull({ shop: { config, client }, connection }) {
		await client.query(JOBS_DONE);
		const queue = new Queue<Order>("orders", { connection });
		try {
			yield {
				database: config,
				client,
				args: [JSON.stringify(connection)],
				async add(orders, retries) {
					const jobs = orders.map((data) => ({
						name: "order",
						data,
						opts: { jobId: crypto.randomUUID(), attempts: 1 + retries },
					}));
					await queue.addBulk(jobs);
				},
				async states() {
					const counts = await queue.getJobCounts();
					return Object.fromEntries(Object.entries(counts).filter(([, jobs]) => jobs > 0));
				},
			};
		} finally {
			await queue.close();
		}
	},
);
