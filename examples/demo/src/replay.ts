import { demand, type Stage } from "./stage.ts";

interface Replayed {
  readonly identical: boolean;
  readonly same: number;
  readonly total: number;
}

/** Replays each runner's recorded session offline: the same nodes and the same router give the same orders. */
export async function replaySessions(stage: Stage): Promise<void> {
  let same = 0;
  let total = 0;
  for (const name of stage.ids.keys()) {
    const files = [`strategies/${name}.ts`, `.qmtl/${name}.session.jsonl`];
    const replayed = await stage.qmtl.one<Replayed>("replay", ...files);
    demand(
      replayed.identical,
      `${name}: ${replayed.same} of ${replayed.total} orders are the same`,
    );
    same += replayed.same;
    total += replayed.total;
  }
  stage.say(`the recorded sessions replayed offline: orders identical: ${same}/${total}`);
  demand(total >= 100, "there were orders to compare");
}
