import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";

/** How long a leader leads without renewing, and how often it renews, milliseconds. */
const leaderMs = 10_000;
const renewMs = 3_000;

/** Whether this process may grant leases and take records. */
export interface Leadership {
  /** As far as it knows; the database has the last word in `check`. */
  readonly isLeader: boolean;
  /** Resolves when leading began, where that is at once; else tries in the background. */
  start(onGained: () => Promise<void>): Promise<void>;
  /** Refuses, in a transaction, when another process leads. @throws {QmtlError} NOT_LEADER. */
  check(tx: Tx): Promise<void>;
  stop(): Promise<void>;
}

/** The only process there can be: the data folder is locked. */
export function soleLeadership(): Leadership {
  return {
    isLeader: true,
    start: (onGained) => onGained(),
    check: async () => {},
    stop: async () => {},
  };
}

/** One leader among several processes, by a row in the database whose time is the database's. */
export class SharedLeadership implements Leadership {
  readonly #db: Db;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #owner: string;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #leads = false;

  /** `owner` names this process, unique for ever. */
  constructor(db: Db, clock: Clock, logger: Logger, owner: string) {
    this.#db = db;
    this.#clock = clock;
    this.#logger = logger;
    this.#owner = owner;
  }

  get isLeader(): boolean {
    return this.#leads;
  }

  async start(onGained: () => Promise<void>): Promise<void> {
    await this.#try(onGained);
    this.#running ??= this.#run(onGained);
  }

  async check(tx: Tx): Promise<void> {
    const rows = await tx.query(
      "select 1 as one from dag.leadership where owner = $1 and until > now() for share",
      [this.#owner],
    );
    if (rows.length === 0) throw notLeader();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    if (!this.#leads) return;
    this.#leads = false;
    await this.#db.query("delete from dag.leadership where owner = $1", [this.#owner]);
  }

  async #run(onGained: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(this.#clock, renewMs, signal);
      if (!signal.aborted) await this.#try(onGained);
    }
  }

  async #try(onGained: () => Promise<void>): Promise<void> {
    try {
      const won = await this.#renew();
      if (won && !this.#leads) await onGained();
      this.#leads = won;
    } catch (error) {
      this.#leads = false;
      this.#logger.warn("leadership of the DAG Manager could not be renewed", { error });
    }
  }

  async #renew(): Promise<boolean> {
    const rows = await this.#db.query(
      `insert into dag.leadership as l (owner, term, until)
       values ($1, 1, now() + $2 * interval '1 millisecond')
       on conflict (only_row) do update set owner = excluded.owner, until = excluded.until,
         term = l.term + case when l.owner = excluded.owner then 0 else 1 end
       where l.owner = excluded.owner or l.until < now()
       returning term`,
      [this.#owner, leaderMs],
    );
    return rows.length > 0;
  }
}

export function notLeader(): QmtlError {
  return new QmtlError("NOT_LEADER", "another DAG Manager leads", { retryAfterMs: 500 });
}
