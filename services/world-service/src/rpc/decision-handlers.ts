import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type {
  DecisionService,
  StrategyReturns,
} from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { jcs } from "@qmtl/sdk/canonical";
import { listMetrics } from "@qmtl/sdk/metrics";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Handlers, requireRole } from "@qmtl/service-kit";
import { evaluateWorld } from "../decide/evaluate-world.ts";
import { type ReportedReturns, reportReturns } from "../decide/report-returns.ts";
import { setDecisions } from "../decide/set-decisions.ts";
import type { SeriesDomain } from "../policy/policy.ts";
import { readEvaluation } from "../store/decision-table.ts";
import { type RequestKey, readRequest, writeRequest } from "../store/request-table.ts";
import { floatsFromBytes } from "../store/returns-table.ts";
import { hashText } from "../world/hash-text.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { composeWorld } from "../world/world-state.ts";
import type { Worlds } from "../world/worlds.ts";
import { decisionToProto, evaluationToProto, metricToProto } from "./decision-to-proto.ts";
import { mayOperate } from "./world-handlers.ts";

/** DecisionService on the wire. ReportTrials and ReportDataCheck are not built yet. */
export function decisionHandlers(worlds: Worlds): Handlers<typeof DecisionService> {
  const { ports } = worlds;
  const { clock } = ports;
  const decide = (actor: WorldActor, strategyIds: readonly string[]) => {
    const nowMs = clock.nowMs();
    const composition = composeWorld(actor.state, actor.row.holds, nowMs);
    return decisionToProto(actor, composition, strategyIds, nowMs);
  };
  return {
    decide: async ({ worldId, strategyIds }) => ({
      decision: decide(worlds.get(worldId), strategyIds),
    }),
    setDecisions: async ({ worldId, strategyIds, reason }, context) => {
      mayOperate(context);
      const actor = worlds.get(worldId);
      const who = { principal: context.principal.name, reason };
      await actor.exclusive(() => setDecisions(actor, ports, strategyIds, who));
      const effectiveBy = timestampFromMs(clock.nowMs() + actor.row.maxLeaseMs);
      return { decision: decide(actor, []), effectiveBy };
    },
    evaluate: async ({ worldId, validateOnly, policyDocument, requestId }, context) => {
      if (!validateOnly) mayOperate(context, "gateway");
      const actor = worlds.get(worldId);
      const key = evaluateKey(worldId, requestId, validateOnly, policyDocument);
      const evaluation = await actor.exclusive(async () => {
        const known = key && (await readRequest(ports.db, key, clock.nowMs()));
        const repeated = known && (await readEvaluation(ports.db, worldId, known));
        if (repeated !== undefined && repeated !== "") return repeated;
        return evaluateWorld(actor, ports, {
          validateOnly,
          policyDocument,
          principal: context.principal.name,
          write: async (tx, row) => {
            if (key !== undefined) await writeRequest(tx, key, row.evaluationId, clock.nowMs());
          },
        });
      });
      const effectiveBy = timestampFromMs(clock.nowMs() + actor.row.maxLeaseMs);
      const hasLowered = evaluation.lowered.length > 0 && !validateOnly;
      return {
        evaluation: evaluationToProto(worldId, evaluation),
        ...(hasLowered ? { effectiveBy } : {}),
      };
    },
    reportReturns: async ({ worldId, returns, watermarkMs }, context) => {
      const reports = returns.map((one, index) => returnsFromProto(one, index));
      checkReporter(context, reports, watermarkMs > 0n);
      const watermark = watermarkMs > 0n ? Number(watermarkMs) : null;
      return { samples: await reportReturns(worlds.get(worldId), ports, reports, watermark) };
    },
    listMetrics: async () => ({
      metrics: listMetrics()
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map(metricToProto),
    }),
    getEvaluation: async ({ worldId, evaluationId }) => {
      worlds.get(worldId);
      const row = await readEvaluation(ports.db, worldId, evaluationId);
      if (row === undefined) {
        throw new QmtlError(
          "EVALUATION_NOT_FOUND",
          `world ${worldId} has no evaluation ${evaluationId}`,
        );
      }
      return { evaluation: evaluationToProto(worldId, row) };
    },
  };
}

function evaluateKey(
  worldId: string,
  requestId: string,
  validateOnly: boolean,
  policyDocument: string,
): RequestKey | undefined {
  if (requestId === "" || validateOnly) return undefined;
  const requestHash = hashText(jcs({ worldId, policyDocument }));
  return { scope: `Evaluate/${worldId}`, requestId, requestHash };
}

/** Paper and live series and the watermark come from a gateway's own principal only. */
function checkReporter(
  context: CallContext,
  reports: readonly ReportedReturns[],
  hasWatermark: boolean,
): void {
  const isMeasured = hasWatermark || reports.some((report) => report.domain !== "backtest");
  if (isMeasured) requireRole(context, "gateway");
  else mayOperate(context, "gateway");
}

const DOMAINS: ReadonlyMap<ExecutionDomain, SeriesDomain> = new Map([
  [ExecutionDomain.BACKTEST, "backtest"],
  [ExecutionDomain.DRYRUN, "dryrun"],
  [ExecutionDomain.LIVE, "live"],
]);

function returnsFromProto(one: StrategyReturns, index: number): ReportedReturns {
  const series = one.series!;
  const domain = DOMAINS.get(
    one.domain === ExecutionDomain.UNSPECIFIED ? ExecutionDomain.BACKTEST : one.domain,
  );
  const field = `returns[${index}]`;
  if (domain === undefined) throw invalid(`${field}.domain`, "must be backtest, dryrun or live");
  for (const [name, bytes] of Object.entries({
    returns: series.returns,
    bucket_end_ms: series.bucketEndMs,
    exposed: series.exposed,
  })) {
    if (bytes.length % 8 !== 0) throw invalid(`${field}.series.${name}`, "must be float64 values");
  }
  const returns = floatsFromBytes(series.returns);
  if (series.samples !== returns.length) {
    throw invalid(`${field}.series.samples`, `says ${series.samples}, there are ${returns.length}`);
  }
  return {
    strategyId: one.strategyId,
    domain,
    intervalSeconds: Number(series.intervalSeconds),
    periodsPerYear: series.periodsPerYear,
    fromMs: Number(series.fromMs),
    toMs: Number(series.toMs),
    returns,
    bucketEnds: floatsFromBytes(series.bucketEndMs),
    exposed: floatsFromBytes(series.exposed),
    dataEndMs: Number(one.dataEndMs),
  };
}

function invalid(field: string, description: string): QmtlError {
  return new QmtlError("SERIES_INVALID", `the series is not valid: ${description}`, {
    fields: [{ field, description }],
  });
}
