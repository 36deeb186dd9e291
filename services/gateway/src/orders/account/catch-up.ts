import type { AccountRouter } from "./account-router.ts";

/** When strategies stated their targets last. Implemented by `BucketAcks`. */
export interface StatedTimes {
  /**
   * End of the last bucket that the strategy's emitter ended: its targets were confirmed as of then. Undefined for
   * none.
   */
  restatedAt(world: string, strategy: string): number | undefined;
}

/**
 * Sends what is missing to the standing targets: quantity − (position + working), once per book. Only for strategies
 * whose gate lets orders out now and whose target was stated within the world's `max_lag`. Call it only within an
 * exclusive operation of the account. Resolves to the ids of the orders that were made.
 */
export async function catchUp(
  router: AccountRouter,
  targets: StatedTimes,
  onlyWorld?: string,
): Promise<string[]> {
  const { core, deps } = router;
  const booking = router.booking();
  for (const { world, strategy, demoted } of core.strategies()) {
    if (demoted !== null || (onlyWorld !== undefined && world !== onlyWorld)) continue;
    const gate = deps.worlds.gateOf(world);
    const settings = deps.worlds.worldOf(world);
    if (gate?.applied == null || settings === undefined) continue;
    if (deps.halts.covering({ account: router.account, world, strategy }) !== undefined) continue;
    const sessionId = gate.emitterOf(strategy) ?? "";
    const domain = gate.domainOf(strategy);
    const { fence } = gate.applied;
    if (gate.checkStrategy({ strategyId: strategy, sessionId, domain, fence }) !== null) continue;
    const bucket = router.bucketOf(world);
    const books = core.books().filter((book) => book.world === world && book.strategy === strategy);
    if (books.every((book) => core.missingLots(book) === 0)) continue;
    const statedAt = targets.restatedAt(world, strategy) ?? Number.NEGATIVE_INFINITY;
    const oldest = Math.min(
      ...books.map((book) => book.target?.bucket ?? Number.POSITIVE_INFINITY),
    );
    const now = settings.isReplay ? bucket : deps.clock.nowMs();
    if (now - Math.max(oldest, statedAt) > settings.maxLagMs) continue;
    const op = { op: "rearm", world, strategy, bucket } as const;
    booking.apply("gate", op, router.journalPlace(world, strategy), router.permission);
  }
  await router.commitAndSend(booking);
  return booking.sends.map(({ order }) => order.id);
}
