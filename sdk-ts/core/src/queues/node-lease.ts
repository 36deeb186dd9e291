import { candidatesMax } from "./queue-timers.ts";

/** The stored row of a node lease. Written when the holder changes, not on renewal. */
export interface NodeLeaseRow {
  readonly key: string;
  /** Last epoch ever issued for the key; 0 before the first. */
  readonly epoch: number;
  /** The holder, or null after a clean release. */
  readonly sessionId: string | null;
  /** Build of the last holder. */
  readonly build: string | null;
  /** Builds that diverged from the log: never granted. */
  readonly excluded: readonly string[];
  /** No lease is granted: the key has ended, or is blocked. */
  readonly isClosed: boolean;
}

/** A session that waits for a key. */
export interface Candidate {
  readonly sessionId: string;
  readonly build: string;
  /** It can reach the upstream rows it needs; others are never chosen. */
  readonly reachesUpstreams: boolean;
  /** It has the upstreams locally: preferred. */
  readonly hasUpstreamsLocally: boolean;
}

/** A row to write in one transaction with the leader check. `grantTo` is set when it is a grant. */
export interface LeaseProposal {
  readonly before: NodeLeaseRow;
  readonly row: NodeLeaseRow;
  readonly grantTo: Candidate | null;
}

/** How a commit ended; after `unknown` the row must be read again before anything else. */
export type CommitOutcome = "committed" | "failed" | "unknown";

/** The answer to a renewal. */
export type RenewAnswer =
  | { readonly renewed: true; readonly aliveUntilMs: number }
  | { readonly renewed: false; readonly currentEpoch: number };

interface LeaseEntry {
  row: NodeLeaseRow;
  aliveUntilMs: number;
  waiting: (Candidate & { readonly sinceMs: number })[];
  pending: LeaseProposal | null;
  mustReread: boolean;
}

/**
 * The lease rules of the queues' owner, for the keys it leads. The store writes each proposal in one
 * transaction and reports the outcome with `settle`.
 *
 * - **Acquire**: vacant ⇒ propose epoch + 1 with the holder; only after the commit is the lease
 *   recorded alive and answered. An epoch is never issued twice (Q7 in docs/internals/queues.md).
 * - **Renew**: session and epoch must match the row; alive until now + lease, from receipt. A lapsed
 *   lease whose epoch is still the last one is renewed.
 * - **Release**: vacant at once; `diverged` adds the holder's build to the excluded ones (Q9).
 * - **Restart**: a key that has a holder row is given to nobody new until one lease after leadership
 *   began; the stored holder renews at once under its old epoch.
 * - **Choice**: same build as the last holder first, then upstreams held locally, then longest waiting.
 */
export class NodeLeaseTable {
  readonly #leaseMs: number;
  readonly #epochFloor: number;
  readonly #entries = new Map<string, LeaseEntry>();

  /**
   * `rows` are what the store holds, `leadershipBeganAtMs` is when this process began to lead.
   * `epochFloor` is 0, or after a restored backup a value above every epoch ever issued.
   */
  constructor(
    rows: readonly NodeLeaseRow[],
    options: {
      readonly leaseMs: number;
      readonly leadershipBeganAtMs: number;
      readonly epochFloor?: number;
    },
  ) {
    this.#leaseMs = options.leaseMs;
    this.#epochFloor = options.epochFloor ?? 0;
    for (const row of rows) {
      const aliveUntilMs =
        row.sessionId === null
          ? Number.NEGATIVE_INFINITY
          : options.leadershipBeganAtMs + options.leaseMs;
      this.#entries.set(row.key, {
        row,
        aliveUntilMs,
        waiting: [],
        pending: null,
        mustReread: false,
      });
    }
  }

  /** The row as last known; a key never seen has epoch 0 and no holder. */
  row(key: string): NodeLeaseRow {
    return this.#entry(key).row;
  }

  /**
   * Session whose lease of a key has not run out; null for none. A holder that is silent for longer than its lease is
   * none, although it is renewed if it comes back before another one is granted the key.
   */
  holder(key: string, nowMs: number): string | null {
    const { row, aliveUntilMs } = this.#entry(key);
    return nowMs < aliveUntilMs ? row.sessionId : null;
  }

  /** Number of sessions that wait for a key and may be granted it. */
  candidates(key: string): number {
    return this.#entry(key).waiting.length;
  }

  /** Registers a waiting candidate; false when `candidatesMax` wait already or its build is excluded. */
  acquire(key: string, candidate: Candidate, nowMs: number): boolean {
    const entry = this.#entry(key);
    if (entry.row.excluded.includes(candidate.build)) return false;
    const others = entry.waiting.filter((w) => w.sessionId !== candidate.sessionId);
    const sinceMs =
      entry.waiting.find((w) => w.sessionId === candidate.sessionId)?.sinceMs ?? nowMs;
    if (others.length >= candidatesMax) return false;
    entry.waiting = [...others, { ...candidate, sinceMs }];
    return true;
  }

  /** Forgets a candidate whose call ended. */
  withdraw(key: string, sessionId: string): void {
    const entry = this.#entry(key);
    entry.waiting = entry.waiting.filter((w) => w.sessionId !== sessionId);
  }

  /** The grant to commit next for a key, or null: lease alive, nobody fit waits, or a commit is open. */
  proposeGrant(key: string, nowMs: number): LeaseProposal | null {
    const entry = this.#entry(key);
    if (entry.pending !== null || entry.mustReread || entry.row.isClosed) return null;
    if (nowMs < entry.aliveUntilMs) return null;
    const grantTo = chooseCandidate(entry.row, entry.waiting);
    if (grantTo === null) return null;
    const epoch = Math.max(entry.row.epoch, this.#epochFloor) + 1;
    const row = { ...entry.row, epoch, sessionId: grantTo.sessionId, build: grantTo.build };
    entry.pending = { before: entry.row, row, grantTo };
    return entry.pending;
  }

  /** The release to commit, or null: session or epoch is not the row's, or a commit is open or of unknown outcome. */
  proposeRelease(
    key: string,
    holder: { readonly sessionId: string; readonly epoch: number },
    reason: "clean" | "diverged",
  ): LeaseProposal | null {
    const entry = this.#entry(key);
    if (entry.pending !== null || entry.mustReread || !isHolder(entry.row, holder)) return null;
    const { build, excluded } = entry.row;
    const isNew = reason === "diverged" && build !== null && !excluded.includes(build);
    const row = {
      ...entry.row,
      sessionId: null,
      excluded: isNew ? [...excluded, build] : excluded,
    };
    entry.pending = { before: entry.row, row, grantTo: null };
    return entry.pending;
  }

  /**
   * Reports how a proposal's commit ended. After `committed` a grant may be answered: the lease is
   * alive until `nowMs` + lease. After `unknown` nothing is granted, renewed or released until `reread`.
   */
  settle(proposal: LeaseProposal, outcome: CommitOutcome, nowMs: number): void {
    const entry = this.#entry(proposal.row.key);
    if (entry.pending !== proposal) throw new Error("settled a proposal that was not open");
    entry.pending = null;
    if (outcome === "unknown") entry.mustReread = true;
    if (outcome !== "committed") return;
    entry.row = proposal.row;
    entry.aliveUntilMs =
      proposal.grantTo === null ? Number.NEGATIVE_INFINITY : nowMs + this.#leaseMs;
    if (proposal.grantTo !== null) this.withdraw(proposal.row.key, proposal.grantTo.sessionId);
    else entry.waiting = entry.waiting.filter((w) => !proposal.row.excluded.includes(w.build));
  }

  /** The row read again after an unknown outcome. Its holder counts as alive for one lease from now. */
  reread(row: NodeLeaseRow, nowMs: number): void {
    const entry = this.#entry(row.key);
    entry.row = row;
    entry.mustReread = false;
    entry.aliveUntilMs = row.sessionId === null ? Number.NEGATIVE_INFINITY : nowMs + this.#leaseMs;
  }

  /** Renews a lease, counted from receipt; refused while a commit is open or of unknown outcome. */
  renew(
    key: string,
    holder: { readonly sessionId: string; readonly epoch: number },
    nowMs: number,
  ): RenewAnswer {
    const entry = this.#entry(key);
    const isChanging = entry.pending !== null || entry.mustReread;
    if (isChanging || entry.row.isClosed || !isHolder(entry.row, holder)) {
      return { renewed: false, currentEpoch: entry.row.epoch };
    }
    entry.aliveUntilMs = nowMs + this.#leaseMs;
    return { renewed: true, aliveUntilMs: entry.aliveUntilMs };
  }

  #entry(key: string): LeaseEntry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const row = { key, epoch: 0, sessionId: null, build: null, excluded: [], isClosed: false };
      entry = {
        row,
        aliveUntilMs: Number.NEGATIVE_INFINITY,
        waiting: [],
        pending: null,
        mustReread: false,
      };
      this.#entries.set(key, entry);
    }
    return entry;
  }
}

/** The next holder among `waiting`, or null when none may hold. */
export function chooseCandidate<C extends Candidate & { readonly sinceMs: number }>(
  row: NodeLeaseRow,
  waiting: readonly C[],
): C | null {
  const rank = (c: C): number => (c.build === row.build ? 2 : 0) + (c.hasUpstreamsLocally ? 1 : 0);
  const fit = waiting.filter((c) => c.reachesUpstreams && !row.excluded.includes(c.build));
  const best = [...fit].sort((a, b) => rank(b) - rank(a) || a.sinceMs - b.sinceMs);
  return best[0] ?? null;
}

function isHolder(
  row: NodeLeaseRow,
  holder: { readonly sessionId: string; readonly epoch: number },
): boolean {
  return row.sessionId === holder.sessionId && row.epoch === holder.epoch;
}
