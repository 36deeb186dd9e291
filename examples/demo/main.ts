// npm run demo: the whole story, checked against its numbers. Exits 1 if anything did not happen.

import { runBacktests } from "./src/backtests.ts";
import { crashInApply } from "./src/crash.ts";
import { checkEvaluations, endRunner } from "./src/evaluations.ts";
import { haltAndResume, playToTheEnd } from "./src/halt.ts";
import { catchTheCheat } from "./src/judge.ts";
import { promote } from "./src/promote.ts";
import { rebalance } from "./src/rebalance.ts";
import { replaySessions } from "./src/replay.ts";
import { demand, Stage } from "./src/stage.ts";
import { startPlatform } from "./src/start-platform.ts";
import { writeReport } from "./src/write-report.ts";

async function main(): Promise<void> {
  const { problems, results } = await runBacktests(process.stdout);
  demand(problems.length === 0, "every backtest figure is the story's");
  const stage = new Stage(process.stdout);
  try {
    await startPlatform(stage);
    await promote(stage);
    await catchTheCheat(stage);
    await rebalance(stage);
    await crashInApply(stage);
    await haltAndResume(stage);
    await playToTheEnd(stage);
    for (const name of ["trend", "swing"]) await endRunner(stage, name);
    checkEvaluations(stage);
    await replaySessions(stage);
    await writeReport(stage, results);
  } finally {
    await stage.close();
  }
}

try {
  await main();
} catch (failure) {
  process.stderr.write(
    `\nthe demo failed: ${failure instanceof Error ? failure.message : failure}\n`,
  );
  process.exitCode = 1;
}
