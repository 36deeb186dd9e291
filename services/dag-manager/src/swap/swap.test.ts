import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type ContextSwap, SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { backtest, type ContextInit, dryrun, keyOf, sourceKeyOf } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import { rows, start } from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";
import { ticketOf } from "../testing/test-tickets.ts";

const bars = sourceKeyOf("bars");

/** Strategy A in its backtest context, its source at row 9, run by the sessions. */
async function running(dag: TestDag, ...sessions: string[]): Promise<void> {
  await submitGraph(dag);
  await lease(dag, "feeder", [bars]);
  await dag.data.publish({
    ticket: "feeder",
    records: [start(bars, 1), ...rows(bars, 1, 0, 10)],
  });
  for (const sessionId of sessions) {
    await dag.queues.createReplayRunner({ ticket: ticketOfRunner(sessionId), sources: ["feed"] });
  }
}

const open = (dag: TestDag, context: ContextInit, waitMs = 0) =>
  dag.gatewayQueues.openContext({ strategyId: "A", context, wait: durationFromMs(waitMs) });

/** A ticket of a session that runs strategy A in world w1. */
const ticketOfRunner = (sessionId: string) => ticketOf({ sessionId, strategyIds: ["A"] });

const phaseNames = new Map<number, string>(
  Object.entries(SwapPhase).map(([name, at]) => [at, name]),
);
const phaseOf = ({ swap }: { swap?: ContextSwap | undefined }) => phaseNames.get(swap!.phase);

const warm = (dag: TestDag, sessionId: string, swapId: string, warmRow: number) =>
  dag.queues.answerSwap({
    ticket: ticketOfRunner(sessionId),
    answer: { swapId, phase: SwapPhase.OPENING, warmRow: BigInt(warmRow) },
  });

/** Answers the newest PREPARE that was published, or the one of `fromRow`. */
async function prepared(
  dag: TestDag,
  sessionId: string,
  swapId: string,
  endedRow: number,
  fromRow?: number,
) {
  const told = (await phases(dag)).filter((each) => each.startsWith("PREPARE")).at(-1);
  const row = fromRow ?? Number(told?.split(" ")[1] ?? 0);
  const answer = {
    swapId,
    phase: SwapPhase.PREPARE,
    fromRow: BigInt(row),
    endedRow: BigInt(endedRow),
  };
  return dag.queues.answerSwap({ ticket: ticketOfRunner(sessionId), answer });
}

async function phases(dag: TestDag): Promise<string[]> {
  return (await dag.events()).flatMap(({ payload }) => {
    const swap = payload.case === "swapUpdated" ? payload.value : undefined;
    return swap === undefined ? [] : [`${phaseOf({ swap })} ${swap.fromRow}`];
  });
}

describeEachDatabase("change of context", (databases) => {
  test("with nobody running, the new context is in force at once", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);

    const opened = await open(dag, dryrun);

    expect(phaseOf(opened)).toBe("COMMIT");
    expect(opened.swap!.keys).toHaveLength(6);
    expect(opened.swap!.keys[0]).toMatchObject({
      oldComputeKey: keyOf("close"),
      newComputeKey: keyOf("close", "dryrun"),
    });
    const again = await open(dag, dryrun);
    expect(again.swap!.swapId).toBe(opened.swap!.swapId);
  });

  test("two runners warm up, are told the row, answer, and change there, with the feed at rest", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1", "r2");
    const opened = await open(dag, dryrun);
    const { swapId } = opened.swap!;
    expect(phaseOf(opened)).toBe("OPENING");
    expect(await lease(dag, "r1", [keyOf("close", "dryrun")])).toEqual([1]);

    expect(phaseOf(await warm(dag, "r1", swapId, 9))).toBe("OPENING");
    const told = await warm(dag, "r2", swapId, 8);
    expect(phaseOf(told)).toBe("PREPARE");
    expect(told.swap!.fromRow).toBe(11n);
    expect(phaseOf(await prepared(dag, "r1", swapId, 9))).toBe("PREPARE");
    expect(phaseOf(await prepared(dag, "r2", swapId, 9))).toBe("COMMIT");

    expect(await phases(dag)).toEqual(["OPENING 0", "PREPARE 11", "COMMIT 11"]);
    expect(phaseOf(await open(dag, dryrun))).toBe("COMMIT");
  });

  test("a runner that is further already is given a later row, and the others answer again", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1", "r2");
    const { swapId } = (await open(dag, dryrun)).swap!;
    await warm(dag, "r1", swapId, 9);
    await warm(dag, "r2", swapId, 9);
    await prepared(dag, "r1", swapId, 9);

    const later = await prepared(dag, "r2", swapId, 12);

    expect([phaseOf(later), later.swap!.fromRow]).toEqual(["PREPARE", 14n]);
    await prepared(dag, "r2", swapId, 12);
    expect(phaseOf(await prepared(dag, "r1", swapId, 10))).toBe("COMMIT");
  });

  test("a runner that is far from warm holds the change up", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1");
    const { swapId } = (await open(dag, dryrun)).swap!;

    expect(phaseOf(await warm(dag, "r1", swapId, 6))).toBe("OPENING");
    expect(phaseOf(await warm(dag, "r1", swapId, 7))).toBe("PREPARE");
  });

  test("OpenContext waits for the decision", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1");
    const { swapId } = (await open(dag, dryrun)).swap!;
    const waiting = open(dag, dryrun, 20_000);

    await warm(dag, "r1", swapId, 9);
    await prepared(dag, "r1", swapId, 9);

    const decided = await waiting;
    expect([phaseOf(decided), decided.warmKeys]).toEqual(["COMMIT", 6]);
  });

  test("a refusal aborts it and the old context goes on; it can be opened again", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1");
    const { swapId } = (await open(dag, dryrun)).swap!;

    const answer = await dag.queues.answerSwap({
      ticket: ticketOfRunner("r1"),
      answer: { swapId, phase: SwapPhase.OPENING, refused: true },
    });

    expect(phaseOf(answer)).toBe("ABORTED");
    expect(phaseOf(await open(dag, backtest))).toBe("COMMIT");
    const again = await open(dag, dryrun);
    expect(phaseOf(again)).toBe("OPENING");
    expect(again.swap!.swapId).not.toBe(swapId);
  });

  test("asking for the context in force aborts a change under way", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1");
    await open(dag, dryrun);

    expect(phaseOf(await open(dag, backtest))).toBe("COMMIT");

    expect(await phases(dag)).toEqual(["OPENING 0", "ABORTED 0"]);
  });

  test("a change that was committed is taken back by the same steps", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1");
    const there = (await open(dag, dryrun)).swap!.swapId;
    await warm(dag, "r1", there, 9);
    await prepared(dag, "r1", there, 9);

    const back = await open(dag, backtest);
    expect(phaseOf(back)).toBe("OPENING");
    expect(back.swap!.keys[0]!.newComputeKey).toBe(keyOf("close"));
    await warm(dag, "r1", back.swap!.swapId, 9);
    await prepared(dag, "r1", back.swap!.swapId, 9);

    expect((await phases(dag)).at(-1)).toBe("COMMIT 11");
    expect(phaseOf(await open(dag, backtest))).toBe("COMMIT");
  });

  test("a restart before the decision aborts it; one after it keeps it", async () => {
    let swapId = "";
    {
      await using dag = await openDag(databases());
      await running(dag, "r1");
      swapId = (await open(dag, dryrun)).swap!.swapId;
      await warm(dag, "r1", swapId, 9);
    }
    {
      await using dag = await openDag(databases());
      expect(phaseOf(await prepared(dag, "r1", swapId, 9))).toBe("ABORTED");
      swapId = (await open(dag, dryrun)).swap!.swapId;
      await warm(dag, "r1", swapId, 9);
      await prepared(dag, "r1", swapId, 9);
    }
    await using dag = await openDag(databases());
    const after = await open(dag, dryrun);
    expect([phaseOf(after), after.swap!.swapId]).toEqual(["COMMIT", swapId]);
  });

  test("a runner that left is not waited for", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1", "gone");
    const { swapId } = (await open(dag, dryrun)).swap!;
    await warm(dag, "r1", swapId, 9);

    await dag.queues.deleteReplayRunner({ ticket: ticketOfRunner("gone"), sources: ["feed"] });

    expect(phaseOf(await prepared(dag, "r1", swapId, 9))).toBe("COMMIT");
  });

  test("a runner whose ticket does not cover the strategy any more is not waited for", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1", "out");
    const { swapId } = (await open(dag, dryrun)).swap!;
    await warm(dag, "r1", swapId, 9);
    const ticket = ticketOf({ sessionId: "out", strategyIds: ["B"] });
    const answer = { swapId, phase: SwapPhase.OPENING, warmRow: 9n };

    await dag.queues.answerSwap({ ticket, answer });

    expect(phaseOf(await prepared(dag, "r1", swapId, 9))).toBe("COMMIT");
    const stranger = ticketOf({ sessionId: "other", strategyIds: ["B"] });
    await expect(dag.queues.answerSwap({ ticket: stranger, answer })).rejects.toMatchObject({
      reason: "TICKET_SCOPE",
    });
  });

  test("a runner that enters its feeds again with other strategies is asked for those alone", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1");
    const ticket = ticketOf({ sessionId: "r1", strategyIds: ["B"] });

    await dag.queues.createReplayRunner({ ticket, sources: ["feed"] });

    expect(phaseOf(await open(dag, dryrun))).toBe("COMMIT");
  });

  test("a runner that enters its feeds again with other strategies is not waited for", async () => {
    await using dag = await openDag(databases());
    await running(dag, "r1", "out");
    const { swapId } = (await open(dag, dryrun)).swap!;
    await warm(dag, "r1", swapId, 9);
    const ticket = ticketOf({ sessionId: "out", strategyIds: ["B"] });

    await dag.queues.createReplayRunner({ ticket, sources: ["feed"] });

    expect(phaseOf(await prepared(dag, "r1", swapId, 9))).toBe("COMMIT");
  });

  test("a strategy that was never submitted is not found", async () => {
    await using dag = await openDag(databases());

    await expect(open(dag, dryrun)).rejects.toMatchObject({ reason: "STRATEGY_NOT_FOUND" });
  });
});
