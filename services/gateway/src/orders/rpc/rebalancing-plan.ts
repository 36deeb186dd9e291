import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  Allocation,
  PlanBooksSchema,
  RebalancePlan as PlanMessage,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { lotsFromQuantity, quantityFromLots } from "@qmtl/core/execution";
import type { AccountRouter } from "../account/account-router.ts";
import type { RebalancePlan } from "../intake/submit-plan.ts";
import { decimalOf } from "./order-decimal.ts";

/** The account's own books for a plan over some worlds. */
export function booksOf(
  router: AccountRouter,
  worlds: readonly string[],
): MessageInitShape<typeof PlanBooksSchema> {
  const { core, market, deps } = router;
  const { instruments } = deps.settings;
  const specOf = new Map(instruments.map((one) => [one.symbol, one]));
  const books = core.books().filter((book) => worlds.includes(book.world));
  const nowMs = Math.max(0, ...worlds.map((world) => router.bucketOf(world)));
  const traded = new Set(books.map((book) => book.instrument));
  return {
    accountId: router.account,
    accountRevision: BigInt(router.head),
    equity: decimalOf(core.equity()),
    ...(nowMs > 0 ? { worldTime: timestampFromMs(nowMs) } : {}),
    positions: books.map((book) => {
      const spec = specOf.get(book.instrument);
      const text = (lots: number) => ({ value: quantityFromLots(lots, spec?.lotSize ?? "1") });
      const { world, strategy, instrument, target } = book;
      return {
        worldId: world,
        strategyId: strategy,
        instrument,
        venue: spec?.venue ?? "",
        quantity: text(book.quantity),
        working: text(core.workingLots(book)),
        ...(target === null ? {} : { target: target.value }),
      };
    }),
    marks: instruments.flatMap(({ symbol, venue }) => {
      const last = market.lastMark(symbol);
      if (last === undefined || !traded.has(symbol)) return [];
      const time = timestampFromMs(last.bucket);
      return [{ venue, instrument: symbol, price: decimalOf(last.close), time }];
    }),
    instruments: instruments
      .filter(({ symbol }) => traded.has(symbol))
      .map(({ symbol, lotSize, multiplier, minNotional }) => ({
        instrument: symbol,
        lot: { value: lotSize },
        multiplier: decimalOf(multiplier ?? 1),
        minNotional: { value: minNotional },
      })),
  };
}

/** Converts a plan into the router's types. The allocations are the plan's, or `wanted` when it states none. */
export function planFrom(
  router: AccountRouter,
  plan: PlanMessage,
  wanted: readonly Allocation[],
): RebalancePlan {
  const lotOf = new Map(router.deps.settings.instruments.map((one) => [one.symbol, one.lotSize]));
  const lots = (instrument: string, text: string | undefined): number =>
    lotsFromQuantity(text ?? "0", lotOf.get(instrument) ?? "1");
  const allocations = plan.allocations.length > 0 ? plan.allocations : wanted;
  return {
    accountRevision: Number(plan.accountRevision),
    isExecutable: plan.executable,
    deltas: plan.deltas.map((one) => ({
      world: one.worldId,
      strategy: one.strategyId,
      instrument: one.instrument,
      lots: lots(one.instrument, one.quantity?.value),
    })),
    crosses: plan.crosses.map((one) => ({
      instrument: one.instrument,
      lots: lots(one.instrument, one.quantity?.value),
      price: Number(one.price?.value ?? "0"),
      buyer: { world: one.buyerWorldId, strategy: one.buyerStrategyId },
      seller: { world: one.sellerWorldId, strategy: one.sellerStrategyId },
    })),
    shares: allocations.flatMap((one) =>
      one.strategies.map(({ strategyId, share }) => ({
        world: one.worldId,
        strategy: strategyId,
        share: share * one.ratio,
      })),
    ),
  };
}
