import { OrderState } from "@qmtl/sdk/services";
import { endRunner } from "./evaluations.ts";
import { checkBooks, positionOf } from "./promote.ts";
import { demand, type Stage } from "./stage.ts";

interface Evaluation {
  readonly strategies: readonly {
    readonly strategy_id: string;
    readonly stage_before: string;
    readonly stage_after: string;
    readonly rules: readonly { readonly verdict: string; readonly text: string }[];
  }[];
  readonly lowered: readonly string[];
}

/** Paper bars between two evaluations. */
export const EVALUATION_BARS = 21;

/** Evaluates the world with the feed held at a bar. @returns names of the strategies that were lowered */
export async function evaluateAt(stage: Stage, paperBar: number): Promise<string[]> {
  await stage.advanceTo(paperBar);
  const evaluation = await stage.qmtl.one<Evaluation>("world", "evaluate", "demo");
  return evaluation.lowered.map(
    (id) => [...stage.ids].find(([, known]) => known === id)?.[0] ?? id,
  );
}

/** Step 4: after three months of paper the cheat is found out by its own record. */
export async function catchTheCheat(stage: Stage): Promise<void> {
  for (const bar of [EVALUATION_BARS, 2 * EVALUATION_BARS]) {
    const lowered = await evaluateAt(stage, bar);
    demand(lowered.length === 0, `nobody is judged on paper at bar ${bar}`);
  }
  stage.say(`${stage.dateOf(42)}: 42 of 60 samples, the backtest's verdict stands`);
  const lowered = await evaluateAt(stage, 3 * EVALUATION_BARS);
  demand(lowered.join() === "flow", `only flow is demoted, not ${lowered.join() || "nobody"}`);
  const explained = await stage.qmtl.one<{ rules: { verdict: string; text: string }[] }>(
    "explain",
    "demo",
    stage.idOf("flow"),
  );
  const caught = explained.rules
    .filter((rule) => rule.verdict === "RULE_VERDICT_FAIL")
    .map((rule) => rule.text);
  stage.say(`${stage.dateOf(63)}: flow demoted: ${caught.join("; ")}`);
  demand(
    caught.some((text) => text.startsWith("shortfall 9.03 > 3")),
    "flow fell by shortfall 9.03 > 3",
  );
  const cancelled = await stage.until("its working opening order was cancelled", 10_000, async () =>
    (await stage.books.orders()).find(
      (order) => order.strategyId === stage.idOf("flow") && order.state === OrderState.CANCELLED,
    ),
  );
  await stage.advanceTo(64);
  const left = await positionOf(stage, "flow");
  demand(left === 0, `its position is closed, not ${left}`);
  stage.say(
    `its opening order of ${cancelled.quantity?.value} was cancelled and its position closed at the next open`,
  );
  await endRunner(stage, "flow");
  await checkBooks(stage);
}
