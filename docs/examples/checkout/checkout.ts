import createError from "http-errors";
import { resource, token } from "yieldscope";
import { Tx } from "../transaction/transaction.ts";
import { Outbox } from "./outbox.ts";
import { Redis } from "./resources.ts";

/** Who asks. Bound by the server, from the request. */
export const Customer = token<string>("Customer");

/** The customer's cart, taken out of Redis: whoever clicks twice finds it once. If the order fails, it comes back. */
const Cart = resource(
	{ redis: Redis, customer: Customer },
	async function* Cart({ redis, customer }, { scope }) {
		const [cart, taken] = [`cart:${customer}`, `cart:${customer}:taken`];
		await redis.rename(cart, taken).catch((cause: Error) => {
			if (!cause.message.includes("no such key")) throw cause;
			throw createError(409, "The cart is empty", { cause });
		});
		try {
			yield { products: await redis.lrange(taken, 0, -1) };
			await redis.del(taken);
		} catch (error) {
			// what goes wrong here must not hide what went wrong
			await redis.rename(taken, cart).catch((lost) => scope.report(lost));
			throw error;
		}
	},
	{ lifetime: "handler" },
);

/** Orders what is in the cart. Used after the cart, the transaction ends first: only a COMMIT empties it. */
export const Checkout = resource(
	{ cart: Cart, tx: Tx, outbox: Outbox, customer: Customer },
	({ cart, tx, outbox, customer }) => ({
		async order(): Promise<void> {
			for (const product of cart.products) {
				await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, 1)", [
					customer,
					product,
				]);
			}
			await outbox.add("confirmation", { customer, products: cart.products });
		},
	}),
	{ name: "Checkout", lifetime: "handler" },
);
