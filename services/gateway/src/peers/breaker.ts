import { Code } from "@connectrpc/connect";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock } from "@qmtl/service-kit";

/** Failures in a row after which a peer is left alone. */
const breakerFailuresMax = 3;
/** How long it is left alone before one call tries again, milliseconds. */
const breakerOpenMs = 1_000;

type BreakerState = "closed" | "open" | "half_open";

/**
 * Spares a peer that does not answer, and its callers the wait. Opens after three outages in a row; one second later
 * one call may try, and its outcome closes or opens it again. Refusals count as answers.
 */
export class Breaker {
  readonly #peer: string;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #failures = 0;
  /** What opened it. */
  #last: QmtlError | undefined;
  #openedMs = 0;
  #isProbing = false;

  constructor(peer: string, clock: Pick<Clock, "monotonicMs">) {
    this.#peer = peer;
    this.#clock = clock;
  }

  get state(): BreakerState {
    if (this.#failures < breakerFailuresMax) return "closed";
    return this.#clock.monotonicMs() - this.#openedMs < breakerOpenMs ? "open" : "half_open";
  }

  /** Runs a call. @throws {QmtlError} PEER_UNAVAILABLE or STORE_UNAVAILABLE at once while open. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const isProbe = this.#enter();
    try {
      const answer = await call();
      this.#failures = 0;
      return answer;
    } catch (failure) {
      this.#count(failure);
      throw failure;
    } finally {
      if (isProbe) this.#isProbing = false;
    }
  }

  /** Admits a stream; its outcome is reported with `answered` and `broke`. */
  admit(): void {
    if (this.#enter()) this.#isProbing = false;
  }

  /** The peer answered. */
  answered(): void {
    this.#failures = 0;
  }

  /** A stream ended with this. */
  broke(failure: unknown): void {
    this.#count(failure);
  }

  #enter(): boolean {
    const { state } = this;
    if (state === "closed") return false;
    if (state === "open" || this.#isProbing) {
      // A peer whose store is down does answer: the refusal names what is really missing.
      const isStore = this.#last?.reason === "STORE_UNAVAILABLE";
      const lacks = isStore ? "has no store to work with" : "does not answer";
      throw new QmtlError(
        isStore ? "STORE_UNAVAILABLE" : "PEER_UNAVAILABLE",
        `${this.#peer} ${lacks}`,
        { retryAfterMs: breakerOpenMs, metadata: { peer: this.#peer } },
      );
    }
    this.#isProbing = true;
    return true;
  }

  #count(failure: unknown): void {
    if (!isOutage(failure)) {
      this.#failures = 0;
      return;
    }
    this.#failures += 1;
    this.#last = failure;
    if (this.#failures >= breakerFailuresMax) this.#openedMs = this.#clock.monotonicMs();
  }
}

/** True when the peer did not answer, as opposed to saying no. */
export function isOutage(failure: unknown): failure is QmtlError {
  if (!(failure instanceof QmtlError)) return false;
  if (failure.reason === "BARRIER_HELD" || failure.reason === "NOT_LEADER") return false;
  return failure.code === Code.Unavailable || failure.code === Code.DeadlineExceeded;
}

/** True when trying again later may help: an outage, or nobody leads just now. */
export function isTransient(failure: unknown): boolean {
  if (!(failure instanceof QmtlError)) return false;
  const codes: readonly Code[] = [
    Code.Unavailable,
    Code.DeadlineExceeded,
    Code.ResourceExhausted,
    Code.Canceled,
  ];
  return codes.includes(failure.code);
}
