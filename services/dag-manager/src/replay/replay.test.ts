import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { graph, node, source, sourceKeyOf } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import { end, firstBucketEndMs, outcomeOf, row, rows, start } from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";

const bars = sourceKeyOf("bars");
const dayMs = 86_400_000;

/** A graph whose source reads the feed that is held at its start, with its lease taken. */
async function heldFeed(dag: TestDag): Promise<void> {
  await submitGraph(dag, "A", graph([source("bars", "held"), node("close", ["bars"])]));
  expect(await lease(dag, "s1", [bars])).toEqual([1]);
}

async function publish(dag: TestDag, records: Parameters<typeof dag.data.publish>[0]["records"]) {
  const { results } = await dag.data.publish({ ticket: "s1", records: records! });
  return results.map(outcomeOf);
}

const runner = (sessionId: string) => ({
  source: "held",
  runner: { sessionId, worldId: "w1", strategyIds: ["A"] },
});

describeEachDatabase("replay feeds", (databases) => {
  test("no row passes a feed held at its start; the hold moves forward only, and survives a restart", async () => {
    {
      await using dag = await openDag(databases());
      await heldFeed(dag);
      expect(await publish(dag, [start(bars, 1), row(bars, 1, 0)])).toEqual(["ok", "HELD"]);
      const untilMs = BigInt(firstBucketEndMs + dayMs);
      await dag.queues.advanceReplay({ source: "held", untilMs });
      await dag.queues.advanceReplay({ source: "held", untilMs: 0n });
    }
    await using dag = await openDag(databases());

    expect(await publish(dag, rows(bars, 1, 0, 3))).toEqual(["ok", "ok", "HELD"]);

    const standing = await dag.queues.getReplay({ source: "held" });
    expect(standing).toMatchObject({ passedRow: 1n, settled: false, ended: false });
    expect(Number(standing.untilMs)).toBe(firstBucketEndMs + dayMs);
    expect(Number(standing.passedBucketEndMs)).toBe(firstBucketEndMs + dayMs);
  });

  test("a lifted hold is absent, and the feed says when it has ended", async () => {
    await using dag = await openDag(databases());
    await heldFeed(dag);

    const lifted = await dag.queues.advanceReplay({ source: "held", toEnd: true });
    await publish(dag, [start(bars, 1), ...rows(bars, 1, 0, 2), end(bars, 1, 2)]);

    expect(lifted.untilMs).toBeUndefined();
    expect(await dag.queues.getReplay({ source: "held" })).toMatchObject({ ended: true });
  });

  test("runners count from the feed's next row, also those that came before its first", async () => {
    await using dag = await openDag(databases());
    await heldFeed(dag);
    await dag.queues.createReplayRunner(runner("early"));

    const origin = { row: 3_773n, warmFromRow: 0n };
    await publish(dag, [start(bars, 1, { origin })]);
    const late = await dag.queues.createReplayRunner(runner("late"));
    await dag.queues.createReplayRunner(runner("late"));

    expect(late.runner).toMatchObject({ sessionId: "late", fromRow: 3_773n, strategyIds: ["A"] });
    const { runners, passedRow } = await dag.queues.getReplay({ source: "held" });
    expect(passedRow).toBe(3_772n);
    expect(runners.map((one) => [one.sessionId, Number(one.fromRow)])).toEqual([
      ["early", 3_773],
      ["late", 3_773],
    ]);
  });

  test("each change of hold or runner set is told once, whole, on the feed's topic key", async () => {
    await using dag = await openDag(databases());
    await dag.queues.createReplayRunner(runner("s1"));
    await dag.queues.createReplayRunner(runner("s1"));
    await dag.queues.advanceReplay({ source: "held", untilMs: BigInt(firstBucketEndMs) });
    await dag.queues.advanceReplay({ source: "held", untilMs: BigInt(firstBucketEndMs) });

    await dag.queues.deleteReplayRunner({ source: "held", sessionId: "s1" });
    await dag.queues.deleteReplayRunner({ source: "held", sessionId: "s1" });

    const events = await dag.events();
    expect(events.map((event) => `${event.topicKey}#${event.revision}`)).toEqual([
      "feed/feed#1",
      "feed/held#1",
      "feed/held#2",
      "feed/held#3",
      "feed/held#4",
    ]);
    const told = events.slice(1).map(({ payload }) => payload.value);
    const held = { source: "held", passedRow: -1n, ended: false, fingerprint: "" };
    const untilTime = timestampFromMs(firstBucketEndMs);
    const { untilTime: heldUntil } = told[0] as { untilTime?: unknown };
    expect(told).toMatchObject([
      { ...held, runners: [] },
      { ...held, untilTime: heldUntil, runners: [{ sessionId: "s1", endedRow: -1n }] },
      { ...held, untilTime, runners: [{ sessionId: "s1" }] },
      { ...held, untilTime, runners: [] },
    ]);
  });

  test("a source that is not configured is not found", async () => {
    await using dag = await openDag(databases());

    const asks = [
      () => dag.queues.getReplay({ source: "nope" }),
      () => dag.queues.advanceReplay({ source: "nope", toEnd: true }),
      () => dag.queues.createReplayRunner({ ...runner("s1"), source: "nope" }),
    ];
    for (const ask of asks) {
      await expect(ask()).rejects.toMatchObject({ reason: "SOURCE_NOT_FOUND" });
    }
  });
});
