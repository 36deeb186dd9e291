import { create } from "@bufbuild/protobuf";
import type { Decimal as DecimalMessage } from "@qmtl/contracts/qmtl/type/v1/value_pb";
import {
  type Allocation,
  AllocationSchema,
  AlphaMetricsEnvelopeSchema,
  type PlanBooks,
  type PlanRebalanceRequest,
  RebalanceIntentSchema,
  RebalanceMode,
  type RebalancePlan,
  RebalancePlanSchema,
  type RebalancingService,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { jcs } from "@qmtl/sdk/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallContext, Handlers } from "@qmtl/service-kit";
import { alphaEnvelope } from "../capital/alpha-envelope.ts";
import { type Books, markAgeMsMaxDefault } from "../capital/books.ts";
import { completeShares } from "../capital/complete-shares.ts";
import {
  type Delta,
  type DraftPlan,
  draftScaling,
  draftTargets,
} from "../capital/plan-rebalance.ts";
import {
  allocationsEtag,
  checkAllocations,
  listAllocations,
  upsertAllocations,
  type WantedAllocation,
} from "../capital/upsert-allocations.ts";
import { hashText } from "../world/hash-text.ts";
import type { Worlds } from "../world/worlds.ts";
import { mayOperate } from "./world-handlers.ts";

/** RebalancingService on the wire. OVERLAY and HYBRID are not built yet. */
export function rebalancingHandlers(
  worlds: Worlds,
  flags: { readonly alphaMetricsRequired: boolean },
): Handlers<typeof RebalancingService> {
  return {
    planRebalance: async (request, context) => {
      const version = context.schemaVersion ?? 1;
      if (flags.alphaMetricsRequired && version < 2) {
        throw new QmtlError("SCHEMA_VERSION_REQUIRED", "alpha metrics need schema version 2", {
          metadata: { required: "2", spoken: String(version) },
        });
      }
      return { plan: await planFor(worlds, request, context, version) };
    },
    applyRebalance: async ({ plan, requestId }, context) => {
      mayOperate(context, "gateway");
      const allocations = plan!.allocations.map(allocationFromProto);
      if (allocations.length === 0) throw invalid("plan.allocations", "the plan leads to none");
      const duplicate = await upsertAllocations(worlds, {
        allocations,
        runId: requestId,
        scope: "ApplyRebalance",
        principal: context.principal.name,
        reason: `plan ${plan!.planId}`,
        plan: { planId: plan!.planId, deltas: plan!.deltas.length },
        auditType: "rebalancing_planned",
      });
      return { duplicate };
    },
    upsertAllocations: async (request, context) => {
      mayOperate(context);
      const allocations = request.allocations.map(allocationFromProto);
      await upsertAllocations(worlds, {
        allocations,
        runId: request.runId,
        scope: "UpsertAllocations",
        principal: context.principal.name,
        reason: request.reason,
        plan: { planId: request.runId, deltas: 0 },
        auditType: "world_allocation_upserted",
      });
      const standing = allocations.flatMap((one) => listAllocations(worlds, one.worldId));
      const ordered = standing.toSorted((a, b) => (a.worldId < b.worldId ? -1 : 1));
      return { allocations: ordered.map(allocationToProto), etag: allocationsEtag(ordered) };
    },
    listAllocations: async ({ worldId }) => ({
      allocations: listAllocations(worlds, worldId).map(allocationToProto),
    }),
  };
}

async function planFor(
  worlds: Worlds,
  request: PlanRebalanceRequest,
  context: CallContext,
  version: number,
): Promise<RebalancePlan> {
  const wanted = request.allocations.map(allocationFromProto);
  checkAllocations(worlds, wanted);
  const standing = wanted.flatMap((one) => listAllocations(worlds, one.worldId));
  const after = wanted.map((one) => completeShares(one, standing));
  const books = booksFromProto(request.books, worlds.ports.clock.nowMs());
  const draft = draftFor(request, books, standing, after);
  const isExecutable = context.principal.role === "gateway" && books.accountId !== "";
  const actors = after.map((one) => worlds.get(one.worldId));
  const plan = create(RebalancePlanSchema, {
    mode: modeOf(request),
    accountId: isExecutable ? books.accountId : "",
    accountRevision: isExecutable ? BigInt(books.accountRevision) : 0n,
    scaleByWorld: { ...draft.scaleByWorld },
    scaleByStrategy: { ...draft.scaleByStrategy },
    deltas: draft.deltas.map(deltaToProto),
    netDeltas: draft.netDeltas.map(deltaToProto),
    crosses: draft.crosses.map((cross) => ({
      instrument: cross.instrument,
      quantity: { value: cross.quantity },
      price: { value: cross.price },
      buyerWorldId: cross.buyer.worldId,
      buyerStrategyId: cross.buyer.strategyId,
      sellerWorldId: cross.seller.worldId,
      sellerStrategyId: cross.seller.strategyId,
    })),
    executable: isExecutable,
    allocations: after.map(allocationToProto),
  });
  plan.planId = planIdOf(plan, draft, books, after);
  if (version < 2) return plan;
  const { perWorld, perStrategy } = await alphaEnvelope(worlds.ports.db, actors);
  plan.alphaMetrics = create(AlphaMetricsEnvelopeSchema, {
    perWorld: copied(perWorld),
    perStrategy: copied(perStrategy),
  });
  const meta = request.rebalanceIntent?.meta ?? {};
  plan.rebalanceIntent = create(RebalanceIntentSchema, { meta });
  return plan;
}

function draftFor(
  request: PlanRebalanceRequest,
  books: Books,
  standing: readonly WantedAllocation[],
  after: readonly WantedAllocation[],
): DraftPlan {
  const mode = modeOf(request);
  if (mode === RebalanceMode.TARGETS) return draftTargets(books, after);
  if (mode !== RebalanceMode.SCALING) {
    const feature =
      mode === RebalanceMode.OVERLAY ? "RebalanceMode.OVERLAY" : "RebalanceMode.HYBRID";
    throw new QmtlError("FEATURE_NOT_BUILT", `${feature} is not built yet`, {
      metadata: { feature },
    });
  }
  const given = request.allocationsBefore.map(allocationFromProto);
  const before = given.length > 0 ? given : standing;
  const split = request.allocations.some((one) => one.strategies.length > 0);
  const strip = (all: readonly WantedAllocation[]) =>
    all.map((one) => ({ ...one, shares: new Map() }));
  const notional = Number(text(request.minTradeNotional, "0"));
  return split
    ? draftScaling(books, before, after, notional)
    : draftScaling(books, strip(before), strip(after), notional);
}

function modeOf(request: PlanRebalanceRequest): RebalanceMode {
  return request.mode === RebalanceMode.UNSPECIFIED ? RebalanceMode.TARGETS : request.mode;
}

/** The same books and wishes give the same id: a batch is executed once. */
function planIdOf(
  plan: RebalancePlan,
  draft: DraftPlan,
  books: Books,
  after: readonly WantedAllocation[],
): string {
  const { mode, accountId, executable } = plan;
  const { accountRevision } = books;
  const wanted = after.map((a) => [a.worldId, a.ratio, Object.fromEntries(a.shares)]);
  const content = { mode, accountId, executable, accountRevision, wanted, deltas: draft.deltas };
  return `plan-${hashText(jcs(content)).slice(7, 31)}`;
}

function booksFromProto(books: PlanBooks | undefined, wallMs: number): Books {
  if (books === undefined) throw invalid("books", "are needed");
  const venues = new Map(books.positions.map((p) => [p.instrument, p.venue]));
  for (const mark of books.marks) venues.set(mark.instrument, mark.venue);
  return {
    accountId: books.accountId,
    accountRevision: Number(books.accountRevision),
    equity: Number(text(books.equity, "0")),
    positions: books.positions.map((p) => ({
      worldId: p.worldId,
      strategyId: p.strategyId,
      symbol: p.instrument,
      venue: p.venue,
      quantity: text(p.quantity, "0"),
      working: text(p.working, "0"),
      target: p.target,
    })),
    marks: books.marks.map((m) => ({
      venue: m.venue,
      symbol: m.instrument,
      price: Number(text(m.price, "0")),
      timeMs: Number(m.timeMs),
    })),
    instruments: books.instruments.map((i, index) => ({
      symbol: i.instrument,
      venue: venues.get(i.instrument) ?? "",
      lot: lotOf(i.lot, index),
      multiplier: Number(text(i.multiplier, "1")),
    })),
    nowMs: books.nowMs > 0n ? Number(books.nowMs) : wallMs,
    markAgeMsMax: Number(books.maxMarkAgeMs) || markAgeMsMaxDefault,
  };
}

function lotOf(lot: DecimalMessage | undefined, index: number): string {
  const value = text(lot, "");
  if (Number(value) > 0) return value;
  throw invalid(`books.instruments[${index}].lot`, "must be above 0");
}

function text(decimal: DecimalMessage | undefined, otherwise: string): string {
  return decimal === undefined || decimal.value === "" ? otherwise : decimal.value;
}

function allocationFromProto(allocation: Allocation): WantedAllocation {
  const { worldId, ratio, strategies } = allocation;
  return { worldId, ratio, shares: new Map(strategies.map((s) => [s.strategyId, s.share])) };
}

function allocationToProto({ worldId, ratio, shares }: WantedAllocation): Allocation {
  const strategies = [...shares].map(([strategyId, share]) => ({ strategyId, share }));
  return create(AllocationSchema, { worldId, ratio, strategies });
}

function deltaToProto(delta: Delta) {
  return { ...delta, quantity: { value: delta.quantity } };
}

function copied(
  values: Readonly<Record<string, { values: Readonly<Record<string, number>>; samples: number }>>,
) {
  return Object.fromEntries(
    Object.entries(values).map(([key, one]) => [
      key,
      { values: { ...one.values }, samples: one.samples },
    ]),
  );
}

function invalid(field: string, description: string): QmtlError {
  return new QmtlError("INVALID_FIELD", `${field} ${description}`, {
    fields: [{ field, description }],
  });
}
