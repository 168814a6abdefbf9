import { beforeEach } from "vitest";

// what takes longest, and goes for limits and leaks, or like test/fuzz.test.ts: a survivor would take ten times as long
beforeEach(({ task, skip }) => skip(/\d,000\b|however the setups ask/.test(task.name)));
