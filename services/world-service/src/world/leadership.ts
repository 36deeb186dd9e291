import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, leaderUnknown, type Standing } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";

/** Who may write and grant. */
export interface Leadership {
  /** How this process stands, as far as it knows. */
  readonly standing: Standing;
  /** When this leadership began, monotonic; undefined while this process does not lead. */
  readonly beganAtMs: number | undefined;
  /** Grants end then, monotonic; `Infinity` when nobody else can lead. */
  readonly grantUntilMs: number;
  /** First statement of every writing transaction. @throws {QmtlError} NOT_LEADER */
  assertLeads(tx: Tx): Promise<void>;
  /** Takes the lead or begins to wait for it. `onChange` is called when it is renewed, and when `standing` changes. */
  start(onChange: () => void): Promise<void>;
  /** Gives it up. */
  stop(): Promise<void>;
}

/** Embedded: the lock on the data folder already says that nobody else leads. */
export class SoleLeadership implements Leadership {
  readonly standing = "leads";
  readonly #clock: Clock;
  #beganAtMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get beganAtMs(): number | undefined {
    return this.#beganAtMs;
  }

  get grantUntilMs(): number {
    return this.#beganAtMs === undefined ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  assertLeads(): Promise<void> {
    return this.#beganAtMs === undefined ? Promise.reject(notLeader(lostText)) : Promise.resolve();
  }

  start(onChange: () => void): Promise<void> {
    this.#beganAtMs = this.#clock.monotonicMs();
    onChange();
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#beganAtMs = undefined;
    return Promise.resolve();
  }
}

const lostText = "this WorldService does not lead any more";

/** How long a leader may be silent before another takes over, milliseconds. */
export const leaderMsDefault = 1_000;

/** How often a leader renews, milliseconds. */
const renewEveryMs = 250;

/** What a leader takes off its own lease, milliseconds. */
const grantMarginMs = 100;

export interface RowLeadershipOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Fresh per process. */
  readonly holder: string;
  /** @default 1000 */
  readonly leaderMs?: number;
}

/**
 * Distributed: a row taken with the database's own `now()`, only after the former holder's `leaderMs`
 * ran out; each taking raises the epoch, and every write checks it. Grants stop `leaderMs − 100` after
 * the last successful renewal was *sent*.
 */
export class RowLeadership implements Leadership {
  readonly #options: Required<RowLeadershipOptions>;
  #beganAtMs: number | undefined;
  #grantUntilMs = Number.NEGATIVE_INFINITY;
  #epoch = 0;
  #standing: Standing = "unsure";
  #isStopped = false;
  #renewing: Promise<void> = Promise.resolve();
  #timer: { cancel(): void } | undefined;
  #onChange: () => void = () => {};

  constructor(options: RowLeadershipOptions) {
    this.#options = { leaderMs: leaderMsDefault, ...options };
  }

  get standing(): Standing {
    return this.#standing;
  }

  get beganAtMs(): number | undefined {
    return this.#beganAtMs;
  }

  get grantUntilMs(): number {
    return this.#grantUntilMs;
  }

  async assertLeads(tx: Tx): Promise<void> {
    const [row] = await tx.query<{ epoch: number }>(
      "SELECT epoch FROM world.leadership WHERE holder = $1 AND epoch = $2 AND expires_at > now() FOR SHARE",
      [this.#options.holder, this.#epoch],
    );
    if (row === undefined) throw notLeader(lostText);
  }

  async start(onChange: () => void): Promise<void> {
    this.#onChange = onChange;
    await this.#renew();
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#renewing;
    this.#lose("standby");
    await this.#options.db
      .query("DELETE FROM world.leadership WHERE holder = $1", [this.#options.holder])
      .catch((error: unknown) =>
        this.#options.logger.warn("leadership was not given back", { error }),
      );
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.setTimer(() => {
      this.#renewing = this.#renew().finally(() => this.#arm());
    }, renewEveryMs);
  }

  async #renew(): Promise<void> {
    const { db, clock, holder, leaderMs, logger } = this.#options;
    const sentAtMs = clock.monotonicMs();
    try {
      const [row] = await db.query<{ epoch: number }>(
        `INSERT INTO world.leadership AS l (holder, epoch, expires_at)
         VALUES ($1, coalesce((SELECT epoch FROM world.leadership), 0) + 1, now() + $2 * interval '1 millisecond')
         ON CONFLICT (one) DO UPDATE SET holder = $1,
           epoch = CASE WHEN l.holder = $1 AND l.expires_at > now() THEN l.epoch ELSE l.epoch + 1 END,
           expires_at = now() + $2 * interval '1 millisecond'
         WHERE l.holder = $1 OR l.expires_at <= now() RETURNING epoch`,
        [holder, leaderMs],
      );
      if (row === undefined) return this.#lose("standby");
      const isNew = this.#beganAtMs === undefined || row.epoch !== this.#epoch;
      this.#epoch = row.epoch;
      if (isNew) this.#beganAtMs = clock.monotonicMs();
      this.#grantUntilMs = sentAtMs + leaderMs - grantMarginMs;
      this.#standing = "leads";
      this.#onChange();
    } catch (error) {
      logger.warn("leadership was not renewed", { error });
      // The row may still be its own, and nobody else is known to lead.
      if (clock.monotonicMs() >= this.#grantUntilMs) this.#lose("unsure");
    }
  }

  #lose(standing: Exclude<Standing, "leads">): void {
    this.#grantUntilMs = Number.NEGATIVE_INFINITY;
    if (this.#standing === standing) return;
    this.#standing = standing;
    this.#beganAtMs = undefined;
    this.#onChange();
  }
}

/** The refusal of a process that stands like this, or leads and has not read its worlds yet. */
export function notLeading(standing: Standing): QmtlError {
  if (standing === "unsure") return leaderUnknown("WorldService");
  return notLeader(
    standing === "standby"
      ? "another process of the world service leads"
      : "this WorldService takes the lead just now; try again",
  );
}

function notLeader(message: string): QmtlError {
  return new QmtlError("NOT_LEADER", message, { retryAfterMs: 500 });
}
