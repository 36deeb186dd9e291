import type { AccountHolder } from "./account-lease-store.ts";

/** A lease as it was watched: a renewal or a taking changes its text. */
export type WatchedLeases = ReadonlyMap<string, string>;

interface WatchedLease {
  readonly first: string;
  last: string;
  /** How long it has been seen unchanged, milliseconds. */
  unchangedMs: number;
}

/**
 * How long the leases of others have been seen unchanged, while the database answered. That the database's clock is past
 * the end of a lease does not show that its holder is gone: nobody can renew while the database is away. So a lease is
 * taken from a silent holder only after it was watched for the whole of its time.
 */
export class LeaseWatch {
  readonly #leaseMs: number;
  readonly #lookMsMax: number;
  readonly #leases = new Map<string, WatchedLease>();
  #answeredMs: number | undefined;

  /**
   * @param leaseMs how long a lease lasts
   * @param lookMsMax of a longer time between two looks only this much counts: the database may have been away in it
   */
  constructor(leaseMs: number, lookMsMax: number) {
    this.#leaseMs = leaseMs;
    this.#lookMsMax = lookMsMax;
  }

  /** Takes in what one look found; its times are monotonic. */
  saw(holders: readonly AccountHolder[], sentMs: number, answeredMs: number): void {
    const sinceMs = Math.max(0, sentMs - (this.#answeredMs ?? sentMs));
    const countedMs = Math.min(sinceMs, this.#lookMsMax);
    this.#answeredMs = answeredMs;
    for (const holder of holders) {
      const now = textOf(holder);
      const known = this.#leases.get(holder.accountId);
      if (known === undefined) {
        this.#leases.set(holder.accountId, { first: now, last: now, unchangedMs: 0 });
      } else if (known.last === now) {
        known.unchangedMs += countedMs;
      } else {
        known.last = now;
        known.unchangedMs = 0;
      }
    }
  }

  /** The database did not answer: what was seen before does not count. */
  sawNothing(): void {
    this.#answeredMs = undefined;
    for (const lease of this.#leases.values()) lease.unchangedMs = 0;
  }

  /** Leases that may be taken once they have ended, as they were seen. */
  get silent(): WatchedLeases {
    const silent = [...this.#leases].filter(([, { unchangedMs }]) => unchangedMs >= this.#leaseMs);
    return new Map(silent.map(([accountId, { last }]) => [accountId, last]));
  }

  /** True when its holder has renewed it, or another has taken it, since the first look. */
  hasChanged(holder: AccountHolder): boolean {
    const known = this.#leases.get(holder.accountId);
    return known !== undefined && known.first !== textOf(holder);
  }
}

function textOf({ epoch, expireTime }: AccountHolder): string {
  return `${epoch} ${expireTime}`;
}
