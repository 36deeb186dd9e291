import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, leaderUnknown, type Standing, sleep } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";

/** How long a leader leads without renewing, and how often it renews, milliseconds. */
export interface LeaderTimes {
  readonly leaderMs: number;
  readonly renewMs: number;
}

const timesDefault: LeaderTimes = { leaderMs: 2_000, renewMs: 500 };

/** What a write must ask for. */
export interface WriteRight {
  /** Who must lead, by the row in the database, for a write to stand; undefined when nobody else can. */
  readonly leaderId: string | undefined;
  /** Refuses, in a transaction, when this process does not lead. @throws {QmtlError} NOT_LEADER. */
  check(tx: Tx): Promise<void>;
}

/** Whether this process may grant leases and take records. */
export interface Leadership extends WriteRight {
  /**
   * Refuses unless this process leads, as far as it knows; the database has the last word in `check`.
   *
   * @throws {QmtlError} NOT_LEADER when another one does; STORE_UNAVAILABLE when the database did not say who.
   */
  mustLead(): void;
  /** Resolves when leading began, where that is at once; else tries in the background. */
  start(onGained: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

/** The only process there can be: the data folder is locked. */
export function soleLeadership(): Leadership {
  return {
    mustLead: () => {},
    leaderId: undefined,
    start: (onGained) => onGained(),
    check: async () => {},
    stop: async () => {},
  };
}

/** The times of a process that is told none. */
export const leaderMsDefault = timesDefault.leaderMs;

export interface SharedLeadershipOptions extends Partial<LeaderTimes> {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Names this process, unique for ever. */
  readonly owner: string;
  /** Told how it stands, once it has tried, and at each change. */
  readonly onChange: (standing: Standing) => void;
}

/**
 * One leader among several processes, by a row in the database whose time is the database's. A process that
 * stood still past its time may still think that it leads: every write asks the row.
 */
export class SharedLeadership implements Leadership {
  readonly #options: Required<SharedLeadershipOptions>;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #standing: Standing = "unsure";
  /** When to look next, milliseconds: a standby looks as soon as the leader's time is over. */
  #lookMs: number;

  constructor(options: SharedLeadershipOptions) {
    this.#options = { ...timesDefault, ...options };
    this.#lookMs = this.#options.renewMs;
  }

  get leaderId(): string {
    return this.#options.owner;
  }

  mustLead(): void {
    if (this.#standing === "standby") throw notLeader("another DAG Manager leads");
    if (this.#standing === "unsure") throw leaderUnknown("the DAG Manager");
  }

  async start(onGained: () => Promise<void>): Promise<void> {
    await this.#try(onGained);
    this.#running ??= this.#run(onGained);
  }

  async check(tx: Tx): Promise<void> {
    const rows = await tx.query(
      "select 1 as one from dag.leadership where owner = $1 and until > now() for share",
      [this.#options.owner],
    );
    if (rows.length === 0) throw notLeader("this DAG Manager does not lead any more");
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    if (this.#standing !== "leads") return;
    this.#standing = "unsure";
    const { db, owner, logger } = this.#options;
    await db
      .query("delete from dag.leadership where owner = $1", [owner])
      .catch((error: unknown) =>
        logger.warn("leadership of the DAG Manager was not given back", { error }),
      );
  }

  async #run(onGained: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(this.#options.clock, this.#lookMs, signal);
      if (!signal.aborted) await this.#try(onGained);
    }
  }

  async #try(onGained: () => Promise<void>): Promise<void> {
    const { renewMs, logger } = this.#options;
    this.#lookMs = renewMs;
    try {
      const won = await this.#renew();
      if (won && this.#standing !== "leads") await onGained();
      this.#set(won ? "leads" : "standby");
      if (!won) this.#lookMs = Math.min(renewMs, (await this.#untilFreeMs()) + 1);
    } catch (error) {
      this.#set("unsure");
      logger.warn("leadership of the DAG Manager could not be renewed", { error });
    }
  }

  #set(standing: Standing): void {
    this.#standing = standing;
    this.#options.onChange(standing);
  }

  async #renew(): Promise<boolean> {
    const { db, owner, leaderMs } = this.#options;
    const rows = await db.query(
      `insert into dag.leadership as l (owner, term, until)
       values ($1, 1, now() + $2 * interval '1 millisecond')
       on conflict (only_row) do update set owner = excluded.owner, until = excluded.until,
         term = l.term + case when l.owner = excluded.owner then 0 else 1 end
       where l.owner = excluded.owner or l.until < now()
       returning term`,
      [owner, leaderMs],
    );
    return rows.length > 0;
  }

  /** Milliseconds until the leader's time is over, unless it renews; 0 when nobody leads any more. */
  async #untilFreeMs(): Promise<number> {
    const [row] = await this.#options.db.query<{ ms: number }>(
      "select greatest(0, ceil(extract(epoch from until - now()) * 1000))::int4 as ms from dag.leadership",
    );
    return row?.ms ?? 0;
  }
}

function notLeader(message: string): QmtlError {
  return new QmtlError("NOT_LEADER", message, { retryAfterMs: 500 });
}
