/**
 * Makes the generator of a resource out of a function that hands its value to a callback, and is done when that is:
 * `transaction(callback)`, as Drizzle and Prisma have it. The callback succeeds or fails as the resource's scope does.
 */
export async function* fromCallback<T extends object>(
	run: (callback: (value: T) => Promise<void>) => Promise<void>,
): AsyncGenerator<T, void> {
	let succeed = () => {};
	let fail = (_error: unknown) => {};
	const work = new Promise<void>((resolve, reject) => {
		succeed = resolve;
		fail = reject;
	});
	let done = Promise.resolve();
	const value = await new Promise<T>((resolve, reject) => {
		done = run((value) => {
			resolve(value);
			return work;
		});
		// what comes after the value changes nothing here
		done.then(() => reject(new Error("The callback was not called")), reject);
	});
	// what still holds it when this is over would use what may be another's
	const { proxy, revoke } = Proxy.revocable(value, {});
	try {
		yield proxy;
		succeed();
	} catch (error) {
		fail(error);
	} finally {
		revoke();
	}
	await done; // with the work's own error, if that has failed
}
