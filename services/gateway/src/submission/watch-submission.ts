import type { Submission } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, sleep } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { readSubmission } from "../store/submission-store.ts";
import { submissionMessage } from "./submission-message.ts";

/** How often a submission that another process works on is checked, milliseconds. */
const lookMs = 1_000;

/** Wakes those who watch a submission when it changed in this process. */
export class SubmissionWatch {
  readonly db: Db;
  readonly clock: Clock;
  readonly #wakers = new Map<string, Set<() => void>>();

  constructor(db: Db, clock: Clock) {
    this.db = db;
    this.clock = clock;
  }

  changed(submissionId: string): void {
    for (const wake of this.#wakers.get(submissionId) ?? []) wake();
  }

  /**
   * Waits for the next change, a second at most. Call it before reading, so that no change is missed; call `end`
   * afterwards.
   */
  next(submissionId: string, signal: AbortSignal): { wait(): Promise<void>; end(): void } {
    const woken = new AbortController();
    const wake = () => woken.abort();
    const wakers = this.#wakers.get(submissionId) ?? new Set();
    wakers.add(wake);
    this.#wakers.set(submissionId, wakers);
    signal.addEventListener("abort", wake, { once: true });
    return {
      wait: () => sleep(this.clock, lookMs, woken.signal),
      end: () => {
        signal.removeEventListener("abort", wake);
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
  while (!signal.aborted) {
    const next = watch.next(submissionId, signal);
    try {
      const row = await readSubmission(watch.db, submissionId);
      if (row === undefined) {
        const metadata = { submission_id: submissionId };
        throw new QmtlError("SUBMISSION_NOT_FOUND", `no submission ${submissionId}`, { metadata });
      }
      const now = JSON.stringify([row.round, row.state, row.stateReason, row.attempts]);
      if (now !== told) yield { submission: submissionMessage(row) };
      told = now;
      if (row.state === "completed" || row.state === "failed") return;
      await next.wait();
    } finally {
      next.end();
    }
  }
}
