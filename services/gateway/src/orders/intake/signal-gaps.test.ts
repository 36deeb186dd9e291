import { createMetrics } from "@qmtl/service-kit";
import { expect, test } from "vitest";
import { type SignalGap, SignalGaps } from "./signal-gaps.ts";

const gap = (strategy: string, buckets: number, instrument = "X"): SignalGap => {
  return { strategy, instrument, buckets, target: `target(${instrument})`, source: "y" };
};

function opened() {
  const metrics = createMetrics();
  const gaps = new SignalGaps(metrics);
  const series = async (): Promise<string[]> => {
    const lines = (await metrics.metricsText()).split("\n");
    return lines.filter((line) => line.startsWith("signal_stale{"));
  };
  return { gaps, series };
}

test("a strategy that has had no signal for days has a series, the longest of its targets, until it has one again", async () => {
  const { gaps, series } = opened();

  gaps.stated("w", ["s-1", "s-2"], [gap("s-1", 5), gap("s-1", 72, "Y")]);
  expect(await series()).toEqual(['signal_stale{world="w",strategy="s-1"} 72']);
  expect(gaps.of("w", "s-1").map(({ instrument }) => instrument)).toEqual(["X", "Y"]);
  gaps.stated("w", ["s-2"], [gap("s-2", 6)]);
  gaps.stated("w", ["s-1"], []);

  expect(await series()).toEqual(['signal_stale{world="w",strategy="s-2"} 6']);
  expect(gaps.of("w", "s-1")).toEqual([]);
  expect(gaps.of("v", "s-2")).toEqual([]);
});

test("beyond 500 series more strategies are explained, and have none", async () => {
  const { gaps, series } = opened();
  const ids = Array.from({ length: 501 }, (_, at) => `s-${at}`);

  gaps.stated(
    "w",
    ids,
    ids.map((id) => gap(id, 9)),
  );

  expect(await series()).toHaveLength(500);
  expect(gaps.of("w", "s-500")).toHaveLength(1);
});
