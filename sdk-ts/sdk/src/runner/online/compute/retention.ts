import { compilePlan, type Plan } from "@qmtl/core/dataflow";
import type { OnlineSources } from "../log/sources.ts";
import type { OnlineClocks } from "./clocks.ts";
import type { PastParts } from "./history.ts";
import { lengthsOf, newestCheckpoint } from "./snapshot-history.ts";
import type { SnapshotCache } from "./snapshots.ts";
import type { OnlineWiring } from "./wiring.ts";

/**
 * Largest number of rows of a queue that are kept behind the last bucket that was ended, in addition to those that the
 * windows of the nodes cover: about 4 MiB per queue.
 */
export const keptRowsMax = 4_096;
/** Number of ended buckets from one check to the next. */
export const lookBuckets = 64;
/** Number of checks after which snapshots are requested again. */
const askLooks = 4;

/** First row that a context may still need, by the key of its clock. */
export type NeededRows = ReadonlyMap<string, number>;

/**
 * Finds the rows that a context may still need. When the held nodes change, the context continues from its newest
 * snapshots, so it needs the rows from there on and, before them, those that fill the windows. Without snapshots that
 * the log confirms, it keeps `keptRowsMax` rows and reads older ones from the log again if it needs them.
 */
export class RowRetention {
  readonly #cache: Pick<SnapshotCache, "states" | "refresh">;
  readonly #track: (asking: Promise<void>) => void;
  /** Last row of each clock at the newest usable snapshots. */
  #checkpointRows: ReadonlyMap<string, number> = new Map();
  #plan:
    | { readonly wiring: OnlineWiring; readonly plan: Plan; readonly hasState: boolean }
    | undefined;
  #looks = 0;
  #isAsking = false;
  #isNew = true;

  /** @param track receives the calls that load snapshots; only the end of the run waits for them */
  constructor(
    cache: Pick<SnapshotCache, "states" | "refresh">,
    track: (asking: Promise<void>) => void,
  ) {
    this.#cache = cache;
    this.#track = track;
  }

  /** First rows that are needed, where the clocks of `parts` stand after the last bucket that was ended. */
  look(parts: PastParts): NeededRows {
    const { plan, hasState } = this.#planOf(parts.wiring);
    this.#looks++;
    if (this.#looks % askLooks === 0) {
      if (hasState) this.#ask();
      else this.#isNew = true;
    }
    const lastRows = lastRowsOf(parts.clocks);
    if (this.#isNew) this.#findCheckpoint(parts);
    const needed = new Map<string, number>();
    for (const [key, row] of lastRows) {
      const oldest = row - keptRowsMax + lookBuckets;
      const from = Math.max(this.#checkpointRows.get(key) ?? Number.NEGATIVE_INFINITY, oldest);
      needed.set(key, from - plan.restoreRows + 1);
    }
    return needed;
  }

  #ask(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const asking = this.#cache.refresh().finally(() => {
      this.#isAsking = false;
      this.#isNew = true;
    });
    this.#track(asking);
  }

  /** Finds the position from which the context would continue now: the end of a queue, if that is earlier. */
  #findCheckpoint(parts: PastParts): void {
    this.#isNew = false;
    const { wiring, clocks, replicas } = parts;
    const ends = [...replicas].flatMap(([id, replica]) => {
      const clock = wiring.clockOf.get(id) ?? "";
      const isBehind = replica.nextRow <= clocks.lastRow(clock);
      return isBehind ? [clocks.endMs(clock, replica.nextRow - 1)] : [];
    });
    if (ends.length > 0) clocks.standAt(Math.min(...ends));
    const { plan, hasState } = this.#planOf(wiring);
    const checkpoint = hasState
      ? newestCheckpoint(plan, wiring, this.#cache.states, clocks)?.clocks
      : clocks;
    if (checkpoint !== undefined) this.#checkpointRows = lastRowsOf(checkpoint);
  }

  /** The plan that computes every node; the rows of a query are taken from its own queue. */
  #planOf(wiring: OnlineWiring): { readonly plan: Plan; readonly hasState: boolean } {
    if (this.#plan?.wiring !== wiring) {
      const supplied = [...wiring.inputs.map(({ nodeId }) => nodeId), ...wiring.queries];
      const wanted = [...wiring.clockOf.keys()];
      const plan = compilePlan({ graph: wiring.runtime, supplied, wanted });
      this.#plan = { wiring, plan, hasState: lengthsOf(plan).size > 0 };
    }
    return this.#plan;
  }
}

function lastRowsOf(clocks: OnlineClocks): ReadonlyMap<string, number> {
  return new Map(clocks.keys.map((key) => [key, clocks.lastRow(key)]));
}

/** A context that reads source queues which other contexts may read as well. Implemented by `OnlineContext`. */
interface RowsReader {
  /** First row it needs of each clock once all buckets up to `endMs` are ended; undefined while it may need any row. */
  neededRows(endMs: number): NeededRows | undefined;
  /** Frees all earlier rows of the queues that only it reads. */
  freeRows(needed: NeededRows): void;
}

/** Frees the rows that no context of a run needs again; checks on every 64th bucket that was ended. */
export class RowTrimmer {
  readonly #sources: Pick<OnlineSources, "inputs">;
  readonly #readers: { readonly contexts: readonly RowsReader[] };
  #buckets = 0;

  constructor(
    sources: Pick<OnlineSources, "inputs">,
    readers: { readonly contexts: readonly RowsReader[] },
  ) {
    this.#sources = sources;
    this.#readers = readers;
  }

  /** Every row of a bucket was answered: no decision on it, or on an earlier bucket, is still to come. */
  ended(endMs: number): void {
    if (this.#buckets++ % lookBuckets !== 0) return;
    const { contexts } = this.#readers;
    const needs = contexts.map((context) => context.neededRows(endMs));
    for (const { replica, clock } of this.#sources.inputs) {
      replica.freeBefore(
        Math.min(...needs.map((needed) => needed?.get(clock.key) ?? Number.NEGATIVE_INFINITY)),
      );
    }
    contexts.forEach((context, at) => {
      const needed = needs[at];
      if (needed !== undefined) context.freeRows(needed);
    });
  }
}
