import { describe, expect, test } from "vitest";
import { isQuiet, joinTimelines, type StoredTimelineFeed, takeTimeline } from "./join-timelines.ts";
import { timelineStep } from "./timeline.ts";
import {
  forgetMs,
  goesOn,
  isTimelineSettled,
  nextSliceMs,
  type OfferedRow,
  type TimelineInput,
  type TimelineState,
  unknownFeeds,
  waitedFor,
} from "./timeline-state.ts";

const dead = 2_000;
const rowOf = (row: number, timeMs = row * 10): OfferedRow => ({ row, toRow: row, timeMs });
const feedOf = (source: string, at: Partial<StoredTimelineFeed> = {}): StoredTimelineFeed => ({
  ...{ source, logRow: 4, endMs: 40, untilMs: null, isEnded: false, isBooked: true, runners: [] },
  ...at,
});
const runnersOf = (...sessionIds: string[]) => ({
  runners: sessionIds.map((sessionId) => ({ sessionId, fromRow: 0 })),
});
const offered = (source: string, row: number, timeMs?: number): TimelineInput => ({
  kind: "offered",
  source,
  offers: [rowOf(row, timeMs)],
});
const ended = (sessionId: string, source: string, row: number, more = {}): TimelineInput => ({
  ...{ kind: "ended", sessionId, source, row, isArmed: false, nowMs: 0 },
  ...more,
});
const effective = (source: string, row: number, timeMs?: number): TimelineInput => ({
  kind: "effective",
  source,
  row: rowOf(row, timeMs),
});
const [booked, taken]: TimelineInput[] = [{ kind: "booked" }, { kind: "taken" }];
const tick = (nowMs: number): TimelineInput => ({ kind: "tick", nowMs });

/** Plays inputs; what happens, as text. Rows become effective, are booked and taken at once, unless told otherwise. */
function play(start: TimelineState, inputs: readonly TimelineInput[], isByHand = false) {
  let state = start;
  const out: string[] = [];
  const queue = [...inputs];
  for (let input = queue.shift(); input !== undefined; input = queue.shift()) {
    const step = timelineStep(state, input);
    state = step.state;
    const follow: TimelineInput[] = [];
    for (const effect of step.effects) {
      if (effect.kind === "pass") {
        const { source, row } = effect;
        out.push(`pass ${source} ${row.row === row.toRow ? row.row : `${row.row}-${row.toRow}`}`);
        follow.push({ kind: "effective", source, row });
      } else if (effect.kind === "book" || effect.kind === "take") {
        out.push(`${effect.kind} ${effect.timeMs}`);
        follow.push(effect.kind === "book" ? booked! : taken!);
      } else out.push(`${effect.kind} ${effect.sessionId}`);
    }
    if (!isByHand) queue.unshift(...follow);
  }
  return { state, out };
}

const one = (...runners: string[]) => takeTimeline([feedOf("a", runnersOf(...runners))], dead, 0);
const two = (a: string[] = [], b: string[] = []) =>
  takeTimeline([feedOf("a", runnersOf(...a)), feedOf("b", runnersOf(...b))], dead, 0);

describe("one feed", () => {
  test("a row waits until every runner has ended the one before it, and its targets are taken", () => {
    const { out, state } = play(one("x", "y"), [
      offered("a", 5),
      ended("x", "a", 4),
      ended("y", "a", 3),
      ended("y", "a", 4),
    ]);

    expect(out).toEqual(["take 40", "pass a 5", "book 50"]);
    expect(waitedFor(state)).toEqual(["x", "y"]);
  });

  test("it goes on while the next row is offered and may pass", () => {
    const { state } = play(one("x"), [offered("a", 5)]);
    expect(goesOn(state)).toBe(true);
    expect(goesOn(play(state, [{ kind: "paused", isPaused: true }]).state)).toBe(false);
    expect(goesOn(play(state, [{ kind: "withdrawn", source: "a" }]).state)).toBe(false);
    expect(goesOn(play(state, [{ kind: "feed_ended", source: "a" }]).state)).toBe(false);
  });

  test("a new owner knows no ends: it waits for each runner to speak or to be silent", () => {
    const heard: TimelineInput = { kind: "heard", sessionId: "x", nowMs: 1_500 };
    const first = play(one("x", "y"), [offered("a", 5), heard, tick(2_000)]);
    expect(first.out).toEqual(["dropped y"]);

    expect(play(first.state, [ended("x", "a", 4, { nowMs: 2_100 })]).out).toEqual([
      "take 40",
      "pass a 5",
      "book 50",
    ]);
  });

  test("a new owner gives runners the time to connect again, and waits for none that was dropped before", () => {
    const taken = { reconnectMs: 8_000, droppedMs: new Map([["z", -500_000]]) };
    const feeds = [feedOf("a", runnersOf("x", "z"))];
    const first = play(takeTimeline(feeds, dead, 0, taken), [offered("a", 5), tick(9_999)]);
    expect([first.out, waitedFor(first.state)]).toEqual([[], ["x"]]);

    expect(play(first.state, [tick(10_000)]).out).toEqual([
      ...["dropped x", "take 40", "pass a 5", "book 50", "take 50"],
    ]);
    expect(play(first.state, [tick(100_000)]).out).toContain("forgotten z");
    const back = ended("z", "a", 4, { nowMs: 5_000 });
    expect(play(first.state, [back]).out).toEqual(["taken_back z"]);
  });

  test("no row later than until passes, and until moves forward only", () => {
    const held = takeTimeline([feedOf("a", { untilMs: 45 })], dead, 0);
    const back: TimelineInput = { kind: "advance", source: "a", untilMs: 41 };
    const { state, out } = play(held, [offered("a", 5), back]);
    expect(out).toEqual(["take 40"]);
    expect(isTimelineSettled(state)).toBe(true);
    expect(goesOn(state)).toBe(false);

    const on: TimelineInput = { kind: "advance", source: "a", untilMs: 50 };
    expect(play(state, [on]).out).toEqual(["pass a 5", "book 50", "take 50"]);
  });

  test("a repeated offer replaces the one before, an old row passes to the log, a far one is not known", () => {
    const { out, state } = play(one("x"), [offered("a", 5), offered("a", 5), offered("a", 3)]);
    expect(out).toEqual(["pass a 3"]);

    expect(play(one(), [offered("a", 7)]).out).toEqual(["take 40"]);
    const gone = play(state, [{ kind: "withdrawn", source: "a" }, ended("x", "a", 4)]);
    expect(gone.out).toEqual(["take 40"]);
    expect(unknownFeeds(gone.state)).toEqual(["a"]);
  });

  test("a joiner is counted from its first row on", () => {
    const joined: TimelineInput = {
      ...{ kind: "joined", sessionId: "x", source: "a", fromRow: 5, nowMs: 0 },
    };

    const { out, state } = play(one(), [joined, offered("a", 5), offered("a", 6)]);
    expect(out).toEqual(["take 40", "pass a 5", "book 50"]);
    expect(waitedFor(state)).toEqual(["x"]);
  });

  test("a slice that could not be taken is ended once more by those whose targets were in it", () => {
    const open = play(one("x", "y"), [ended("x", "a", 4), ended("y", "a", 4)], true);
    expect(open.out).toEqual(["take 40"]);

    const failed: TimelineInput = { kind: "not_taken", sessionIds: ["x"] };
    const again = play(open.state, [failed, offered("a", 5)]);
    expect(waitedFor(again.state)).toEqual(["x"]);
    expect(play(again.state, [ended("x", "a", 4)]).out).toEqual(["take 40", "pass a 5", "book 50"]);
  });
});

describe("two feeds", () => {
  test("rows that end together pass together, are booked once all are effective, and taken once", () => {
    const { out, state } = play(two(["x"], ["x", "y"]), [
      ended("x", "a", 4),
      ended("x", "b", 4),
      ended("y", "b", 4),
      offered("a", 5),
    ]);
    expect(out).toEqual(["take 40"]);
    expect(unknownFeeds(state)).toEqual(["b"]);

    const next = play(state, [offered("b", 5)], true);
    expect(next.out).toEqual(["pass a 5", "pass b 5"]);
    const half = play(next.state, [effective("a", 5)], true);
    expect(half.out).toEqual([]);
    const whole = play(half.state, [effective("b", 5), booked!], true);
    expect(whole.out).toEqual(["book 50"]);
    const some = play(whole.state, [ended("y", "b", 5), ended("x", "a", 5)], true);
    expect(some.out).toEqual([]);
    expect(play(some.state, [ended("x", "b", 5)]).out).toEqual(["take 50"]);
  });

  test("a feed without a row at a time is not waited for, nor are those who read it alone", () => {
    const start = play(two(["x"], ["y"]), [ended("x", "a", 4), ended("y", "b", 4)]).state;
    const { out, state } = play(start, [offered("a", 5, 50), offered("b", 5, 60)]);

    expect(out).toEqual(["pass a 5", "book 50"]);
    expect(waitedFor(state)).toEqual(["x"]);
    expect(nextSliceMs(play(state, [offered("a", 6, 60)]).state)).toBe(60);
  });

  test("a feed that has ended holds nobody", () => {
    const { out, state } = play(two(), [
      { kind: "feed_ended", source: "b" },
      offered("a", 5),
      { kind: "feed_ended", source: "a" },
    ]);

    expect(out).toEqual(["take 40", "pass a 5", "book 50", "take 50"]);
    expect([isTimelineSettled(state), nextSliceMs(state)]).toEqual([
      true,
      Number.POSITIVE_INFINITY,
    ]);
  });

  test("one hold for both: the earlier limit holds the slice, and a hold without a row there is reached", () => {
    const held = takeTimeline([feedOf("a", { untilMs: 55 }), feedOf("b")], dead, 0);
    const { out, state } = play(held, [offered("a", 5, 60), offered("b", 5, 60)]);

    expect(out).toEqual(["take 40"]);
    expect(isTimelineSettled(state)).toBe(true);
  });

  test("a new owner completes a slice of which rows are missing before it books it", () => {
    const state = takeTimeline(
      [feedOf("a", { logRow: 5, endMs: 50, isBooked: false }), feedOf("b", { isBooked: true })],
      dead,
      0,
    );
    expect(play(state, [tick(0)]).out).toEqual([]);
    expect(unknownFeeds(state)).toEqual(["b"]);

    expect(play(state, [offered("b", 5, 50)]).out).toEqual(["pass b 5", "book 50", "take 50"]);
    expect(play(state, [offered("b", 5, 60)]).out).toEqual(["book 50", "take 50"]);
  });

  test("a new owner knows no end of any slice of the last batch: who read an earlier one of it ends that again", () => {
    const state = takeTimeline(
      [feedOf("a", { ...runnersOf("x"), logRow: 5, endMs: 50 }), feedOf("b", runnersOf("x", "y"))],
      dead,
      0,
    );

    expect(waitedFor(state)).toEqual(["x", "y"]);
    const both = play(state, [ended("x", "a", 5), ended("y", "b", 4)]);
    expect(both.out).toEqual(["take 50"]);
  });
});

describe("while nothing may order", () => {
  const computeOnly: TimelineInput = { kind: "compute_only", isComputeOnly: true };
  const mayOrder: TimelineInput = { kind: "compute_only", isComputeOnly: false };
  const run = (source: string, rows: readonly (readonly [row: number, timeMs: number])[]) =>
    ({
      kind: "offered",
      source,
      offers: rows.map(([row, timeMs]) => rowOf(row, timeMs)),
    }) as const satisfies TimelineInput;
  const rows = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) => [from + at, (from + at) * 10] as const);
  const ends = [ended("x", "a", 4), ended("x", "b", 4)];

  test("slices pass as far as every feed's rows are known, and a runner ends them once", () => {
    const { out, state } = play(two(["x"], ["x"]), [
      computeOnly,
      ...ends,
      run("a", rows(5, 10)),
      run("b", [
        [5, 60],
        [6, 80],
      ]),
    ]);

    expect(out).toEqual(["take 40", "pass a 5-8", "pass b 5-6", "book 80"]);
    expect(play(state, [ended("x", "a", 5)]).out).toEqual([]);
    expect(play(state, [ended("x", "a", 8), ended("x", "b", 6)]).out).toEqual(["take 80"]);
  });

  test("a batch has 64 slices at most and stops at the limit", () => {
    const from = (untilMs: number | null) => takeTimeline([feedOf("a", { untilMs })], dead, 0);

    expect(play(from(null), [computeOnly, run("a", rows(5, 100))]).out).toEqual([
      ...["take 40", "pass a 5-68", "book 680", "take 680"],
      ...["pass a 69-104", "book 1040", "take 1040"],
    ]);
    const held = play(from(75), [computeOnly, run("a", rows(5, 100))]);
    expect(held.out).toEqual(["take 40", "pass a 5-7", "book 70", "take 70"]);
    expect(isTimelineSettled(held.state)).toBe(true);
  });

  test("what is offered ahead passes slice by slice when something may order, from the next slice on", () => {
    const begun = play(one("x"), [computeOnly, run("a", rows(5, 2)), ended("x", "a", 4)], true);
    const batch = play(begun.state, [taken!], true);
    expect([...begun.out, ...batch.out]).toEqual(["take 40", "pass a 5-6"]);

    const after = play(batch.state, [mayOrder, effective("a", 6), booked!], true);
    expect(after.out).toEqual(["book 60"]);
    const next = play(after.state, [run("a", rows(7, 3)), ended("x", "a", 6)]);
    expect(next.out).toEqual(["take 60", "pass a 7", "book 70"]);
  });

  test("a new owner and joined timelines do not know of it", () => {
    const { state } = play(one(), [computeOnly]);

    expect(one().isComputeOnly).toBe(false);
    expect(joinTimelines([state], new Set(["a"]), dead).isComputeOnly).toBe(false);
  });
});

describe("a gate that opens", () => {
  const opened: TimelineInput = { kind: "gate_opened", sessionIds: ["x", "gone"] };
  const start = play(one("x", "y"), [ended("x", "a", 4), ended("y", "a", 4)]).state;

  test("holds the next slice until its runners have ended the last one under a lease", () => {
    const { out, state } = play(start, [opened, offered("a", 5), ended("x", "a", 4)]);
    expect(out).toEqual([]);
    expect(isTimelineSettled(state)).toBe(false);

    const armed = play(state, [ended("x", "a", 4, { isArmed: true })]);
    expect(armed.out).toEqual(["take 40", "pass a 5", "book 50"]);
  });

  test("does not hold it for a runner that no row has reached yet", () => {
    const joined = { kind: "joined", sessionId: "z", source: "a", fromRow: 5, nowMs: 0 } as const;
    const both: TimelineInput = { kind: "gate_opened", sessionIds: ["z"] };

    expect(play(start, [joined, both, offered("a", 5)]).out).toEqual(["pass a 5", "book 50"]);
  });

  test("does not hold it for a runner that is refused a lease, whatever time that takes", () => {
    const { out, state } = play(start, [opened, offered("a", 5), tick(1_999)]);
    expect(out).toEqual([]);

    const refused = play(state, [{ kind: "not_armed", sessionIds: ["x"] }]);
    expect(refused.out).toEqual(["pass a 5", "book 50"]);
  });
});

describe("a silent runner", () => {
  const dropped = play(one("x", "y"), [
    ended("y", "a", 4, { nowMs: 2_500 }),
    offered("a", 5),
    tick(2_600),
  ]);

  test("is dropped while it is waited for, and its row stays", () => {
    expect(dropped.out).toEqual(["dropped x", "take 40", "pass a 5", "book 50"]);
    expect(dropped.state.runners.get("x")?.standing).toBe("out");
    expect(waitedFor(dropped.state)).toEqual(["y"]);
  });

  test("is taken back once it has caught up, and the next slice waits for it as long as it may be silent", () => {
    const back = play(dropped.state, [
      ended("x", "a", 4, { nowMs: 3_000 }),
      ended("y", "a", 5, { nowMs: 3_000 }),
      offered("a", 6),
    ]);
    expect(back.out).toEqual(["take 50"]);

    expect(play(back.state, [ended("x", "a", 5, { nowMs: 3_100 })]).out).toEqual([
      "taken_back x",
      "pass a 6",
      "book 60",
    ]);
    expect(play(back.state, [tick(5_000)]).out).toEqual(["pass a 6", "book 60"]);
  });

  test("that is not heard of for long gives up its place", () => {
    const { out, state } = play(dropped.state, [tick(forgetMs)]);

    expect(out).toContain("forgotten x");
    expect(state.runners.has("x")).toBe(false);
  });
});

test("timelines are joined once nothing is under way in them; what is behind catches up first", () => {
  const ahead = play(one("x"), [ended("x", "a", 4), offered("a", 5)]).state;
  const behind = takeTimeline([feedOf("b", { logRow: 0, endMs: 5 })], dead, 0);
  const underWay = play(one(), [offered("a", 5)], true);
  expect([isQuiet(ahead), isQuiet(behind), isQuiet(underWay.state)]).toEqual([true, true, false]);

  const joined = joinTimelines([ahead, behind], new Set(["a", "b"]), dead);
  const { out } = play(joined, [offered("b", 1, 15), ended("x", "a", 5), offered("a", 6)]);

  expect(joined.slice.timeMs).toBe(50);
  expect(out).toEqual(["take 50", "pass b 1", "book 15", "take 15"]);
});
