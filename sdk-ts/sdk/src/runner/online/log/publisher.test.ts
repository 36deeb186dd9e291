import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { expect, test } from "vitest";
import { dressTransport } from "../../../rpc/index.ts";
import { ManualClock } from "../../../testing/manual-clock.ts";
import { waitUntil } from "../../../testing/wait-until.ts";
import { Publisher } from "./publisher.ts";

test.each([
  { mayWaitAtBarrier: true, problems: [] },
  { mayWaitAtBarrier: false, problems: [expect.stringContaining("too late")] },
])(
  "a row held beyond the deadline of its call is sent again (a barrier may hold it: $mayWaitAtBarrier)",
  async ({ mayWaitAtBarrier, problems }) => {
    const clock = new ManualClock();
    const told: string[] = [];
    let calls = 0;
    const transport = createRouterTransport((router) => {
      router.service(QueueDataService, {
        publish: () => {
          if (++calls === 1) throw new ConnectError("too late", Code.DeadlineExceeded);
          return { results: [{ effective: true }] };
        },
      });
    });
    const publisher = new Publisher({
      data: createClient(QueueDataService, dressTransport(transport, {})),
      clock,
      tickets: { call: (make) => make("t") },
      timeoutMs: 30_000,
      mayWaitAtBarrier,
      listener: { recordRefused: () => {} },
      reports: { problem: (problem) => void told.push(problem) },
    });

    publisher.send([create(QueueRecordSchema, { computeKey: "k", seq: 1n })]);
    await waitUntil(() => {
      clock.advance(1_000);
      return calls === 2;
    }, "the second call");
    await publisher.stop();

    expect(told).toEqual(problems);
  },
);
