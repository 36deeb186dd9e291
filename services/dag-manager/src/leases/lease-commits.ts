import type { LeaseProposal, NodeLeaseRow, NodeLeaseTable } from "@qmtl/core/queues";
import { type Clock, failpoints } from "@qmtl/service-kit";
import { type Db, type Tx, UnknownOutcome } from "@qmtl/service-kit/db";
import { leaseRows, writeLeases } from "../store/lease-store.ts";

/** Refuses, inside a transaction, when this process does not lead. */
export type LeaderCheck = (tx: Tx) => Promise<void>;

/** Writes changes of holders, several in one transaction, and settles each proposal in the table by the outcome. */
export class LeaseCommits {
  readonly #db: Db;
  readonly #clock: Clock;
  readonly #checkLeader: LeaderCheck;
  /** Keys whose stored rows are not known: a commit had an unknown outcome, or their row was not written. */
  readonly #unsure = new Set<string>();

  constructor(db: Db, clock: Clock, checkLeader: LeaderCheck) {
    this.#db = db;
    this.#clock = clock;
    this.#checkLeader = checkLeader;
  }

  /**
   * Resolves to the proposals that were written. The others are settled as failed, and their rows are read again.
   * When the transaction fails all are settled, as failed or unknown, and its error is thrown.
   */
  async commit(
    table: NodeLeaseTable,
    proposals: readonly LeaseProposal[],
  ): Promise<LeaseProposal[]> {
    if (proposals.length === 0) return [];
    let written: Set<string>;
    try {
      written = await this.#db.transaction(async (tx) => {
        await this.#checkLeader(tx);
        const keys = await writeLeases(tx, proposals);
        await failpoints.hit("dag.lease.before_commit");
        return keys;
      });
      await failpoints.hit("dag.lease.after_commit");
    } catch (error) {
      const outcome = error instanceof UnknownOutcome ? "unknown" : "failed";
      for (const proposal of proposals) {
        table.settle(proposal, outcome, this.#clock.monotonicMs());
        if (outcome === "unknown") this.#unsure.add(proposal.row.key);
      }
      throw error;
    }
    const nowMs = this.#clock.monotonicMs();
    const done = proposals.filter((proposal) => written.has(proposal.row.key));
    for (const proposal of proposals) {
      const isWritten = written.has(proposal.row.key);
      table.settle(proposal, isWritten ? "committed" : "failed", nowMs);
      if (!isWritten) this.#unsure.add(proposal.row.key);
    }
    await this.reread(table);
    return done;
  }

  /** Reads the rows that are not known again; until that succeeds, their keys are not granted. */
  async reread(table: NodeLeaseTable): Promise<void> {
    if (this.#unsure.size === 0) return;
    const keys = [...this.#unsure];
    const found = new Map((await leaseRows(this.#db, keys)).map((row) => [row.key, row]));
    const nowMs = this.#clock.monotonicMs();
    for (const key of keys) {
      table.reread(found.get(key) ?? neverLeased(key), nowMs);
      this.#unsure.delete(key);
    }
  }
}

function neverLeased(key: string): NodeLeaseRow {
  return { key, epoch: 0, sessionId: null, build: null, excluded: [], isClosed: false };
}
