import {
  column,
  type OfflineResult,
  offlineSummary,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk"; // as a strategy's file has it
import { barsOfCloses, barsProject } from "@qmtl/sdk/testing";
import { expect, test } from "vitest";
import { accountSchema, instrumentSchema } from "../../config/data-sections.ts";
import { reportOf } from "./report.ts";

/** Holds half of each in X and Y. */
class Halves extends Strategy {
  override setup(): void {
    for (const [source, instrument] of [
      ["x", "X"],
      ["y", "Y"],
    ] as const) {
      const columns = ["open", "high", "low", "close"];
      const bars = new StreamInput({ source, columns, interval: "1d" });
      this.addNodes([
        new WeightTargetNode({ signal: column(bars, "close"), instrument, weightMax: 0.5 }),
      ]);
    }
  }
}

type Section = Readonly<Record<string, unknown>>;

async function run(account: Section, x: Section, y: Section): Promise<OfflineResult> {
  const bars = barsOfCloses([100, 110, 120, 130]);
  await using project = await barsProject({ x: bars, y: bars }, {});
  const [X, Y] = [
    instrumentSchema.parse({ mark_source: "x", ...x }),
    instrumentSchema.parse({ mark_source: "y", ...y }),
  ];
  const main = accountSchema.parse({ initial_cash: "10000", instruments: ["X", "Y"], ...account });
  const config = { ...project.config, instruments: { X, Y }, accounts: { main } };
  return await Runner.offline(Halves, { config });
}

const held = (result: OfflineResult) =>
  offlineSummary(result).find((line) => line.startsWith("  buy and hold "))!;

test.each([
  [
    "the limits of the account forbid it",
    { limits: { max_order_notional: 10 } },
    {},
    "the limits of the account forbid it (OVER_LIMIT)",
  ],
  [
    "an order of it is worth less than min_notional",
    {},
    { min_notional: "1000000" },
    "an order of it is worth less than min_notional (BELOW_MINIMUM)",
  ],
  [
    "a lot costs more than there is",
    {},
    { lot: "1000" },
    "a lot of 1000 costs 130000 USD, more than the 5000 there are",
  ],
] as const)(
  "a buy and hold that could not buy has no figures and says why: %s",
  async (_what, account, each, why) => {
    const result = await run(account, each, each);

    expect(result.buyAndHold.metrics.size).toBe(0);
    expect(held(result)).toContain(
      `none: X could not be bought: ${why}; Y could not be bought: ${why}`,
    );
    expect(reportOf(result, 0).strategies[0]!.hold).toBeUndefined();
  },
);

test("a buy and hold that could not buy one of its instruments says which one its figures are without", async () => {
  const result = await run({}, {}, { lot: "1000" });

  expect(held(result)).toContain("total_return");
  expect(result.notes).toContain(
    "Buy and hold could not buy Y (a lot of 1000 costs 130000 USD, more than the 5000 there are): what it would have cost stays in cash.",
  );
  expect(reportOf(result, 0).strategies[0]!.hold).toBeDefined();
});

test("a target without an order names what held it back, and not the size of a lot", async () => {
  const { notes } = await run({ limits: { max_order_notional: 10 } }, {}, {});

  expect(notes).toContain(
    "No order: the target of X changed, but the limits of the account forbid it (OVER_LIMIT).",
  );
  expect(notes.join("\n")).not.toContain("too small for a lot");
});
