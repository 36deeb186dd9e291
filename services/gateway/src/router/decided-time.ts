import type { RouterOrder } from "@qmtl/core/execution";
import type { AccountRouter } from "./account-router.ts";

/**
 * When an order was decided, in the time of the data. A strategy states it. What the router decides by itself it
 * decides now: at the latest end booked of any feed that marks something its world trades, which may be later than
 * that of the world's own feed.
 */
export function decidedMs(router: AccountRouter, order: Readonly<RouterOrder>): number {
  const { origin, world, bucket } = order;
  if (origin === "target" || origin === "plain") return bucket;
  const sources = new Map(
    router.deps.settings.instruments.map((one) => [one.symbol, one.markSource]),
  );
  if (new Set(sources.values()).size < 2) return bucket;
  const marked = router.core
    .books()
    .filter((book) => book.world === world)
    .map((book) => sources.get(book.instrument) ?? "");
  const ends = [...new Set(marked)].map((source) => router.market.edge(source)?.bucket ?? bucket);
  return Math.max(bucket, ...ends);
}
