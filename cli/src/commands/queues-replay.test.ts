import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SlicePhase } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { type OpenServer, openGrpcServer, serve } from "@qmtl/service-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

/** A feed whose row was let pass, and of which the log has not said whether it has it. */
const stuck = {
  ...{ source: "stuck", passedRow: 9n, slicePhase: SlicePhase.APPEND },
  slicePhaseTime: timestampFromMs(Date.UTC(2026, 0, 1)),
};

let server: OpenServer;
beforeAll(async () => {
  const queues = serve(QueueService, {
    listFeeds: async ({ scope }) => ({
      feeds: [
        scope?.scope.value === "stuck"
          ? stuck
          : {
              source: "lead",
              passedRow: 9n,
              waitsForSources: ["solo", "other"],
              runners: [
                { sessionId: "live", worldId: "w", endedRow: 9n },
                { sessionId: "back", worldId: "w", endedRow: 4n },
              ],
              droppedSessionIds: ["back", "gone"],
            },
      ],
    }),
    listQueueStats: async () => ({
      queues: [
        { queue: { source: "solo" } },
        { queue: { source: "other" }, holderSessionId: "holder" },
      ],
    }),
  });
  server = await openGrpcServer({ services: [queues] });
});
afterAll(() => server.close());

test("replay names each session once, and who publishes a feed that is waited for", async () => {
  const url = `http://127.0.0.1:${server.port}`;
  const { out } = await runInProcess("--gateway-url", url, "queues", "replay", "lead");

  const lines = out.join("\n").split("\n");
  expect(lines.slice(1, 3)).toEqual([
    "feed solo is published by nobody: run a strategy that reads it, or unbind those that do",
    "feed other is published by session holder, which has not offered its next row yet",
  ]);
  expect(lines.slice(3).map((line) => line.trim().split(/ {2,}/))).toEqual([
    ["SESSION", "WORLD", "ENDED ROW", "DROPPED"],
    ["live", "w", "9"],
    ["back", "w", "4", "yes, coming back"],
    ["gone", "yes"],
  ]);
});

test("replay says what a feed stands at that waits for nobody, and since when", async () => {
  const url = `http://127.0.0.1:${server.port}`;
  const { out } = await runInProcess("--gateway-url", url, "queues", "replay", "stuck");

  const [line] = out.join("\n").split("\n");
  expect(line).toMatch(/, its rows are being stored since 2026-01-01T00:00:00.000Z$/);
});
