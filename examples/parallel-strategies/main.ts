import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runInProcesses, runInThreads } from "./src/run-in-parallel.ts";
import { type RunSummary, runSummary, strategyNames } from "./src/run-summary.ts";
import { smaWindows, sweepSmaWindows } from "./src/sma-sweep.ts";

const ways = ["processes", "threads", "sweep"];
const { positionals } = parseArgs({ allowPositionals: true });
const wanted = positionals.length === 0 ? ways : positionals;
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => stop.abort(new Error(`stopped by ${name}`)));
}

function printTable(title: string, runs: readonly RunSummary[]): void {
  console.log(title);
  for (const { strategy, sharpe, totalReturn, orders, equity } of runs) {
    const cells = [
      strategy.padEnd(14),
      sharpe.toFixed(4).padStart(8),
      `${(100 * totalReturn).toFixed(1)} %`.padStart(9),
      `${orders} orders`.padStart(12),
      `  equity ${equity.at(-1)?.toFixed(2)}`,
    ];
    console.log(`  ${cells.join("")}`);
  }
}

async function sweep(): Promise<void> {
  const config = fileURLToPath(new URL("qmtl.yml", import.meta.url));
  const gains = await sweepSmaWindows(config, availableParallelism(), stop.signal);
  const ranked = smaWindows
    .map((window, k) => ({ window, gain: gains[k]! }))
    .sort((a, b) => b.gain - a.gain);
  console.log(`sweep of ${ranked.length} windows, best first, gain without costs`);
  for (const { window, gain } of ranked.slice(0, 5)) {
    console.log(
      `  sma ${String(window).padStart(3)}${`${(100 * gain).toFixed(1)} %`.padStart(10)}`,
    );
  }
}

try {
  for (const way of wanted) {
    if (way === "processes") {
      printTable("a process each", await runInProcesses(strategyNames, stop.signal));
    } else if (way === "threads") {
      printTable("a thread each", await runInThreads(strategyNames, stop.signal));
    } else if (way === "alone") {
      const runs: RunSummary[] = [];
      for (const name of strategyNames) runs.push(await runSummary(name));
      printTable("one after the other", runs);
    } else if (way === "sweep") {
      await sweep();
    } else {
      throw new RangeError(`no way to run called "${way}"; there are alone, ${ways.join(", ")}`);
    }
  }
} catch (failure) {
  if (!stop.signal.aborted) throw failure;
  console.error(String(stop.signal.reason.message));
  process.exitCode = 130;
}
