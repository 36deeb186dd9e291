import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { type OpenServer, openGrpcServer, serve } from "@qmtl/service-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

let server: OpenServer;
beforeAll(async () => {
  const queues = serve(QueueService, {
    listFeeds: async () => ({
      feeds: [
        {
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
