/** Feeds, readers and faults of a search. */
export interface Story {
  /** Ends of the rows of each feed. */
  readonly feeds: readonly (readonly number[])[];
  /** Feeds that each runner reads. */
  readonly reads: readonly (readonly number[])[];
  /** Slice at which the timeline is held. @default not held */
  readonly holdAt?: number;
  /** Slice at which the gate opens, while the timeline is held there. @default it does not, or see `computeOnly` */
  readonly openAt?: number;
  /**
   * Nothing may order, and no target is stated, until an apply begins and the gate opens: at `openAt`, or at any moment.
   * @default false: a target for each slice
   */
  readonly computeOnly?: boolean;
  /** Holders offer one row, or all that they have. @default one row, unless `computeOnly` */
  readonly runs?: boolean;
  /** Number of times that the owner is lost, a feed is taken over, a runner stops for a while, or dies. @default 0 */
  readonly crash?: number;
  readonly take?: number;
  readonly pause?: number;
  readonly die?: number;
  /** Number of calls that arrive a second time. @default 0 */
  readonly copy?: number;
}

/** An entry of the journal: the bars of a slice, a runner's target, or that the slice has ended. */
export interface Entry {
  readonly kind: "B" | "T" | "E";
  readonly t: number;
  /** 1 for what follows a gate that opened. */
  readonly n: number;
  /** Runner of a target. */
  readonly r: number;
  /** Feeds of bars; the slice that a target was decided on. */
  readonly feeds: string;
}

/** Times at which slices end. */
export function timesOf({ feeds }: Story): number[] {
  return [...new Set(feeds.flat())].sort((a, b) => a - b);
}

/**
 * What the journal holds when nothing goes wrong: of each slice all bars, then all targets in one order.
 *
 * @param openedAt last slice when the gate opened, 0 for none; null: it is shut
 */
function referenceOf(story: Story, openedAt: number | null): Entry[] {
  const { feeds, reads, computeOnly = false } = story;
  return timesOf(story).flatMap((t) => {
    const own = feeds.flatMap((rows, f) => (rows.includes(t) ? [f] : []));
    const mayState = !computeOnly || (openedAt !== null && t > openedAt);
    const groups = openedAt === t ? [0, 1] : [0];
    const targets = groups.flatMap((n): Entry[] => [
      ...reads.flatMap((read, r): Entry[] =>
        (mayState || n === 1) && read.some((f) => own.includes(f))
          ? [{ kind: "T", t, n, r, feeds: `${t}` }]
          : [],
      ),
      { kind: "E", t, n, r: -1, feeds: "" },
    ]);
    return [{ kind: "B" as const, t, n: 0, r: -1, feeds: own.join("") }, ...targets];
  });
}

/**
 * What a journal and log have that they may not; undefined for nothing. The target of a runner that was dropped may be
 * missing, or come late: a new owner does not know of the drop. Even then it comes before the next slice. While nothing
 * may order, slices may end together.
 */
export function journalFault(
  story: Story,
  model: {
    readonly journal: readonly Entry[];
    readonly log: readonly number[];
    readonly missed: readonly string[];
    readonly untilMs: number | null;
    readonly openedAt: number | null;
  },
): string | undefined {
  const { journal, log, missed, untilMs, openedAt } = model;
  const reference = referenceOf(story, openedAt);
  const isFree = (t: number) => story.computeOnly === true && (openedAt === null || t <= openedAt);
  const mayLack = ({ kind, t, n, r }: Entry): boolean =>
    kind === "T" ? missed.includes(`${t}/${r}`) : kind === "E" && n === 0 && isFree(t);
  let at = 0;
  let slice = 0;
  for (const entry of journal) {
    if (entry.kind === "B") slice = entry.t;
    const isLate = entry.kind === "T" && missed.includes(`${entry.t}/${entry.r}`);
    const isNext = at < reference.length && textOf(reference[at]!) === textOf(entry);
    if (isLate && entry.t === slice && !isNext) continue;
    while (at < reference.length && textOf(reference[at]!) !== textOf(entry)) {
      const expected = reference[at]!;
      if (!mayLack(expected)) return `the journal has ${textOf(entry)}, not ${textOf(expected)}`;
      at += 1;
    }
    if (at === reference.length) return `the journal goes on with ${textOf(entry)}`;
    at += 1;
  }
  const booked = journal.findLast(({ kind }) => kind === "B")?.t ?? 0;
  const times = timesOf(story);
  for (const [f, rows] of story.feeds.entries()) {
    const end = log[f] === 0 ? 0 : rows[log[f]! - 1]!;
    if (untilMs !== null && end > untilMs) return `row ${end} of feed ${f} is beyond the limit`;
    const before = times.findLast((t) => t < end) ?? 0;
    if (before === 0 || isFree(end)) continue;
    if (booked < before)
      return `row ${end} of feed ${f} is effective, slice ${before} is not booked`;
    const n = openedAt === before ? 1 : 0;
    const hasEnded = journal.some(
      (entry) => entry.kind === "E" && entry.t === before && (n === 0 || entry.n === n),
    );
    if (!hasEnded) return `row ${end} of feed ${f} is effective, slice ${before} has not ended`;
  }
  return undefined;
}

function textOf({ kind, t, n, r, feeds }: Entry): string {
  const again = n === 1 ? " again" : "";
  if (kind === "B") return `the bars of ${t} of feeds ${feeds}`;
  return kind === "E"
    ? `the end of ${t}${again}`
    : `target ${t}${again} of runner ${r}, decided at ${feeds}`;
}
