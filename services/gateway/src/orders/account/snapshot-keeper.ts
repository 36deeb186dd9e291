import type { Logger } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { AccountSnapshot } from "./account-snapshot.ts";
import { storeSnapshot } from "./newest-snapshot.ts";

interface SnapshotKeeperDeps {
  /** The database that bookings are stored over. */
  readonly db: Db;
  readonly logger: Logger;
  readonly entriesPerSnapshot?: number;
}

/**
 * Entries after a snapshot before the next one is due. Replaying that many takes a fraction of a second at a start; a
 * snapshot of an account that has traded for long is up to 6 MB, about the size of that many entries.
 */
const entriesPerSnapshotDefault = 10_000;

/** Stores the snapshots of one account beside its bookings: one at a time, and no booking waits for one. */
export class SnapshotKeeper {
  readonly #deps: SnapshotKeeperDeps;
  readonly #entries: number;
  /** Entry of the newest snapshot that is stored or was attempted. */
  #newest = 0;
  #storing: Promise<void> | undefined;

  constructor(deps: SnapshotKeeperDeps) {
    this.#deps = deps;
    this.#entries = deps.entriesPerSnapshot ?? entriesPerSnapshotDefault;
  }

  /** The books were rebuilt from a snapshot up to this entry; 0 for none. */
  startedFrom(entry: number): void {
    this.#newest = entry;
  }

  /** Whether a snapshot is due at an entry. */
  isDueAt(head: number): boolean {
    return this.#storing === undefined && head - this.#newest >= this.#entries;
  }

  /** Begins to store a snapshot. A failure is logged, and the next one is due as if this one had been stored. */
  begin(snapshot: AccountSnapshot): void {
    const { db, logger } = this.#deps;
    this.#newest = snapshot.entry;
    this.#storing = storeSnapshot(db, snapshot)
      .catch((failure: unknown) => {
        const { account, entry } = snapshot;
        logger.warn("snapshot of an account not stored", { account, entry, error: failure });
      })
      .finally(() => {
        this.#storing = undefined;
      });
  }

  /** Stores a snapshot of the last entry, unless there is one already. */
  async end(head: number, take: () => AccountSnapshot): Promise<void> {
    await this.#storing;
    if (head === this.#newest) return;
    this.begin(take());
    await this.#storing;
  }
}
