import { ApplyPhase, OrderState } from "@qmtl/sdk/services";
import { evaluateAt } from "./judge.ts";
import { apply, checkBooks, positionOf } from "./promote.ts";
import { CommandRefused } from "./qmtl-command.ts";
import { demand, type Stage } from "./stage.ts";

/** Step 6: the platform dies in the middle of an apply while one order is filled at the broker and unknown here. */
export async function crashInApply(stage: Stage): Promise<void> {
  demand((await evaluateAt(stage, 126)).length === 0, "both stay at bar 126");
  await stage.advanceTo(130);
  const before = await stage.books.orders();
  const unknown = before.filter((order) => order.state === OrderState.UNKNOWN);
  demand(unknown.length === 1, `one order is unknown, not ${unknown.length}`);
  stage.say(
    `${stage.dateOf(130)}: the order of ${unknown[0]?.quantity?.value} is filled at the broker, its reply lost: unknown`,
  );
  await killedInApply(stage);
  stage.say("platform killed after the freeze commit; the runners live on, their gates shut");
  const began = performance.now();
  stage.platform = stage.qmtl.start(["up"]);
  await stage.platform.waitFor("it was ready again", (event) => event.event === "ready");
  const whileFrozen = (await stage.books.orders()).length;
  demand(
    whileFrozen === before.length,
    `no order was sent in the meantime, not ${whileFrozen - before.length}`,
  );
  const phase = await settledPhase(stage);
  stage.say(
    `restarted in ${((performance.now() - began) / 1000).toFixed(1)} s: the apply ${phase === ApplyPhase.COMPLETED ? "continued and completed" : "was rolled back"}`,
  );
  if (phase === ApplyPhase.ROLLED_BACK) {
    await stage.qmtl.one(
      "world",
      "resume",
      "demo",
      "--hold",
      "rollback",
      "--reason",
      "the platform is back",
    );
  }
  await caughtUpOnce(
    stage,
    before.map((order) => order.clientOrderId),
  );
}

async function killedInApply(stage: Stage): Promise<void> {
  const args = ["--deactivate", stage.idOf("flow")];
  const cut = await apply(stage, "verdict-126", "paper", ...args).then(
    () => false,
    (failure: unknown) => failure instanceof CommandRefused || failure instanceof Error,
  );
  demand(cut, "the apply was cut by the death of the platform");
  await stage.platform?.end("SIGKILL");
}

/** Waits until the interrupted apply run has ended. @returns COMPLETED or ROLLED_BACK */
async function settledPhase(stage: Stage): Promise<ApplyPhase> {
  return stage.until("the apply ended", 60_000, async () => {
    const phase = (await stage.books.applyRun("verdict-126"))?.phase;
    return phase === ApplyPhase.COMPLETED || phase === ApplyPhase.ROLLED_BACK ? phase : undefined;
  });
}

async function caughtUpOnce(stage: Stage, known: readonly string[]): Promise<void> {
  const fresh = await stage.until("the catch-up order", 10_000, async () => {
    const added = (await stage.books.orders()).filter(
      (order) => !known.includes(order.clientOrderId),
    );
    return added.length > 0 ? added : undefined;
  });
  await stage.advanceTo(131);
  const swing = (await stage.books.orders()).filter(
    (order) => !known.includes(order.clientOrderId) && order.row === fresh[0]?.row,
  );
  demand(
    swing.length === 1 && swing[0]?.strategyId === stage.idOf("swing"),
    `exactly one catch-up order, not ${swing.length}`,
  );
  demand((await positionOf(stage, "swing")) === 0, "swing is flat after its catch-up");
  stage.say(
    `the late fill was imported; exactly one catch-up order: swing ${swing[0]?.quantity?.value}`,
  );
  await checkBooks(stage);
}
