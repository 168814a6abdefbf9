import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["test/runners/vitest.cases.ts"] } });
