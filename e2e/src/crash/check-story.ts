import { type OpenPeriod, openPeriods } from "./gate-periods.ts";
import type { AcceptedOrder, StoryRecord } from "./story-record.ts";

/** Origins that may leave through a shut gate, because they only reduce. */
const EXEMPT = new Set(["demote", "halt_flatten", "lease_lost"]);

/**
 * The oracle: describes every violation in a story's record; empty when there is none. It knows nothing of how the
 * platform decides; it joins the broker's record with the audit.
 */
export function findViolations(record: StoryRecord): string[] {
  return [
    ...outsidePermission(record),
    ...duplicates(record),
    ...lostOrders(record),
    ...lostAcknowledgements(record),
    ...halfApplied(record),
    ...fallingFences(record),
    ...auditFaults(record),
  ];
}

function outsidePermission(record: StoryRecord): string[] {
  const periods = openPeriods(record.audit);
  const planOf = new Map(record.runs.map((run) => [run.runId, run.planDecisionId]));
  return record.accepted.flatMap((order) => {
    if (EXEMPT.has(order.origin)) {
      return order.reduceOnly ? [] : [`permission: exempt order ${order.orderId} may open`];
    }
    const period = periods.find(
      (each) =>
        each.fence === order.fence &&
        order.acceptedMs >= each.fromMs &&
        order.acceptedMs < each.toMs + record.leaseMs,
    );
    if (period === undefined) {
      return [
        `permission: order ${order.orderId} at ${order.acceptedMs} under fence ${order.fence}, not open then: ${near(periods, order)}`,
      ];
    }
    return whoMay(record, order, period, planOf.get(period.runId));
  });
}

function whoMay(
  record: StoryRecord,
  order: AcceptedOrder,
  period: OpenPeriod,
  planDecisionId: string | undefined,
): string[] {
  if (!period.permitted.has(order.strategyId)) {
    return [`permission: order ${order.orderId} of ${order.strategyId}, which may not trade`];
  }
  const madeMs = record.decisions.get(order.decisionId);
  const planMs = record.decisions.get(planDecisionId ?? "");
  if (madeMs === undefined || planMs === undefined || madeMs < planMs) {
    return [`permission: order ${order.orderId} by decision ${order.decisionId}, not of its fence`];
  }
  return [];
}

function near(periods: readonly OpenPeriod[], order: AcceptedOrder): string {
  const same = periods.filter(({ fence }) => Math.abs(fence - order.fence) <= 1);
  return same.map(({ fence, fromMs, toMs }) => `${fence}: ${fromMs}–${toMs}`).join(", ");
}

function duplicates({ accepted, executions }: StoryRecord): string[] {
  const ids = repeated(accepted.map((order) => order.orderId));
  const intents = repeated(intentsOf(accepted));
  const fills = repeated(executions.map((fill) => fill.executionId));
  const filledTwice = repeated(executions.map((fill) => fill.orderId));
  return [
    ...ids.map((id) => `duplicate: order ${id} accepted twice`),
    ...intents.map((intent) => `duplicate: ${intent} left twice`),
    ...fills.map((id) => `duplicate: execution ${id}`),
    ...filledTwice.map((id) => `duplicate: order ${id} filled twice`),
  ];
}

/** Origins of orders that end a stage: a target after them is a new one, even within the same bucket. */
const ending: ReadonlySet<string> = new Set(["demote", "halt_flatten", "lease_lost"]);

/**
 * What each order was for. A target that reverses a position is sent as two orders of one side: one closes what is held
 * or still working, the other opens. Two of the same kind in one stage are a duplicate.
 */
function intentsOf(accepted: readonly AcceptedOrder[]): string[] {
  const held = new Map<string, number>();
  const stages = new Map<string, number>();
  return accepted
    .filter((order) => order.outcome !== "cancelled")
    .map(({ lots, strategyId, reduceOnly, origin, bucketMs }) => {
      const before = held.get(strategyId) ?? 0;
      held.set(strategyId, before + lots);
      const takesBack = before * lots < 0 && Math.abs(lots) <= Math.abs(before);
      const kind = reduceOnly || takesBack ? "reducing" : "opening";
      const stage = stages.get(strategyId) ?? 0;
      if (ending.has(origin)) stages.set(strategyId, stage + 1);
      const again = stage === 0 ? "" : ` after ${stage} endings`;
      return `${lots > 0 ? "buy" : "sell"} ${kind} ${origin} of ${strategyId} at ${bucketMs}${again}`;
    });
}

function repeated(keys: readonly string[]): string[] {
  const seen = new Set<string>();
  return [...new Set(keys.filter((key) => seen.has(key) || !seen.add(key)))];
}

/** Orders about which the gateway's books and the broker's record disagree. */
function lostOrders({ accepted, executions, booked, heldLots }: StoryRecord): string[] {
  const filled = new Map<string, number>();
  for (const { orderId, lots } of executions) {
    filled.set(orderId, (filled.get(orderId) ?? 0) + lots);
  }
  const books = new Map(booked.map((order) => [order.orderId, order]));
  const missing = accepted.filter((order) => books.get(order.orderId)?.lots !== order.lots);
  const unbooked = [...filled].filter(([id, lots]) => books.get(id)?.filledLots !== lots);
  const invented = booked.filter((order) => order.filledLots !== 0 && !filled.has(order.orderId));
  const total = executions.reduce((sum, { lots }) => sum + lots, 0);
  return [
    ...missing.map(({ orderId }) => `books: accepted order ${orderId} is not in the journal`),
    ...unbooked.map(([id, lots]) => `books: fill of ${lots} of order ${id} is not booked`),
    ...invented.map(({ orderId }) => `books: fill of order ${orderId} never happened`),
    ...(total === heldLots ? [] : [`books: fills sum to ${total}, the broker holds ${heldLots}`]),
  ];
}

function lostAcknowledgements(record: StoryRecord): string[] {
  const kept = new Map(record.journal.map((line) => [line.entry, line.body]));
  const lines = record.journalTold.filter((line) => kept.get(line.entry) !== line.body);
  const submissions = new Set(record.submissions);
  const strategies = record.submissionsTold.filter((id) => !submissions.has(id));
  return [
    ...lines.map(({ entry }) => `lost: journal entry ${entry} was told and is not there`),
    ...strategies.map((id) => `lost: submission of ${id} was acknowledged and is not there`),
  ];
}

/** Samples at rest in which the world is not wholly as the last completed apply run left it. */
function halfApplied({ audit, runs, samples }: StoryRecord): string[] {
  const inFlight = runs.filter(({ state }) => state !== "COMPLETED" && state !== "ROLLED_BACK");
  const plans = new Map<string, string[]>();
  const wrong = samples.flatMap((sample) => {
    let wanted: string[] = [];
    let target = "";
    for (const { revision, body } of audit) {
      const id = String(body.run_id);
      if (body.phase === "FREEZING" && Array.isArray(body.active)) {
        plans.set(id, [String(body.target), ...body.active.map(String).sort()]);
      }
      if (body.phase !== "UNFROZEN" || revision > sample.revision) continue;
      [target = "", ...wanted] = plans.get(id) ?? [];
    }
    const paper = target === "paper" ? wanted : [];
    const seen = [sample.active, sample.onPaper, sample.effectiveOnPaper].map((ids) => ids.join());
    const due = [wanted.join(), paper.join(), paper.join()];
    if (seen.every((text, k) => text === due[k])) return [];
    return [
      `half-applied: at revision ${sample.revision} ${seen.join(" | ")}, not ${due.join(" | ")}`,
    ];
  });
  return [
    ...inFlight.map(({ runId }) => `half-applied: run ${runId} is still in flight`),
    ...wrong,
  ];
}

function fallingFences({ sightings }: StoryRecord): string[] {
  const last = new Map<string, StoryRecord["sightings"][number]>();
  return sightings.flatMap((now) => {
    const before = last.get(now.subscriber);
    last.set(now.subscriber, now);
    if (before === undefined) return [];
    const isOlder =
      now.storeEpoch < before.storeEpoch ||
      (now.storeEpoch === before.storeEpoch && now.revision < before.revision);
    const text = `${before.fence} (revision ${before.revision}) then ${now.fence} (revision ${now.revision})`;
    return now.fence < before.fence || isOlder ? [`fence: ${now.subscriber} saw ${text}`] : [];
  });
}

/** Gaps in the audit, and entries at which the fence or the revision falls. */
function auditFaults({ audit }: StoryRecord): string[] {
  return audit.flatMap((line, k) => {
    const before = audit[k - 1];
    if (line.entry !== k + 1) return [`audit: entry ${line.entry} follows ${before?.entry ?? 0}`];
    const falls =
      before !== undefined && (line.fence < before.fence || line.revision < before.revision);
    return falls ? [`audit: entry ${line.entry} falls to fence ${line.fence}`] : [];
  });
}
