import {
  type BarSource,
  type BarTable,
  column,
  FeedError,
  PositionTargetNode,
  Runner,
  returns,
  Strategy,
  StreamInput,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import { barsProject, randomWalkBars, runOnBars } from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";

class Reversal extends Strategy {
  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const bars = new StreamInput({ source: "x", columns, interval: "1d" });
    const signal = returns(column(bars, "close"));
    const thresholds = { longEnter: 0.005, longExit: 0 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "x", thresholds })]);
  }
}

/** Bars as an author would supply them from a database. */
class Rows implements BarSource {
  readonly intervalMs = 86_400_000;
  readonly schedule = "observed";
  readonly #table: BarTable;

  constructor(table: BarTable) {
    this.#table = table;
  }

  async load(): Promise<BarTable> {
    return this.#table;
  }

  async datasetFingerprint(): Promise<string> {
    return `blake3:${"0".repeat(64)}`;
  }
}

const walk = randomWalkBars({ count: 80, seed: 5 });

describe("a source of one's own", () => {
  test("is read instead of the entry's file, with the same result", async () => {
    const other = randomWalkBars({ count: 30, seed: 6 });
    await using project = await barsProject({ x: other }, { instruments: { x: {} } });
    const { config } = project;

    const own = await Runner.offline(Reversal, { config, sources: { x: new Rows(walk) } });
    const file = await runOnBars(Reversal, walk);

    expect(own.equity).toEqual(file.equity);
    expect(own.orders.length).toBeGreaterThan(0);
    expect(own.datasetFingerprint).toBe(`blake3:${"0".repeat(64)}`);
    expect((await Runner.offline(Reversal, { config })).returns.samples).toBe(29);
  });

  test.each<readonly [string, Partial<BarTable>, string]>([
    ["rows out of order", { openTimeMs: walk.openTimeMs.toReversed() }, "open times must increase"],
    ["a short column", { columns: new Map([["close", new Float64Array(3)]]) }, "has 3 values"],
    ["no row", { rows: 0 }, "the table has 0 rows"],
  ])("with %s is refused", async (_, change, told) => {
    await using project = await barsProject({ x: walk }, { instruments: { x: {} } });
    const sources = { x: new Rows({ ...walk, ...change }) };
    const run = Runner.offline(Reversal, { config: project.config, sources });

    await expect(run).rejects.toThrow(FeedError);
    await expect(run).rejects.toThrow(told);
  });
});
