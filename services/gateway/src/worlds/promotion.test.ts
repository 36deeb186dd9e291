import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { expect, test } from "vitest";
import { promotionsOf } from "./promotion.ts";

const { VALIDATE, COMPUTE_ONLY, PAPER, LIVE } = EffectiveMode;
const change = (before: EffectiveMode, after: EffectiveMode) => ({
  strategyId: `${before} to ${after}`,
  before,
  after,
});

test("what rises to another domain gets a new context; what falls, or stays in its domain, keeps its own", () => {
  const changes = [
    change(VALIDATE, COMPUTE_ONLY),
    change(COMPUTE_ONLY, PAPER),
    change(PAPER, LIVE),
    change(PAPER, COMPUTE_ONLY),
    change(LIVE, PAPER),
  ];

  expect(promotionsOf(changes)).toEqual([
    { strategyId: change(COMPUTE_ONLY, PAPER).strategyId, stage: PAPER },
    { strategyId: change(PAPER, LIVE).strategyId, stage: LIVE },
  ]);
});
