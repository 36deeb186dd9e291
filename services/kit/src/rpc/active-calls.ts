import { Code } from "@connectrpc/connect";
import { QmtlError } from "@qmtl/sdk/rpc";

/** The failure of a call whose caller went away before the answer. */
export function callCancelled(): QmtlError {
  return new QmtlError("OUTCOME_UNKNOWN", "the caller cancelled the call", { code: Code.Canceled });
}

/** The refusal of a server that stops: the caller should connect again, to another one or a little later. */
function serverDrains(): QmtlError {
  return new QmtlError("DRAINING", "the server is stopping; connect again", { retryAfterMs: 500 });
}

/**
 * One call in progress. Its signal aborts when the caller went away, the deadline passed or the server stops;
 * not when the call ends by itself.
 */
export class ActiveCall {
  readonly #calls: ActiveCalls;
  readonly #onInterrupt: (reason: QmtlError) => void;
  #endsAtDrain: boolean;
  #controller: AbortController | undefined;
  #over: QmtlError | true | undefined;

  constructor(calls: ActiveCalls, isStream: boolean, onInterrupt: (reason: QmtlError) => void) {
    this.#calls = calls;
    this.#endsAtDrain = isStream;
    this.#onInterrupt = onInterrupt;
  }

  /** True for what a drain interrupts instead of waiting for its end: a stream, a long poll. */
  get endsAtDrain(): boolean {
    return this.#endsAtDrain;
  }

  /** Says of a unary call that it waits for a change; before its handler is called. */
  setLongPoll(): void {
    this.#endsAtDrain = true;
  }

  /** True after `finish` or `interrupt`. */
  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** Made at first use: most unary calls never look at it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#over instanceof QmtlError) this.#controller.abort(this.#over);
    }
    return this.#controller.signal;
  }

  /** Ends the call after its own answer or failure; false when it was over already. */
  finish(): boolean {
    if (this.#over !== undefined) return false;
    this.#over = true;
    this.#calls.remove(this);
    return true;
  }

  /** Ends the call because the caller gave up. Also called after a call that ended by itself: then it does nothing. */
  cancelled(): void {
    if (this.#over === undefined) this.interrupt(callCancelled());
  }

  /** Ends the call from outside: first answers the caller, then aborts the handler's signal. */
  interrupt(reason: QmtlError): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    this.#calls.remove(this);
    this.#onInterrupt(reason);
    this.#controller?.abort(reason);
  }
}

/** All calls of one server. */
export class ActiveCalls {
  readonly #active = new Set<ActiveCall>();
  #draining = false;
  #whenIdle: (() => void)[] = [];

  get size(): number {
    return this.#active.size;
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  /** Registers a call. @throws {QmtlError} DRAINING once `drain` was called. */
  begin(isStream: boolean, onInterrupt: (reason: QmtlError) => void): ActiveCall {
    if (this.#draining) throw serverDrains();
    const call = new ActiveCall(this, isStream, onInterrupt);
    this.#active.add(call);
    return call;
  }

  remove(call: ActiveCall): void {
    this.#active.delete(call);
    if (this.#active.size > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Refuses further calls and ends the streams and long polls; resolves when the other unary calls are done, too. */
  drain(): Promise<void> {
    this.#draining = true;
    for (const call of [...this.#active]) if (call.endsAtDrain) call.interrupt(serverDrains());
    if (this.#active.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Ends everything that is still running. */
  interruptAll(): void {
    for (const call of [...this.#active]) call.interrupt(serverDrains());
  }
}
