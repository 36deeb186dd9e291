import { durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type {
  DecisionService,
  StrategyReturns,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { jcs } from "@qmtl/core/canonical";
import { listMetrics, seriesProblem } from "@qmtl/core/metrics";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Handlers, pagesOf, requireRole } from "@qmtl/service-kit";
import { composeWorld } from "../decide/compose-decision.ts";
import { evaluateWorld } from "../decide/evaluate-world.ts";
import { type ReportedReturns, reportReturns } from "../decide/report-returns.ts";
import { mustBeBound, setDecisions } from "../decide/set-decisions.ts";
import { type EvaluationRow, readEvaluation } from "../store/decision-table.ts";
import { readRequest, writeRequest } from "../store/request-table.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { Worlds } from "../world/worlds.ts";
import { seriesDomains } from "./closed-sets.ts";
import { decisionToProto, evaluationToProto, metricToProto } from "./decision-to-proto.ts";
import { requestKey, worldScope } from "./world-handlers.ts";

/** Handlers of DecisionService. */
export function decisionHandlers(worlds: Worlds): Handlers<typeof DecisionService> {
  const { ports } = worlds;
  const { clock } = ports;
  const decide = (actor: WorldActor, strategyIds: readonly string[]) => {
    const nowMs = clock.nowMs();
    const composition = composeWorld(actor.state, actor.row.holds, nowMs);
    return decisionToProto(actor, composition, strategyIds, nowMs);
  };
  /** The time from which no lease rests on the decision before. */
  const effectiveTime = (actor: WorldActor) =>
    timestampFromMs(clock.nowMs() + actor.row.maxLeaseMs);
  return {
    decide: async ({ worldId, strategyIds }) => {
      const actor = worlds.get(worldId);
      mustBeBound(actor.state, strategyIds);
      return { decision: decide(actor, strategyIds) };
    },
    setDecisions: async ({ worldId, strategyIds, etag, reason }, context) => {
      const actor = worlds.get(worldId);
      const selection = { strategyIds, etag, reason, principal: context.principal.name };
      await actor.exclusive(() => setDecisions(actor, ports, selection));
      return { decision: decide(actor, []), effectiveTime: effectiveTime(actor) };
    },
    evaluate: async ({ worldId, validateOnly, policyDocument, requestId }, context) => {
      if (!validateOnly) requireRole(context, "operator", "owner");
      const actor = worlds.get(worldId);
      const what = { validateOnly, policyDocument, principal: context.principal.name };
      const evaluation = await evaluateOnce(worlds, actor, requestId, what);
      const hasLowered = evaluation.lowered.length > 0 && !validateOnly;
      return {
        evaluation: evaluationToProto(worldId, evaluation, !validateOnly),
        ...(hasLowered ? { effectiveTime: effectiveTime(actor) } : {}),
      };
    },
    reportReturns: async ({ worldId, returns, watermarkTime }, context) => {
      const reports = returns.map(returnsFromProto);
      checkReporter(context, reports, watermarkTime !== undefined);
      const watermark = watermarkTime === undefined ? null : timestampMs(watermarkTime);
      return { samples: await reportReturns(worlds.get(worldId), ports, reports, watermark) };
    },
    listMetrics: async (request) => {
      const filters = { method: "DecisionService.ListMetrics" };
      const pages = pagesOf(clock, request, filters, ["string"]);
      const metrics = listMetrics().toSorted((a, b) => (a.name < b.name ? -1 : 1));
      const { page, nextPageToken } = pages.cut(metrics, ({ name }) => [name]);
      return { metrics: page.map(metricToProto), nextPageToken };
    },
    getEvaluation: async ({ worldId, evaluationId }) => {
      worlds.get(worldId);
      const row = await readEvaluation(ports.db, worldId, evaluationId);
      if (row === undefined) {
        throw new QmtlError(
          "EVALUATION_NOT_FOUND",
          `world ${worldId} has no evaluation ${evaluationId}`,
        );
      }
      return { evaluation: evaluationToProto(worldId, row, true) };
    },
  };
}

/** Evaluates, or finds the evaluation that the same request made before. */
function evaluateOnce(
  worlds: Worlds,
  actor: WorldActor,
  requestId: string,
  what: {
    readonly validateOnly: boolean;
    readonly policyDocument: string;
    readonly principal: string;
  },
): Promise<EvaluationRow> {
  const { ports } = worlds;
  const { policyDocument } = what;
  const key = what.validateOnly
    ? undefined
    : requestKey(worldScope("Evaluate", actor), requestId, jcs({ policyDocument }));
  return actor.exclusive(async () => {
    const known = key && (await readRequest(ports.db, key, ports.clock.nowMs()));
    const repeated = known && (await readEvaluation(ports.db, actor.worldId, known));
    if (repeated !== undefined && repeated !== "") return repeated;
    return evaluateWorld(actor, ports, {
      ...what,
      write: async (tx, row) => {
        if (key !== undefined) await writeRequest(tx, key, row.evaluationId, ports.clock.nowMs());
      },
    });
  });
}

/** @throws {QmtlError} ROLE_REQUIRED for paper or live series or a watermark that a gateway does not report itself. */
function checkReporter(
  context: CallContext,
  reports: readonly ReportedReturns[],
  hasWatermark: boolean,
): void {
  const isMeasured = hasWatermark || reports.some((report) => report.domain !== "backtest");
  if (isMeasured) requireRole(context, "gateway");
}

function returnsFromProto(one: StrategyReturns, index: number): ReportedReturns {
  const series = one.series!;
  const field = `returns[${index}].series`;
  const domain = seriesDomains.fromProto(series.domain, `${field}.domain`);
  const intervalMs = series.interval === undefined ? 0 : durationMs(series.interval);
  const all: SeriesColumns = {
    returns: Float64Array.from(series.returns),
    bucketEnds: Float64Array.from(series.bucketEndMs),
    exposed: Float64Array.from(series.exposed, Number),
  };
  const problem = seriesProblem({ intervalMs, ...all }, domain !== "backtest");
  if (problem !== undefined) throw invalid(`${field}.${problem.field}`, problem.description);
  const columns = all.returns.some(Number.isNaN) ? withoutGaps(all) : all;
  return {
    strategyId: one.strategyId,
    domain,
    intervalSeconds: intervalMs / 1_000,
    periodsPerYear: series.periodsPerYear,
    fromMs: msOf(series.startTime) ?? all.bucketEnds[0] ?? 0,
    toMs: msOf(series.endTime) ?? all.bucketEnds.at(-1) ?? 0,
    ...columns,
    dataEndMs: msOf(one.dataEndTime) ?? 0,
  };
}

type SeriesColumns = Pick<ReportedReturns, "returns" | "bucketEnds" | "exposed">;

/** The buckets that have a value; NaN is none. */
function withoutGaps({ returns, bucketEnds, exposed }: SeriesColumns): SeriesColumns {
  const hasValue = (_: number, at: number) => !Number.isNaN(returns[at]);
  return {
    returns: returns.filter(hasValue),
    bucketEnds: bucketEnds.filter(hasValue),
    exposed: exposed.filter(hasValue),
  };
}

function msOf(time: Parameters<typeof timestampMs>[0] | undefined): number | undefined {
  return time === undefined ? undefined : timestampMs(time);
}

function invalid(field: string, description: string): QmtlError {
  return new QmtlError("SERIES_INVALID", `the series is not valid: ${field} ${description}`, {
    fields: [{ field, description }],
  });
}
