// Variants of the sweep tests: imported by the tests and by the workers they start.
import { sma } from "../nodes/sma.ts";
import { userCompute } from "../nodes/user-compute.ts";
import type { GraphNode } from "./graph.ts";
import { observedClock } from "./schedule.ts";
import type { SweepVariant } from "./sweep.ts";

const INTERVAL_MS = 60_000;
const SLOW_COUNT = 3;

/** A variant of the grid is a fast and a slow window; `data.failing` names one whose function throws. */
export function sweepVariant(index: number, data: unknown): SweepVariant {
  const failing = typeof data === "object" && data !== null && "failing" in data && data.failing;
  return gridVariant(
    1 + Math.floor(index / SLOW_COUNT),
    4 + (index % SLOW_COUNT),
    index === failing,
  );
}

/** Distance of two averages of `s`, as an author's function. */
export function gridVariant(fast: number, slow: number, fails = false): SweepVariant {
  const averages = [...new Set([fast, slow])].map((window): GraphNode => {
    const params = { window };
    const kernel = {
      lookback: sma.lookback(params),
      warmup: sma.warmup(params),
      readsWindows: false,
      create: () => sma.create(params),
    };
    return node(`sma-${window}`, ["s"], kernel);
  });
  const gap = userCompute;
  const params = {
    period: 1,
    makeCall:
      ([a, b]: Parameters<Parameters<typeof gap.create>[0]["makeCall"]>[0]) =>
      () => {
        if (fails) throw new Error("this variant fails");
        return a!.latest() - b!.latest();
      },
  };
  const id = `gap-${fast}-${slow}`;
  const kernel = { lookback: 0, warmup: 1, readsWindows: true, create: () => gap.create(params) };
  const source: GraphNode = {
    id: "s",
    name: "s",
    intervalMs: INTERVAL_MS,
    outputs: ["f64"],
    inputs: [],
    clock: observedClock("s", INTERVAL_MS),
  };
  const nodes = [source, ...averages, node(id, [`sma-${fast}`, `sma-${slow}`], kernel)];
  return { graph: { nodes }, wanted: [id] };
}

function node(
  id: string,
  inputs: readonly string[],
  kernel: NonNullable<GraphNode["kernel"]>,
): GraphNode {
  const ports = inputs.map((input, k) => ({ port: `p${k}`, node: input, output: 0 }));
  return { id, name: id, intervalMs: INTERVAL_MS, outputs: ["f64"], inputs: ports, kernel };
}
