import { demand, type Stage } from "./stage.ts";

interface Status {
  readonly evaluations: {
    readonly shared: number;
    readonly own: number;
    readonly warmup: number;
    readonly swap: number;
  };
}

/** Ends a runner cleanly and remembers what it computed. */
export async function endRunner(stage: Stage, name: string): Promise<void> {
  const runner = stage.runners.get(name);
  demand(runner !== undefined, `${name} runs`);
  await runner.end();
  stage.runners.delete(name);
  const status = runner.events.find((event) => event.event === "status") as Status | undefined;
  demand(status !== undefined, `${name} told what it computed`);
  const { shared, own, warmup, swap } = status.evaluations;
  stage.evaluations.push(
    [`${name}: shared nodes`, shared],
    [`${name}: steps after the target`, own],
    [`${name}: warm-up rows`, warmup],
    [`${name}: two contexts at a promotion`, swap],
  );
}

/** Checks that one process computes each reused node: the sum over all processes is that of the distinct nodes. */
export function checkEvaluations(stage: Stage): void {
  const shared = stage.evaluations
    .filter(([name]) => name.endsWith("shared nodes"))
    .reduce((sum, [, count]) => sum + count, 0);
  const distinct = 13 * 85 + 10 * 419;
  const everyOne = 7 * 3 * 85 + 7 * 2 * 419;
  stage.say(
    `evaluations of nodes up to the targets: ${shared}; one of each distinct node a bucket is ${distinct}, each strategy alone would need ${everyOne}`,
  );
  demand(Math.abs(shared - distinct) <= distinct / 50, "no reused node was computed twice");
}
