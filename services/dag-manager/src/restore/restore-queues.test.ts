import { QmtlError } from "@qmtl/sdk/rpc";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { backtest, demoGraphs, keyOf } from "../testing/graphs.ts";
import { openDag } from "../testing/open-dag.ts";
import { outcomeOf, row, start } from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";
import { restoreQueues } from "./restore-queues.ts";

const [close, ret1] = [keyOf("close"), keyOf("ret1")];
const startMs = Date.UTC(2026, 0, 1);

describeEachDatabase("a restored database of the DAG Manager", (databases) => {
  test("epochs, of old queues and new ones, and of the store go on above what was seen; nobody holds a lease", async () => {
    const clock = new ManualClock(startMs);
    {
      await using dag = await openDag(databases(), { clock });
      await submitGraph(dag);
      await lease(dag, "s1", [close]);
      await dag.data.publish({ ticket: "s1", records: [start(close, 1), row(close, 1, 0)] });
    }

    const floor = await restoreQueues({ db: databases().dag, clock });

    expect(floor).toBe((startMs / 1_000) * 1_024);
    await using dag = await openDag(databases(), { clock });
    const leases = [{ computeKey: close, leaseEpoch: 1n }];
    const { renewals } = await dag.queues.renewLeases({ ticket: "s1", leases });
    expect(renewals[0]).toMatchObject({ renewed: false, currentEpoch: BigInt(floor) });
    expect(await lease(dag, "s2", [close, ret1])).toEqual([floor + 1, floor + 1]);
    const records = [start(close, floor + 1), row(close, floor + 1, 1)];
    const { results } = await dag.data.publish({ ticket: "s2", records });
    expect(results.map(outcomeOf)).toEqual(["ok", "ok"]);

    await submitGraph(dag, "B", demoGraphs.b, backtest);
    const storeEpochs = (await dag.events()).map((event) => Number(event.storeEpoch));
    expect([storeEpochs[0], storeEpochs.at(-1)]).toEqual([1, floor]);
    const swing = () => lease(dag, "s2", [keyOf("swing")]);
    await expect.poll(swing, { timeout: 25_000 }).toEqual([floor + 1]);
  });

  test("is refused while a DAG Manager runs, where several may run", async () => {
    await using _dag = await openDag(databases());

    const outcome = await restoreQueues({ db: databases().dag, clock: new ManualClock() }).then(
      () => "done",
      (error: unknown) => (error instanceof QmtlError ? error.reason : "other"),
    );

    // On PGlite the lock of the data folder keeps a second process out already.
    expect(outcome).toBe(databases().dag.kind === "postgres" ? "NOT_LEADER" : "done");
  });
});
