import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { nodeIdsCrc32 } from "@qmtl/core/canonical";
import {
  createPrincipalCheck,
  openGrpcServer,
  serve,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { migrateTopics } from "@qmtl/service-kit/control";
import { migrate } from "@qmtl/service-kit/db";
import { migrateOutbox } from "@qmtl/service-kit/outbox";
import { ManualClock, openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { Peer } from "../peers/peer.ts";
import {
  claimSubmission,
  openSubmissions,
  putSubmission,
  readSubmission,
} from "../store/submission-store.ts";
import { FakeWorld, node, submission } from "../testing/gateway-rig.ts";
import { SubmissionWorker, takeoverMsMax } from "./submission-worker.ts";

const source = node("StreamInput");
const submissionId = "sub-1";

/** A worker on a clock that the test moves, between fakes; the diff waits until it is let through. */
async function openRig() {
  await using opened = new AsyncDisposableStack();
  const db = opened.use(await openTestPglite()).db("gateway");
  await migrate(db, fileURLToPath(new URL("../../migrations/", import.meta.url)));
  await migrateOutbox(db);
  await migrateTopics(db);
  let letThrough = (): void => {};
  const held = new Promise<void>((resolve) => {
    letThrough = resolve;
  });
  const diffs: string[] = [];
  const changes: (string | undefined)[] = [];
  const diff = serve(DiffService, {
    async *diff({ submissionId: id }) {
      diffs.push(id);
      await held;
      yield { chunk: 0, chunks: 1, assignments: [], nodeIdsCrc32: nodeIdsCrc32([source.nodeId]) };
    },
  });
  const fakeWorld = new FakeWorld();
  const gatewayKey = { gatewayId: "gw-alive", secret: new Uint8Array(32).fill(7) };
  const principalOf = createPrincipalCheck({ gateways: [gatewayKey] });
  const dagServer = opened.use(await openGrpcServer({ services: [diff], principalOf }));
  const worldServer = opened.use(
    await openGrpcServer({ services: fakeWorld.services(), principalOf }),
  );
  const clock = new ManualClock();
  const peer = (name: string, port: number) =>
    new Peer(name, `http://127.0.0.1:${port}`, { clock: systemClock, gatewayKey });
  const dag = peer("dag-manager", dagServer.port);
  const world = peer("world-service", worldServer.port);
  opened.defer(() => dag.close());
  opened.defer(() => world.close());
  const worker = new SubmissionWorker({
    db,
    clock,
    logger: silentLogger,
    world,
    dag,
    gateway: { name: "gw-alive", role: "gateway" },
    gatewayId: "gw-alive",
    outbox: { pokeSoon: () => {} },
    watch: { changed: (_, row) => void changes.push(row?.state) },
  });
  opened.defer(() => worker.stop());
  const request = create(SubmitStrategyRequestSchema, submission([source]));
  const row = { submissionId, strategyId: "s-1", worldIds: ["w1"], request };
  const principal = { name: "quant", role: "researcher" } as const;
  await db.transaction((tx) => putSubmission(tx, { ...row, principal }, clock.nowMs()));
  const all = opened.move();
  return {
    db,
    clock,
    worker,
    diffs,
    changes,
    binders: fakeWorld.binders,
    letThrough,
    state: async () => (await readSubmission(db, submissionId))?.state,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

test("a submission whose process died is taken up within the stated time", async () => {
  await using rig = await openRig();
  const { db, clock, worker } = rig;
  // The dead process claimed it a moment ago, for as long as a process may.
  await claimSubmission(db, submissionId, "gw-dead", { nowMs: clock.nowMs(), ownMs: 4_000 });
  await worker.start();
  expect(rig.diffs).toEqual([]);

  rig.letThrough();
  const beganMs = clock.nowMs();
  await waitUntil(async () => {
    if (clock.nowMs() - beganMs < takeoverMsMax) clock.advance(500);
    return (await rig.state()) === "completed";
  });

  expect(takeoverMsMax).toBeLessThanOrEqual(6_000);
  expect(rig.diffs).toEqual([submissionId]);
});

test("nobody takes a submission from a process that is still working on it, however long that takes", async () => {
  await using rig = await openRig();
  const { db, clock, worker } = rig;
  await worker.start();
  await waitUntil(() => rig.diffs.length === 1);

  for (let second = 0; second < 20; second++) {
    clock.advance(1_000);
    const nowMs = clock.nowMs();
    await waitUntil(
      async () => (await openSubmissions(db, "gw-other", nowMs + 2_500)).length === 0,
    );
  }
  rig.letThrough();
  await waitUntil(async () => (await rig.state()) === "completed");

  expect(rig.diffs).toEqual([submissionId]);
});

test("what a process finds after another took its submission over is dropped", async () => {
  await using rig = await openRig();
  const { db, clock, worker } = rig;
  await worker.start();
  await waitUntil(() => rig.diffs.length === 1);
  await db.query("update gateway.submission set owner = 'gw-other', owned_until_ms = $1", [
    clock.nowMs() + 60_000,
  ]);

  rig.letThrough();
  await waitUntil(() => rig.changes.length === 2);

  expect(rig.changes).toEqual(["processing", undefined]);
  expect(await rig.state()).toBe("processing");
});

test("a researcher's submission is bound by the gateway, which names the researcher", async () => {
  await using rig = await openRig();
  rig.letThrough();
  await rig.worker.start();
  await waitUntil(async () => (await rig.state()) === "completed");

  expect(rig.binders).toEqual([{ name: "quant", role: "gateway" }]);
});
