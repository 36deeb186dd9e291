import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { SqlWrite } from "../store/writes.ts";
import {
  type AccountEpochs,
  type AccountHolder,
  epochsStand,
  type GatewayProcess,
  migrateAccountLeases,
  readAccountHolders,
  releaseAccounts,
  renewAccounts,
  takeAccounts,
} from "./account-lease-store.ts";
import { differingKeys } from "./leader-settings.ts";
import { LeaseWatch } from "./lease-watch.ts";
import { LeasedDb } from "./leased-db.ts";

interface AccountLeasesOptions {
  /** Database with schema `gateway`. */
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Accounts of the configuration. */
  readonly accountIds: readonly string[];
  readonly gatewayId: string;
  /** What it is configured with; see `settingsText`. @default not stated */
  readonly settings?: string;
  /** How long a gateway that does not renew keeps its accounts, milliseconds. @default 2000 */
  readonly leaseMs?: number;
  /** How often it renews, milliseconds. @default 500 */
  readonly renewMs?: number;
}

/** How long a silent gateway keeps its accounts, milliseconds. */
const accountLeaseMsDefault = 2_000;
const renewMsDefault = 500;
/** Nothing is written before the accounts are taken. */
const neverHeld: SqlWrite = { sql: "false", params: [] };
/** How often, at most, a holder that may be dead is checked, milliseconds. */
const lookMs = 100;

/**
 * The accounts this process trades, as leases in the database: no two gateways trade one account. On PGlite no other
 * process can, because the data folder is locked: there the lease is taken from whoever had it and is not renewed.
 */
export class AccountLeases {
  /** Resolves when another gateway holds an account that was taken here: this one writes nothing more. */
  readonly lost: Promise<QmtlError>;
  readonly #options: Required<AccountLeasesOptions>;
  readonly #process: GatewayProcess;
  readonly #stopping = new AbortController();
  #epochs: AccountEpochs = new Map();
  #guard: SqlWrite = neverHeld;
  #isHeld = false;
  #keeping: Promise<void> | undefined;
  #onLost: (refusal: QmtlError) => void = () => {};

  private constructor(options: AccountLeasesOptions) {
    const { clock, gatewayId, settings = "" } = options;
    this.#options = {
      leaseMs: accountLeaseMsDefault,
      renewMs: renewMsDefault,
      settings: "",
      ...options,
    };
    this.lost = new Promise((resolve) => {
      this.#onLost = resolve;
    });
    this.#process = {
      holder: randomUUID(),
      gatewayId,
      host: hostname(),
      pid: process.pid,
      startTimeMs: Math.round(clock.nowMs() - process.uptime() * 1_000),
      settings,
    };
  }

  /** Makes the table; takes nothing yet. */
  static async open(options: AccountLeasesOptions): Promise<AccountLeases> {
    await migrateAccountLeases(options.db);
    return new AccountLeases(options);
  }

  /** True where another process could hold the accounts. */
  get isShared(): boolean {
    return this.#options.db.kind === "postgres" && this.#options.accountIds.length > 0;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Epochs of the accounts that are held. */
  get epochs(): AccountEpochs {
    return this.#epochs;
  }

  /**
   * Takes all accounts, and renews them from then on. Of a silent holder it waits until its lease has ended and was
   * watched for its whole time. Resolves to the holder of an account whose process is alive, as its renewal shows, or to
   * undefined once all are taken.
   */
  async take(): Promise<AccountHolder | undefined> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    const watch = this.#newWatch();
    for (;;) {
      if (await this.#tryToTake(watch)) return undefined;
      const holders = await this.#look(watch);
      const alive = holders.find((one) => !one.isGivenBack && watch.hasChanged(one));
      if (alive !== undefined) return alive;
      await sleep(clock, this.#lookMs, signal);
      if (signal.aborted) return holders[0];
    }
  }

  /** Waits until all accounts are free, and takes and renews them; false when it was stopped before. */
  async takeWhenFree(): Promise<boolean> {
    const { clock, renewMs, logger } = this.#options;
    const { signal } = this.#stopping;
    const watch = this.#newWatch();
    while (!signal.aborted) {
      let waitMs = renewMs;
      try {
        if (await this.#tryToTake(watch)) return true;
        const holders = await this.#look(watch);
        // Often once a holder is late: its lease may be taken as soon as it was watched for long enough.
        const isLate = holders.some((one) => one.remainingMs < this.#options.leaseMs - 2 * renewMs);
        if (isLate) waitMs = Math.min(renewMs, this.#lookMs);
      } catch (error) {
        watch.sawNothing();
        logger.warn("the leases of the accounts could not be read", { error });
      }
      await sleep(clock, waitMs, signal);
    }
    return false;
  }

  #newWatch(): LeaseWatch {
    const { leaseMs, renewMs } = this.#options;
    return new LeaseWatch(leaseMs, Math.max(renewMs, this.#lookMs));
  }

  /** How often a holder that may be dead is checked, milliseconds. */
  get #lookMs(): number {
    return Math.min(lookMs, this.#options.leaseMs / 10);
  }

  async #look(watch: LeaseWatch): Promise<AccountHolder[]> {
    const { clock, db, accountIds } = this.#options;
    const sentMs = clock.monotonicMs();
    const holders = await readAccountHolders(db, accountIds);
    watch.saw(holders, sentMs, clock.monotonicMs());
    return holders;
  }

  /** Keys of the configuration in which the holder of an account differs from this process, sorted. */
  async differences(): Promise<string[]> {
    const { db, accountIds, settings } = this.#options;
    const holders = await readAccountHolders(db, accountIds);
    const others = holders.filter(({ holder }) => holder !== this.#process.holder);
    const keys = others.flatMap((one) => differingKeys(settings, one.settings ?? ""));
    return [...new Set(keys)].sort();
  }

  /** The database with writes that are stored only while the accounts are held. */
  guarded(db: Db): Db {
    if (!this.isShared) return db;
    return new LeasedDb(db, { guard: () => this.#guard, refusal: () => this.refusal() });
  }

  /** The refusal for a process that does not hold the accounts; it names the holder. */
  async refusal(): Promise<QmtlError> {
    const { db, accountIds } = this.#options;
    const holders = await readAccountHolders(db, accountIds).catch(() => []);
    return accountHeld(holders.find((one) => one.holder !== this.#process.holder));
  }

  /** Gives the accounts back. May be called twice. */
  async stop(): Promise<void> {
    const { db, logger } = this.#options;
    this.#stopping.abort();
    await this.#keeping;
    if (!this.#isHeld) return;
    this.#isHeld = false;
    await releaseAccounts(db, this.#epochs).catch((error: unknown) => {
      logger.warn("the accounts could not be given back; their leases will expire", { error });
    });
  }

  async #tryToTake({ silent }: LeaseWatch): Promise<boolean> {
    const { db, accountIds, leaseMs } = this.#options;
    const force = db.kind === "pglite";
    const epochs = await takeAccounts(db, accountIds, this.#process, { leaseMs, force, silent });
    if (epochs === undefined) return false;
    this.#epochs = epochs;
    this.#guard = epochsStand(epochs);
    this.#isHeld = true;
    if (this.isShared) this.#keeping ??= this.#renew();
    return true;
  }

  async #renew(): Promise<void> {
    const { clock, db, leaseMs, renewMs, logger } = this.#options;
    const { signal } = this.#stopping;
    let hasFailed = false;
    for (;;) {
      await sleep(clock, renewMs, signal);
      if (signal.aborted) return;
      try {
        if (!(await renewAccounts(db, this.#epochs, leaseMs))) break;
        hasFailed = false;
      } catch (error) {
        // Nobody else can take them while the database is away, nor right after; whether somebody did is seen at the
        // next renewal.
        if (!hasFailed) logger.warn("the leases of the accounts could not be renewed", { error });
        hasFailed = true;
      }
    }
    this.#isHeld = false;
    this.#onLost(await this.refusal());
  }
}

/** NOT_LEADER, naming the holder of the account. */
export function accountHeld(holder: AccountHolder | undefined): QmtlError {
  if (holder === undefined) {
    return new QmtlError("NOT_LEADER", "another gateway holds the accounts", { retryAfterMs: 500 });
  }
  const { accountId, gatewayId, host, pid } = holder;
  const started = new Date(holder.startTimeMs).toISOString();
  const message = `account ${accountId} is held by ${gatewayId}: process ${pid} on ${host}, started ${started}`;
  return new QmtlError("NOT_LEADER", message, {
    retryAfterMs: 500,
    metadata: {
      account_id: accountId,
      gateway_id: gatewayId,
      host,
      pid: String(pid),
      start_time: started,
    },
  });
}
