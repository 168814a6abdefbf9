import { printResources } from "../print-resources.ts";

printResources((line) => console.error(line));
await import("../../docs/examples/cli/import-orders.ts");
