import {
  type TimelineEffect,
  type TimelineInput,
  type TimelineState,
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
import type { Entry, Story } from "./timeline-story.ts";

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
      ...{ journal: [], untilMs: holdAt ?? null, isOpen: false, ownerEpoch: 1, zombie: null },
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
    const x = this.step({ ...m, owner }, { kind: "tick", nowMs: -1 });
    if (!m.isOpen || this.#over.noRestate) return x;
    return this.step(x, { kind: "gate_opened", sessionIds });
  }

  #mutated(state: TimelineState): TimelineState {
    const { trustEmpty, half } = this.#over;
    const { slice } = state;
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
    const step = timelineStep(m.owner.state, input);
    let x = { ...m, owner: { ...m.owner, state: step.state } };
    for (const effect of step.effects) x = this.#effect(x, effect);
    if (input.kind === "offered" && (perFeed || offeredOnly)) x = this.#passAlone(x, input.source);
    if (input.kind !== "ended") return x;
    if (firstEndIsEnough && x.owner.state.slice.phase === "open") x = this.#allEnded(x);
    if (arrivalOrder) {
      const journal = [
        ...x.journal,
        ...this.targets(x, x.owner.held).filter(({ kind }) => kind === "T"),
      ];
      x = { ...x, journal };
    }
    if (appendBeforeTargets && x.owner.taking !== null) x = this.step(x, { kind: "taken" });
    return x;
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
    const taking = owner.held;
    return { ...m, owner: { ...owner, taking, held: owner.held.map(() => null) } };
  }

  /** Mutant: a feed does not wait for the others. */
  #passAlone(m: Model, source: string): Model {
    const { state } = m.owner;
    const feed = state.feeds.get(source)!;
    if (feed.offer === null || (state.slice.phase !== "ended" && !this.#over.perFeed)) return m;
    const others = [...state.feeds].map(([name, one]) => {
      return name === source || one.offer !== null
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

  bars({ owner: { state }, log }: Model): Entry {
    const { timeMs } = state.slice;
    const feeds = this.#story.feeds.flatMap((rows, f) => (rows[log[f]! - 1] === timeMs ? [f] : []));
    return { kind: "B", t: timeMs, n: 0, r: -1, feeds: feeds.join("") };
  }

  /** Targets of a slice in the order of their runners, and its end. */
  targets(m: Model, calls: readonly (Call | null)[]): Entry[] {
    const t = m.owner.state.slice.timeMs;
    const n = m.isOpen && t === this.#story.openAt ? 1 : 0;
    const targets = calls.flatMap((call, r): Entry[] =>
      call === null || this.endsOf(r, t).length === 0
        ? []
        : [{ kind: "T", t, n: call.n, r, feeds: `${call.t}` }],
    );
    const fresh = targets.filter((one) => !m.journal.some((x) => sameTarget(x, one)));
    return [
      ...fresh,
      ...(this.has(m, t, n) ? [] : [{ kind: "E", t, n, r: -1, feeds: "" } as const]),
    ];
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

function sameTarget(a: Entry, b: Entry): boolean {
  return a.kind === "T" && a.t === b.t && a.r === b.r && a.n === b.n;
}
