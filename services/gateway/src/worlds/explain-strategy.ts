import { create } from "@bufbuild/protobuf";
import { Gate } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import {
  type ExplainStrategyRequest,
  type ExplainStrategyResponse,
  ExplainStrategyResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { EffectiveMode, type ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type DecisionTerm,
  type Evaluation,
  type RuleTrace,
  RuleVerdict,
  type StrategyDecision,
  TermName,
} from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import type { CallContext, CallPrincipal } from "@qmtl/service-kit";
import { bindingsOf } from "../peers/bindings-of.ts";
import { callOf } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import type { ExplainedOrders, GateView, StrategyOrders } from "../ports.ts";
import { domainOf } from "../submission/plan-contexts.ts";

export interface ExplainPorts {
  readonly world: Peer;
  readonly dag: Peer;
  /** Acts for the gateway itself. */
  readonly gateway: CallPrincipal;
  readonly gates: GateView;
  readonly orders: StrategyOrders;
  readonly feeds: WaitingFeeds;
}

/** What the feeds of a world wait for. Implemented by `ReplayFeeds`. */
interface WaitingFeeds {
  /** Feeds for whose next row, which nobody has offered, the feeds of a world wait; in the order of their names. */
  waitsOf(worldId: string): readonly string[];
  /** Which slice of the feeds of a world stands still by itself, since when and at what; undefined for none. */
  standsAt(worldId: string): string | undefined;
}

const GATE_NAMES: Readonly<Record<number, string>> = {
  [Gate.OPEN]: "OPEN",
  [Gate.CLOSING]: "CLOSING",
  [Gate.CLOSED]: "CLOSED",
};

/**
 * Why a strategy is where it is: the terms of its mode, the rules of the last evaluation, the gate, who may emit, what
 * left and what did not.
 *
 * @throws {QmtlError} WORLD_NOT_FOUND, STRATEGY_NOT_FOUND, PEER_UNAVAILABLE.
 */
export async function explainStrategy(
  ports: ExplainPorts,
  request: ExplainStrategyRequest,
  context: CallContext,
): Promise<ExplainStrategyResponse> {
  const { worldId, strategyId } = request;
  const call = callOf(context);
  const [{ decision }, bindings, evaluation, gate, orders] = await Promise.all([
    ports.world.unary(DecisionService.method.decide, { worldId, strategyIds: [strategyId] }, call),
    bindingsOf(ports.world, worldId, call),
    lastEvaluation(ports, worldId, context),
    ports.gates.ensure(worldId),
    ports.orders.read(worldId, strategyId),
  ]);
  const strategy = decision?.strategies.find((each) => each.strategyId === strategyId);
  const binding = bindings.find((each) => each.strategyId === strategyId);
  if (strategy === undefined && binding === undefined) {
    const metadata = { world_id: worldId, strategy_id: strategyId };
    throw new QmtlError("STRATEGY_NOT_FOUND", `${strategyId} is not bound to ${worldId}`, {
      metadata,
    });
  }
  const mode = strategy?.effectiveMode ?? binding?.effectiveMode ?? EffectiveMode.VALIDATE;
  const waits = ports.feeds.waitsOf(worldId);
  const orphans = await orphansOf(ports, request, domainOf(mode), context);
  const rules = evaluation?.strategies.find((each) => each.strategyId === strategyId)?.rules ?? [];
  return create(ExplainStrategyResponseSchema, {
    effectiveMode: mode,
    executionDomain: domainOf(mode),
    terms: strategy?.terms ?? [],
    rules,
    evaluationId: evaluation?.evaluationId ?? "",
    gate: gate.gate,
    holds: gate.holds,
    ...orders.fields,
    waitsForSources: [...waits],
    summary: summaryOf(mode, strategy, {
      ...{ gate: gate.gate, orders, waits, orphans, stands: ports.feeds.standsAt(worldId) },
      failed: failedRule(rules),
    }),
  });
}

async function lastEvaluation(
  ports: ExplainPorts,
  worldId: string,
  context: CallContext,
): Promise<Evaluation | undefined> {
  try {
    const answer = await ports.world.unary(
      DecisionService.method.getEvaluation,
      { worldId },
      callOf(context),
    );
    return answer.evaluation;
  } catch (failure) {
    if (hasReason(failure, "EVALUATION_NOT_FOUND")) return judgedNow(ports, worldId, context);
    throw failure;
  }
}

/** Judges the world's strategies now, because no evaluation is stored; stores and lowers nothing. */
async function judgedNow(
  { world, gateway }: ExplainPorts,
  worldId: string,
  { signal }: CallContext,
): Promise<Evaluation | undefined> {
  const { evaluate } = DecisionService.method;
  const request = { worldId, validateOnly: true, requestId: "explain" };
  try {
    return (await world.unary(evaluate, request, { principal: gateway, signal })).evaluation;
  } catch (failure) {
    if (hasReason(failure, "POLICY_NOT_FOUND")) return undefined;
    throw failure;
  }
}

/** Largest number of nodes named in the summary. */
const orphansMax = 3;

/** Nodes in force that nobody computes and that a build may not, because it has diverged from their logs. */
async function orphansOf(
  { dag }: ExplainPorts,
  { worldId, strategyId }: ExplainStrategyRequest,
  domain: ExecutionDomain,
  context: CallContext,
): Promise<string[]> {
  const asked = { worldId, strategyId, pageSize: 1_000 };
  try {
    const { queues } = await dag.unary(QueueService.method.listQueueStats, asked, callOf(context));
    return queues
      .filter(({ excludedBuilds, holderSessionId }) => excludedBuilds > 0 && holderSessionId === "")
      .flatMap(({ queue }) => (queue?.context?.executionDomain === domain ? [queue.queue] : []));
  } catch (failure) {
    // A strategy that was bound and not submitted has no nodes.
    if (hasReason(failure, "STRATEGY_NOT_FOUND")) return [];
    throw failure;
  }
}

function failedRule(rules: readonly RuleTrace[]): string | undefined {
  return rules.find((rule) => rule.verdict === RuleVerdict.FAIL)?.text;
}

/** Name of a value, as people read it: `not_yet_judged`. */
function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  const name = Object.entries(values).find(([, number]) => number === value)?.[0];
  return (name ?? "unspecified").toLowerCase();
}

function summaryOf(
  mode: EffectiveMode,
  strategy: StrategyDecision | undefined,
  about: {
    gate: Gate;
    orders: ExplainedOrders;
    failed: string | undefined;
    waits: readonly string[];
    orphans: readonly string[];
    stands: string | undefined;
  },
): string {
  const { orders, failed, waits } = about;
  const name = modeName(mode);
  const bound = strategy?.terms.filter((term) => term.binding).map(termText) ?? [];
  const why = failed ?? (bound.length > 0 ? bound.join(" and ") : "it is not selected");
  const gate = GATE_NAMES[about.gate] ?? "CLOSED";
  const sentences = [
    mode === EffectiveMode.LIVE ? `It is ${name}.` : `It is ${name}: ${why}.`,
    gate === "OPEN" ? "" : `The world's gate is ${gate}.`,
    orphanText(about.orphans),
    orders.isShutByLateOrder ? lateText : "",
    orders.halts.length === 0 ? "" : `Halted: ${orders.halts.map(haltText).join(", ")}.`,
    `${orders.sentOrders} orders were sent, ${orders.wantedOrders} were wanted while the gate was shut.`,
    orders.ruin === undefined ? capitalText(orders.capital) : ruinText(orders.ruin),
    overdueText(orders.overdue),
    ...orders.signalGaps.map(gapText),
    waitsText(waits),
    about.stands === undefined ? "" : `Of the feeds of its world ${about.stands}.`,
  ];
  return sentences.filter(Boolean).join(" ");
}

function orphanText(names: readonly string[]): string {
  if (names.length === 0) return "";
  const shown = names.slice(0, orphansMax).join(", ");
  const more = names.length > orphansMax ? ` and ${names.length - orphansMax} more` : "";
  return `Nobody computes ${shown}${more}: a build has computed them otherwise than their logs have them and may not continue them. Run it with the build that wrote the logs, in another world, or with these nodes changed.`;
}

const lateText =
  "An order of its world was written too late: no order of a strategy leaves, not even one that only reduces, until the world is resumed (`qmtl resume --world`) or the gateway is started again.";

/** Why its targets cannot lead to orders; empty when they can. */
function capitalText(capital: number | undefined): string {
  if (capital === undefined) return "Its world trades on no account of this gateway.";
  return capital > 0 ? "" : "It has no capital: its targets cannot lead to orders.";
}

/** What the gateway waits for before orders leave; empty for nothing. */
function overdueText(overdue: string | undefined): string {
  if (overdue === undefined) return "";
  return `The gateway has not carried out a change of its world's gate yet, and tries again until it has: ${overdue}.`;
}

/** Why nothing is traded on an account any more. */
function ruinText({ timeMs, equity }: NonNullable<ExplainedOrders["ruin"]>): string {
  const since = Number.isNaN(timeMs) ? "" : ` since ${new Date(timeMs).toISOString()}`;
  const what = Number.isNaN(equity) ? "0 or below" : equity.toFixed(2);
  return `The account of its world is ruined${since} (ACCOUNT_RUINED): its equity was ${what}, and no order is taken on it any more. To go on, trade on an account of another name.`;
}

/** Why a target stands as it is. */
function gapText({ instrument, buckets, source }: ExplainedOrders["signalGaps"][number]): string {
  const why =
    source === "" ? "although every source has a value" : `because source ${source} has none`;
  return `Its target of ${instrument} has had no signal for ${buckets} buckets, ${why}.`;
}

/** Which feeds hold up the next row; empty for none. */
function waitsText(sources: readonly string[]): string {
  if (sources.length === 0) return "";
  const names = sources.join(", ");
  return `The feeds of its world wait for the next row of ${names}, which nobody has offered: run a strategy that reads it, or unbind those that do.`;
}

function haltText({ haltId, scope, target, reason }: ExplainedOrders["halts"][number]): string {
  const place = scope === "all" ? "everything" : `${scope} ${target}`;
  return reason === "" ? `${place} (${haltId})` : `${place} (${haltId}: ${reason})`;
}

function termText({ name, allows, detail }: DecisionTerm): string {
  const text = `${nameOf(TermName, name)} allows ${modeName(allows)}`;
  return detail === "" ? text : `${text} (${detail})`;
}

function modeName(mode: EffectiveMode): string {
  switch (mode) {
    case EffectiveMode.COMPUTE_ONLY:
      return "compute-only";
    case EffectiveMode.PAPER:
      return "paper";
    case EffectiveMode.LIVE:
      return "live";
    case EffectiveMode.SHADOW:
      return "shadow";
    default:
      return "validate";
  }
}
