import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer } from "@qmtl/service-kit";
import type { SliceCall } from "../ports.ts";

/** Longest time that a call is held until its slice has ended, milliseconds. */
const callWaitMsMax = 20_000;
/** Largest number of calls that are held, and of answers that are remembered. */
const heldMax = 4_096;

interface HeldCall {
  readonly call: SliceCall;
  answered(): void;
  failed(failure: unknown): void;
}

/**
 * Calls that end rows, held until the targets of their slice are taken together. One whose caller gave up stays: its
 * end was stated, and its targets belong to the slice. A call that is sent again replaces the one before.
 */
export class HeldCalls {
  readonly #clock: Clock;
  readonly #held = new Map<string, HeldCall>();
  /** The last call of each sender that was taken. */
  readonly #taken = new Map<string, SliceCall>();
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves when the call was taken.
   *
   * @param why what it waits for, asked when `waitMs` are over
   * @throws {QmtlError} BARRIER_HELD after `waitMs`, when it was sent again, or once the gateway stops. TOO_MANY_REQUESTS.
   */
  hold(call: SliceCall, waitMs: number, why: () => string): Promise<void> {
    if (this.#isClosed) throw held(gatewayStops);
    const name = nameOf(call);
    const before = this.#held.get(name);
    before?.failed(held("it was sent again"));
    if (before === undefined && this.#held.size >= heldMax) {
      const message = `${heldMax} calls wait until their rows have ended`;
      throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 });
    }
    return new Promise((resolve, reject) => {
      const timer: ClockTimer = this.#clock.setTimer(
        () => reject(held(why())),
        Math.min(callWaitMsMax, waitMs),
      );
      const end = (finish: () => void): void => {
        timer.cancel();
        finish();
      };
      this.#held.set(name, {
        call,
        answered: () => end(resolve),
        failed: (failure) => end(() => reject(failure)),
      });
    });
  }

  /** Whether the very call was taken before: its caller did not hear the answer. Copies the answer then. */
  answerAgain(call: SliceCall): boolean {
    const taken = this.#taken.get(nameOf(call));
    return taken !== undefined && call.answerAs(taken);
  }

  /** Calls of a session that are held. */
  of(sessionId: string): SliceCall[] {
    return [...this.#held.values()]
      .filter(({ call }) => call.sessionId === sessionId)
      .map(({ call }) => call);
  }

  /** Removes and returns the calls that end a row of these feeds. */
  collect(sources: ReadonlySet<string>): readonly HeldCall[] {
    const own: HeldCall[] = [];
    for (const [name, one] of this.#held) {
      if (!one.call.ends.some(({ source }) => sources.has(source))) continue;
      this.#held.delete(name);
      own.push(one);
    }
    return own;
  }

  /** Answers calls whose targets were taken. */
  taken(calls: readonly HeldCall[]): void {
    for (const { call, answered } of calls) {
      const name = nameOf(call);
      this.#taken.delete(name);
      this.#taken.set(name, call);
      answered();
    }
    for (const name of this.#taken.keys()) {
      if (this.#taken.size <= heldMax) break;
      this.#taken.delete(name);
    }
  }

  /** Refuses all calls, those that are held and any that come, because the gateway stops. */
  close(): void {
    this.#isClosed = true;
    for (const { failed } of this.#held.values()) failed(held(gatewayStops));
    this.#held.clear();
  }
}

const gatewayStops = "the gateway stops";

function nameOf({ sessionId, strategies }: SliceCall): string {
  return [sessionId, ...strategies].join("\n");
}

function held(why: string): QmtlError {
  return new QmtlError("BARRIER_HELD", `the end is held: ${why}`, { retryAfterMs: 200 });
}
