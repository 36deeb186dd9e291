/** The guide's section 3a: intents only. */
export const INTENT = `
import { column, INTENT_FIRST_DEFAULT_THRESHOLDS, makeIntentFirstNodeset, Strategy, StreamInput } from "@qmtl/sdk";
import { momentum } from "./indicators/momentum.ts";
import { clipped } from "./transforms/clipped.ts";

export class IntentFirstStrategy extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({ source: "bars", columns: ["open", "high", "low", "close"], instrument: "DEMO", interval: "1d" });
    const price = column(bars, "close", { name: "price" });
    const signal = clipped(momentum(price, 20), 0.05);

    const nodeset = makeIntentFirstNodeset({
      signal,
      worldId: this.worldId,
      instrument: "DEMO",
      priceNode: price,
      thresholds: INTENT_FIRST_DEFAULT_THRESHOLDS,
      longWeight: 0.25,
      shortWeight: -0.1,
    });

    this.addNodes([signal, price]);
    this.addNodeset(nodeset);
  }
}
`;

/** The same node set, with its inputs bound from outside. */
export const ADAPTER = `
import { column, IntentFirstAdapter, Strategy, StreamInput } from "@qmtl/sdk";
import { momentum } from "./indicators/momentum.ts";
import { clipped } from "./transforms/clipped.ts";

const adapter = new IntentFirstAdapter({ instrument: "DEMO", longWeight: 0.25, shortWeight: -0.1 });

export class Adapted extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({ source: "bars", columns: ["open", "high", "low", "close"], instrument: "DEMO", interval: "1d" });
    const price = column(bars, "close", { name: "price" });
    this.addNodeset(adapter.bind({ signal: clipped(momentum(price, 20), 0.05), price }));
  }
}
`;

/** A node of one's own, and its test. */
export const GAP = `
import { ProcessingNode, type StrategyNode } from "@qmtl/sdk";

/** Close over the close before, minus 1. One column; needs 2 rows. */
export function gap(price: StrategyNode): ProcessingNode<"price"> {
  return new ProcessingNode({
    name: "gap",
    inputs: { price },
    period: 2,
    compute: (windows) => windows.price.at(1) / windows.price.at(0) - 1,
  });
}
`;

export const GAP_TEST = `
import { column, StreamInput } from "@qmtl/sdk";
import { expect, test } from "vitest";
import { gap } from "../indicators/gap.ts";

test("a gap reads two rows of one price", () => {
  const bars = new StreamInput({ source: "bars", columns: ["close"], interval: "1d" });

  const node = gap(column(bars, "close"));

  expect(node.outputs).toEqual(["value"]);
  expect(node.inputs.map(({ port }) => port)).toEqual(["price"]);
});
`;

/** The guide's section 5: a scope that ends the run, and the explicit call for code without such a scope. */
export const SESSION = `
import { Runner } from "@qmtl/sdk";
import { Branching } from "./strategy.ts";

{
  await using run = await Runner.session(Branching, { worldId: "paper" });
  console.log("session", run.status().row >= -1);
}
const run = await Runner.run(Branching, { worldId: "paper" });
try {
  console.log("run", run.status().row >= -1);
} finally {
  await Runner.shutdown(run);
  await Runner.shutdown(run);
}
console.log("nothing is left running");
`;

/** The guide's section 4a: what the gateway would do, and the orders that follow from a plan. */
export const ORDERS = `
import { loadConfig, ordersFromWorldPlan } from "@qmtl/sdk";
import { connectTo } from "@qmtl/sdk/rpc";
import { RebalancingExecutionService } from "@qmtl/sdk/services";

const connection = connectTo(loadConfig().sdk.gateway_url);
const { plan } = await connection.client(RebalancingExecutionService).previewRebalance({
  schemaVersion: { min: 1, max: 2 },
  order: { accountId: "main", allocations: [{ worldId: "paper", ratio: 0.5 }] },
});
connection.close();
if (plan === undefined) throw new Error("no plan");
console.log(JSON.stringify(ordersFromWorldPlan(plan)));
`;
