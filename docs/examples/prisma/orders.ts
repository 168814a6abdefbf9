import { PrismaPg } from "@prisma/adapter-pg";
import { resource } from "yieldscope";
import { fromCallback } from "../orms/from-callback.ts";
import { Database } from "../transaction/transaction.ts";
import { type Prisma, PrismaClient } from "./generated/client.ts";

const Client = resource(
	{ database: Database },
	async function* Client({ database }) {
		const client = new PrismaClient({ adapter: new PrismaPg(database) });
		try {
			yield client;
		} finally {
			await client.$disconnect();
		}
	},
	{ lifetime: "app" },
);

/** Prisma's interactive transaction. It ends after `timeout`, whatever is still to come. */
export const Tx = resource(
	{ client: Client },
	({ client }) =>
		fromCallback<Prisma.TransactionClient>((work) =>
			client.$transaction(
				async (tx) => {
					await work(tx);
					// fails after a failed statement, where PostgreSQL answers COMMIT by rolling back, without a word
					await tx.$executeRaw`SELECT`;
				},
				{ maxWait: 5_000, timeout: 10_000 },
			),
		),
	{ name: "Tx", lifetime: "handler" },
);

export const Orders = resource(
	{ tx: Tx },
	({ tx }) => ({
		async place(product: string): Promise<number> {
			const { id } = await tx.order.create({ data: { product, placedAt: new Date() } });
			return id;
		},
	}),
	{ name: "Orders", lifetime: "handler" },
);
