import { type OfferedRow, type StoredTimelineFeed, takeTimeline } from "@qmtl/core/queues";
import { silentLogger } from "@qmtl/service-kit";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import type { EndedRow, SliceCall, SourceBar, SourceValue } from "../ports.ts";
import { barrierWaitMsMax } from "./offer-queue.ts";
import { type TimelineListener, Timelines } from "./timelines.ts";

const never = new AbortController().signal;
const sessionDeadMs = 4_000;

/** A call of a runner, which notes what became of it. */
class Call implements SliceCall {
  readonly worldId = "w";
  readonly strategies: readonly string[];
  readonly sessionId: string;
  readonly ends: readonly EndedRow[];
  readonly isArmed: boolean;
  readonly fence = 1;
  isRefusedForNow = false;
  outcome = "";

  constructor(sessionId: string, ends: readonly EndedRow[], isArmed = false) {
    this.sessionId = sessionId;
    this.strategies = [sessionId];
    this.ends = ends;
    this.isArmed = isArmed;
  }

  refuse(reason: string): void {
    this.outcome = reason;
  }

  answerAs(taken: SliceCall): boolean {
    if (JSON.stringify(taken.ends) !== JSON.stringify(this.ends)) return false;
    this.outcome = (taken as Call).outcome;
    return true;
  }
}

/** A clock of a process that can stand still: time goes on, and no timer fires meanwhile. */
class StoppedClock extends ManualClock {
  #stoodMs = 0;

  standStill(ms: number): void {
    this.#stoodMs += ms;
  }

  override monotonicMs(): number {
    return super.monotonicMs() + this.#stoodMs;
  }
}

const runnersOf = (sessionIds: readonly string[]) =>
  sessionIds.map((sessionId) => ({ sessionId, fromRow: 9 }));

function rig(
  runners: readonly string[],
  untilMs: number | null = null,
  more: readonly StoredTimelineFeed[] = [],
) {
  const clock = new StoppedClock();
  const happened: string[] = [];
  const booked: string[] = [];
  const taken: string[][] = [];
  const passed: string[] = [];
  const refused: string[] = [];
  const listener: TimelineListener = {
    runnerDropped: (sessionId) => void happened.push(`dropped ${sessionId}`),
    runnerTakenBack: (sessionId) => void happened.push(`taken back ${sessionId}`),
    runnerForgotten: (sessionId) => void happened.push(`forgotten ${sessionId}`),
    sliceBooked: () => {},
  };
  const failures: Error[] = [];
  const booker = {
    book: async (values: readonly SourceValue[]) =>
      void booked.push(values.map(({ source, row }) => `${source}/${row}`).join(" ")),
    passed: () => {},
    mustBook: () => false,
    take: async (calls: readonly SliceCall[]) => {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      taken.push(calls.map(({ sessionId }) => sessionId));
      for (const call of calls) (call as Call).outcome = "taken";
    },
  };
  const may = { order: true };
  const isComputeOnly = () => !may.order;
  const mustRestate = ({ isRefusedForNow }: SliceCall) => isRefusedForNow;
  const ports = { clock, logger: silentLogger, booker, listener, isComputeOnly, mustRestate };
  const timelines = new Timelines(ports);
  const feed = { source: "f", logRow: 9, endMs: 9_000, untilMs, isEnded: false, isBooked: true };
  timelines.open(
    takeTimeline([{ ...feed, runners: runnersOf(runners) }, ...more], sessionDeadMs, 0),
    [],
  );
  const rowAt = (row: number): OfferedRow => ({ row, toRow: row, timeMs: row * 1_000 });
  const bar = (source: string, row: number): SourceBar => ({
    ...{ source, instrument: "X", row, bucketEndMs: row * 1_000 },
    ...{ open: 1, high: 1, low: 1, close: 1 },
  });
  /** A call with several rows, as `publishRows` makes it: what passes together is appended together. */
  const publishRun = async (rows: readonly number[], source = "f"): Promise<void> => {
    const options = { sessionId: "s", signal: never };
    const held = timelines.offer(source, `${source}/${rows[0]}`, rows.map(rowAt), options);
    for (let at = 0; at < rows.length; ) {
      const passedRow = await held.passed();
      const together = rows.slice(at).filter((row) => row <= passedRow);
      passed.push(`${source}/${together.join(",")}`);
      const [row, toRow] = [together[0]!, together.at(-1)!];
      const bars = together.map((each) => bar(source, each));
      const appended = { row, toRow, timeMs: toRow * 1_000 };
      await timelines.effective(source, appended, bars, { isEmpty: false });
      at += together.length;
    }
  };
  const publish = (row: number, source = "f", name = `${source}/${row}`): void => {
    timelines
      .offer(source, name, [rowAt(row)], { sessionId: "s", signal: never })
      .passed()
      .then(() => {
        passed.push(name);
        return timelines.effective(source, rowAt(row), [bar(source, row)], { isEmpty: false });
      })
      .catch((error: { reason: string }) => refused.push(`${name} ${error.reason}`));
  };
  const end = (sessionId: string, row: number, isArmed = false, source = "f"): Call => {
    const call = new Call(sessionId, [{ source, row }], isArmed);
    timelines.end(call, 10_000, isArmed).catch((error: { reason: string; message: string }) => {
      call.outcome = `${error.reason}: ${error.message}`;
    });
    return call;
  };
  const settle = async () => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  return {
    clock,
    may,
    timelines,
    happened,
    booked,
    taken,
    passed,
    refused,
    failures,
    publish,
    publishRun,
    end,
    settle,
  };
}

test("a row passes when both runners have ended the row before, whoever comes last, and their targets are taken together", async () => {
  const { passed, taken, booked, publish, end, settle } = rig(["a", "b"]);
  publish(10);
  const first = end("b", 9);
  await settle();
  expect([passed, first.outcome]).toEqual([[], ""]);

  end("a", 9);
  await settle();

  expect([passed, booked]).toEqual([["f/10"], ["f/10"]]);
  expect(taken).toEqual([["b", "a"]]);
  expect(first.outcome).toBe("taken");
});

test("two queues of one feed pass together", async () => {
  const { passed, publish, end, settle } = rig(["a"]);
  publish(10);
  publish(10, "f", "flow/10");
  end("a", 9);
  await settle();

  expect(passed).toEqual(["f/10", "flow/10"]);
});

test("a later row waits until the one before it is in the log", async () => {
  const { passed, publish, settle } = rig([]);
  publish(11);
  publish(10);
  await settle();

  expect(passed).toEqual(["f/10", "f/11"]);
});

test("rows of two feeds that end together pass together and are booked at once; a feed without one holds nobody", async () => {
  const other = { source: "g", logRow: 4, endMs: 9_000, untilMs: null, isEnded: false };
  const { timelines, passed, booked, publish, settle } = rig([], null, [
    { ...other, isBooked: true, runners: [] },
  ]);
  const sleeping = { row: 5, toRow: 5, timeMs: 11_000 };
  publish(10);
  await settle();
  expect(passed).toEqual([]);

  timelines
    .offer("g", "g/5", [sleeping], { sessionId: "s", signal: never })
    .passed()
    .then(() => timelines.effective("g", sleeping, [], { isEmpty: true }))
    .catch(() => {});
  publish(11);
  await settle();

  expect(passed).toEqual(["f/10", "f/11"]);
  expect(booked).toEqual(["f/10", "f/11"]);
  expect(timelines.stateOf("g")?.feeds.get("g")?.logRow).toBe(5);
});

test("a silent runner is dropped, a heartbeating one is waited for", async () => {
  const { clock, timelines, happened, passed, publish, end, settle } = rig(["a", "b"]);
  end("a", 9);
  publish(10);
  clock.advance(3_000);
  timelines.heard("a");
  timelines.heard("b");
  clock.advance(3_000);
  expect(happened).toEqual([]);
  timelines.heard("a");
  clock.advance(1_000);
  await settle();
  expect(happened).toEqual(["dropped b"]);
  expect(passed).toEqual(["f/10"]);
});

test("a runner that was dropped is taken back with the next slice, and the orders of the one it missed are not made", async () => {
  const { clock, happened, taken, passed, publish, end, settle } = rig(["a", "b"]);
  end("a", 9);
  clock.advance(sessionDeadMs);
  await settle();
  const late = end("b", 9);
  publish(10);
  await settle();
  expect([happened, late.outcome]).toEqual([["dropped b", "taken back b"], "BUCKET_STALE"]);

  end("a", 10);
  publish(11);
  await settle();
  expect(passed).toEqual(["f/10"]);
  end("b", 10);
  await settle();

  expect(passed).toEqual(["f/10", "f/11"]);
  expect(taken).toEqual([["a"], ["a", "b"]]);
});

test("no row passes the hold until it is moved", async () => {
  const { timelines, passed, publish, settle } = rig([], 9_500);
  publish(10);
  await settle();
  expect(passed).toEqual([]);
  timelines.takeOf("f", { kind: "advance", source: "f", untilMs: 10_000 });
  await settle();
  expect(passed).toEqual(["f/10"]);
});

test("a publish that is held for too long, or sent again, is answered so", async () => {
  const { clock, timelines, refused, passed, publish, settle } = rig([], 0);
  publish(10);
  publish(10);
  await settle();
  expect(refused).toEqual(["f/10 BARRIER_HELD"]);
  clock.advance(barrierWaitMsMax);
  await settle();
  expect(refused).toHaveLength(2);
  expect(passed).toEqual([]);
  expect(timelines.stateOf("f")?.feeds.get("f")).toMatchObject({ logRow: 9, offers: [] });
});

test("a row of one session does not push out that of another, nor take all the places", async () => {
  const { timelines, passed, publish, end, settle } = rig(["a"]);
  publish(10);
  const refused: string[] = [];
  const row = (at: number) => ({ row: at, toRow: at, timeMs: at * 1_000 });
  const forge = (record: string, at: number) => {
    const options = { sessionId: "other", signal: never };
    const forged = (async () => timelines.offer("f", record, [row(at)], options).passed())();
    forged.catch((error: { reason: string }) => refused.push(error.reason));
  };
  forge("f/10", 11);
  for (let at = 0; at < 2_000; at += 1) forge(`forged/${at}`, 4_200 + at);
  await settle();
  expect(refused).toEqual(Array.from({ length: 2_000 - 63 }, () => "TOO_MANY_REQUESTS"));

  end("a", 9);
  await settle();

  expect(passed).toEqual(["f/10"]);
});

test("a row that is held for too long is told what it waits for: the hold, runners, feeds, or a row before it", async () => {
  const told = async (setUp: ReturnType<typeof rig>, at: number): Promise<string> => {
    const { timelines, clock } = setUp;
    const timeMs = at * 1_000;
    const options = { sessionId: "s", signal: never, waitMs: 1_000 };
    const waiting = timelines.offer("f", "k", [{ row: at, toRow: at, timeMs }], options).passed();
    const message = waiting.then(
      () => "",
      (error: Error) => error.message,
    );
    clock.advance(1_000);
    return message;
  };
  expect(await told(rig([], 5_000), 10)).toBe(
    "the row is held: the limit of the feed is 1970-01-01T00:00:05.000Z; AdvanceFeed moves it",
  );
  const waited = rig(["a", "b", "c", "d", "e"]);
  waited.end("b", 9);
  expect(await told(waited, 10)).toBe(
    "the row is held: row 9 is not finished by a, c, d and 1 more",
  );
  const other = { source: "g", logRow: 4, endMs: 9_000, untilMs: null, isEnded: false };
  const two = rig([], null, [{ ...other, isBooked: true, runners: [] }]);
  expect(await told(two, 10)).toBe(
    "the row is held: SLICE_WAITS_FOR_FEED g: it moves with this feed and its next row is not known; run a strategy that reads it",
  );
  expect(await told(rig([]), 12)).toBe("the row is held: row 10 comes first");
});

test("a call that is held for too long is told what it waits for, and its end counts all the same", async () => {
  const { clock, taken, end, settle } = rig(["a", "b"]);
  const call = end("a", 9);
  clock.advance(3_000);
  end("b", 8);
  clock.advance(3_500);
  end("b", 8);
  clock.advance(3_500);
  await settle();
  expect(call.outcome).toBe("BARRIER_HELD: the end is held: row 9 is not finished by b");

  end("b", 9);
  await settle();
  expect(taken).toEqual([["a", "b"]]);
  const again = end("a", 9);
  await settle();
  expect(again.outcome).toBe("taken");
});

test("calls whose targets cannot be taken fail, and are waited for again", async () => {
  const { failures, passed, publish, end, settle } = rig(["a"]);
  failures.push(Object.assign(new Error("no database"), { reason: "STORE_UNAVAILABLE" }));
  publish(10);
  const call = end("a", 9);
  await settle();
  expect([call.outcome, passed]).toEqual(["STORE_UNAVAILABLE: no database", []]);

  end("a", 9);
  await settle();
  expect(passed).toEqual(["f/10"]);
});

test("an end that comes before its runner is known counts once it is", async () => {
  const { timelines, passed, publish, end, settle } = rig(["a"]);
  end("b", 9);
  timelines.joined("f", "b", 9);
  end("a", 9);
  publish(10);
  await settle();
  expect(passed).toEqual(["f/10"]);
});

test("after a gate opened the next row waits until each runner has spoken under its lease, or was refused one", async () => {
  const { timelines, passed, publish, end, settle } = rig(["a", "b"]);
  end("a", 9);
  end("b", 9);
  await settle();
  timelines.takeOf("f", { kind: "gate_opened", sessionIds: ["a", "b"] });
  publish(10);
  end("a", 9);
  end("b", 9, true);
  await settle();
  expect(passed).toEqual([]);
  timelines.takeOf("f", { kind: "not_armed", sessionIds: ["a"] });
  await settle();
  expect(passed).toEqual(["f/10"]);
});

test("a sender that ends the feeds of a slice one by one is answered for each", async () => {
  const other = { source: "g", logRow: 4, endMs: 9_000, untilMs: null, isEnded: false };
  const { taken, end, settle } = rig(["a"], null, [
    { ...other, isBooked: true, runners: [{ sessionId: "a", fromRow: 0 }] },
  ]);
  const first = end("a", 9);
  await settle();
  expect(first.outcome).toBe("taken");
  end("a", 4, false, "g");
  await settle();
  expect(taken).toEqual([["a"], ["a"]]);
});

test("the next row waits until targets that were refused by a gate that is behind were stated again", async () => {
  const { passed, taken, publish, end, settle } = rig(["a", "b"]);
  publish(10);
  end("b", 9);
  const early = end("a", 9, true);
  early.isRefusedForNow = true;
  await settle();
  expect([taken, passed]).toEqual([[["b", "a"]], []]);

  end("a", 9, true);
  await settle();

  expect([taken.at(-1), passed]).toEqual([["a"], ["f/10"]]);
});

test("an end that is repeated while the next row is on its way to the log is answered at once", async () => {
  const { timelines, end, taken, settle } = rig(["a"]);
  end("a", 9);
  await settle();
  timelines.offer("f", "f/10", [{ row: 10, toRow: 10, timeMs: 10_000 }], {
    sessionId: "s",
    signal: never,
  });
  expect(timelines.stateOf("f")?.slice.phase).toBe("append");

  const again = new Call("a", [{ source: "f", row: 9 }]);
  await timelines.end(again, 10_000, false);
  const other = new Call("a", [{ source: "f", row: 8 }]);
  await timelines.end(other, 10_000, false);

  expect([again.outcome, other.outcome]).toEqual(["taken", "BUCKET_STALE"]);
  expect(taken).toEqual([["a"]]);
});

test("feeds are joined once nothing is under way in them", async () => {
  const { timelines, passed, publish, settle } = rig([]);
  const other = { source: "g", logRow: 4, endMs: 9_000, untilMs: null, isEnded: false };
  timelines.open(takeTimeline([{ ...other, isBooked: true, runners: [] }], sessionDeadMs, 0), []);
  timelines.arrange([new Set(["f", "g"])]);
  publish(10);
  await settle();
  expect([...timelines.stateOf("f")!.feeds.keys()].sort()).toEqual(["f", "g"]);
  expect(passed).toEqual([]);

  timelines.arrange([new Set(["f"]), new Set(["g"])]);
  await settle();
  expect(passed).toEqual(["f/10"]);
});

test("while nothing may order, rows that were offered together are appended, booked and ended together", async () => {
  const { may, timelines, publishRun, end, booked, passed, taken, settle } = rig(["a"]);
  may.order = false;
  timelines.recheck();
  const published = publishRun([10, 11, 12]);
  end("a", 9);
  await settle();

  expect([passed, booked]).toEqual([["f/10,11,12"], ["f/10 f/11 f/12"]]);
  await published;
  const between = end("a", 11);
  await settle();
  expect(between.outcome).toBe("BUCKET_STALE");
  const last = end("a", 12);
  await settle();
  expect([taken.length, last.outcome]).toEqual([2, "taken"]);
});

test("rows that were offered together pass one by one when something may order, a batch under way first", async () => {
  const { may, timelines, publishRun, end, booked, settle } = rig(["a"]);
  may.order = false;
  timelines.recheck();
  void publishRun([10, 11]);
  end("a", 9);
  await settle();
  may.order = true;
  timelines.recheck();
  void publishRun([12, 13, 14]);
  end("a", 11);
  await settle();
  expect(booked).toEqual(["f/10 f/11", "f/12"]);

  end("a", 12);
  await settle();
  expect(booked).toEqual(["f/10 f/11", "f/12", "f/13"]);
});

test("rows held beyond a limit keep their place while the ones before them pass, and are refused in the end", async () => {
  const { clock, timelines, publishRun, passed, settle } = rig([], 11_000);
  const outcome = publishRun([10, 11, 12]).catch(({ reason }: { reason: string }) => reason);
  await settle();
  expect(passed).toEqual(["f/10", "f/11"]);
  expect(timelines.stateOf("f")?.feeds.get("f")?.offers).toHaveLength(1);

  await clock.advance(barrierWaitMsMax);

  expect(await outcome).toBe("BARRIER_HELD");
});

test("once the gateway stops no row passes and no runner is dropped for the end that was not let in", async () => {
  const { clock, timelines, publishRun, publish, end, passed, happened, settle } = rig(["a"]);
  const held = publishRun([10, 11, 12]).catch(({ reason }: { reason: string }) => reason);
  end("a", 9);
  await settle();
  expect(passed).toEqual(["f/10"]);

  timelines.close();
  expect(() => publish(13)).toThrow("the gateway stops");
  const late = end("a", 10);
  await settle();
  await clock.advance(2 * sessionDeadMs);

  expect(await held).toBe("BARRIER_HELD");
  expect([passed, happened]).toEqual([["f/10"], []]);
  expect(late.outcome).toContain("the gateway stops");
});

test("after it stood still itself it drops nobody before runners have had the time to connect again", async () => {
  const { clock, timelines, happened, publish, end, settle } = rig(["a", "b"]);
  end("a", 9);
  end("b", 9);
  await settle();
  // No slice waits for anybody while it stands still, and the next one passes before any timer fires.
  clock.standStill(15_000);
  publish(10);
  await settle();
  timelines.heard("a");
  for (let passedMs = 0; passedMs < 13_000; passedMs += 1_000) {
    clock.advance(1_000);
    timelines.heard("a");
  }
  expect(happened).toEqual([]);

  for (let passedMs = 0; passedMs < 2_000; passedMs += 1_000) {
    clock.advance(1_000);
    timelines.heard("a");
  }
  expect(happened).toEqual(["dropped b"]);
});

test("what comes after it stood still, before any timer fires, drops nobody", async () => {
  const { clock, timelines, happened } = rig(["a", "b"]);
  clock.standStill(15_000);
  timelines.heard("a");
  clock.advance(1_000);
  timelines.heard("b");

  expect(happened).toEqual([]);
});
