import { Queue } from "bullmq";
import { Redis as Client } from "ioredis";
import { resource, token } from "yieldscope";

/** Where Redis is. Bound once, on the app's scope. */
export const RedisUrl = token<string>("RedisUrl");

/** One connection, which all requests share. */
export const Redis = resource(
	{ url: RedisUrl },
	async function* Redis({ url }) {
		const redis = new Client(url, { lazyConnect: true });
		redis.on("error", () => {}); // a lost connection rejects its commands
		try {
			await redis.connect();
			yield redis;
		} finally {
			redis.disconnect();
		}
	},
	{ lifetime: "app" },
);

/** Mails to be sent, by a worker. */
export const Mails = resource(
	{ redis: Redis },
	async function* Mails({ redis }) {
		const queue = new Queue("mails", { connection: redis });
		queue.on("error", () => {});
		try {
			yield queue;
		} finally {
			await queue.close();
		}
	},
	{ lifetime: "app" },
);
