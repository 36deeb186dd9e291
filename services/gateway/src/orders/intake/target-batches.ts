import { QmtlError } from "@qmtl/sdk/rpc";
import { DbError } from "@qmtl/service-kit/db";
import { type AccountRouter, waitingOperationsMax } from "../account/account-router.ts";
import { type TargetsTurn, type TargetVerdict, takeTargets } from "./take-targets.ts";

/** What became of a call: the verdicts on its targets, or why all of it was refused. */
export type TakenCall =
  | { readonly verdicts: readonly TargetVerdict[]; readonly refusal?: undefined }
  | { readonly verdicts?: undefined; readonly refusal: Error };

/** Makes a call's turn from what is booked by then. */
type MakeTurn = () => TargetsTurn;

/**
 * Takes calls in one transaction. If what one of them states cannot be booked, each is taken alone, and that one is
 * refused. Call it outside any operation of the account.
 *
 * @throws what kept all of them from being taken: then none, or only some, were, and they may be taken again.
 */
export async function takeTogether(
  router: AccountRouter,
  turns: readonly MakeTurn[],
): Promise<readonly TakenCall[]> {
  try {
    const verdicts = await router.exclusiveBooking(() =>
      takeTargets(
        router,
        turns.map((turn) => turn()),
      ),
    );
    return turns.map((_, at) => ({ verdicts: verdicts[at] ?? [] }));
  } catch (failure) {
    if (!isFaultOfContent(failure)) throw failure;
    if (turns.length === 1) return [{ refusal: refusalOf(failure) }];
    const taken: TakenCall[] = [];
    for (const turn of turns) taken.push(...(await takeTogether(router, [turn])));
    return taken;
  }
}

/** Whether a failure is due to what was to be booked, and comes again however often that is tried. */
function isFaultOfContent(failure: unknown): failure is Error {
  if (failure instanceof RangeError || failure instanceof TypeError) return true;
  if (!(failure instanceof DbError)) return false;
  const { reason, sqlState = "" } = failure;
  if (reason === "CONSTRAINT_VIOLATION" || reason === "UNIQUE_VIOLATION") return true;
  return reason === "SQL_ERROR" && sqlState.startsWith("22");
}

/** A value that the store does not take is the caller's; anything else is a fault of this gateway. */
function refusalOf(failure: Error): Error {
  if (!(failure instanceof DbError) || failure.reason !== "SQL_ERROR") return failure;
  const problem = "a value of it cannot be stored";
  return new QmtlError("INVALID_FIELD", problem, {
    fields: [{ field: "update", description: problem }],
    cause: failure,
  });
}

/** Largest number of calls taken in one transaction. */
const turnsAtOnceMax = 64;

interface WaitingTurn {
  readonly turn: MakeTurn;
  readonly resolve: (taken: TakenCall) => void;
  readonly reject: (failure: unknown) => void;
}

/**
 * Target calls of one account. While one transaction runs the others gather: runners that end the same bar are taken
 * together, 64 calls at most, in the order that `takeTargets` gives them. Those beyond are taken next, as they came.
 */
export class TargetBatches {
  readonly #router: AccountRouter;
  #waiting: WaitingTurn[] = [];

  constructor(router: AccountRouter) {
    this.#router = router;
  }

  /** `turn` is called when it is the call's turn. Rejects with TOO_MANY_REQUESTS when too many calls wait. */
  take(turn: MakeTurn): Promise<TakenCall> {
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
      for (const [at, { resolve }] of taken.entries()) resolve({ verdicts: verdicts[at] ?? [] });
    } catch (failure) {
      const isOfOne = isFaultOfContent(failure);
      // They come next on the account, one by one, once this operation has ended.
      for (const { turn, resolve, reject } of taken) {
        if (isOfOne) takeTogether(this.#router, [turn]).then(([one]) => resolve(one!), reject);
        else reject(failure);
      }
    }
  }
}
