import { create } from "@bufbuild/protobuf";
import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
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
import { jcs } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Handlers, pagesOf } from "@qmtl/service-kit";
import { alphaEnvelope } from "../capital/alpha-envelope.ts";
import { type Books, markAgeMsMaxDefault } from "../capital/books.ts";
import {
  type Delta,
  type DraftPlan,
  draftScaling,
  draftTargets,
} from "../capital/plan-rebalance.ts";
import {
  allocationsEtag,
  checkAccount,
  checkAllocations,
  listAllocations,
  upsertAllocations,
  type WantedAllocation,
  withAllShares,
} from "../capital/upsert-allocations.ts";
import { hashText } from "../store/hash-text.ts";
import type { Worlds } from "../world/worlds.ts";

/** Handlers of RebalancingService. */
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
    upsertAllocations: async (request, context) => {
      const { batch } = request;
      if (batch !== undefined && context.principal.role !== "gateway") {
        throw new QmtlError("ROLE_REQUIRED", "only a gateway reports what it executed", {
          fields: [{ field: "batch", description: "must not be set" }],
        });
      }
      const allocations = request.allocations.map(allocationFromProto);
      await upsertAllocations(worlds, {
        allocations,
        requestId: request.requestId,
        etag: request.etag,
        principal: context.principal.name,
        reason: request.reason,
        ...(batch === undefined
          ? {}
          : { batch: { batchId: batch.batchId, deltasByWorld: { ...batch.deltasByWorld } } }),
      });
      const all = listAllocations(worlds, "");
      const named = all.filter((one) => allocations.some((a) => a.worldId === one.worldId));
      return { allocations: named.map(allocationToProto), etag: allocationsEtag(all) };
    },
    listAllocations: async (request) => {
      const { worldId } = request;
      const filters = { method: "RebalancingService.ListAllocations", worldId };
      const pages = pagesOf(worlds.ports.clock, request, filters, ["string"]);
      const rows = listAllocations(worlds, worldId);
      const { page, nextPageToken } = pages.cut(rows, (one) => [one.worldId]);
      const etag = allocationsEtag(listAllocations(worlds, ""));
      return { allocations: page.map(allocationToProto), nextPageToken, etag };
    },
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
  const after = wanted.map((one) => withAllShares(worlds.get(one.worldId), one));
  const books = booksFromProto(request.books, worlds.ports.clock.nowMs());
  if (books.accountId !== "") checkAccount(worlds, books.accountId, wanted);
  const draft = draftFor(request, books, standing, after);
  const isExecutable = context.principal.role === "gateway" && books.accountId !== "";
  const actors = after.map((one) => worlds.get(one.worldId));
  const plan = create(RebalancePlanSchema, {
    mode: request.mode,
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
  const notional = notionalOf(request.minTradeNotional, "min_trade_notional");
  if (request.mode === RebalanceMode.TARGETS) {
    if (request.allocationsBefore.length > 0)
      throw invalid("allocations_before", "is used by SCALING only");
    return draftTargets(books, after, notional);
  }
  if (request.mode !== RebalanceMode.SCALING) throw invalid("mode", "must be TARGETS or SCALING");
  const given = request.allocationsBefore.map(allocationFromProto);
  const before = given.length > 0 ? given : standing;
  const split = request.allocations.some((one) => one.strategies.length > 0);
  const strip = (all: readonly WantedAllocation[]) =>
    all.map((one) => ({ ...one, shares: new Map() }));
  return split
    ? draftScaling(books, before, after, notional ?? 0)
    : draftScaling(books, strip(before), strip(after), notional ?? 0);
}

/** The same books and plans give the same id, so that a batch is executed once. */
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
  if (books === undefined) throw invalid("books", "are required");
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
      timeMs: m.time === undefined ? 0 : timestampMs(m.time),
    })),
    instruments: books.instruments.map((i, index) => ({
      symbol: i.instrument,
      venue: venues.get(i.instrument) ?? "",
      lot: lotOf(i.lot, index),
      multiplier: Number(text(i.multiplier, "1")),
      notionalMin: notionalOf(i.minNotional, `books.instruments[${index}].min_notional`) ?? 0,
    })),
    nowMs: books.worldTime === undefined ? wallMs : timestampMs(books.worldTime),
    markAgeMsMax:
      books.maxMarkAge === undefined ? markAgeMsMaxDefault : durationMs(books.maxMarkAge),
  };
}

function lotOf(lot: DecimalMessage | undefined, index: number): string {
  const value = text(lot, "");
  if (Number(value) > 0) return value;
  throw invalid(`books.instruments[${index}].lot`, "must be above 0");
}

/** A least notional; undefined when none is stated. */
function notionalOf(decimal: DecimalMessage | undefined, field: string): number | undefined {
  if (decimal === undefined) return undefined;
  const value = Number(decimal.value);
  if (value >= 0 && Number.isFinite(value)) return value;
  throw invalid(field, "must be 0 or above");
}

function text(decimal: DecimalMessage | undefined, otherwise: string): string {
  return decimal?.value ?? otherwise;
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
