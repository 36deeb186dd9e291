// For tests of strategies and of programs that use them.

export {
  type BarsOptions,
  type BarTimes,
  type BuiltBars,
  barsMax,
  barsOfCloses,
  withColumn,
} from "./bars.ts";
export {
  type BarsInstrument,
  type BarsProject,
  type BarsProjectOptions,
  barsProject,
} from "./bars-project.ts";
export { FakeGateway } from "./fake-gateway.ts";
export { FakeLog } from "./fake-log.ts";
export { ManualClock } from "./manual-clock.ts";
export { type RandomWalkBarsOptions, randomWalkBars } from "./random-walk-bars.ts";
export { replayBars } from "./replay-bars.ts";
export { type RunOnBarsOptions, runOnBars } from "./run-on-bars.ts";
export { constantBars, type TrendBarsOptions, trendBars } from "./trend-bars.ts";
export { waitUntil } from "./wait-until.ts";
export { barsCsv, writeBars } from "./write-bars.ts";
