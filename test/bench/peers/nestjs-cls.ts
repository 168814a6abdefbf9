import { ClsServiceManager } from "nestjs-cls";

interface Store {
	[key: symbol]: never;
	a: number;
	b: number;
	c: number;
}

const cls = ClsServiceManager.getClsService<Store>();
const nothing = async () => {};

// it stores values, and neither makes nor releases them
export function threeResources(): Promise<number> {
	return cls.run(async () => {
		await nothing();
		cls.set("a", 1);
		try {
			await nothing();
			cls.set("b", cls.get("a") + 2);
			try {
				await nothing();
				cls.set("c", cls.get("b") + 3);
				try {
					return cls.get("c");
				} finally {
					await nothing();
				}
			} finally {
				await nothing();
			}
		} finally {
			await nothing();
		}
	});
}
