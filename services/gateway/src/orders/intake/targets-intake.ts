import { QmtlError } from "@qmtl/sdk/rpc";
import type { AccountRouter } from "../account/account-router.ts";
import { waitingOperationsMax } from "../account/serial-queue.ts";
import { type TargetsTurn, type TargetVerdict, takeTargets } from "./take-targets.ts";

/** Calls taken in one transaction at most. */
export const turnsAtOnceMax = 64;

interface WaitingTurn {
  readonly turn: () => TargetsTurn;
  readonly resolve: (verdicts: readonly TargetVerdict[]) => void;
  readonly reject: (failure: unknown) => void;
}

/**
 * Target calls of one account. While one transaction runs the others gather: runners that end the same bar are taken
 * together, in the order they came.
 */
export class TargetsIntake {
  readonly #router: AccountRouter;
  #waiting: WaitingTurn[] = [];

  constructor(router: AccountRouter) {
    this.#router = router;
  }

  /** `turn` is asked for when it is the call's turn. TOO_MANY_REQUESTS when too many calls wait. */
  take(turn: () => TargetsTurn): Promise<readonly TargetVerdict[]> {
    if (this.#waiting.length >= waitingOperationsMax) {
      const message = "too many target calls of one account wait";
      return Promise.reject(new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ turn, resolve, reject });
      if (this.#waiting.length === 1) this.#begin();
    });
  }

  #begin(): void {
    this.#router
      .exclusiveBooking(() => this.#takeSome())
      .catch((failure: unknown) => {
        for (const { reject } of this.#waiting.splice(0)) reject(failure);
      });
  }

  async #takeSome(): Promise<void> {
    const taken = this.#waiting.splice(0, turnsAtOnceMax);
    if (this.#waiting.length > 0) this.#begin();
    try {
      const verdicts = await takeTargets(
        this.#router,
        taken.map(({ turn }) => turn()),
      );
      for (const [index, { resolve }] of taken.entries()) resolve(verdicts[index] ?? []);
    } catch (failure) {
      for (const { reject } of taken) reject(failure);
    }
  }
}
