import { demand, type Stage } from "./stage.ts";

interface Phase {
  readonly phase: string;
  /** Seconds, as proto3 JSON writes a duration: `0.125s`. */
  readonly elapsed: string;
  readonly acknowledged: number;
  readonly sessions: number;
}

interface Explained {
  readonly wanted_orders: string;
  readonly sent_orders: string;
  readonly effective_mode: string;
}

/** Applies and prints each phase; fails unless the world is open at the end. */
export async function apply(
  stage: Stage,
  run: string,
  to: string,
  ...more: string[]
): Promise<void> {
  const phases = await stage.qmtl.lines<Phase>(
    "world",
    "apply",
    "demo",
    "--run",
    run,
    "--to",
    to,
    ...more,
  );
  const told = phases.map(({ phase, elapsed, acknowledged, sessions }) => {
    const name = phase.replace("APPLY_PHASE_", "").toLowerCase();
    const acks = sessions > 0 ? ` (${acknowledged}/${sessions} acknowledged)` : "";
    return `${name}${acks} ${(Number.parseFloat(elapsed) * 1_000).toFixed(0)} ms`;
  });
  stage.say(`apply to ${to}: ${told.join(", ")}`);
  demand(phases.at(-1)?.phase === "APPLY_PHASE_COMPLETED", `apply ${run} went through`);
}

/** Step 3: compute-only holds every order back; the second apply lets the strategies trade on paper. */
export async function promote(stage: Stage): Promise<void> {
  await apply(stage, "to-compute-only", "compute-only");
  await stage.advanceTo(-1);
  let wanted = 0;
  let sent = 0;
  for (const [name, expected] of Object.entries({ trend: 1, swing: 8, flow: 19 })) {
    const explained = await stage.qmtl.one<Explained>("explain", "demo", stage.idOf(name));
    wanted += Number(explained.wanted_orders);
    sent += Number(explained.sent_orders);
    stage.say(`  ${name}: ${explained.wanted_orders} orders wanted`);
    demand(Number(explained.wanted_orders) === expected, `${name} wanted ${expected} orders`);
  }
  stage.say(`before promotion ${sent} of ${wanted} wanted orders were sent`);
  demand(sent === 0 && wanted === 28, "0 of 28 wanted orders were sent");
  await stage.advanceTo(0);
  await apply(stage, "to-paper", "paper");
  const first = await stage.until("A and C sent their target", 10_000, async () => {
    const sent = await stage.books.orders();
    return sent.length >= 2 ? sent : undefined;
  });
  const names = first.map((order) => [...stage.ids].find(([, id]) => id === order.strategyId)?.[0]);
  stage.say(`gates open: ${names.join(" and ")} sent their target at once`);
  demand(names.toSorted().join() === "flow,trend", "A and C sent their target once");
  await stage.advanceTo(1);
  await checkBooks(stage);
}

/** Position of a strategy, in units. */
export async function positionOf(stage: Stage, name: string): Promise<number> {
  const positions = await stage.books.positions();
  const held = positions.filter((each) => each.strategyId === stage.idOf(name));
  return held.reduce((sum, each) => sum + Number(each.quantity?.value ?? 0), 0);
}

/** Checks that positions = journal = paper broker. */
export async function checkBooks(stage: Stage): Promise<void> {
  const positions = await stage.books.positions();
  const ours = positions
    .filter((each) => each.strategyId !== "")
    .reduce((sum, each) => sum + Number(each.quantity?.value ?? 0), 0);
  const whole = positions.find((each) => each.strategyId === "");
  const account = Number(whole?.quantity?.value ?? 0);
  const broker = Number(whole?.brokerQuantity?.value ?? 0);
  stage.say(
    `positions: strategies ${ours.toFixed(1)} = journal ${account.toFixed(1)} = broker ${broker.toFixed(1)}`,
  );
  demand(Math.abs(ours - account) < 1e-6 && Math.abs(account - broker) < 1e-6, "the books agree");
}
