import { intervalNumberAt } from "@qmtl/core/intervals";
import { type ReturnsClock, returnsClock } from "@qmtl/core/metrics";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { SeriesDomain } from "../policy/policy.ts";
import {
  appendReturns,
  clearReturns,
  readBucketEnds,
  type SeriesAppend,
  seriesSamplesMax,
} from "../store/returns-table.ts";
import type { SeriesHead } from "../store/world-rows.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import { storeError } from "../world/store-error.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { seriesKey } from "../world/world-state.ts";
import { isReassessmentDue, reassess } from "./reassess.ts";

/** Returns reported for one strategy, with their clock. */
export interface ReportedReturns extends ReturnsClock {
  readonly strategyId: string;
  readonly domain: SeriesDomain;
  readonly fromMs: number;
  readonly toMs: number;
  readonly returns: Float64Array;
  /** One per return; empty only for a backtest that does not know them. */
  readonly bucketEnds: Float64Array;
  /** One per return, or empty. */
  readonly exposed: Float64Array;
  readonly dataEndMs: number;
}

/**
 * Stores returns. Paper and live are appended, each bucket once: what ends at or before the last stored bucket is
 * dropped, so a repeat is harmless. A backtest replaces the one before. Data end and watermark only move forward.
 * Returns of another clock than those stored make the series one of both, as if it were of the feeds of both: what was
 * marked once a day, as by the feed of a world before its strategies had clocks of their own, is never taken for returns
 * of an hour. Resolves to the number of samples that each series has now, in the order sent.
 *
 * @throws {QmtlError} SERIES_INVALID; STRATEGY_NOT_FOUND for one that was never bound.
 */
export function reportReturns(
  actor: WorldActor,
  ports: ServicePorts,
  reports: readonly ReportedReturns[],
  watermarkMs: number | null,
): Promise<number[]> {
  return actor.exclusive(async () => {
    await actor.settled();
    const names = reports.map((report) => seriesKey(report.strategyId, report.domain));
    if (new Set(names).size !== names.length) {
      throw invalid("returns", "a strategy and domain may appear only once in a report");
    }
    const appends: SeriesAppend[] = [];
    for (const [index, report] of reports.entries())
      appends.push(await appendOf(actor, ports, report, index));
    const replaced = reports.filter((report) => report.domain === "backtest");
    if (replaced.length > 0) {
      await actor.write(async (tx) => {
        for (const { strategyId, domain } of replaced) {
          await clearReturns(tx, actor.worldId, strategyId, domain);
        }
        await appendReturns(tx, actor.worldId, appends, watermarkMs);
      });
    } else {
      await appendReturns(ports.db, actor.worldId, appends, watermarkMs).catch((error: unknown) => {
        actor.noteFailure(error);
        throw storeError(error);
      });
    }
    for (const { head } of appends)
      actor.state.heads.set(seriesKey(head.strategyId, head.domain), head);
    const { world } = actor.state;
    if (watermarkMs !== null && watermarkMs > (world.watermarkMs ?? Number.NEGATIVE_INFINITY)) {
      actor.state.world = { ...world, watermarkMs };
    }
    if (isReassessmentDue(actor, ports)) await reassess(actor, ports);
    return appends.map(({ head }) => head.samples);
  });
}

async function appendOf(
  actor: WorldActor,
  ports: ServicePorts,
  report: ReportedReturns,
  index: number,
): Promise<SeriesAppend> {
  const field = `returns[${index}]`;
  const { strategyId, domain } = report;
  if (!actor.state.bindings.has(strategyId)) {
    throw new QmtlError("STRATEGY_NOT_FOUND", `strategy ${strategyId} is not bound`, {
      metadata: { strategy_id: strategyId },
    });
  }
  const isReplaced = domain === "backtest";
  const before = isReplaced ? undefined : actor.state.heads.get(seriesKey(strategyId, domain));
  const skip = before === undefined ? 0 : countUntil(report.bucketEnds, before.toMs);
  const returns = report.returns.subarray(skip);
  const samples = (before?.samples ?? 0) + returns.length;
  if (samples > seriesSamplesMax) throw invalid(field, `more than ${seriesSamplesMax} samples`);
  const clock = clockAfter(before, report, returns.length);
  const { intervalSeconds } = clock;
  const isSameClock = before === undefined || before.intervalSeconds === intervalSeconds;
  const counted = isSameClock
    ? (before?.intervals ?? 0)
    : countIntervals(await readBucketEnds(ports.db, actor.worldId, before), intervalSeconds);
  const bucketEnds = report.bucketEnds.subarray(skip);
  const isBegun = before !== undefined && before.samples > 0;
  const added =
    report.bucketEnds.length === 0
      ? returns.length
      : countIntervals(bucketEnds, intervalSeconds, isBegun ? before.toMs : undefined);
  const head: SeriesHead = {
    strategyId,
    domain,
    ...clock,
    samples,
    intervals: counted + added,
    ruinedMs: before?.ruinedMs ?? ruinOf(report, skip),
    fromMs: isBegun ? before.fromMs : report.fromMs,
    toMs: Math.max(before?.toMs ?? 0, report.bucketEnds.at(-1) ?? (isReplaced ? report.toMs : 0)),
    dataEndMs: Math.max(before?.dataEndMs ?? 0, report.dataEndMs),
  };
  return {
    head,
    samplesBefore: before?.samples ?? 0,
    returns,
    bucketEnds,
    exposed: report.exposed.subarray(skip),
  };
}

/** Clock of a series once a report with so many new returns is stored. */
function clockAfter(
  before: SeriesHead | undefined,
  { intervalSeconds, periodsPerYear }: ReportedReturns,
  added: number,
): ReturnsClock {
  const stated = { intervalSeconds, periodsPerYear };
  if (before === undefined) return stated;
  const stored = { intervalSeconds: before.intervalSeconds, periodsPerYear: before.periodsPerYear };
  if (added === 0) return stored;
  return before.samples === 0 ? stated : returnsClock([stored, stated]);
}

/** Number of returns intervals that bucket ends add to a series whose last mark was at `lastMs`, undefined for none. */
function countIntervals(ends: Float64Array, intervalSeconds: number, lastMs?: number): number {
  const intervalMs = intervalSeconds * 1_000;
  let last = lastMs === undefined ? Number.NaN : intervalNumberAt(lastMs, intervalMs);
  let added = 0;
  for (const end of ends) {
    const interval = intervalNumberAt(end, intervalMs);
    if (interval !== last) added++;
    last = interval;
  }
  return added;
}

/** End of the first new bucket that left nothing; of a series without bucket ends that of its last. Null without one. */
function ruinOf({ returns, bucketEnds, toMs }: ReportedReturns, skip: number): number | null {
  const at = returns.findIndex((value, index) => index >= skip && value <= -1);
  return at < 0 ? null : (bucketEnds[at] ?? toMs);
}

/** Number of bucket ends at or before `untilMs`; the ends increase. */
function countUntil(ends: Float64Array, untilMs: number): number {
  const first = ends.findIndex((end) => end > untilMs);
  return first === -1 ? ends.length : first;
}

function invalid(field: string, description: string): QmtlError {
  return new QmtlError("SERIES_INVALID", `the series is not valid: ${description}`, {
    fields: [{ field, description }],
  });
}
