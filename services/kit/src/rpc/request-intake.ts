import { Readable } from "node:stream";
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
} from "@grpc/grpc-js";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, ClockTimer } from "../clock.ts";
import { grpcFailure } from "./wire-error.ts";

/** Largest number of bytes of requests that are arriving or wait to be handled; beyond it the largest is refused. */
const WAITING_BYTES_MAX = 256 * 1024 * 1024;
/** A request that is not complete after this is refused, milliseconds. */
const ARRIVAL_MS_MAX = 30_000;
/** How often that is checked, milliseconds. */
const LOOK_EVERY_MS = 5_000;
/** Requests of at least this many bytes are handled one per turn of the event loop. */
const LARGE_BYTES = 128 * 1024;

/** A request that is arriving. */
export interface Arriving {
  /** Memory it takes so far, bytes; counted by the intake. */
  bytes: number;
  /** Refuses it, because it takes too much memory or time. */
  refuse(why: string): void;
}

/** The refusal of a request that takes too much memory or time while it arrives. */
export function refusedIntake(why: string): QmtlError {
  return new QmtlError("TOO_MANY_REQUESTS", why, { retryAfterMs: 1_000 });
}

/**
 * The requests that one server is receiving. Bounds the memory that they take together, and the time that each takes to
 * arrive. Large ones are passed on one per turn of the event loop, so that timers and small calls run in between.
 */
export class RequestIntake {
  readonly #clock: Clock;
  /** Those that are not handled yet, and since when, oldest first. */
  readonly #arriving = new Map<Arriving, number>();
  readonly #large: (() => void)[] = [];
  #bytes = 0;
  #timer: ClockTimer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Registers a call whose request is still to arrive. */
  enter(call: Arriving): void {
    this.#arriving.set(call, this.#clock.monotonicMs());
    this.#timer ??= this.#clock.setTimer(this.#look, LOOK_EVERY_MS);
  }

  /** Counts further bytes of a call's request; may refuse the largest request, be it this or another. */
  take(call: Arriving, bytes: number): void {
    if (!this.#arriving.has(call)) return;
    call.bytes += bytes;
    this.#bytes += bytes;
    if (this.#bytes <= WAITING_BYTES_MAX) return;
    let largest = call;
    for (const other of this.#arriving.keys()) if (other.bytes > largest.bytes) largest = other;
    largest.refuse("the server is receiving too much at once");
  }

  /** Stops counting a call: its request was passed on, or will never arrive. */
  leave(call: Arriving): void {
    if (this.#arriving.delete(call)) this.#bytes -= call.bytes;
  }

  /** Passes a request on; a large one only after the large ones before it have had a turn each. */
  hand(bytes: number, on: () => void): void {
    if (bytes < LARGE_BYTES) {
      on();
      return;
    }
    this.#large.push(on);
    if (this.#large.length === 1) setImmediate(this.#handNext);
  }

  /** Ends the check for slow requests. */
  close(): void {
    this.#timer?.cancel();
  }

  readonly #handNext = (): void => {
    const [next] = this.#large;
    if (next === undefined) return;
    try {
      next();
    } finally {
      this.#large.shift();
      if (this.#large.length > 0) setImmediate(this.#handNext);
    }
  };

  readonly #look = (): void => {
    const nowMs = this.#clock.monotonicMs();
    for (const [call, sinceMs] of this.#arriving) {
      if (nowMs - sinceMs < ARRIVAL_MS_MAX) break;
      call.refuse(`the request was not complete after ${Math.round(nowMs - sinceMs)} ms`);
    }
    const isIdle = this.#arriving.size === 0;
    this.#timer = isIdle ? undefined : this.#clock.setTimer(this.#look, LOOK_EVERY_MS);
  };
}

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/** A call whose request is counted while it arrives. */
export class ArrivingCall extends ServerInterceptingCall implements Arriving {
  /** Bytes of the request that have arrived so far. */
  bytes = 0;
  readonly #intake: RequestIntake;
  readonly #stream: Readable | undefined;

  constructor(next: ServerInterceptingCallInterface, intake: RequestIntake) {
    super(next);
    this.#intake = intake;
    // grpc-js does not say how much of a message came in. Without its stream only the time is bounded.
    const stream: unknown = Reflect.get(next, "stream");
    this.#stream = stream instanceof Readable ? stream : undefined;
  }

  override start(listener: Listener): void {
    const intake = this.#intake;
    let isHanding = false;
    let isHalfClosed = false;
    intake.enter(this);
    const count = (data: Uint8Array) => intake.take(this, data.length);
    this.#stream?.on("data", count);
    const arrived = () => {
      this.#stream?.off("data", count);
      intake.leave(this);
    };
    super.start({
      onReceiveMetadata: (metadata: Metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message: unknown) => {
        isHanding = true;
        intake.hand(message instanceof Uint8Array ? message.length : 0, () => {
          arrived();
          isHanding = false;
          listener.onReceiveMessage(message);
          if (isHalfClosed) listener.onReceiveHalfClose();
        });
      },
      onReceiveHalfClose: () => {
        if (isHanding) {
          isHalfClosed = true;
          return;
        }
        arrived();
        listener.onReceiveHalfClose();
      },
      onCancel: () => {
        arrived();
        listener.onCancel();
      },
    });
  }

  refuse(why: string): void {
    this.#intake.leave(this);
    super.sendStatus({ ...grpcFailure(refusedIntake(why)) });
  }
}
