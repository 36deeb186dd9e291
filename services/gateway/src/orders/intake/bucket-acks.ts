import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { StatedTimes } from "../account/catch-up.ts";
import { readWantedOrders, type StatedEnd, writeWantedOrders } from "../store/wanted-orders.ts";

/** Sessions remembered in memory; the table keeps all. */
const sessionsMax = 10_000;

/**
 * What runners reported: the last bucket that each strategy's runner ended, and the orders wanted while its gate was
 * shut.
 */
export class BucketAcks implements StatedTimes {
  readonly #db: Queryable;
  readonly #stated = new Map<string, StatedEnd>();
  readonly #heard = new Map<string, Map<string, number>>();
  readonly #restated = new Map<string, number>();

  constructor(db: Queryable) {
    this.#db = db;
  }

  async load(): Promise<void> {
    for (const end of await readWantedOrders(this.#db, sessionsMax)) {
      this.#stated.set(`${end.world}\n${end.sessionId}`, end);
    }
  }

  /** Notes an end. Returns the write that stores it, or undefined when it says nothing new about wanted orders. */
  plan(end: StatedEnd): ((tx: Tx) => Promise<void>) | undefined {
    const key = `${end.world}\n${end.sessionId}`;
    const before = this.#stated.get(key);
    const { world, sessionId, strategies, wanted, evaluations } = end;
    // A strategy that was taken out of its runner may be left out of what comes later: what it wanted stays.
    const wantedBy = { ...before?.wantedBy, ...end.wantedBy };
    const next = { world, sessionId, strategies, wanted, wantedBy, evaluations };
    this.#stated.set(key, next);
    if (before?.wanted === wanted || (before === undefined && wanted === 0)) return undefined;
    return (tx) => writeWantedOrders(tx, next);
  }

  /** A strategy's runner ended a bucket. */
  heard(world: string, strategy: string, bucket: number): void {
    const own = this.#heard.get(world) ?? new Map<string, number>();
    own.set(strategy, Math.max(bucket, own.get(strategy) ?? 0));
    this.#heard.set(world, own);
  }

  /** Strategies whose runner has reported, with the last bucket that each ended. */
  heardOf(world: string): ReadonlyMap<string, number> {
    return this.#heard.get(world) ?? new Map();
  }

  /** The emitter of a strategy ended a bucket, so its targets stand as of then. */
  restated(world: string, strategy: string, bucket: number): void {
    this.#restated.set(`${world}\n${strategy}`, bucket);
  }

  restatedAt(world: string, strategy: string): number | undefined {
    return this.#restated.get(`${world}\n${strategy}`);
  }

  /** Orders that all sessions of a strategy wanted while shut, and the evaluations that its last session reported. */
  wantedOf(
    world: string,
    strategy: string,
  ): { wanted: number; evaluations: Readonly<Record<string, number>> } {
    let wanted = 0;
    let evaluations: Readonly<Record<string, number>> = {};
    for (const end of this.#stated.values()) {
      const own = end.wantedBy[strategy];
      if (end.world !== world || (own === undefined && !end.strategies.includes(strategy)))
        continue;
      wanted += own ?? (end.strategies.length > 1 ? 0 : end.wanted);
      evaluations = end.evaluations;
    }
    return { wanted, evaluations };
  }
}
