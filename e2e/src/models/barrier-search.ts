import { type BarrierState, type BarrierStep, barrierStep, takeBarrier } from "@qmtl/core/queues";

/** What the search may vary; everything else is the product's barrier. */
export interface BarrierOverrides {
  /** Mutant: what a new owner assumes about runners that it has not heard from. */
  readonly newOwner?: (barrier: BarrierState) => BarrierState;
  /** Mutant: the feed's holder holds rows back instead of the owner, and a new holder publishes without a list. */
  readonly holdsAtHolder?: boolean;
}

interface Runner {
  readonly seen: number;
  readonly ended: number;
  readonly isAlive: boolean;
}

interface World {
  readonly barrier: BarrierState;
  readonly runners: readonly Runner[];
  readonly ownerCrashes: number;
  readonly feedTakeovers: number;
  readonly deaths: number;
}

const lastRow = 4;
const names = ["a", "b"] as const;
const stored = (logRow: number, present: readonly string[]) => ({
  logRow,
  untilMs: null,
  runners: present.map((sessionId) => ({ sessionId, fromRow: 1 })),
});

/**
 * Searches every interleaving of two runners, one feed, owner crashes, feed takeovers and a runner's death. Returns the
 * violation found (a row passed before a live runner had ended the previous one, or a dead end) or null, the number of
 * states, and how many of them end with every row passed.
 */
export function searchBarrier(over: BarrierOverrides = {}): {
  violation: string | null;
  states: number;
  done: number;
} {
  const first: World = {
    barrier: takeBarrier(stored(0, names), 1_000, 0),
    runners: names.map(() => ({ seen: 0, ended: 0, isAlive: true })),
    ownerCrashes: 2,
    feedTakeovers: 2,
    deaths: 1,
  };
  const seen = new Set([keyOf(first)]);
  const open = [first];
  let done = 0;
  for (let world = open.shift(); world !== undefined; world = open.shift()) {
    const violation = brokenRule(world);
    if (violation !== null) return { violation, states: seen.size, done };
    const next = [...runnerSteps(world), ...feedSteps(world, over)];
    const isDone = world.barrier.logRow === lastRow;
    if (isDone) done += 1;
    if (next.length === 0 && !isDone) return { violation: "dead end", states: seen.size, done };
    for (const one of [...next, ...faults(world, over)]) {
      const key = keyOf(one);
      if (seen.has(key)) continue;
      seen.add(key);
      open.push(one);
    }
  }
  return { violation: null, states: seen.size, done };
}

function keyOf(w: World): string {
  const known = [...w.barrier.runners].map(([id, r]) => `${id}${r.endedRow}`);
  return JSON.stringify([
    w.barrier.logRow,
    w.barrier.held,
    known,
    w.runners,
    w.ownerCrashes,
    w.feedTakeovers,
    w.deaths,
  ]);
}

function brokenRule(w: World): string | null {
  const { logRow, runners } = w.barrier;
  const early = names.find(
    (id, i) => runners.has(id) && w.runners[i]!.isAlive && logRow > w.runners[i]!.ended + 1,
  );
  return early === undefined
    ? null
    : `row ${logRow} is out, live runner ${early} has not ended ${logRow - 1}`;
}

/** The world after a step of the barrier: a row that passes becomes effective at once. */
function after(w: World, step: BarrierStep): World {
  let barrier = step.state;
  for (const effect of step.effects) {
    if (effect.kind === "pass")
      barrier = barrierStep(barrier, { kind: "row_effective", row: effect.row.row }).state;
  }
  return { ...w, barrier };
}

function runnerSteps(w: World): World[] {
  return names.flatMap((sessionId, i) => {
    const runner = w.runners[i]!;
    const put = (next: Runner, base: World = w): World => ({
      ...base,
      runners: w.runners.map((r, j) => (j === i ? next : r)),
    });
    const known = w.barrier.runners.get(sessionId);
    if (!runner.isAlive) return known === undefined ? [] : [silence(w, sessionId)];
    const out: World[] = [];
    if (runner.seen < w.barrier.logRow) out.push(put({ ...runner, seen: runner.seen + 1 }));
    if (runner.ended < runner.seen) out.push(put({ ...runner, ended: runner.ended + 1 }));
    if (known !== undefined && known.endedRow !== runner.ended) {
      out.push(
        after(w, barrierStep(w.barrier, { kind: "ended", sessionId, row: runner.ended, nowMs: 0 })),
      );
    }
    return out;
  });
}

/** Lets a dead runner be silent for as long as it takes to drop it; live runners were heard from just now. */
function silence(w: World, sessionId: string): World {
  const runner = w.barrier.runners.get(sessionId)!;
  const runners = new Map(w.barrier.runners).set(sessionId, { ...runner, lastHeardMs: -1_000 });
  return after(w, barrierStep({ ...w.barrier, runners }, { kind: "tick", nowMs: 0 }));
}

function feedSteps(w: World, over: BarrierOverrides): World[] {
  const row = w.barrier.logRow + 1;
  if (row > lastRow) return [];
  const next = after(
    w,
    barrierStep(w.barrier, { kind: "publish", row: { row, toRow: row, timeMs: row } }),
  );
  const out = keyOf(next) === keyOf(w) ? [] : [next];
  if (over.holdsAtHolder && w.feedTakeovers > 0) {
    const barrier = barrierStep(w.barrier, { kind: "row_effective", row }).state;
    out.push({ ...w, barrier, feedTakeovers: w.feedTakeovers - 1 });
  }
  return out;
}

function faults(w: World, over: BarrierOverrides): World[] {
  const out: World[] = [];
  if (w.ownerCrashes > 0) {
    const fresh = takeBarrier(stored(w.barrier.logRow, [...w.barrier.runners.keys()]), 1_000, 0);
    out.push({ ...w, barrier: over.newOwner?.(fresh) ?? fresh, ownerCrashes: w.ownerCrashes - 1 });
  }
  if (w.deaths > 0) {
    for (let i = 0; i < names.length; i++) {
      const runners = w.runners.map((r, j) => (j === i ? { ...r, isAlive: false } : r));
      out.push({ ...w, runners, deaths: w.deaths - 1 });
    }
  }
  return out;
}
