import { intervalNumberAt } from "@qmtl/core/intervals";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { SeriesDomain } from "../policy/policy.ts";
import {
  appendReturns,
  clearReturns,
  type SeriesAppend,
  seriesSamplesMax,
} from "../store/returns-table.ts";
import type { SeriesHead } from "../store/world-rows.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import { storeError } from "../world/store-error.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { seriesKey } from "../world/world-state.ts";
import { isReassessmentDue, reassess } from "./reassess.ts";

/** Returns reported for one strategy. */
export interface ReportedReturns {
  readonly strategyId: string;
  readonly domain: SeriesDomain;
  readonly intervalSeconds: number;
  readonly periodsPerYear: number;
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
 * Resolves to the number of samples that each series has now, in the order sent.
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
    const appends = reports.map((report, index) => appendOf(actor, report, index));
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

function appendOf(actor: WorldActor, report: ReportedReturns, index: number): SeriesAppend {
  const field = `returns[${index}]`;
  const { strategyId, domain } = report;
  if (!actor.state.bindings.has(strategyId)) {
    throw new QmtlError("STRATEGY_NOT_FOUND", `strategy ${strategyId} is not bound`, {
      metadata: { strategy_id: strategyId },
    });
  }
  checkShape(report, field);
  const isReplaced = domain === "backtest";
  const before = isReplaced ? undefined : actor.state.heads.get(seriesKey(strategyId, domain));
  const skip = before === undefined ? 0 : countUntil(report.bucketEnds, before.toMs);
  const returns = report.returns.subarray(skip);
  const samples = (before?.samples ?? 0) + returns.length;
  if (samples > seriesSamplesMax) throw invalid(field, `more than ${seriesSamplesMax} samples`);
  if (before !== undefined && before.samples > 0) checkSameKind(before, report, field);
  const head: SeriesHead = {
    strategyId,
    domain,
    intervalSeconds: report.intervalSeconds,
    periodsPerYear: report.periodsPerYear,
    samples,
    intervals: (before?.intervals ?? 0) + newIntervals(report, skip, before),
    ruinedMs: before?.ruinedMs ?? ruinOf(report, skip),
    fromMs: before !== undefined && before.samples > 0 ? before.fromMs : report.fromMs,
    toMs: Math.max(before?.toMs ?? 0, report.bucketEnds.at(-1) ?? (isReplaced ? report.toMs : 0)),
    dataEndMs: Math.max(before?.dataEndMs ?? 0, report.dataEndMs),
  };
  return {
    head,
    samplesBefore: before?.samples ?? 0,
    returns,
    bucketEnds: report.bucketEnds.subarray(skip),
    exposed: report.exposed.subarray(skip),
  };
}

function checkShape(report: ReportedReturns, field: string): void {
  const { returns, bucketEnds, exposed, domain } = report;
  const count = returns.length;
  const isUndated = bucketEnds.length === 0 && domain === "backtest";
  if (bucketEnds.length !== count && !isUndated) {
    throw invalid(`${field}.series.bucket_end_ms`, "needs one bucket end per return");
  }
  if (exposed.length !== 0 && exposed.length !== count) {
    throw invalid(`${field}.series.exposed`, "needs one value per return, or none");
  }
  if (returns.some((value) => !Number.isFinite(value))) {
    throw invalid(`${field}.series.returns`, "returns must be finite");
  }
  const isRising = bucketEnds.every(
    (end, i) => Number.isSafeInteger(end) && (i === 0 || end > (bucketEnds[i - 1] ?? 0)),
  );
  if (!isRising) throw invalid(`${field}.series.bucket_end_ms`, "bucket ends must increase");
}

function checkSameKind(before: SeriesHead, report: ReportedReturns, field: string): void {
  const isSame =
    before.intervalSeconds === report.intervalSeconds &&
    before.periodsPerYear === report.periodsPerYear;
  if (isSame) return;
  const now = `${before.intervalSeconds} s, ${before.periodsPerYear} a year`;
  throw invalid(`${field}.series`, `interval and periods per year cannot change: stored ${now}`);
}

/** Number of returns intervals that a report adds to those stored before. */
function newIntervals(
  { returns, bucketEnds, intervalSeconds }: ReportedReturns,
  skip: number,
  before: SeriesHead | undefined,
): number {
  if (bucketEnds.length === 0) return returns.length;
  const intervalMs = intervalSeconds * 1_000;
  const isBegun = before !== undefined && before.samples > 0;
  let last = isBegun ? intervalNumberAt(before.toMs, intervalMs) : Number.NaN;
  let added = 0;
  for (const end of bucketEnds.subarray(skip)) {
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
