import type { Logger } from "@qmtl/service-kit";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { keyOf, sourceKeyOf } from "../testing/graphs.ts";
import { openDag, type TestDatabases } from "../testing/open-dag.ts";
import { row, start } from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";
import { reportSpoiltQueues } from "./report-spoilt-queues.ts";

const bars = sourceKeyOf("bars");
const close = keyOf("close");

/** A store in which an older version has put numbers into the heads of two queues that no record may state. */
async function spoiltStore(databases: TestDatabases, set: string): Promise<void> {
  {
    await using dag = await openDag(databases);
    await submitGraph(dag);
    await lease(dag, "s1", [bars, close]);
    const records = [start(bars, 1), row(bars, 1, 0), start(close, 1), row(close, 1, 0)];
    await dag.data.publish({ ticket: "s1", records });
  }
  await databases.dag.query(
    `update dag.queue_head set ${set} where compute_key = any($1::text[])`,
    [[bars, close]],
  );
}

/** The errors that are logged of the queues of a store. */
async function reported(databases: TestDatabases): Promise<string[]> {
  const errors: string[] = [];
  const error = (message: string): void => void errors.push(message);
  await reportSpoiltQueues(databases.dag, { error } as Partial<Logger> as Logger);
  return errors;
}

const spoilt: readonly string[] = [
  "last_bucket_end_ms = -1e308",
  "last_bucket_end_ms = 1e308",
  "last_bucket_end_ms = -1e15",
  "last_bucket_end_ms = 'NaN'",
  "known_at_ms = 1e308",
  "watermark_ms = 9223372036854775807",
  "next_row = 1000000000000001, origin_row = 1000000000000000",
  "next_row = -5, origin_row = -5",
];

describeEachDatabase("a store with what an older version took", (databases) => {
  test.each(spoilt)(
    "with %s the service starts, lists queues and feeds, and names the queue",
    async (set) => {
      await spoiltStore(databases(), set);

      await using dag = await openDag(databases());

      const { feeds } = await dag.queues.listFeeds({});
      expect(feeds.map(({ source }) => source)).toEqual(["feed", "held"]);
      const { queues } = await dag.queues.listQueueStats({ computeKeys: [bars, close] });
      expect(queues).toHaveLength(2);
      const scope = { scope: { case: "source" as const, value: "held" } };
      await dag.queues.advanceFeed({ scope, to: { case: "toEnd", value: true } });
      const errors = await reported(databases());
      expect(errors).toHaveLength(2);
      for (const { queue } of queues)
        expect(errors.some((error) => error.startsWith(`queue ${queue!.queue} holds`))).toBe(true);
      expect(errors.join("\n")).toContain("give source feed another name under `sources:`");
      const { results } = await dag.data.publish({ ticket: "s1", records: [row(bars, 1, 1)] });
      expect(results).toHaveLength(1);
    },
  );

  test("of a store without such numbers nothing is reported", async () => {
    await spoiltStore(databases(), "void_records = 0");

    expect(await reported(databases())).toEqual([]);
  });
});
