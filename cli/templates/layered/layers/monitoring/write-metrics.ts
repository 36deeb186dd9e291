// node layers/monitoring/write-metrics.ts: backtests strategy.ts and writes .qmtl/metrics.prom.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadStrategy, Runner } from "@qmtl/sdk";
import { metricsText } from "./metrics.ts";

const project = join(import.meta.dirname, "..", "..");
const strategy = await loadStrategy(join(project, "strategy.ts"));
const result = await Runner.offline(strategy, { configPath: join(project, "qmtl.yml") });
const file = join(project, ".qmtl", "metrics.prom");
mkdirSync(join(project, ".qmtl"), { recursive: true });
// Written to another file and renamed: a collector may read at any time.
writeFileSync(
  `${file}.part`,
  metricsText({
    strategyName: result.strategyName,
    metrics: result.metrics,
    orders: result.orders.length,
    fills: result.fills.length,
  }),
);
renameSync(`${file}.part`, file);
console.log(`${result.strategyName}: ${file}`);
