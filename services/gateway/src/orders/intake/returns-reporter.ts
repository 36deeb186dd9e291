import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import type { SealedBar } from "../account/rebuild-books.ts";
import type { ReturnsReport, WorldPeer } from "../gate/world-peer.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { BucketAcks } from "./bucket-acks.ts";
import type { RowWaiters } from "./row-waiters.ts";

interface ReturnsReporterDeps {
  readonly peer: WorldPeer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalSeconds: number;
  readonly periodsPerYear: number;
  readonly worlds: Pick<WorldRegistry, "gates">;
  readonly acks: Pick<BucketAcks, "heardOf">;
}

/** Largest number of bars that wait for an answer; beyond it the oldest is dropped, and an error is logged. */
const waitingBarsMax = 100_000;
/** Largest number of bars in one report, and of strategies (the contract's limit). */
const reportBarsMax = 1_000;
const reportStrategiesMax = 1_000;
const retryMs = 250;

/**
 * Reports sealed returns of one feed, bar by bar and in order, and again until WorldService answers. `reported`
 * increases with each bar that was answered. Bars that pile up while it is down go together, up to 1,000 in a report.
 */
export class ReturnsReporter {
  readonly reported: RowWaiters;
  readonly #deps: ReturnsReporterDeps;
  readonly #waiting: SealedBar[] = [];
  readonly #stopped = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(deps: ReturnsReporterDeps, reported: RowWaiters) {
    this.#deps = deps;
    this.reported = reported;
  }

  /** Takes booked bars, in order of rows, those of one row together; one without worlds has nothing to report. */
  push(...bars: readonly SealedBar[]): void {
    this.#waiting.push(...bars);
    while (this.#waiting.length > waitingBarsMax) {
      const { source, row } = this.#waiting.shift()!;
      this.#deps.logger.error("returns dropped: too many wait for WorldService", { source, row });
    }
    this.#start();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  #start(): void {
    if (this.#waiting.length === 0 || this.#stopped.signal.aborted) return;
    this.#loop ??= this.#run().finally(() => {
      this.#loop = undefined;
      this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#stopped.signal.aborted) {
      const bars = this.#waiting.slice(0, reportBarsMax);
      try {
        const worlds = new Set(bars.flatMap((bar) => bar.worlds));
        for (const world of worlds) await this.#report(world, bars);
      } catch (failure) {
        this.#deps.logger.warn("returns not answered", { error: failure });
        await sleep(this.#deps.clock, retryMs, this.#stopped.signal);
        continue;
      }
      // The oldest of them may have been dropped meanwhile.
      const last = bars.at(-1)!;
      this.#waiting.splice(0, this.#waiting.indexOf(last) + 1);
      this.reported.advance(last.row);
    }
  }

  async #report(worldId: string, bars: readonly SealedBar[]): Promise<void> {
    const all = this.#collect(worldId, bars);
    // A world without strategies is sent the watermark alone.
    for (let at = 0; at === 0 || at < all.length; at += reportStrategiesMax) {
      await this.#send(worldId, bars, all.slice(at, at + reportStrategiesMax));
    }
  }

  async #send(
    worldId: string,
    bars: readonly SealedBar[],
    returns: readonly ReturnsReport[],
  ): Promise<void> {
    const watermarkMs = Math.max(0, ...bars.map(({ bucket }) => bucket));
    const { peer, intervalSeconds, periodsPerYear } = this.#deps;
    const report = { worldId, watermarkMs, intervalSeconds, periodsPerYear };
    try {
      await peer.reportReturns({ ...report, returns });
    } catch (failure) {
      if (hasReason(failure, "WORLD_NOT_FOUND")) return;
      if (!hasReason(failure, "STRATEGY_NOT_FOUND")) throw failure;
      for (const one of returns) {
        await peer.reportReturns({ ...report, returns: [one] }).catch((refusal: unknown) => {
          if (!hasReason(refusal, "STRATEGY_NOT_FOUND")) throw refusal;
        });
      }
    }
  }

  #collect(worldId: string, bars: readonly SealedBar[]): ReturnsReport[] {
    const series = new Map<
      string,
      { returns: number[]; bucketEnds: number[]; exposed: boolean[] }
    >();
    const heard = this.#deps.acks.heardOf(worldId);
    for (const strategyId of heard.keys()) {
      series.set(strategyId, { returns: [], bucketEnds: [], exposed: [] });
    }
    for (const bar of bars) {
      for (const sealed of bar.sealed) {
        if (sealed.world !== worldId || sealed.return === undefined) continue;
        const one = series.get(sealed.strategy) ?? { returns: [], bucketEnds: [], exposed: [] };
        one.returns.push(sealed.return);
        one.bucketEnds.push(bar.bucket);
        one.exposed.push(sealed.exposed);
        series.set(sealed.strategy, one);
      }
    }
    return [...series].map(([strategyId, one]) => ({
      strategyId,
      domain: this.#domainOf(worldId, strategyId),
      ...one,
      dataEndMs: heard.get(strategyId) ?? 0,
    }));
  }

  /** Domain of a strategy's returns: live when its mode is live, else dryrun. */
  #domainOf(worldId: string, strategyId: string): "dryrun" | "live" {
    const mode = this.#deps.worlds.gates.get(worldId)?.modeOf(strategyId);
    return mode === "live" ? "live" : "dryrun";
  }
}
