import { hostname } from "node:os";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer } from "../clock.ts";
import type { Db, Tx } from "../db/index.ts";
import type { Logger } from "../logger.ts";
import { type LeadershipStatus, leaderUnknown } from "./leadership-monitor.ts";

/** Who may write and grant, among the processes of a service. */
export interface Leadership {
  /** How this process stands, as far as it knows; the database has the last word in `assertLeads`. */
  readonly standing: LeadershipStatus;
  /** When this leadership began, monotonic; undefined while this process does not lead. */
  readonly beganAtMs: number | undefined;
  /** When grants end, monotonic; `Infinity` when nobody else can lead. */
  readonly grantUntilMs: number;
  /**
   * The holder that the row in the database must name for a write to be allowed; undefined when nobody else can lead.
   */
  readonly holder: string | undefined;
  /** First statement of every writing transaction (A13, P18, Q21 in docs/internals). @throws {QmtlError} NOT_LEADER */
  assertLeads(tx: Tx): Promise<void>;
  /** Takes the lead or begins to wait for it. `onChange` is called when it is renewed, and when `standing` changes. */
  start(onChange: () => void): Promise<void>;
  /** Gives the lead up. */
  stop(): Promise<void>;
}

/** Embedded: the lock on the data folder already says that nobody else leads. */
export class SoleLeadership implements Leadership {
  readonly standing = "leads";
  readonly holder = undefined;
  readonly #clock: Clock;
  readonly #service: string;
  #beganAtMs: number | undefined;

  /** @param service name of the service in refusals, such as "WorldService". */
  constructor(clock: Clock, service: string) {
    this.#clock = clock;
    this.#service = service;
  }

  get beganAtMs(): number | undefined {
    return this.#beganAtMs;
  }

  get grantUntilMs(): number {
    return this.#beganAtMs === undefined ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  assertLeads(): Promise<void> {
    return this.#beganAtMs === undefined
      ? Promise.reject(leadsNoMore(this.#service))
      : Promise.resolve();
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

/** The one-row table that says who leads, and what the service calls its columns. */
export interface LeadershipTable {
  /** With its schema: `world.leadership`. */
  readonly table: string;
  /** The primary key, which allows no second row. */
  readonly only: string;
  readonly holder: string;
  /** Rises whenever the lead is taken. */
  readonly epoch: string;
  readonly expires: string;
}

export interface RowLeadershipOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Name of the service in refusals and in the log, such as "WorldService". */
  readonly service: string;
  readonly table: LeadershipTable;
  /** Names this process; a new one for each process. */
  readonly holder: string;
  /** How long a leader may be silent before another takes over, milliseconds. */
  readonly leaderMs: number;
  /** How often a leader renews, and how often, at least, a standby looks, milliseconds. */
  readonly renewMs: number;
  /**
   * How long this process goes on leading and granting after it sent the last renewal that succeeded, milliseconds:
   * less than `leaderMs`. With 0 the first renewal that fails ends it. @default `leaderMs` − 100
   */
  readonly unrenewedMs?: number;
}

/** Margin a leader subtracts from its own lease, milliseconds. */
const grantMarginMs = 100;

/**
 * Distributed: the lead is a row, taken by the database's own `now()`, and only after the `leaderMs` of the holder
 * before ran out. Taking it raises the epoch, and every write checks it: a process that was suspended past its time may
 * still believe that it leads, but what it writes is refused.
 */
export class RowLeadership implements Leadership {
  readonly #options: Required<RowLeadershipOptions>;
  #beganAtMs: number | undefined;
  #grantUntilMs = Number.NEGATIVE_INFINITY;
  #epoch = 0;
  #standing: LeadershipStatus = "unsure";
  #isStopped = false;
  #renewing: Promise<void> = Promise.resolve();
  #timer: ClockTimer | undefined;
  /** Time until the next renewal or look, milliseconds: a standby looks as soon as the leader's time is over. */
  #lookMs: number;
  #onChange: () => void = () => {};

  constructor(options: RowLeadershipOptions) {
    this.#options = { unrenewedMs: options.leaderMs - grantMarginMs, ...options };
    this.#lookMs = options.renewMs;
  }

  get standing(): LeadershipStatus {
    return this.#standing;
  }

  get beganAtMs(): number | undefined {
    return this.#beganAtMs;
  }

  get grantUntilMs(): number {
    return this.#grantUntilMs;
  }

  get holder(): string {
    return this.#options.holder;
  }

  async assertLeads(tx: Tx): Promise<void> {
    const { table, holder, service } = this.#options;
    const [row] = await tx.query(
      `SELECT 1 AS one FROM ${table.table}
       WHERE ${table.holder} = $1 AND ${table.epoch} = $2 AND ${table.expires} > now() FOR SHARE`,
      [holder, this.#epoch],
    );
    if (row === undefined) throw leadsNoMore(service);
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
    const { db, table, holder, service, logger } = this.#options;
    await db
      .query(`DELETE FROM ${table.table} WHERE ${table.holder} = $1`, [holder])
      .catch((error: unknown) =>
        logger.warn("leadership could not be given back", { service, error }),
      );
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.setTimer(() => {
      this.#renewing = this.#renew().finally(() => this.#arm());
    }, this.#lookMs);
  }

  async #renew(): Promise<void> {
    const { clock, leaderMs, renewMs, unrenewedMs, service, logger } = this.#options;
    this.#lookMs = renewMs;
    const sentAtMs = clock.monotonicMs();
    try {
      const epoch = await this.#takeRow();
      if (epoch === undefined) {
        this.#lose("standby");
        this.#lookMs = Math.min(renewMs, (await this.#untilFreeMs()) + 1);
        return;
      }
      const isNew = this.#beganAtMs === undefined || epoch !== this.#epoch;
      this.#epoch = epoch;
      if (isNew) this.#beganAtMs = clock.monotonicMs();
      this.#grantUntilMs = sentAtMs + Math.min(unrenewedMs, leaderMs);
      this.#standing = "leads";
      this.#onChange();
    } catch (error) {
      logger.warn("leadership could not be renewed", { service, error });
      // The row may still be this process's, and nobody else is known to lead.
      if (clock.monotonicMs() >= this.#grantUntilMs) this.#lose("unsure");
    }
  }

  /** Takes the row if it is free, or renews it; resolves to its epoch, or undefined while another process has it. */
  async #takeRow(): Promise<number | undefined> {
    const { db, holder, leaderMs } = this.#options;
    const { table, only, ...column } = this.#options.table;
    const [row] = await db.query<{ epoch: number }>(
      `INSERT INTO ${table} AS l (${column.holder}, ${column.epoch}, ${column.expires})
       VALUES ($1, coalesce((SELECT ${column.epoch} FROM ${table}), 0) + 1, now() + $2 * interval '1 millisecond')
       ON CONFLICT (${only}) DO UPDATE SET ${column.holder} = $1,
         ${column.epoch} = CASE WHEN l.${column.holder} = $1 AND l.${column.expires} > now()
           THEN l.${column.epoch} ELSE l.${column.epoch} + 1 END,
         ${column.expires} = now() + $2 * interval '1 millisecond'
       WHERE l.${column.holder} = $1 OR l.${column.expires} <= now() RETURNING ${column.epoch} AS epoch`,
      [holder, leaderMs],
    );
    return row?.epoch;
  }

  /** Milliseconds until the leader's time is over, unless it renews; 0 when nobody leads any more. */
  async #untilFreeMs(): Promise<number> {
    const { table, expires } = this.#options.table;
    const [row] = await this.#options.db.query<{ ms: number }>(
      `SELECT greatest(0, ceil(extract(epoch FROM ${expires} - now()) * 1000))::int4 AS ms FROM ${table}`,
    );
    return row?.ms ?? 0;
  }

  #lose(standing: Exclude<LeadershipStatus, "leads">): void {
    this.#grantUntilMs = Number.NEGATIVE_INFINITY;
    if (this.#standing === standing) return;
    this.#standing = standing;
    this.#beganAtMs = undefined;
    this.#onChange();
  }
}

/** The refusal of a process that does not lead, or that leads and has not begun its work yet. */
export function notLeading(standing: LeadershipStatus, service: string): QmtlError {
  if (standing === "unsure") return leaderUnknown(`this ${service}`);
  return notLeader(
    standing === "standby"
      ? `another ${service} leads`
      : `this ${service} is just becoming the leader; try again`,
  );
}

function leadsNoMore(service: string): QmtlError {
  return notLeader(`this ${service} no longer leads`);
}

function notLeader(message: string): QmtlError {
  return new QmtlError("NOT_LEADER", message, { retryAfterMs: 500 });
}

/** Name of this process for people, such as `host-a:4711`, in rows that name the leader. Not unique over time. */
export function processName(): string {
  return `${hostname()}:${process.pid}`;
}
