import { OrderOrigin } from "@qmtl/sdk/services";
import { evaluateAt } from "./judge.ts";
import { checkBooks } from "./promote.ts";
import { demand, type Stage } from "./stage.ts";

interface Halted {
  readonly cancelled: readonly string[];
  /** Seconds, such as `0.0109s`. */
  readonly elapsed: string;
}

/** Step 7: a halt between a decision and the next open; nothing opens until somebody resumes. */
export async function haltAndResume(stage: Stage): Promise<void> {
  demand((await evaluateAt(stage, 147)).length === 0, "both stay at bar 147");
  await stage.advanceTo(156);
  const halted = await stage.qmtl.one<Halted>("halt", "--reason", "to show it", "--cancel");
  demand(
    halted.cancelled.length === 1,
    `the last opening order is cancelled, not ${halted.cancelled.length}`,
  );
  stage.say(
    `${stage.dateOf(156)}: halt: the working opening order was cancelled in ${(Number.parseFloat(halted.elapsed) * 1_000).toFixed(1)} ms`,
  );
  const known = (await stage.books.orders()).length;
  const resumed = await stage.qmtl.one<{ client_order_ids: string[] }>(
    "resume",
    "--reason",
    "shown",
  );
  demand(
    resumed.client_order_ids.length === 1,
    `one catch-up order, not ${resumed.client_order_ids.length}`,
  );
  demand((await stage.books.orders()).length === known + 1, "and no other");
  stage.say("re-armed: one catch-up order sent");
  await stage.advanceTo(157);
  await checkBooks(stage);
}

/** Plays the rest of the feed, judging every 21 bars. */
export async function playToTheEnd(stage: Stage): Promise<void> {
  for (let bar = 168; bar < stage.lastBar; bar += 21) {
    const lowered = await evaluateAt(stage, bar);
    demand(lowered.length === 0, `both stay at bar ${bar}, ${lowered.join()} fell`);
  }
  await stage.advanceTo(stage.lastBar);
  const all = await stage.books.orders();
  const ofTargets = all.filter((order) => order.origin === OrderOrigin.TARGET).length;
  stage.say(
    `${stage.dateOf(stage.lastBar)}: end of the data; ${all.length} orders in all, ${ofTargets} from targets; both honest strategies stayed`,
  );
  demand(ofTargets >= 100, "at least 100 orders from targets");
  await checkBooks(stage);
}
