import type { ReturnsClock } from "@qmtl/core/metrics";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type ClockTimer, type Logger, sleep } from "@qmtl/service-kit";
import { type SealedSlice, sealedSlicesMax } from "../account/rebuild-books.ts";
import type { ReturnsReport, WorldPeer } from "../gate/world-peer.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { BucketAcks } from "./bucket-acks.ts";
import { RowWaiters } from "./row-waiters.ts";

interface ReturnsReporterDeps {
  readonly peer: WorldPeer;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Clock of a strategy's returns. */
  readonly clockOf: (worldId: string, strategyId: string) => ReturnsClock;
  readonly worlds: Pick<WorldRegistry, "gates">;
  readonly acks: Pick<BucketAcks, "heardOf">;
}

/** What a booked slice has to tell. */
export interface BookedSlice {
  /** Rows that count as reported once it was answered. */
  readonly rows: readonly { readonly source: string; readonly row: number }[];
  /** Worlds whose own feed has a row in it, with the end of that row. */
  readonly watermarks: ReadonlyMap<string, number>;
  /** Returns that were sealed; undefined for none. */
  readonly sealed: SealedSlice | undefined;
}

/** Largest number of strategies in one report (the contract's limit). */
const reportStrategiesMax = 1_000;
const retryMs = 250;
/** Slices are gathered for one report until there are so many of them, or for so many milliseconds. */
const gatheredMax = 16;
const gatherMs = 100;

/**
 * Reports the sealed returns of one account, in order, and again until WorldService answers. Slices that nobody waits for
 * are gathered: see `send`. What piles up while it is down goes together. No slice is to be booked while 64 are not
 * answered: see `untilRoom`.
 */
export class ReturnsReporter {
  readonly #deps: ReturnsReporterDeps;
  readonly #waiting: BookedSlice[] = [];
  readonly #reported = new Map<string, RowWaiters>();
  readonly #stopped = new AbortController();
  /** Bookings that wait for room. */
  readonly #crowded: (() => void)[] = [];
  #loop: Promise<void> | undefined;
  /** What waits is to be sent. */
  #isDue = false;
  /** Runs while slices are gathered. */
  #gathering: ClockTimer | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(deps: ReturnsReporterDeps) {
    this.#deps = deps;
  }

  /** End of the last slice whose returns were taken. */
  get lastMs(): number {
    return this.#lastMs;
  }

  /** Rows of a feed whose returns were answered. */
  reported(source: string): RowWaiters {
    const found = this.#reported.get(source) ?? new RowWaiters();
    this.#reported.set(source, found);
    return found;
  }

  /** Takes what booked slices have to tell, in their order. */
  push(...slices: readonly BookedSlice[]): void {
    this.#waiting.push(...slices);
    for (const { sealed } of slices)
      this.#lastMs = Math.max(this.#lastMs, sealed?.bucket ?? this.#lastMs);
    if (this.#waiting.length >= gatheredMax) this.send();
    else if (!this.#stopped.signal.aborted)
      this.#gathering ??= this.#deps.clock.setTimer(() => this.send(), gatherMs);
  }

  /** Whether all that was taken was answered. */
  get isDone(): boolean {
    return this.#waiting.length === 0;
  }

  /** The rows of what was taken and not answered. */
  rowsTaken(): BookedSlice["rows"] {
    return this.#waiting.flatMap(({ rows }) => rows);
  }

  /** Reports what waits without gathering more. Call it once somebody needs the answer. */
  send(): void {
    this.#gathering?.cancel();
    this.#gathering = undefined;
    this.#isDue = true;
    this.#start();
  }

  /**
   * Resolves while fewer than 64 slices wait for an answer: those of them that are sealed would be found in the journal
   * by the next process.
   *
   * @throws {QmtlError} PEER_UNAVAILABLE once it is stopped.
   */
  async untilRoom(): Promise<void> {
    while (this.#waiting.length >= sealedSlicesMax) {
      if (this.#stopped.signal.aborted) {
        const message = `the returns of ${sealedSlicesMax} slices are not answered`;
        throw new QmtlError("PEER_UNAVAILABLE", message, { retryAfterMs: retryMs });
      }
      await new Promise<void>((resolve) => this.#crowded.push(resolve));
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#gathering?.cancel();
    this.#makeRoom();
    await this.#loop;
  }

  #start(): void {
    if (!this.#isDue || this.#waiting.length === 0 || this.#stopped.signal.aborted) return;
    this.#loop ??= this.#run().finally(() => {
      this.#loop = undefined;
      this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#isDue && this.#waiting.length > 0 && !this.#stopped.signal.aborted) {
      const slices = [...this.#waiting];
      this.#isDue = false;
      try {
        for (const world of worldsOf(slices)) await this.#report(world, slices);
      } catch (failure) {
        this.#deps.logger.warn("returns not answered", { error: failure });
        this.#isDue = true;
        await sleep(this.#deps.clock, retryMs, this.#stopped.signal);
        continue;
      }
      this.#waiting.splice(0, slices.length);
      for (const { source, row } of slices.flatMap(({ rows }) => rows))
        this.reported(source).advance(row);
      this.#makeRoom();
    }
  }

  #makeRoom(): void {
    for (const go of this.#crowded.splice(0)) go();
  }

  async #report(worldId: string, slices: readonly BookedSlice[]): Promise<void> {
    const ends = slices.flatMap(({ watermarks }) => watermarks.get(worldId) ?? []);
    const all = this.#collect(worldId, slices, ends.length > 0);
    const watermarkMs = Math.max(0, ...ends);
    // A world without strategies is sent the watermark alone.
    for (let at = 0; at === 0 || at < all.length; at += reportStrategiesMax) {
      await this.#send(worldId, watermarkMs, all.slice(at, at + reportStrategiesMax));
    }
  }

  async #send(
    worldId: string,
    watermarkMs: number,
    returns: readonly ReturnsReport[],
  ): Promise<void> {
    const { peer } = this.#deps;
    try {
      await peer.reportReturns({ worldId, watermarkMs, returns });
    } catch (failure) {
      if (hasReason(failure, "WORLD_NOT_FOUND")) return;
      if (!hasReason(failure, "STRATEGY_NOT_FOUND")) throw failure;
      for (const one of returns) {
        const report = { worldId, watermarkMs, returns: [one] };
        await peer.reportReturns(report).catch((refusal: unknown) => {
          if (!hasReason(refusal, "STRATEGY_NOT_FOUND")) throw refusal;
        });
      }
    }
  }

  /** Returns of the strategies that were sealed; with a watermark, the data ends of all that were heard. */
  #collect(
    worldId: string,
    slices: readonly BookedSlice[],
    hasWatermark: boolean,
  ): ReturnsReport[] {
    const heard = this.#deps.acks.heardOf(worldId);
    const series = new Map<string, OwnReturns>();
    const seriesOf = (strategyId: string): OwnReturns => {
      const own = series.get(strategyId) ?? { returns: [], bucketEnds: [], exposed: [] };
      series.set(strategyId, own);
      return own;
    };
    if (hasWatermark) for (const strategyId of heard.keys()) seriesOf(strategyId);
    for (const { world, strategy, bucket, exposed, ...one } of slices.flatMap(sealedOf)) {
      if (world !== worldId || one.return === undefined) continue;
      const own = seriesOf(strategy);
      own.returns.push(one.return);
      own.bucketEnds.push(bucket);
      own.exposed.push(exposed);
    }
    return [...series].map(([strategyId, own]) => ({
      strategyId,
      domain: this.#domainOf(worldId, strategyId),
      ...this.#deps.clockOf(worldId, strategyId),
      ...own,
      dataEndMs: heard.get(strategyId) ?? 0,
    }));
  }

  /** Domain of a strategy's returns: live when its mode is live, else dryrun. */
  #domainOf(worldId: string, strategyId: string): "dryrun" | "live" {
    const mode = this.#deps.worlds.gates.get(worldId)?.modeOf(strategyId);
    return mode === "live" ? "live" : "dryrun";
  }
}

interface OwnReturns {
  readonly returns: number[];
  readonly bucketEnds: number[];
  readonly exposed: boolean[];
}

function sealedOf({ sealed }: BookedSlice): SealedSlice["sealed"] {
  return sealed?.sealed ?? [];
}

/** Worlds that slices have something to tell of. */
function worldsOf(slices: readonly BookedSlice[]): ReadonlySet<string> {
  return new Set(
    slices.flatMap((slice) => [
      ...slice.watermarks.keys(),
      ...sealedOf(slice).map(({ world }) => world),
    ]),
  );
}
