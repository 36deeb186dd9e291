import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { graph, node, source, sourceKeyOf } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import { end, firstBucketEndMs, outcomeOf, row, rows, start } from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";
import { ticketOf } from "../testing/test-tickets.ts";

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

const runner = (sessionId: string, sources = ["held"]) => ({
  ticket: ticketOf({ sessionId, strategyIds: ["A"] }),
  sources,
});

const of = (source: string) => ({ scope: { case: "source" as const, value: source } });
const ofWorld = (worldId: string) => ({ scope: { case: "worldId" as const, value: worldId } });
const until = (ms: number) => ({ case: "untilTime" as const, value: timestampFromMs(ms) });
const toEnd = { case: "toEnd" as const, value: true };

async function held(dag: TestDag) {
  const { feeds } = await dag.queues.listFeeds({ scope: of("held") });
  return feeds[0]!;
}

describeEachDatabase("replay feeds", (databases) => {
  test("no row passes a feed held at its start; the hold moves forward only, and survives a restart", async () => {
    {
      await using dag = await openDag(databases());
      await heldFeed(dag);
      expect(await publish(dag, [start(bars, 1), row(bars, 1, 0)])).toEqual(["ok", "HELD"]);
      const untilMs = firstBucketEndMs + dayMs;
      await dag.queues.advanceFeed({ scope: of("held"), to: until(untilMs) });
      await dag.queues.advanceFeed({ scope: of("held"), to: until(0) });
    }
    await using dag = await openDag(databases());

    expect(await publish(dag, rows(bars, 1, 0, 3))).toEqual(["ok", "ok", "HELD"]);

    const standing = await held(dag);
    expect(standing).toMatchObject({ passedRow: 1n, settled: false, ended: false });
    expect(timestampMs(standing.untilTime!)).toBe(firstBucketEndMs + dayMs);
    expect(timestampMs(standing.passedBucketEndTime!)).toBe(firstBucketEndMs + dayMs);
  });

  test("a lifted hold is absent, and the feed says when it has ended", async () => {
    await using dag = await openDag(databases());
    await heldFeed(dag);

    const lifted = await dag.queues.advanceFeed({ scope: of("held"), to: toEnd });
    await publish(dag, [start(bars, 1), ...rows(bars, 1, 0, 2), end(bars, 1, 2)]);

    expect(lifted.feeds[0]!.untilTime).toBeUndefined();
    expect(await held(dag)).toMatchObject({ ended: true });
  });

  test("runners count from the feed's next row, also those that came before its first", async () => {
    await using dag = await openDag(databases());
    await heldFeed(dag);
    await dag.queues.createReplayRunner(runner("early"));

    const origin = { row: 3_773n, warmFromRow: 0n };
    await publish(dag, [start(bars, 1, { origin })]);
    const late = await dag.queues.createReplayRunner(runner("late"));
    await dag.queues.createReplayRunner(runner("late"));

    expect(late.feeds[0]!.runners[1]).toMatchObject({
      sessionId: "late",
      worldId: "w1",
      fromRow: 3_773n,
      strategyIds: ["A"],
    });
    const { runners, passedRow } = await held(dag);
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
    const to = until(firstBucketEndMs);
    await dag.queues.advanceFeed({ scope: of("held"), to });
    await dag.queues.advanceFeed({ scope: of("held"), to });

    await dag.queues.deleteReplayRunner(runner("s1"));
    await dag.queues.deleteReplayRunner(runner("s1"));

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

  test("a row that passed in the last second of a process is told by the next one, once", async () => {
    {
      await using dag = await openDag(databases());
      await heldFeed(dag);
      const to = until(firstBucketEndMs + dayMs);
      await dag.queues.advanceFeed({ scope: of("held"), to });
      expect(await publish(dag, [start(bars, 1), ...rows(bars, 1, 0, 2)])).not.toContain("HELD");
    }
    const toldOf = async (dag: TestDag) =>
      (await dag.events()).flatMap(({ topicKey, payload }) =>
        topicKey === "feed/held" && payload.case === "feedUpdated" ? [payload.value] : [],
      );
    let told = 0;
    {
      await using dag = await openDag(databases());
      const all = await toldOf(dag);
      expect(all.at(-1)).toEqual(await held(dag));
      expect(all.at(-1)?.passedRow).toBe(1n);
      told = all.length;
    }
    await using dag = await openDag(databases());
    expect(await toldOf(dag)).toHaveLength(told);
  });

  test("a source that is not configured is not found", async () => {
    await using dag = await openDag(databases());

    const asks = [
      () => dag.queues.listFeeds({ scope: of("nope") }),
      () => dag.queues.advanceFeed({ scope: of("nope"), to: toEnd }),
      () => dag.queues.createReplayRunner(runner("s1", ["held", "nope"])),
      () => dag.queues.deleteReplayRunner(runner("s1", ["nope"])),
    ];
    for (const ask of asks) {
      await expect(ask()).rejects.toMatchObject({ reason: "SOURCE_NOT_FOUND" });
    }
  });

  test("a session enters several feeds at once, or none, and leaves all", async () => {
    await using dag = await openDag(databases());
    const sources = ["held", "feed"];
    const sets = async () =>
      (await dag.queues.listFeeds({})).feeds.map((feed) => [feed.source, feed.runners.length]);

    const failed = dag.queues.createReplayRunner(runner("s1", [...sources, "nope"]));
    await expect(failed).rejects.toMatchObject({ reason: "SOURCE_NOT_FOUND" });
    expect(await sets()).toEqual([
      ["feed", 0],
      ["held", 0],
    ]);

    const { feeds } = await dag.queues.createReplayRunner(runner("s1", sources));
    expect(feeds.map((feed) => [feed.source, feed.runners[0]!.sessionId])).toEqual([
      ["feed", "s1"],
      ["held", "s1"],
    ]);

    await dag.queues.deleteReplayRunner({ sessionId: "s1" });
    expect(await sets()).toEqual([
      ["feed", 0],
      ["held", 0],
    ]);
    for (const unclear of [{}, { ticket: "s1", sessionId: "s2" }]) {
      await expect(dag.queues.deleteReplayRunner(unclear)).rejects.toMatchObject({
        reason: "INVALID_FIELD",
        fields: [{ field: "session_id" }],
      });
    }
  });

  test("the feeds of a world are those its strategies read, and move together", async () => {
    await using dag = await openDag(databases());
    await heldFeed(dag);

    const { feeds } = await dag.queues.listFeeds({ scope: ofWorld("w1") });
    expect(feeds.map((feed) => feed.source)).toEqual(["held"]);
    const moved = await dag.queues.advanceFeed({
      scope: ofWorld("w1"),
      to: until(firstBucketEndMs),
    });
    expect(moved.feeds.map((feed) => timestampMs(feed.untilTime!))).toEqual([firstBucketEndMs]);
    expect((await dag.queues.listFeeds({ scope: ofWorld("w2") })).feeds).toEqual([]);
  });

  test("a feed names its data once it has begun, and comes page by page", async () => {
    await using dag = await openDag(databases());
    await heldFeed(dag);
    expect(await held(dag)).toMatchObject({ fingerprint: "", passedRow: -1n });
    await publish(dag, [start(bars, 1, { feedFingerprint: "blake3:file" })]);

    expect(await held(dag)).toMatchObject({ fingerprint: "blake3:file" });
    const first = await dag.queues.listFeeds({ pageSize: 1 });
    const second = await dag.queues.listFeeds({ pageSize: 1, pageToken: first.nextPageToken });
    expect([first, second].map(({ feeds }) => feeds.map((feed) => feed.source))).toEqual([
      ["feed"],
      ["held"],
    ]);
    expect(second.nextPageToken).toBe("");
    const other = { scope: of("held"), pageToken: first.nextPageToken };
    await expect(dag.queues.listFeeds(other)).rejects.toMatchObject({
      reason: "PAGE_TOKEN_INVALID",
    });
  });

  test("a time no calendar has is refused", async () => {
    await using dag = await openDag(databases());
    const value = { seconds: 10n ** 15n, nanos: 0 };

    await expect(
      dag.queues.advanceFeed({ scope: of("held"), to: { case: "untilTime", value } }),
    ).rejects.toMatchObject({ reason: "INVALID_FIELD", fields: [{ field: "until_time" }] });
  });
});
