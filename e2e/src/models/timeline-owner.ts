import {
  type OfferedRow,
  type TimelineEffect,
  type TimelineFeed,
  type TimelineInput,
  type TimelineState,
  type TimelineStep,
  takeTimeline,
  timelineStep,
} from "@qmtl/core/queues";
import {
  type Call,
  deadMs,
  feedName,
  type Model,
  type Owner,
  runnerName,
} from "./timeline-model.ts";
import { type Entry, type Story, timesOf } from "./timeline-story.ts";

/** Mutants. Everything that is not named is the product's owner step. */
export interface TimelineOverrides {
  /** A timeline for each feed by itself. */
  readonly perFeed?: boolean;
  /** The next slice is that of the feeds that have offered. */
  readonly offeredOnly?: boolean;
  /** A feed that has no further row does not say so. */
  readonly silentEnd?: boolean;
  /** A new owner takes its empty list for "all ended". */
  readonly trustEmpty?: boolean;
  /** A new owner forgets that the last slice may lack rows (`forget`), or takes it for booked (`skip`). */
  readonly half?: "forget" | "skip";
  /** A row that is void, because its offer was of an old lease epoch, counts as effective. */
  readonly keepOldOffers?: boolean;
  /** Targets are booked one by one, as their calls come. */
  readonly arrivalOrder?: boolean;
  /** The next slice passes before the targets of the last one are stored. */
  readonly appendBeforeTargets?: boolean;
  /** The first end lets the slice pass. */
  readonly firstEndIsEnough?: boolean;
  /** An end names no slice: it counts for the last one. */
  readonly endWithoutSlice?: boolean;
  /** A late copy of a call takes the place of a newer one. */
  readonly lastCallWins?: boolean;
  /** An end is sent once. */
  readonly sendOnce?: boolean;
  /** What an owner that was lost still writes is stored. */
  readonly noEpoch?: boolean;
  /** Ends from before a gate opened count. */
  readonly noRestate?: boolean;
  /** A dropped runner is never taken back. */
  readonly neverBack?: boolean;
  /** A batch does not stop at the limit. */
  readonly batchBeyondLimit?: boolean;
  /** Batches go on after the gate opened. */
  readonly batchAfterOpening?: boolean;
  /** A batch does not stop at the last row that a feed has offered. */
  readonly batchBeyondOffers?: boolean;
  /** A new owner takes a timeline for one that may only compute. */
  readonly batchUnasked?: boolean;
}

/** The owner of a timeline as the search plays it: the product's step, the writes that follow from it, and the mutants. */
export class OwnerModel {
  readonly #story: Story;
  readonly #over: TimelineOverrides;

  constructor(story: Story, over: TimelineOverrides) {
    this.#story = story;
    this.#over = over;
  }

  first(): Model {
    const { feeds, reads, holdAt, crash = 0, take = 0, pause = 0, die = 0, copy = 0 } = this.#story;
    const runner = { isUp: true, isPaused: false, seen: 0, isArmed: false, told: "", copy: null };
    const base = {
      ...{ log: feeds.map(() => 0), ended: feeds.map(() => false), leases: feeds.map(() => 1) },
      ...{ journal: [], untilMs: holdAt ?? null, ownerEpoch: 1, zombie: null },
      ...{ isOpen: false, isFrozen: false, openedAt: null },
      ...{ runners: reads.map(() => runner), missed: [], left: { crash, take, pause, die, copy } },
    };
    return this.newOwner({ ...base, owner: undefined as unknown as Owner });
  }

  newOwner(m: Model): Model {
    const { feeds, reads } = this.#story;
    const booked = m.journal.findLast(({ kind }) => kind === "B")?.t ?? 0;
    const state = takeTimeline(
      feeds.map((rows, f) => ({
        source: feedName(f),
        logRow: m.log[f]! - 1,
        endMs: m.log[f] === 0 ? Number.NEGATIVE_INFINITY : rows[m.log[f]! - 1]!,
        ...{ untilMs: m.untilMs, isEnded: m.ended[f]! },
        isBooked: m.log[f]! > 0 && rows[m.log[f]! - 1]! <= booked,
        runners: reads.flatMap((read, r) =>
          read.includes(f) ? [{ sessionId: runnerName(r), fromRow: 0 }] : [],
        ),
      })),
      deadMs,
      0,
    );
    const none = feeds.map(() => null);
    const sessionIds = reads.map((_, r) => runnerName(r));
    const owner: Owner = {
      ...{ epoch: m.ownerEpoch, state: this.#mutated(state), mustBook: false, taking: null },
      ...{ offeredUnder: feeds.map(() => 0), passing: none, held: reads.map(() => null) },
    };
    const { openedAt } = m;
    // Nothing of the slice is stored that was stated under the lease: it opens where this owner begins.
    const isStated = openedAt === null || this.has(m, openedAt, 1);
    const at = isStated ? openedAt : beganAt(state);
    const x = this.step({ ...m, owner, openedAt: at }, { kind: "tick", nowMs: -1 });
    if (!m.isOpen || this.#over.noRestate) return x;
    return this.step(x, { kind: "gate_opened", sessionIds });
  }

  #mutated(state: TimelineState): TimelineState {
    const { trustEmpty, half, batchUnasked } = this.#over;
    const { slice } = state;
    if (batchUnasked) return { ...state, isComputeOnly: true };
    if (trustEmpty) {
      const runners = new Map(
        [...state.runners].map(([id, runner]) => {
          const own = [...runner.feeds].map(([source, feed]) => {
            const endedRow = state.feeds.get(source)!.logRow;
            return [source, { ...feed, endedRow }] as const;
          });
          return [id, { ...runner, feeds: new Map(own) }];
        }),
      );
      return { ...state, runners };
    }
    if (half === undefined || slice.phase !== "append") return state;
    return { ...state, slice: { ...slice, phase: half === "skip" ? "open" : "ended" } };
  }

  /** One step of the product's owner, with what the mutants make of it. */
  step(m: Model, input: TimelineInput): Model {
    const { perFeed, offeredOnly, firstEndIsEnough, appendBeforeTargets, arrivalOrder } =
      this.#over;
    if (this.#over.batchAfterOpening && input.kind === "compute_only" && !input.isComputeOnly)
      return m;
    const step = this.#stepOf(m.owner.state, input);
    let x = { ...m, owner: { ...m.owner, state: step.state } };
    for (const effect of step.effects) x = this.#effect(x, effect);
    if (input.kind === "offered" && (perFeed || offeredOnly)) x = this.#passAlone(x, input.source);
    if (input.kind !== "ended") return x;
    if (firstEndIsEnough && x.owner.state.slice.phase === "open") x = this.#allEnded(x);
    if (arrivalOrder) {
      const journal = [
        ...x.journal,
        ...this.targets(x, { calls: x.owner.held, n: this.#groupOf(x) }).filter(
          ({ kind }) => kind === "T",
        ),
      ];
      x = { ...x, journal };
    }
    if (appendBeforeTargets && x.owner.taking !== null) x = this.step(x, { kind: "taken" });
    return x;
  }

  /** The product's step, or what a mutant makes of a batch. */
  #stepOf(state: TimelineState, input: TimelineInput): TimelineStep {
    const { batchBeyondLimit, batchBeyondOffers } = this.#over;
    if (!state.isComputeOnly || !(batchBeyondLimit || batchBeyondOffers))
      return timelineStep(state, input);
    const changed = batchBeyondLimit
      ? eachFeed(state, (feed) => ({ ...feed, untilMs: null }))
      : eachFeed(state, (feed) => ({ ...feed, offers: withPhantom(feed) }));
    const step = timelineStep(changed, input);
    const back = batchBeyondLimit
      ? eachFeed(step.state, (feed, name) => ({
          ...feed,
          untilMs: state.feeds.get(name)!.untilMs,
        }))
      : eachFeed(step.state, (feed) => ({
          ...feed,
          offers: feed.offers.filter(({ timeMs }) => timeMs !== phantomMs),
        }));
    return { state: back, effects: step.effects };
  }

  #effect(m: Model, effect: TimelineEffect): Model {
    const { owner } = m;
    if (effect.kind === "pass") {
      const f = Number(effect.source.slice(1));
      return { ...m, owner: { ...owner, passing: owner.passing.with(f, effect.row) } };
    }
    if (effect.kind === "book") return { ...m, owner: { ...owner, mustBook: true } };
    if (effect.kind === "dropped")
      return this.miss(m, owner.state.slice.timeMs, Number(effect.sessionId.slice(1)));
    if (effect.kind !== "take") return m;
    const taking = { calls: owner.held, n: this.#groupOf(m) };
    return { ...m, owner: { ...owner, taking, held: owner.held.map(() => null) } };
  }

  /** Mutant: a feed does not wait for the others. */
  #passAlone(m: Model, source: string): Model {
    const { state } = m.owner;
    const feed = state.feeds.get(source)!;
    if (feed.offers.length === 0 || (state.slice.phase !== "ended" && !this.#over.perFeed))
      return m;
    const others = [...state.feeds].map(([name, one]) => {
      return name === source || one.offers.length > 0
        ? ([name, one] as const)
        : ([name, { ...one, isEnded: true }] as const);
    });
    const alone = { ...state, feeds: new Map(others) };
    const step = timelineStep(alone, { kind: "withdrawn", source: "none" });
    const restored = new Map(
      [...step.state.feeds].map(([name, one]) => {
        return [name, { ...one, isEnded: state.feeds.get(name)!.isEnded }] as const;
      }),
    );
    let x: Model = { ...m, owner: { ...m.owner, state: { ...step.state, feeds: restored } } };
    for (const effect of step.effects) x = this.#effect(x, effect);
    return x;
  }

  #allEnded(m: Model): Model {
    const { state } = m.owner;
    const runners = new Map(state.runners);
    for (const [id, runner] of runners) runners.set(id, { ...runner, feeds: new Map() });
    const step = timelineStep({ ...state, runners }, { kind: "withdrawn", source: "none" });
    let x = { ...m, owner: { ...m.owner, state: { ...step.state, runners: state.runners } } };
    for (const effect of step.effects) x = this.#effect(x, effect);
    return x;
  }

  /** The bars of a slice, or of the slices of a batch, in order. */
  bars({ owner: { state }, log, journal }: Model): Entry[] {
    const { timeMs } = state.slice;
    const booked = journal.findLast(({ kind }) => kind === "B")?.t ?? 0;
    return timesOf(this.#story)
      .filter((t) => t === timeMs || (t > booked && t < timeMs))
      .map((t): Entry => {
        const feeds = this.#story.feeds.flatMap((rows, f) =>
          rows.slice(0, log[f]).includes(t) ? [f] : [],
        );
        return { kind: "B", t, n: 0, r: -1, feeds: feeds.join("") };
      });
  }

  /** Targets of a slice in the order of their runners, and its end. */
  targets(m: Model, { calls, n }: NonNullable<Owner["taking"]>): Entry[] {
    const t = m.owner.state.slice.timeMs;
    const targets = calls.flatMap((call, r): Entry[] =>
      call === null || this.endsOf(r, t).length === 0 || !this.#mayState(call)
        ? []
        : [{ kind: "T", t, n: call.n, r, feeds: `${call.t}` }],
    );
    const fresh = targets.filter((one) => !m.journal.some((x) => sameTarget(x, one)));
    return [
      ...fresh,
      ...(this.has(m, t, n) ? [] : [{ kind: "E", t, n, r: -1, feeds: "" } as const]),
    ];
  }

  /** 1 for what is stated of a slice after the gate opened there. */
  #groupOf({ openedAt, owner }: Model): number {
    return openedAt === owner.state.slice.timeMs ? 1 : 0;
  }

  /** A runner states no target while its world may only compute. */
  #mayState({ isArmed }: Call): boolean {
    return this.#story.computeOnly !== true || isArmed;
  }

  has({ journal }: Model, t: number, n: number): boolean {
    return journal.some((entry) => entry.kind === "E" && entry.t === t && entry.n === n);
  }

  withMissed(m: Model): Model {
    const { timeMs } = m.owner.state.slice;
    let x = m;
    m.runners.forEach((_, r) => {
      if (m.owner.state.runners.get(runnerName(r))?.standing !== "in") x = this.miss(x, timeMs, r);
    });
    return x;
  }

  miss(m: Model, t: number, r: number): Model {
    const name = `${t}/${r}`;
    return m.missed.includes(name) ? m : { ...m, missed: [...m.missed, name].sort() };
  }

  /** Rows of a runner's feeds that end at a time. */
  endsOf(r: number, t: number): { readonly f: number; readonly row: number }[] {
    return this.#story.reads[r]!.flatMap((f) => {
      const row = this.#story.feeds[f]!.indexOf(t);
      return row < 0 ? [] : [{ f, row }];
    });
  }
}

/** End of a mutant's row behind those that a feed has offered. */
const phantomMs = 1_000;

function withPhantom({ offers }: TimelineFeed): readonly OfferedRow[] {
  const last = offers.at(-1);
  if (last === undefined) return offers;
  const row = last.toRow + 1;
  return [...offers, { row, toRow: row, timeMs: phantomMs }];
}

function eachFeed(
  state: TimelineState,
  change: (feed: TimelineFeed, name: string) => TimelineFeed,
): TimelineState {
  const feeds = new Map(
    [...state.feeds].map(([name, feed]) => [name, change(feed, name)] as const),
  );
  return { ...state, feeds };
}

/** The slice that an owner stands at, 0 before the first. */
export function beganAt({ slice }: TimelineState): number {
  return Math.max(0, slice.timeMs);
}

function sameTarget(a: Entry, b: Entry): boolean {
  return a.kind === "T" && a.t === b.t && a.r === b.r && a.n === b.n;
}
