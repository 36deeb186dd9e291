import { create } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { expect, test, vi } from "vitest";
import type { RunPorts } from "../log/run-ports.ts";
import type { ContextBucket } from "./clocks.ts";
import type { OnlineContext } from "./context.ts";
import type { ComputedStrategy } from "./strategy-swap.ts";
import { ContextSwaps } from "./swap.ts";

/** The parts of a context that a context swap uses; it is ready for its next bucket. */
class FakeContext {
  readonly replicas = new Map();
  isWarm = true;
  row = 199;
  endMs = 199;
  readonly start = async (): Promise<void> => {};
  readonly stop = async (): Promise<void> => {};
  readonly lastRow = (): number => this.row;
  readonly members: readonly object[];

  constructor(strategies: readonly ComputedStrategy[]) {
    this.members = strategies.map(({ graph }) => graph);
  }

  /** Computes the bucket of a row, whose end is the row's number in milliseconds. */
  bucket(row: number, target: number): ContextBucket {
    const times = {
      row,
      bucketEndMs: row,
      previousEndMs: this.endMs,
      ends: [{ source: "feed", row }],
    };
    this.row = row;
    this.endMs = row;
    const part = { ...times, targets: [target], sizedRows: [Number.NaN], signals: [] };
    return { ...times, parts: new Map(this.members.map((graph) => [graph as never, part])) };
  }
}

/** A swap whose DAG Manager gives these answers, one after the other, and then none. */
function openSwap(...answers: ContextSwap[]) {
  const strategy = strategyNamed("");
  const from = new FakeContext([strategy]);
  const to = new FakeContext([strategy]);
  const handed: [number, number][] = [];
  const asked: SwapPhase[] = [];
  const answerSwap = async ({ answer }: { answer: { phase: SwapPhase } }) => {
    asked.push(answer.phase);
    return { swap: answers.shift() };
  };
  // Pauses end at once, as long as an answer is left.
  const clock = {
    setTimer: (wake: () => void) => {
      if (answers.length > 0) setImmediate(wake);
      return { cancel: () => {} };
    },
    elapsedMs: () => 0,
  };
  const ports = {
    tickets: { call: (call: (ticket: string) => unknown) => call("ticket") },
    queues: { answerSwap },
    clock,
    tasks: { track: () => {} },
    reports: { event: () => {}, problem: () => {} },
    run: { moveOn: () => {}, guard: (work: () => void) => work() },
  } as unknown as RunPorts;
  const contexts = [from, to] as unknown as OnlineContext[];
  const swap = new ContextSwaps(
    {
      ports,
      contexts: { openContext: () => contexts.shift()! },
      targets: {
        hasRoom: true,
        push: ({ parts }) => {
          for (const { row, targets } of parts.values()) handed.push([row, targets[0]!]);
        },
      },
      evaluations: { shared: 0, own: 0, warmup: 0, swap: 0 },
      sources: new Set(["feed"]),
    },
    [{ strategy, computeKeys: new Map(), context: undefined }],
  );
  const compute = (context: FakeContext, row: number, target: number) =>
    swap.take(context as unknown as OnlineContext, context.bucket(row, target));
  const ended = (row: number) =>
    swap.ended({ bucketEndMs: row, ends: [], parts: new Map([[strategy, { row } as never]]) });
  return { swap, from, to, handed, compute, asked, ended };
}

/** A strategy as far as a swap looks at it. */
function strategyNamed(strategyId: string): ComputedStrategy {
  const reports = { event: () => {} };
  const graph = { queries: [] };
  return { strategyId, graph, reports, isOut: false } as unknown as ComputedStrategy;
}

/** Target 1 comes from the old context, 2 from the new one. */
const phase = (at: SwapPhase, fromRow: number): ContextSwap =>
  create(ContextSwapSchema, {
    swapId: "swap-1",
    phase: at,
    fromRow: BigInt(fromRow),
    keys: [{ nodeId: "n", oldComputeKey: "old", newComputeKey: "new" }],
  });

function commit(swap: ContextSwaps, fromRow: number): void {
  swap.phase(phase(SwapPhase.OPENING, 0));
  swap.phase(phase(SwapPhase.PREPARE, fromRow));
  swap.phase(phase(SwapPhase.COMMIT, fromRow));
}

test("buckets before the row of a change come from the old context, the rest from the new one", () => {
  const { swap, from, to, handed, compute } = openSwap();
  compute(from, 200, 1);
  commit(swap, 202);

  for (const row of [201, 202]) {
    compute(to, row, 2);
    compute(from, row, 1);
  }

  expect(handed).toEqual([
    [200, 1],
    [201, 1],
    [202, 2],
  ]);
});

test("a change before the first bucket takes that bucket from the new context, and does not hold the feed for ever", () => {
  const { swap, from, to, handed, compute, ended } = openSwap();
  commit(swap, 1);

  compute(from, 200, 1);
  expect(handed).toEqual([]);
  compute(to, 200, 2);
  expect(handed).toEqual([[200, 2]]);

  ended(200);
  compute(to, 201, 2);
  expect(handed.at(-1)).toEqual([201, 2]);
});

test("a bucket that the new context began after comes from the old one: nobody else would end it", () => {
  const { swap, from, to, handed, compute, ended } = openSwap();
  commit(swap, 1);
  to.row = 200;
  to.endMs = 200;

  compute(from, 200, 1);
  expect(handed).toEqual([[200, 1]]);

  ended(200);
  compute(to, 201, 2);
  expect(handed.at(-1)).toEqual([201, 2]);
});

test("a commit whose event was lost on the stream is learnt from the answer, which is repeated", async () => {
  const { swap, from, to, handed, compute, asked } = openSwap(
    phase(SwapPhase.PREPARE, 201),
    phase(SwapPhase.PREPARE, 201),
    phase(SwapPhase.COMMIT, 201),
  );
  compute(from, 200, 1);
  compute(to, 200, 2);
  swap.phase(phase(SwapPhase.OPENING, 0));
  await vi.waitFor(() => expect(asked).toContain(SwapPhase.PREPARE));
  compute(from, 201, 1);
  compute(to, 201, 2);

  await vi.waitFor(() => expect(handed.at(-1)).toEqual([201, 2]));
  await swap.stop();
  expect(asked).toEqual([SwapPhase.OPENING, SwapPhase.PREPARE, SwapPhase.PREPARE]);
});

test("answers end once the change is decided, given up or stopped", async () => {
  const { swap, asked } = openSwap(phase(SwapPhase.OPENING, 0), phase(SwapPhase.ABORTED, 0));
  swap.phase(phase(SwapPhase.OPENING, 0));

  await vi.waitFor(() => expect(swap.contexts).toHaveLength(1));
  await swap.stop();

  expect(asked).toEqual([SwapPhase.OPENING, SwapPhase.OPENING]);
});
