import { BoundedLog } from "@qmtl/core/execution";
import type { Tx } from "@qmtl/service-kit/db";
import type { StatedTimes } from "../account/catch-up.ts";
import { type StatedEnd, writeWantedOrders } from "../store/wanted-orders.ts";

/** Sessions whose stored wanted orders are remembered; of any other, what it states is stored once more. */
const sessionsMax = 10_000;
/** Strategies whose last ends are remembered. */
const strategiesMax = 100_000;

/** A report of wanted orders that is to be stored. */
export interface WantedWrite {
  write(tx: Tx): Promise<void>;
  /** What was written is stored. Until this is called, the same report is written again. */
  stored(): void;
}

interface AckLimits {
  /** @default 10000 */
  readonly sessionsMax?: number;
  /** @default 100000 */
  readonly strategiesMax?: number;
}

/**
 * What runners reported: the last bucket that each strategy's runner ended, and, in a table, the orders wanted while its
 * gate was shut. What was reported longest ago is forgotten beyond the limits; a runner states it again at its next end.
 */
export class BucketAcks implements StatedTimes {
  readonly #strategiesMax: number;
  /** Orders a session wanted, as they are stored, by world and session. */
  readonly #wanted: BoundedLog<number>;
  /** By world, the one heard longest ago first, and strategy. */
  readonly #heard = new Map<string, Map<string, number>>();
  #heardCount = 0;
  readonly #restated: BoundedLog<number>;

  constructor(limits: AckLimits = {}) {
    this.#strategiesMax = limits.strategiesMax ?? strategiesMax;
    this.#wanted = new BoundedLog(limits.sessionsMax ?? sessionsMax);
    this.#restated = new BoundedLog(this.#strategiesMax);
  }

  /** What is to be stored of an end; undefined when it says nothing new about wanted orders. */
  plan(end: StatedEnd): WantedWrite | undefined {
    const key = `${end.world}\n${end.sessionId}`;
    const { wanted } = end;
    if (wanted === (this.#wanted.get(key) ?? 0)) return undefined;
    return {
      write: (tx) => writeWantedOrders(tx, end),
      stored: () => this.#wanted.set(key, wanted),
    };
  }

  /** A strategy's runner ended a bucket. */
  heard(world: string, strategy: string, bucket: number): void {
    const own = this.#heard.get(world) ?? new Map<string, number>();
    this.#heardCount += own.has(strategy) ? 0 : 1;
    const last = Math.max(bucket, own.get(strategy) ?? 0);
    own.delete(strategy);
    own.set(strategy, last);
    this.#heard.delete(world);
    this.#heard.set(world, own);
    if (this.#heardCount > this.#strategiesMax) this.#forgetOldest();
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

  /** Of the world that was heard longest ago, the strategy that was. */
  #forgetOldest(): void {
    const [world, own] = this.#heard.entries().next().value!;
    own.delete(own.keys().next().value!);
    if (own.size === 0) this.#heard.delete(world);
    this.#heardCount -= 1;
  }
}
