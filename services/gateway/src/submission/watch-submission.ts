import type { Submission } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, sleep } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { readSubmission, type SubmissionRow } from "../store/submission-store.ts";
import { submissionMessage } from "./submission-message.ts";

/** How often a submission that another process works on is checked, milliseconds. */
const lookMs = 1_000;

/** A change of a submission that its watcher waits for. */
interface NextChange {
  /** Resolves at the next change, after a second at most. */
  wait(): Promise<void>;
  /** The submission after the newest change since; undefined when there was none, or its outcome has to be read. */
  readonly row: SubmissionRow | undefined;
  end(): void;
}

/** Wakes those who watch a submission when it changed in this process, and knows what this process works on. */
export class SubmissionWatch {
  readonly db: Db;
  readonly clock: Clock;
  readonly #wakers = new Map<string, Set<(row: SubmissionRow | undefined) => void>>();
  /** Submissions that this process works on, as it stored them. */
  readonly #current = new Map<string, SubmissionRow>();

  constructor(db: Db, clock: Clock) {
    this.db = db;
    this.clock = clock;
  }

  /** @param row the submission as this process stored it; undefined: another process changed it. */
  changed(submissionId: string, row: SubmissionRow | undefined): void {
    if (row?.state === "processing") this.#current.set(submissionId, row);
    else this.#current.delete(submissionId);
    for (const wake of this.#wakers.get(submissionId) ?? []) wake(row);
  }

  /** A submission that this process works on; undefined for any other. */
  current(submissionId: string): SubmissionRow | undefined {
    return this.#current.get(submissionId);
  }

  /** Call it before reading, so that no change is missed; call `end` afterwards. */
  next(submissionId: string, signal: AbortSignal): NextChange {
    const woken = new AbortController();
    const abort = () => woken.abort();
    let newest: SubmissionRow | undefined;
    const wake = (row: SubmissionRow | undefined) => {
      newest = row;
      abort();
    };
    const wakers = this.#wakers.get(submissionId) ?? new Set();
    wakers.add(wake);
    this.#wakers.set(submissionId, wakers);
    signal.addEventListener("abort", abort, { once: true });
    return {
      wait: () => sleep(this.clock, lookMs, woken.signal),
      get row() {
        return newest;
      },
      end: () => {
        signal.removeEventListener("abort", abort);
        wakers.delete(wake);
        if (wakers.size === 0) this.#wakers.delete(submissionId);
      },
    };
  }
}

/** A submission after each change, until it is completed or failed. @throws {QmtlError} SUBMISSION_NOT_FOUND. */
export async function* watchSubmission(
  watch: SubmissionWatch,
  submissionId: string,
  signal: AbortSignal,
): AsyncGenerator<{ submission: Submission }> {
  let told = "";
  let known = watch.current(submissionId);
  while (!signal.aborted) {
    const next = watch.next(submissionId, signal);
    try {
      const row = known ?? (await readSubmission(watch.db, submissionId));
      if (row === undefined) {
        const metadata = { submission_id: submissionId };
        throw new QmtlError("SUBMISSION_NOT_FOUND", `no submission ${submissionId}`, { metadata });
      }
      const now = JSON.stringify([row.round, row.state, row.stateReason, row.attempts]);
      if (now !== told) yield { submission: submissionMessage(row) };
      told = now;
      if (row.state === "completed" || row.state === "failed") return;
      await next.wait();
      // Nothing comes between this and the next `next`.
      known = next.row;
    } finally {
      next.end();
    }
  }
}
