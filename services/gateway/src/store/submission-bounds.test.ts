import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { SubmissionSchema } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { migrateTopics } from "@qmtl/service-kit/control";
import { applyMigrations, type PgliteHost, readMigrations } from "@qmtl/service-kit/db";
import { migrateOutbox } from "@qmtl/service-kit/outbox";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeOutcome } from "../submission/store-submission.ts";
import { node } from "../testing/gateway-rig.ts";
import {
  claimSubmission,
  putSubmission,
  readSubmission,
  weightBoundsOf,
} from "./submission-store.ts";

const source = node("StreamInput");
const folder = fileURLToPath(new URL("../../migrations", import.meta.url));

let host: PgliteHost;
let nowMs = 0;
beforeEach(async () => {
  host = await openTestPglite();
});
afterEach(() => host.close());

const db = () => host.db("gateway");

async function migrateTo(steps?: number): Promise<void> {
  const migrations = await readMigrations(folder);
  await applyMigrations(db(), "gateway", migrations.slice(0, steps));
  await migrateOutbox(db());
  await migrateTopics(db());
}

const requestOf = (maxWeight: number) =>
  create(SubmitStrategyRequestSchema, {
    strategyName: "A",
    targets: [{ nodeId: source.nodeId, instrument: "SPX", maxWeight }],
  });

/** Submits strategy A for a world. */
async function handIn(worldId: string, maxWeight: number): Promise<void> {
  nowMs += 1;
  const row = { submissionId: `sub-${worldId}`, strategyId: "A", worldIds: [worldId] };
  const principal = { name: "quant", role: "researcher" } as const;
  const request = requestOf(maxWeight);
  await db().transaction((tx) => putSubmission(tx, { ...row, principal, request }, nowMs));
}

/** Ends the submission of a world. */
async function end(worldId: string, state: "completed" | "failed"): Promise<void> {
  nowMs += 1;
  const submissionId = `sub-${worldId}`;
  const claimed = await claimSubmission(db(), submissionId, "gw", { nowMs, ownMs: 1_000 });
  const submission = create(SubmissionSchema, {});
  const result = state === "completed" ? { result: { submission, assignments: [] } } : {};
  const outcome = { state, reason: "", nowMs, ...result };
  await writeOutcome(db(), claimed!, "gw", outcome);
}

async function boundIn(worldId: string): Promise<number | undefined> {
  const bounds = await weightBoundsOf(db(), worldId, ["A", "unknown"]);
  return bounds.get("A")?.get("SPX");
}

test("the bound of a target is that of the submission that was completed last, whatever was handed in since", async () => {
  await migrateTo();
  await handIn("w1", 0.5);
  await end("w1", "completed");
  expect(await boundIn("w1")).toBe(0.5);

  await handIn("w1", 2);
  expect(await boundIn("w1")).toBe(0.5);
  await end("w1", "failed");
  expect(await boundIn("w1")).toBe(0.5);
  await handIn("w1", 0);
  expect(await boundIn("w1")).toBe(0.5);
  await end("w1", "completed");
  expect(await boundIn("w1")).toBeUndefined();
});

test("a submission for another world counts only once it is completed, and behind one for the world", async () => {
  await migrateTo();
  await handIn("w1", 0.5);
  await end("w1", "completed");

  await handIn("w2", 2);
  expect(await boundIn("w2")).toBe(0.5);
  await end("w2", "completed");
  expect([await boundIn("w1"), await boundIn("w2"), await boundIn("w3")]).toEqual([0.5, 2, 2]);
});

test("while none was completed the one handed in last bounds", async () => {
  await migrateTo();
  await handIn("w1", 0.5);
  expect(await boundIn("w1")).toBe(0.5);
  await end("w1", "failed");
  await handIn("w2", 0.25);

  expect([await boundIn("w1"), await boundIn("w2")]).toEqual([0.5, 0.25]);
});

test("what was completed before a gateway kept bounds by themselves bounds as it did", async () => {
  await migrateTo(3);
  const request = toBinary(SubmitStrategyRequestSchema, requestOf(0.5));
  const result = toBinary(SubmissionSchema, create(SubmissionSchema, {}));
  await db().query(
    `insert into gateway.submission (submission_id, strategy_id, strategy_name, strategy_version, world_ids, principal,
       first_principal, request, state, result, created_ms, updated_ms)
     values ('sub-w1', 'A', 'A', 'v1', '{w1}', '{}', 'quant', $1, 'completed', $2, 1, 1)`,
    [request, result],
  );
  await migrateTo();

  await handIn("w1", 2);

  expect(await boundIn("w1")).toBe(0.5);
  expect((await readSubmission(db(), "sub-w1"))?.state).toBe("queued");
});
