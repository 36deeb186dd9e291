import { evaluateAt } from "./judge.ts";
import { checkBooks, positionOf } from "./promote.ts";
import { demand, type Stage } from "./stage.ts";

interface Rebalance {
  readonly crosses: readonly {
    readonly quantity: { readonly value: string };
    readonly price: { readonly value: string };
  }[];
  readonly orders: readonly { readonly quantity: { readonly value: string } }[];
  readonly plan: {
    readonly deltas: readonly {
      readonly strategy_id: string;
      readonly quantity: { readonly value: string };
    }[];
  };
  readonly costs_saved: { readonly value: string };
}

const LOT = 0.1;

/** Step 5: more capital for the two that are left; what they trade against each other stays inside. */
export async function rebalance(stage: Stage): Promise<void> {
  await stage.advanceTo(73);
  const allocation = `demo=0.9:${stage.idOf("trend")}=0.5,${stage.idOf("swing")}=0.5,${stage.idOf("flow")}=0`;
  const args = ["--account", "main", "--world", allocation];
  const known = (await stage.books.orders()).length;
  const planned = await stage.qmtl.one<Rebalance>("rebalance", "plan", ...args);
  demand((await stage.books.orders()).length === known, "a plan sends nothing");
  const change = (name: string): number =>
    planned.plan.deltas
      .filter((delta) => delta.strategy_id === stage.idOf(name))
      .reduce((sum, delta) => sum + Number(delta.quantity.value), 0);
  const [trend, swing] = [change("trend"), change("swing")];
  stage.say(
    `${stage.dateOf(73)}: world 0.8 -> 0.9 of equity; plan: trend ${signed(trend)}, swing ${signed(swing)}`,
  );
  const before = {
    trend: await positionOf(stage, "trend"),
    swing: await positionOf(stage, "swing"),
  };
  const done = await stage.qmtl.one<Rebalance>(
    "rebalance",
    "execute",
    ...args,
    "--batch",
    "move-1",
    "--reason",
    "the share of flow goes to the other two",
  );
  const crossed = done.crosses.reduce((sum, cross) => sum + Number(cross.quantity.value), 0);
  const outside = done.orders.reduce((sum, order) => sum + Number(order.quantity.value), 0);
  stage.say(
    `executed: ${crossed.toFixed(1)} crossed inside at ${done.crosses[0]?.price.value}, ${signed(outside)} outside, ${Number(done.costs_saved.value).toFixed(2)} of costs saved`,
  );
  demand(trend > 0 && swing < 0, "trend buys and swing sells");
  demand(
    Math.abs(crossed - Math.min(trend, -swing)) < LOT,
    "the smaller of both changes is crossed inside",
  );
  demand(Math.abs(outside - (trend + swing)) < LOT, "only the rest goes outside");
  await stage.advanceTo(74);
  for (const [name, delta] of Object.entries({ trend, swing })) {
    const reached = await positionOf(stage, name);
    const wanted = before[name as keyof typeof before] + delta;
    demand(Math.abs(reached - wanted) <= LOT, `${name} holds ${wanted.toFixed(1)}, not ${reached}`);
  }
  stage.say("targets met within a lot");
  await checkBooks(stage);
  for (const bar of [84, 105])
    demand((await evaluateAt(stage, bar)).length === 0, `both stay at bar ${bar}`);
}

function signed(quantity: number): string {
  return `${quantity < 0 ? "−" : "+"}${Math.abs(quantity).toFixed(1)}`;
}
