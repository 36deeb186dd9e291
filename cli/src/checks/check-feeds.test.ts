import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createRouterTransport } from "@connectrpc/connect";
import { SlicePhase } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { clientOf, dressTransport } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { standingChecks } from "./check-feeds.ts";

const nowMs = Date.UTC(2026, 0, 2);

test("a feed that stands still by itself is named, with what is done and since when; one that waits is not", async () => {
  const ago = (ms: number) => timestampFromMs(nowMs - ms);
  const { APPEND, BOOK, OPEN, ENDED } = SlicePhase;
  const transport = createRouterTransport((router) => {
    router.service(QueueService, {
      listFeeds: () => ({
        feeds: [
          { source: "stuck", slicePhase: BOOK, slicePhaseTime: ago(60_000) },
          { source: "lost", slicePhase: APPEND, slicePhaseTime: ago(10_000) },
          { source: "moves", slicePhase: BOOK, slicePhaseTime: ago(5) },
          { source: "computes", slicePhase: OPEN, slicePhaseTime: ago(60_000) },
          { source: "settled", slicePhase: ENDED, slicePhaseTime: ago(60_000) },
          {
            ...{ source: "unpublished", slicePhase: APPEND, slicePhaseTime: ago(60_000) },
            waitsForSources: ["other"],
          },
        ],
      }),
    });
  });
  const dressed = dressTransport(transport, {});

  const checks = await standingChecks(
    { client: (service) => clientOf(service, dressed) },
    () => nowMs,
  );

  expect(checks.map(({ name, status, detail }) => [name, status, detail])).toEqual([
    [
      "feed stuck",
      "warning",
      "stands still: its bars are being booked since 2026-01-01T23:59:00.000Z",
    ],
    [
      "feed lost",
      "warning",
      "stands still: its rows are being stored since 2026-01-01T23:59:50.000Z",
    ],
  ]);
});
