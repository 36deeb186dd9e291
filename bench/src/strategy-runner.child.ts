// One strategy in a process of its own, or several in one: see runner-process.ts, which starts it with a `RunnerSetup` as JSON.
import { Runner } from "@qmtl/sdk";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { type OrderTimes, timedConnection } from "./order-stopwatch.ts";
import type { RunnerReport, RunnerSetup } from "./runner-process.ts";
import { waveStrategy } from "./wave-strategies.ts";

const { configFile, gatewayUrl, worldId, shapes } = JSON.parse(
  process.argv[2] ?? "{}",
) as RunnerSetup;
const times: OrderTimes = { barToAccepted: [], targetToAccepted: [] };
const connection = connectTo(gatewayUrl);
const options = {
  worldId,
  config: loadConfig({ path: configFile, env: {} }),
  connection: timedConnection(connection, times),
};
const strategies = shapes.map(waveStrategy);
const [only, ...others] = strategies;
const run =
  only !== undefined && others.length === 0
    ? await Runner.run(only, options)
    : await Runner.worker(strategies, options);

/** Some of what is no longer used, such as compiled code, goes only with a later collection. */
const collections = 5;

/** Processor time of the collections that reports have asked for, milliseconds: no run would have had them. */
let collectedMs = 0;

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

async function report(): Promise<RunnerReport> {
  for (let at = 0; at < collections; at++) {
    const before = cpuMs();
    globalThis.gc?.();
    collectedMs += cpuMs() - before;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  const status = run.status();
  const { evaluations, holderOf } = status;
  const { mode } = "strategies" in status ? status.strategies[0]! : status;
  return {
    ...{ times, cpuMs: cpuMs() - collectedMs, keptBytes: heapUsed + external, rssBytes: rss },
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
