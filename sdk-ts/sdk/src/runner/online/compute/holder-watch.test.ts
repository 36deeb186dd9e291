import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  ListQueueStatsResponseSchema,
  type QueueService,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { expect, test } from "vitest";
import { ManualClock } from "../../../testing/index.ts";
import { RunTasks, StartedClock } from "../session/ongoing-run.ts";
import { HolderWatch, QueueDivergedError } from "./holder-watch.ts";

const leaseMs = 10_000;

/** A queue of the name of its key, as far as the watch looks at it. */
const queue = (computeKey: string, nextSeq = 7) => ({
  computeKey,
  logEpoch: 3,
  nextSeq,
  identity: { name: computeKey, nodeId: `node-${computeKey}` },
});

type Queue = ReturnType<typeof queue>;
type ListQueueStats = Client<typeof QueueService>["listQueueStats"];

/** A watch over queues that others hold or await, and what a run looks at: each answer makes it look again. */
function rig() {
  const clock = new ManualClock();
  const holders = new Map<string, string>();
  const candidates = new Map<string, number>();
  const asked: (readonly string[])[] = [];
  const problems: string[] = [];
  const state = { isDown: false, lacking: [] as Queue[], excluded: [] as Queue[] };
  let failure: unknown;
  let isLong = false;
  const listQueueStats: ListQueueStats = async ({ computeKeys = [] }) => {
    asked.push(computeKeys);
    if (state.isDown) throw new Error("the DAG Manager does not answer");
    const queues = computeKeys.map((computeKey) => ({
      queue: { computeKey },
      holderSessionId: holders.get(computeKey) ?? "",
      candidates: candidates.get(computeKey) ?? 0,
    }));
    return create(ListQueueStatsResponseSchema, { queues });
  };
  const reports = { event: () => {}, problem: (problem: string) => void problems.push(problem) };
  const look = () => {
    try {
      if (failure === undefined) isLong = watch.look(state.lacking, state.excluded);
    } catch (error) {
      failure = error;
    }
  };
  const watch = new HolderWatch({
    clock: new StartedClock(clock),
    leases: { leaseMs },
    queues: { listQueueStats },
    reports,
    run: { moveOn: look },
    tasks: new RunTasks(reports),
  });
  const pass = async (ms: number): Promise<void> => {
    for (let passedMs = 0; passedMs < ms; passedMs += 500) {
      clock.advance(500);
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  };
  const wait = (lacking: Queue[], excluded = lacking) => {
    Object.assign(state, { lacking, excluded });
    look();
  };
  const nodesOf = () => (failure instanceof QueueDivergedError ? [...failure.nodeIds] : failure);
  const seen = { failed: nodesOf, message: () => String(failure), isLong: () => isLong };
  return { clock, state, holders, candidates, asked, problems, watch, wait, pass, ...seen };
}

test("a strategy whose queue another build holds is not taken out, however long that one waits for a feed", async () => {
  const { holders, wait, pass, failed, problems } = rig();
  holders.set("q", "session-of-another-build");

  wait([queue("q")]);
  await pass(3_600_000);

  expect(failed()).toBeUndefined();
  expect(problems[0]).toContain('waits for the next rows of "q"');
});

test("a queue that a session waits to hold is not given up by those that need it", async () => {
  const { candidates, wait, pass, failed } = rig();
  candidates.set("q", 1);

  wait([queue("q")]);
  await pass(600_000);

  expect(failed()).toBeUndefined();
});

test("a strategy whose queue nobody holds is taken out after three leases, and not before", async () => {
  const { wait, pass, failed, message } = rig();
  wait([queue("q")]);

  await pass(3 * leaseMs);
  expect(failed()).toBeUndefined();
  await pass(leaseMs);

  expect(failed()).toEqual(["node-q"]);
  expect(message()).toMatch(/^QueueDivergedError: nobody computes "q":/);
});

test("a holder that comes back in the last moment is waited for anew", async () => {
  const { holders, wait, pass, failed } = rig();
  wait([queue("q")]);
  await pass(3 * leaseMs);
  holders.set("q", "back");
  await pass(leaseMs);
  holders.delete("q");

  await pass(3 * leaseMs);
  expect(failed()).toBeUndefined();
  await pass(leaseMs);

  expect(failed()).toEqual(["node-q"]);
});

test("a strategy is not taken out while it is not known who holds its queue", async () => {
  const { state, wait, pass, failed, problems } = rig();
  wait([queue("q")]);
  await pass(3 * leaseMs);
  state.isDown = true;
  await pass(600_000);
  expect(failed()).toBeUndefined();
  expect(problems).toContain("the DAG Manager does not answer");

  state.isDown = false;
  await pass(3 * leaseMs);
  expect(failed()).toBeUndefined();
  await pass(leaseMs);

  expect(failed()).toEqual(["node-q"]);
});

test("a process that stood still does not take the time for one in which nobody held its queue", async () => {
  const { clock, wait, pass, failed } = rig();
  wait([queue("q")]);
  await pass(leaseMs);

  clock.advance(3_600_000);
  await pass(3 * leaseMs);
  expect(failed()).toBeUndefined();
  await pass(leaseMs);

  expect(failed()).toEqual(["node-q"]);
});

test("of two queues that are lacking only the one that nobody holds ends a strategy, and only it is named with those before it", async () => {
  const { holders, wait, pass, failed, message } = rig();
  holders.set("held", "another");
  const [held, orphan, before] = [queue("held"), queue("orphan"), queue("before")];

  wait([held, orphan], [held, orphan, before]);
  await pass(4 * leaseMs);

  expect(failed()).toEqual(["node-orphan"]);
  expect(message()).toContain('nobody computes "orphan", "before":');
});

test("a record or a START of the queue begins the time anew, and a wait that is over asks nobody", async () => {
  const { asked, wait, pass, failed, isLong } = rig();
  for (let seq = 0; seq < 10; seq++) {
    wait([queue("q", seq)]);
    await pass(2 * leaseMs);
    expect(isLong()).toBe(true);
  }
  wait([]);
  const before = asked.length;
  await pass(10 * leaseMs);

  expect(failed()).toBeUndefined();
  expect([before > 30, asked.length]).toEqual([true, before]);
});

test("rows that come within a moment ask nobody, and it is told after a lease that they do not", async () => {
  const { asked, wait, pass, isLong } = rig();
  for (let seq = 0; seq < 100; seq++) {
    wait([queue("q", seq)]);
    await pass(1_000);
    wait([]);
  }
  expect([asked.length, isLong()]).toEqual([0, false]);

  wait([queue("q", 100)]);
  await pass(leaseMs - 1_000);
  expect(isLong()).toBe(false);
  await pass(5_000);

  expect(isLong()).toBe(true);
});

test("a run that has ended asks nobody any more", async () => {
  const { asked, watch, wait, pass } = rig();
  wait([queue("q")]);
  await pass(leaseMs);
  const before = asked.length;

  watch.stop();
  await pass(10 * leaseMs);

  expect([before > 0, asked.length]).toEqual([true, before]);
});
