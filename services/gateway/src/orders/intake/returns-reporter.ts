import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import type { SealedBar } from "../account/rebuild-books.ts";
import type { ReturnsReport, WorldPeer } from "../gate/world-peer.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { RowWaiters } from "./row-waiters.ts";
import type { RunnerEnds } from "./runner-ends.ts";

interface ReturnsReporterDeps {
  readonly peer: WorldPeer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalSeconds: number;
  readonly periodsPerYear: number;
  readonly worlds: Pick<WorldRegistry, "gates">;
  readonly acks: Pick<RunnerEnds, "heardOf">;
}

/** Largest number of bars that wait for an answer; with more, the oldest are merged into one report anyway. */
const waitingBarsMax = 100_000;
const retryMs = 250;

/**
 * Reports sealed returns of one feed, bar by bar and in order, and again until WorldService answers. `reported`
 * increases with each bar that was answered. Bars that pile up while it is down go in one report.
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

  push(bar: SealedBar): void {
    if (this.#waiting.length >= waitingBarsMax) this.#waiting.shift();
    this.#waiting.push(bar);
    this.#loop ??= this.#run().finally(() => {
      this.#loop = undefined;
    });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#stopped.signal.aborted) {
      const bars = [...this.#waiting];
      try {
        const worlds = new Set(bars.flatMap((bar) => bar.worlds));
        for (const world of worlds) await this.#report(world, bars);
      } catch (failure) {
        this.#deps.logger.warn("returns not answered", { error: failure });
        await sleep(this.#deps.clock, retryMs, this.#stopped.signal);
        continue;
      }
      this.#waiting.splice(0, bars.length);
      this.reported.advance(bars.at(-1)?.row ?? -1);
    }
  }

  async #report(worldId: string, bars: readonly SealedBar[]): Promise<void> {
    const watermarkMs = bars.at(-1)?.bucket ?? 0;
    const returns = this.#collect(worldId, bars);
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

  /** Domain of a strategy's stage. */
  #domainOf(worldId: string, strategyId: string): "dryrun" | "live" {
    const mode = this.#deps.worlds.gates.get(worldId)?.modeOf(strategyId);
    return mode === "live" ? "live" : "dryrun";
  }
}
