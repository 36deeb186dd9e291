import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { StatedTargets } from "../account/catch-up.ts";

/** What a runner said at the end of a bucket. */
interface StatedEnd {
  readonly world: string;
  readonly sessionId: string;
  readonly strategies: readonly string[];
  /** Orders it wanted while its gate was shut, since its start. */
  readonly wanted: number;
  readonly evaluations: Readonly<Record<string, number>>;
}

interface EndRecord {
  world_id: string;
  session_id: string;
  strategy_ids: string[];
  wanted: number;
  evaluations: Record<string, number>;
}

/** Sessions remembered in memory; the table keeps all. */
const sessionsMax = 10_000;

/** Which strategies' runners were heard of and when, and what they wanted while shut. */
export class BucketAcks implements StatedTargets {
  readonly #db: Queryable;
  readonly #stated = new Map<string, StatedEnd>();
  readonly #heard = new Map<string, Map<string, number>>();
  readonly #restated = new Map<string, number>();

  constructor(db: Queryable) {
    this.#db = db;
  }

  async load(): Promise<void> {
    const rows = await this.#db.query<EndRecord>(
      `SELECT * FROM gateway.wanted_orders LIMIT ${sessionsMax}`,
    );
    for (const row of rows) {
      const { world_id: world, session_id: sessionId, strategy_ids: strategies } = row;
      const { wanted, evaluations } = row;
      this.#stated.set(`${world}\n${sessionId}`, {
        world,
        sessionId,
        strategies,
        wanted,
        evaluations,
      });
    }
  }

  /** The write that keeps an end, or undefined when it says nothing new about wanted orders. */
  plan(end: StatedEnd): ((tx: Tx) => Promise<void>) | undefined {
    const key = `${end.world}\n${end.sessionId}`;
    const before = this.#stated.get(key);
    const { world, sessionId, strategies, wanted, evaluations } = end;
    this.#stated.set(key, { world, sessionId, strategies, wanted, evaluations });
    if (before?.wanted === wanted || (before === undefined && wanted === 0)) return undefined;
    return async (tx) => {
      await tx.query(
        `INSERT INTO gateway.wanted_orders (world_id, session_id, strategy_ids, wanted, evaluations)
         VALUES ($1, $2, $3, $4, $5::jsonb) ON CONFLICT (world_id, session_id) DO UPDATE SET
           strategy_ids = excluded.strategy_ids, wanted = excluded.wanted, evaluations = excluded.evaluations`,
        [world, sessionId, [...strategies], wanted, JSON.stringify(evaluations)],
      );
    };
  }

  /** A strategy's runner ended a bucket. */
  heard(world: string, strategy: string, bucket: number): void {
    const own = this.#heard.get(world) ?? new Map<string, number>();
    own.set(strategy, Math.max(bucket, own.get(strategy) ?? 0));
    this.#heard.set(world, own);
  }

  /** Strategies whose runner is heard of, with the last bucket each ended. */
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

  /** Orders wanted while shut, over all sessions of a strategy, and its evaluations of the last one. */
  wantedOf(
    world: string,
    strategy: string,
  ): { wanted: number; evaluations: Readonly<Record<string, number>> } {
    let wanted = 0;
    let evaluations: Readonly<Record<string, number>> = {};
    for (const end of this.#stated.values()) {
      if (end.world !== world || !end.strategies.includes(strategy)) continue;
      wanted += end.wanted;
      evaluations = end.evaluations;
    }
    return { wanted, evaluations };
  }
}
