import { isLastRow, isTimelineSettled } from "@qmtl/core/queues";
import {
  type Call,
  deadMs,
  feedName,
  keyOf,
  type Model,
  type ModelRunner,
  runnerName,
} from "./timeline-model.ts";
import { beganAt, OwnerModel, type TimelineOverrides } from "./timeline-owner.ts";
import { type Entry, journalFault, type Story, timesOf } from "./timeline-story.ts";

export interface SearchResult {
  readonly violation: string | null;
  readonly states: number;
  /** Every reachable state was searched; false after a violation, or at the largest number of states. */
  readonly isWhole: boolean;
  readonly done: number;
  readonly trace: readonly string[];
}

/** Searches every interleaving of a story, breadth first; a violation comes with the steps that lead to it. */
export function searchTimeline(
  story: Story,
  over: TimelineOverrides = {},
  statesMax = 2_000_000,
): SearchResult {
  return new TimelineSearch(story, over).run(statesMax);
}

class TimelineSearch {
  readonly #story: Story;
  readonly #over: TimelineOverrides;
  readonly #owner: OwnerModel;
  readonly #times: readonly number[];
  readonly #seen = new Map<string, { readonly from: string; readonly why: string } | null>();
  #next: Model[] = [];
  #violation: { readonly key: string; readonly what: string } | undefined;

  constructor(story: Story, over: TimelineOverrides) {
    this.#story = story;
    this.#over = over;
    this.#owner = new OwnerModel(story, over);
    this.#times = timesOf(story);
  }

  run(statesMax: number): SearchResult {
    const first = this.#owner.first();
    this.#seen.set(keyOf(first), null);
    let open = [first];
    let done = 0;
    while (open.length > 0 && this.#violation === undefined) {
      this.#next = [];
      for (const model of open) {
        if (this.#violation !== undefined || this.#seen.size > statesMax) break;
        if (this.#isDone(model)) done += 1;
        this.#visit(model);
      }
      if (this.#seen.size > statesMax) break;
      open = this.#next;
    }
    const trace: string[] = [];
    for (let at = this.#violation?.key; at !== undefined; ) {
      const step = this.#seen.get(at);
      if (step == null) break;
      trace.unshift(step.why);
      at = step.from;
    }
    const isWhole = open.length === 0 && this.#violation === undefined;
    const violation = this.#violation?.what ?? null;
    return { violation, states: this.#seen.size, isWhole, done, trace };
  }

  #visit(m: Model): void {
    const key = keyOf(m);
    let isMoving = false;
    const go = (x: Model, why: string, isProgress = true): void => {
      isMoving ||= isProgress;
      const next = keyOf(x);
      if (this.#seen.has(next)) return;
      this.#seen.set(next, { from: key, why });
      const fault = journalFault(this.#story, x);
      if (fault !== undefined) this.#violation ??= { key: next, what: fault };
      this.#next.push(x);
    };
    this.#feedSteps(m, go);
    this.#ownerSteps(m, go);
    this.#runnerSteps(m, go);
    this.#faults(m, go);
    if (isMoving) return;
    if (!this.#isDone(m)) this.#violation ??= { key, what: "dead end" };
    m.runners.forEach(({ isUp }, r) => {
      const standing = m.owner.state.runners.get(runnerName(r))?.standing;
      if (isUp && standing !== "in")
        this.#violation ??= { key, what: `runner ${r} is alive and never taken back` };
    });
  }

  #feedSteps(m: Model, go: Go): void {
    this.#story.feeds.forEach((rows, f) => {
      const row = m.log[f]!;
      const feed = m.owner.state.feeds.get(feedName(f))!;
      const source = feedName(f);
      if (row >= rows.length) {
        if (this.#over.silentEnd || feed.isEnded) return;
        const x = { ...m, ended: m.ended.with(f, true) };
        go(this.#owner.step(x, { kind: "feed_ended", source }), `feed ${f} ends`);
        return;
      }
      const isOld = m.owner.offeredUnder[f] !== m.leases[f];
      if (feed.offers.length === 0 ? m.owner.passing[f] !== null && !isOld : !isOld) return;
      const all = rows.slice(row).map((timeMs, at) => {
        return { row: row + at, toRow: row + at, timeMs };
      });
      const owner = { ...m.owner, offeredUnder: m.owner.offeredUnder.with(f, m.leases[f]!) };
      const x = { ...m, owner: { ...owner, passing: owner.passing.with(f, null) } };
      const { computeOnly = false, runs = computeOnly } = this.#story;
      const counts = runs ? new Set([1, all.length]) : [1];
      for (const count of counts) {
        const offers = all.slice(0, count);
        const times = offers.map(({ timeMs }) => timeMs).join(", ");
        go(this.#owner.step(x, { kind: "offered", source, offers }), `feed ${f} offers ${times}`);
      }
    });
  }

  #ownerSteps(m: Model, go: Go): void {
    const { owner } = m;
    owner.passing.forEach((row, f) => {
      if (row === null) return;
      const rest = { ...owner, passing: owner.passing.with(f, null) };
      const isVoid = owner.offeredUnder[f] !== m.leases[f];
      if (isVoid && !this.#over.keepOldOffers) {
        const x = { ...m, owner: { ...rest, offeredUnder: rest.offeredUnder.with(f, 0) } };
        go(x, `row ${row.timeMs} of feed ${f} is void`);
        return;
      }
      const x = { ...m, owner: rest, log: isVoid ? m.log : m.log.with(f, row.toRow + 1) };
      const input = { kind: "effective" as const, source: feedName(f), row };
      go(this.#owner.step(x, input), `row ${row.timeMs} of feed ${f} is effective`);
    });
    const isOwner = owner.epoch === m.ownerEpoch;
    if (owner.mustBook && isOwner) {
      const x = { ...m, journal: [...m.journal, ...this.#owner.bars(m)] };
      const booked = { ...x, owner: { ...owner, mustBook: false } };
      go(
        this.#owner.step(booked, { kind: "booked" }),
        `slice ${owner.state.slice.timeMs} is booked`,
      );
    }
    if (owner.taking !== null && isOwner) {
      const journal = [...m.journal, ...this.#owner.targets(m, owner.taking)];
      const x = this.#owner.withMissed({ ...m, journal, owner: { ...owner, taking: null } });
      const after = this.#over.appendBeforeTargets ? x : this.#owner.step(x, { kind: "taken" });
      go(after, `targets of ${owner.state.slice.timeMs} are taken`);
    }
    this.#silence(m, go);
    this.#gateSteps(m, go);
    const { openAt } = this.#story;
    const isSettled = isTimelineSettled(owner.state);
    const isReady = openAt === undefined || (m.isOpen && this.#owner.has(m, openAt, 1));
    if (m.untilMs !== null && isSettled && isReady) {
      let x: Model = { ...m, untilMs: null };
      for (const source of owner.state.feeds.keys())
        x = this.#owner.step(x, { kind: "advance", source, untilMs: null });
      go(x, "the hold is removed");
    }
  }

  /** An apply that begins, and the gate that it opens. */
  #gateSteps(m: Model, go: Go): void {
    const { openAt, computeOnly = false } = this.#story;
    const { state } = m.owner;
    if (computeOnly && !m.isFrozen && !state.isComputeOnly) {
      const x = this.#owner.step(m, { kind: "compute_only", isComputeOnly: true });
      go(x, "the owner knows that nothing may order");
    }
    if (m.isOpen || (openAt === undefined && !computeOnly)) return;
    const isThere = isTimelineSettled(state) && state.slice.timeMs === openAt;
    // Before the first slice nothing was ended that could have to be stated again.
    if (openAt === undefined ? beganAt(state) === 0 : !isThere) return;
    if (computeOnly && !m.isFrozen) {
      const input = { kind: "compute_only" as const, isComputeOnly: false };
      go(this.#owner.step({ ...m, isFrozen: true }, input), "an apply begins");
      return;
    }
    const sessionIds = m.runners.map((_, r) => runnerName(r));
    const x = { ...m, isOpen: true, openedAt: beganAt(state) };
    const input = { kind: "gate_opened" as const, sessionIds };
    go(this.#over.noRestate ? x : this.#owner.step(x, input), "the gate opens");
  }

  /** Lets runners that are not up be silent for as long as it takes to drop them. */
  #silence(m: Model, go: Go): void {
    m.runners.forEach(({ isUp }, r) => {
      const name = runnerName(r);
      const runner = m.owner.state.runners.get(name)!;
      if (!isUp && runner.standing !== "out") {
        const runners = new Map(m.owner.state.runners).set(name, {
          ...runner,
          lastHeardMs: -deadMs,
        });
        const x = { ...m, owner: { ...m.owner, state: { ...m.owner.state, runners } } };
        const dropped = this.#owner.step(x, { kind: "tick", nowMs: 0 });
        if (dropped.owner.state.runners.get(name)?.standing === "out")
          go(dropped, `runner ${r} is silent: dropped`);
      }
      if (runner.standing === "rejoining" && runner.rejoinUntilMs > 0) {
        const late = { ...runner, rejoinUntilMs: 0 };
        const runners = new Map(m.owner.state.runners).set(name, late);
        const x = { ...m, owner: { ...m.owner, state: { ...m.owner.state, runners } } };
        go(
          this.#owner.step(x, { kind: "tick", nowMs: 0 }),
          `nobody waits for runner ${r} any longer`,
        );
      }
    });
  }

  #runnerSteps(m: Model, go: Go): void {
    m.runners.forEach((runner, r) => {
      const put = (change: Partial<ModelRunner>): Model => ({
        ...m,
        runners: m.runners.with(r, { ...runner, ...change }),
      });
      if (runner.isPaused) go(put({ isUp: true, isPaused: false }), `runner ${r} goes on`);
      if (!runner.isUp) return;
      const mine = this.#times.filter((t) => this.#owner.endsOf(r, t).length > 0);
      const next = mine.find((t) => t > runner.seen);
      if (next !== undefined && this.#isShown(m, r, next)) {
        const copy = m.left.copy > 0 && runner.seen > 0 ? this.#callOf(m, runner) : null;
        go(put({ seen: next, copy }), `runner ${r} computes ${next}`);
      }
      const isDue = this.#story.computeOnly || runner.seen === this.#story.openAt;
      if (m.isOpen && !runner.isArmed && isDue) go(put({ isArmed: true }), `runner ${r} is armed`);
      if (runner.seen > 0) this.#tell(m, r, runner, go);
      if (runner.copy !== null && m.left.copy > 0) {
        const left = { ...m.left, copy: m.left.copy - 1 };
        const x = { ...put({ copy: null }), left };
        go(
          this.#call(x, r, runner.copy, true),
          `a copy of the end ${runner.copy.t} of runner ${r}`,
          false,
        );
      }
    });
  }

  /** A runner sends its last end until it is answered, and again to a new owner. */
  #tell(m: Model, r: number, runner: ModelRunner, go: Go): void {
    const call = this.#callOf(m, runner);
    const told = this.#over.sendOnce
      ? `${call.t}/${call.isArmed}`
      : `${m.owner.epoch}/${call.t}/${call.isArmed}`;
    if (runner.told === told) return;
    const x = { ...m, runners: m.runners.with(r, { ...runner, told }) };
    go(
      this.#call(x, r, call, false),
      `runner ${r} ends ${call.t}${call.n ? " under its lease" : ""}`,
    );
  }

  #callOf({ openedAt }: Model, { seen, isArmed }: ModelRunner): Call {
    return { t: seen, n: isArmed && seen === openedAt ? 1 : 0, isArmed };
  }

  /** The owner hears a call: its ends count, and its targets are held if its rows are the last ones. */
  #call(m: Model, r: number, call: Call, isCopy: boolean): Model {
    const { state, held } = m.owner;
    const name = runnerName(r);
    const { timeMs } = state.slice;
    const t = this.#over.endWithoutSlice ? timeMs : call.t;
    const ends = this.#owner.endsOf(r, t);
    const isIn = state.runners.get(name)?.standing === "in";
    if (this.#over.neverBack && !isIn) return m;
    const isLast = ends.every(({ f, row }) => isLastRow(state, feedName(f), row));
    const isNewest = !isCopy || this.#over.lastCallWins === true || held[r] === null;
    let x = isIn ? m : this.#owner.miss(m, t, r);
    if (isIn && (isLast || (this.#over.lastCallWins && isCopy)) && isNewest) {
      const own = this.#over.endWithoutSlice ? { ...call, t: call.t } : call;
      x = { ...m, owner: { ...m.owner, held: held.with(r, own) } };
    }
    for (const { f, row } of ends) {
      const input = { kind: "ended" as const, sessionId: name, source: feedName(f), row, nowMs: 0 };
      x = this.#owner.step(x, { ...input, isArmed: call.isArmed });
    }
    return x;
  }

  #faults(m: Model, go: Go): void {
    const { left } = m;
    m.leases.forEach((epoch, f) => {
      if (left.take === 0) return;
      const x = {
        ...m,
        leases: m.leases.with(f, epoch + 1),
        left: { ...left, take: left.take - 1 },
      };
      go(x, `feed ${f} is taken over`, false);
    });
    m.runners.forEach((runner, r) => {
      if (!runner.isUp) return;
      const down = (isPaused: boolean) => m.runners.with(r, { ...runner, isUp: false, isPaused });
      if (left.pause > 0)
        go(
          { ...m, runners: down(true), left: { ...left, pause: left.pause - 1 } },
          `runner ${r} stops`,
          false,
        );
      if (left.die > 0)
        go(
          { ...m, runners: down(false), left: { ...left, die: left.die - 1 } },
          `runner ${r} dies`,
          false,
        );
    });
    if (left.crash > 0) this.#crash(m, go);
    if (m.zombie !== null) {
      const isStored = this.#over.noEpoch || m.zombie.epoch === m.ownerEpoch;
      const journal = isStored ? [...m.journal, ...m.zombie.entries] : m.journal;
      go({ ...m, journal, zombie: null }, "what the lost owner wrote lands", false);
    }
  }

  #crash(m: Model, go: Go): void {
    const { owner } = m;
    const writes: (readonly Entry[] | null)[] = [null];
    if (owner.mustBook) writes.push(this.#owner.bars(m));
    if (owner.taking !== null) writes.push(this.#owner.targets(m, owner.taking));
    for (const entries of writes) {
      const zombie = entries === null ? null : { epoch: owner.epoch, entries };
      const left = { ...m.left, crash: m.left.crash - 1 };
      const x = { ...m, left, zombie, ownerEpoch: m.ownerEpoch + 1 };
      go(this.#owner.newOwner(x), `the owner is lost${zombie ? ", a write under way" : ""}`, false);
    }
  }

  #isShown({ log }: Model, r: number, t: number): boolean {
    return this.#owner.endsOf(r, t).every(({ f, row }) => row < log[f]!);
  }

  #isDone(m: Model): boolean {
    const last = this.#times.at(-1)!;
    if (this.#story.computeOnly && !m.isOpen) {
      const { timeMs, phase } = m.owner.state.slice;
      return timeMs === last && phase === "ended";
    }
    return this.#owner.has(m, last, m.openedAt === last ? 1 : 0);
  }
}

type Go = (model: Model, why: string, isProgress?: boolean) => void;
