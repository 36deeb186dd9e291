import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer } from "../clock.ts";
import { grpcFailure } from "./wire-error.ts";

/** Requests read from their connections at once; with messages of 16 MiB they hold 256 MiB at most. */
const READING_MAX = 16;
/** A request that is not there whole after this, while others wait for their turn, is refused, milliseconds. */
const PATIENCE_MS = 5_000;
/** The same while nobody waits, milliseconds. */
const ARRIVAL_MS_MAX = 30_000;
/** How often that is looked at, milliseconds. */
const LOOK_EVERY_MS = 2_500;
/** Requests of this many bytes are handled one in a turn of the event loop. */
const LARGE_BYTES = 128 * 1024;

/**
 * Lets the requests of one server in, a bounded number at a time: what waits stays with its sender, held back by flow
 * control. Large ones are handed on one in a turn of the event loop, so that timers and small calls come between.
 */
export class ReceiveTurns {
  readonly #clock: Clock;
  /** Calls being read, and since when, oldest first. */
  readonly #reading = new Map<ReadingCall, number>();
  readonly #waiting = new Set<ReadingCall>();
  readonly #large: (() => void)[] = [];
  #timer: ClockTimer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** For the server's options. Methods with a stream of requests are left alone. */
  get interceptor(): ServerInterceptor {
    return (method, call) =>
      method.requestStream ? new ServerInterceptingCall(call) : new ReadingCall(call, this);
  }

  /** Reads the call's request, now or when its turn comes. */
  enter(call: ReadingCall): void {
    if (this.#reading.size < READING_MAX) this.#read(call);
    else this.#waiting.add(call);
  }

  /** The call's request is there, or will never be. */
  leave(call: ReadingCall): void {
    this.#waiting.delete(call);
    if (!this.#reading.delete(call)) return;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    this.#read(next);
  }

  /** Hands a request on: a large one when those before it have had a turn each. */
  hand(bytes: number, on: () => void): void {
    if (bytes < LARGE_BYTES) {
      on();
      return;
    }
    this.#large.push(on);
    if (this.#large.length === 1) setImmediate(() => this.#handNext());
  }

  /** Looks no more at what is slow. */
  close(): void {
    this.#timer?.cancel();
  }

  #read(call: ReadingCall): void {
    this.#reading.set(call, this.#clock.monotonicMs());
    call.read();
    if (this.#reading.has(call)) this.#timer ??= this.#clock.setTimer(this.#look, LOOK_EVERY_MS);
  }

  #handNext(): void {
    this.#large[0]?.();
    this.#large.shift();
    if (this.#large.length > 0) setImmediate(() => this.#handNext());
  }

  readonly #look = (): void => {
    const nowMs = this.#clock.monotonicMs();
    for (const [call, sinceMs] of this.#reading) {
      const patienceMs = this.#waiting.size > 0 ? PATIENCE_MS : ARRIVAL_MS_MAX;
      if (nowMs - sinceMs < patienceMs) break;
      call.refuse(Math.round(nowMs - sinceMs));
    }
    const isIdle = this.#reading.size === 0;
    this.#timer = isIdle ? undefined : this.#clock.setTimer(this.#look, LOOK_EVERY_MS);
  };
}

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/** A call whose request is read in turn. */
class ReadingCall extends ServerInterceptingCall {
  readonly #turns: ReceiveTurns;

  constructor(next: ServerInterceptingCallInterface, turns: ReceiveTurns) {
    super(next);
    this.#turns = turns;
  }

  override start(listener: Listener): void {
    const turns = this.#turns;
    let isHanding = false;
    let isHalfClosed = false;
    super.start({
      onReceiveMetadata: (metadata: Metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message: unknown) => {
        turns.leave(this);
        isHanding = true;
        turns.hand(message instanceof Uint8Array ? message.length : 0, () => {
          isHanding = false;
          listener.onReceiveMessage(message);
          if (isHalfClosed) listener.onReceiveHalfClose();
        });
      },
      onReceiveHalfClose: () => {
        turns.leave(this);
        if (isHanding) isHalfClosed = true;
        else listener.onReceiveHalfClose();
      },
      onCancel: () => {
        turns.leave(this);
        listener.onCancel();
      },
    });
  }

  override startRead(): void {
    this.#turns.enter(this);
  }

  read(): void {
    super.startRead();
  }

  /** Ends a call whose request does not come. */
  refuse(afterMs: number): void {
    this.#turns.leave(this);
    const message = `the request was not there whole after ${afterMs} ms`;
    const status = grpcFailure(
      new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 1_000 }),
    );
    super.sendStatus({ ...status });
  }
}
