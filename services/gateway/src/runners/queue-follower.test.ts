import { create } from "@bufbuild/protobuf";
import { FollowedQueueSchema } from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { QueueFollower } from "./queue-follower.ts";

const key = "blake3:node";

/** A follower of one queue over a log without records; `ended` is called as a reading of the log ends. */
function openRig(ended: () => void = () => {}) {
  const log = { reads: 0 };
  const clock = new ManualClock();
  const stop = new AbortController();
  const follower = new QueueFollower(
    {
      dag: {
        stream: async function* () {
          log.reads += 1;
          yield* [];
          ended();
        },
      },
      clock,
      signal: stop.signal,
      send: async () => {},
      fail: () => {},
    },
    {
      principal: { name: "r", role: "researcher" },
      session: undefined,
      signal: stop.signal,
      timeoutMs: undefined,
      metadata: new Map(),
    },
  );
  const position = { case: "fromSeq" as const, value: 0n };
  follower.follow([create(FollowedQueueSchema, { computeKey: key, position })]);
  return { follower, log, clock, stop };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("the log is read again whenever that is asked for, also as a reading ends", async () => {
  for (let ticks = 0; ticks < 16; ticks++) {
    let isAsked = false;
    const rig = openRig(() => {
      if (isAsked) return;
      isAsked = true;
      let asking = Promise.resolve();
      for (let tick = 0; tick < ticks; tick++) asking = asking.then(() => {});
      void asking.then(() => rig.follower.lookAgain([key]));
    });
    await settled();
    await settled();
    expect([ticks, rig.log.reads]).toEqual([ticks, 2]);
  }
});

test("records whose append was not answered are looked for during 30 s, for they may be stored that much later", async () => {
  const { follower, log, clock } = openRig();
  await settled();
  follower.keepLooking([key]);
  await settled();
  expect(log.reads).toBe(2);

  for (let passedMs = 0; passedMs < 60_000; passedMs += 1_000) {
    clock.advance(1_000);
    await settled();
  }

  expect(log.reads).toBe(2 + 15);
});
