import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { NodeAssignmentSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { SubmissionSchema } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { migrateTopics, raiseStoreEpoch } from "@qmtl/service-kit/control";
import { migrate } from "@qmtl/service-kit/db";
import { migrateOutbox } from "@qmtl/service-kit/outbox";
import { beforeEach, expect, test } from "vitest";
import { readAssignments } from "../store/assignment-store.ts";
import {
  type ChangedSubmission,
  claimSubmission,
  readSubmission,
} from "../store/submission-store.ts";
import { isOneStatement } from "../store/submission-writes.ts";
import { clockRevisions } from "../store/world-clock-store.ts";
import { describeEachDatabase } from "../testing/each-database.ts";
import { node, submission } from "../testing/gateway-rig.ts";
import { insertSubmission, type NewSubmission, writeOutcome } from "./store-submission.ts";

const source = node("StreamInput");
const principal = { name: "quant", role: "researcher" } as const;
const sourceKey = { computeKey: "k", nodeId: "n", source: "feed", columns: ["a"], isReplay: true };
const own = { owner: "gw", ownedUntilMs: 5_000 };
const at = { nowMs: 1_000, storeEpoch: 1 };

function newSubmission(submissionId: string, requestId = submissionId): NewSubmission {
  const request = create(SubmitStrategyRequestSchema, submission([source]));
  const remembered = { requestId, contentHash: "h", submissionId };
  const row = { submissionId, strategyId: "s-1", worldIds: ["w1"], principal, request };
  const clock = { isReplay: true, worldIds: row.worldIds, seen: {} };
  return { ...row, remembered, sourceKeys: [sourceKey], clock };
}

function outcomeOf(queues: number) {
  const assignments = Array.from({ length: queues }, (_, at) =>
    create(NodeAssignmentSchema, { queue: { nodeId: `n${at}`, context: { worldId: "w1" } } }),
  );
  const result = { submission: create(SubmissionSchema, { newNodes: queues }), assignments };
  return { state: "completed", reason: "", nowMs: 2_000, result } as const;
}

describeEachDatabase("what a submission stores", (database) => {
  const db = () => database().db;
  beforeEach(async () => {
    await db().script("drop schema if exists gateway cascade");
    await migrate(db(), fileURLToPath(new URL("../../migrations/", import.meta.url)));
    await migrateOutbox(db());
    await migrateTopics(db());
  });

  const count = async (table: string): Promise<number> => {
    const [row] = await db().query<{ count: number }>(`select count(*) from gateway.${table}`);
    return row!.count;
  };
  const counts = async () =>
    Promise.all(["submission", "request_id", "source_key", "outbox"].map(count));
  const finish = (row: ChangedSubmission, queues: number) => {
    const outcome = outcomeOf(queues);
    const write = (to: Parameters<typeof writeOutcome>[0]) => writeOutcome(to, row, "gw", outcome);
    return isOneStatement(outcome) ? write(db()) : db().transaction(write);
  };
  const stored = (submissionId: string) =>
    readAssignments(db(), submissionId, { worldId: "", after: -1, limit: 10_000 });

  test("a new one is stored as it is answered, with its request id, its source keys and its event", async () => {
    const row = await insertSubmission(db(), newSubmission("a"), own, at);

    const { storeEpoch: _, ...answered } = row!;
    expect(await readSubmission(db(), "a")).toEqual(answered);
    expect(answered).toMatchObject({ state: "processing", attempts: 1, revision: 1 });
    expect(await counts()).toEqual([1, 1, 1, 1]);
    expect(await claimSubmission(db(), "a", "other", { nowMs: 2_000, ownMs: 1 })).toBeUndefined();
  });

  test.each([
    ["the submission is known", newSubmission("a", "other"), at],
    ["the request id stood for another", newSubmission("b", "a"), at],
    ["the store was restored since", newSubmission("b"), { ...at, storeEpoch: 2 }],
  ])("nothing is stored when %s", async (_, next, when) => {
    await insertSubmission(db(), newSubmission("a"), undefined, at);
    const before = await counts();

    expect(await insertSubmission(db(), next, own, when)).toBeUndefined();

    expect(await counts()).toEqual(before);
    expect((await readSubmission(db(), "a"))?.state).toBe("queued");
  });

  test("of two at the same moment, one on replayed and one on live sources, one world takes one", async () => {
    const replayed = newSubmission("a");
    const live = newSubmission("b");
    const clock = { ...live.clock, isReplay: false };

    const stored = await Promise.all([
      insertSubmission(db(), replayed, undefined, at),
      insertSubmission(db(), { ...live, clock }, undefined, at),
    ]);

    expect(stored.filter((row) => row !== undefined)).toHaveLength(1);
    expect(await counts()).toEqual([1, 1, 1, 1]);
  });

  test("the clock of a world changes for a submission that has seen it, and for no other", async () => {
    await insertSubmission(db(), newSubmission("a"), undefined, at);
    const seen = await clockRevisions(db(), ["w1", "w2"]);
    expect(seen).toEqual({ w1: 1 });
    const live = { isReplay: false, worldIds: ["w2", "w1"], seen };
    const tries = (submissionId: string) =>
      insertSubmission(db(), { ...newSubmission(submissionId), clock: live }, undefined, at);

    expect(await tries("b")).toBeDefined();
    await insertSubmission(db(), { ...newSubmission("c"), clock: { ...live, seen: {} } }, own, at);
    const replayed = { ...newSubmission("d"), clock: { ...live, isReplay: true } };

    expect(await insertSubmission(db(), replayed, own, at)).toBeUndefined();
    expect(await readSubmission(db(), "c")).toBeDefined();
  });

  test("a request id of the day before is forgotten", async () => {
    await insertSubmission(db(), newSubmission("a"), own, at);
    const nextDay = { ...at, nowMs: at.nowMs + 86_400_001 };

    expect(await insertSubmission(db(), newSubmission("b"), own, nextDay)).toBeDefined();

    expect(await count("request_id")).toBe(1);
  });

  test.each([3, 1_000, 2_300])(
    "a round leaves its %i queues and none of the round before",
    async (queues) => {
      const first = await insertSubmission(db(), newSubmission("a"), own, at);
      const completed = await finish(first!, queues);
      const found = (await stored("a")).map(({ assignment }) => assignment.queue?.nodeId);
      expect(found).toEqual(Array.from({ length: queues }, (_, at) => `n${at}`));
      await db().query(
        "update gateway.submission set state = 'queued', round = 2, revision = $1 where submission_id = 'a'",
        [completed!.revision + 1],
      );
      const again = await claimSubmission(db(), "a", "gw", { nowMs: 2_000, ownMs: 1_000 });

      const second = await finish(again!, 2);

      expect(await stored("a")).toHaveLength(2);
      const { storeEpoch: _, ...answered } = second!;
      expect(await readSubmission(db(), "a")).toEqual(answered);
    },
  );

  test("an outcome without a result leaves the queues of the round before", async () => {
    const first = await insertSubmission(db(), newSubmission("a"), own, at);
    await finish(first!, 3);
    await db().query("update gateway.submission set state = 'queued', round = 2");
    const again = await claimSubmission(db(), "a", "gw", { nowMs: 2_000, ownMs: 1_000 });

    await writeOutcome(db(), again!, "gw", { state: "failed", reason: "no", nowMs: 3_000 });

    expect(await stored("a")).toHaveLength(3);
    expect((await readSubmission(db(), "a"))?.stateReason).toBe("no");
  });

  test("the outcome of a round that another process took over stores nothing", async () => {
    const row = await insertSubmission(db(), newSubmission("a"), own, at);
    await claimSubmission(db(), "a", "other", { nowMs: 9_000, ownMs: 1_000 });
    const before = await counts();

    expect(await finish(row!, 3)).toBeUndefined();
    expect(await finish(row!, 2_300)).toBeUndefined();

    expect(await counts()).toEqual(before);
    expect(await stored("a")).toEqual([]);
    expect((await readSubmission(db(), "a"))?.state).toBe("processing");
  });

  test("a context that a completed submission has opened is not to be closed any more", async () => {
    const row = await insertSubmission(db(), newSubmission("a"), own, at);
    for (const [worldId, isDue] of [
      ["w1", false],
      ["w1-due", true],
      ["w2", false],
    ] as const) {
      await db().query(
        "insert into gateway.unbinding (world_id, strategy_id, asked_ms, is_due) values ($1, $2, 1, $3)",
        [worldId, "s-1", isDue],
      );
    }

    await finish(row!, 1);

    const left = await db().query("select world_id from gateway.unbinding order by world_id");
    expect(left).toEqual([{ world_id: "w1-due" }, { world_id: "w2" }]);
  });

  test("after a restore the outcome of an earlier claim is not told in the new store epoch", async () => {
    const row = await insertSubmission(db(), newSubmission("a"), own, at);
    await db().transaction((tx) => raiseStoreEpoch(tx, "gateway", 0));

    expect(await finish(row!, 1)).toBeUndefined();

    const again = await claimSubmission(db(), "a", "gw", { nowMs: 2_000, ownMs: 1_000 });
    expect(await finish(again!, 1)).toMatchObject({ storeEpoch: 2, state: "completed" });
  });
});
