// One strategy in a process of its own: see runner-process.ts, which starts it with a `RunnerSetup` as JSON.
import { Runner } from "@qmtl/sdk";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { type OrderTimes, timedConnection } from "./order-stopwatch.ts";
import type { RunnerReport, RunnerSetup } from "./runner-process.ts";
import { waveStrategy } from "./wave-strategies.ts";

const { configFile, gatewayUrl, worldId, shape } = JSON.parse(
  process.argv[2] ?? "{}",
) as RunnerSetup;
const times: OrderTimes = { barToAccepted: [], targetToAccepted: [] };
const connection = connectTo(gatewayUrl);
const run = await Runner.run(waveStrategy(shape), {
  worldId,
  config: loadConfig({ path: configFile, env: {} }),
  module: import.meta.resolve("./wave-strategies.ts"),
  connection: timedConnection(connection, times),
});

/** Some of what is no longer used, such as compiled code, goes only with a later collection. */
const collections = 5;

async function report(): Promise<RunnerReport> {
  for (let at = 0; at < collections; at++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { user, system } = process.cpuUsage();
  const { heapUsed, external, rss } = process.memoryUsage();
  const { evaluations, holderOf, mode } = run.status();
  return {
    ...{ times, cpuMs: (user + system) / 1e3, keptBytes: heapUsed + external, rssBytes: rss },
    ...{ evaluations: evaluations.shared, heldQueues: holderOf, mode },
  };
}

process.on("message", (what: "report" | "stop") => {
  if (what === "report") {
    void report().then((made) => process.send?.(made));
    return;
  }
  void run.stop().finally(() => process.exit(0));
});
process.send?.("ready");
