#!/usr/bin/env node
// Puts the orders of its standard input, a JSON object on each line, into the database that its argument names: all of
// them, or none.
import { createInterface } from "node:readline";
import { provide, use } from "yieldscope";
import { Database, Tx } from "../transaction/transaction.ts";
import { main } from "./main.ts";

const [connectionString = ""] = process.argv.slice(2);
const bindings = [provide(Database, { connectionString })];

await main({ bindings }, async ({ signal }) => {
	const tx = await use(Tx, { lifetime: "app" });
	let count = 0;
	// an abort ends the loop as the end of the input does; that nothing is committed then, is the scope's doing
	for await (const line of createInterface({ input: process.stdin, signal })) {
		const { customer, product, quantity } = JSON.parse(line);
		await tx.query("INSERT INTO orders (customer, product, quantity) VALUES ($1, $2, $3)", [
			customer,
			product,
			quantity,
		]);
		console.log(++count);
	}
});
