import type { StatusObject } from "@grpc/grpc-js";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { EncodedMessage } from "../handlers.ts";
import type { ActiveCall } from "./active-calls.ts";
import { checkRole } from "./call-access.ts";
import { GrpcCallContext, principalOfCall, type SurfaceCall } from "./grpc-call.ts";
import { withFieldNamed } from "./not-found-field.ts";
import { answerBytes, checkCall, decodeRequest } from "./request-check.ts";
import { type Answer, notBuilt, type ServedMethod } from "./served-method.ts";
import type { ServerSetup } from "./server-setup.ts";
import { grpcFailure, refusalOf } from "./wire-error.ts";
import { OutgoingMessage } from "./write-through.ts";

const WAITING_BYTES_MAX = 1024 * 1024;

/** A call that is answered with a stream, as a server takes it: over a connection, or within the process. */
export interface ServerStreamCall extends SurfaceCall {
  readonly request: Buffer;
  on(event: "cancelled", listener: () => void): unknown;
  /** Passes a message on; `onTaken` of it is called once it no longer waits here. */
  write(message: OutgoingMessage): unknown;
  /** Ends the stream after the messages before. */
  end(): unknown;
}

/** Handles a call; `fail` ends the stream with a failure instead. */
export type ServerStreamHandler = (
  call: ServerStreamCall,
  fail: (failure: Partial<StatusObject>) => void,
) => void;

/**
 * A server stream at the gRPC server. The handler is asked for its next message only while fewer than 16
 * messages and 1 MiB wait for the reader; a reader that takes nothing for `stallMsMax` loses the stream.
 */
export function serverStreamOfGrpcServer(
  setup: ServerSetup,
  method: ServedMethod,
): ServerStreamHandler {
  return (call, failWith) => {
    const fail = (failure: unknown) => {
      failWith(grpcFailure(refusalOf(failure, method, setup.logger)));
    };
    try {
      const stream = new OutgoingStream(setup, method, call, fail);
      try {
        const principal = principalOfCall(setup, call);
        checkRole(method.access, principal, method.feature);
        if (method.call?.kind !== "server_streaming") throw notBuilt(method.feature);
        const request = decodeRequest(method, call.request);
        const checked = checkCall(setup, method, request, principal);
        const context = new GrpcCallContext(setup, call, stream.active, checked);
        stream.send(method.call.invoke(request, context), checked.version, (failure) =>
          withFieldNamed(failure, method.desc.input, request),
        );
      } catch (failure) {
        stream.end(failure);
      }
    } catch (failure) {
      fail(failure);
    }
  };
}

/** Where the messages of a stream go. */
type StreamTarget = Pick<ServerStreamCall, "on" | "write" | "end">;

/** The answers of one call on their way to its reader. */
export class OutgoingStream {
  /** The call; it is over once the stream has ended, whatever the cause. */
  readonly active: ActiveCall;
  readonly #setup: ServerSetup;
  readonly #method: ServedMethod;
  readonly #call: StreamTarget;
  readonly #fail: (failure: unknown) => void;
  readonly #writer: StreamWriter;
  #iterator: AsyncIterator<Answer | EncodedMessage> | undefined;

  /** @throws {QmtlError} DRAINING. */
  constructor(
    setup: ServerSetup,
    method: ServedMethod,
    call: StreamTarget,
    fail: (failure: unknown) => void,
  ) {
    this.#setup = setup;
    this.#method = method;
    this.#call = call;
    this.#fail = fail;
    this.#writer = new StreamWriter(call);
    this.active = setup.calls.begin(true, (reason) => {
      fail(reason);
      this.#writer.release();
      this.#returnIterator();
    });
    call.on("cancelled", () => this.active.cancelled());
  }

  /** Sends what the handler answers, in this schema version; `named` adds to a failure of it. */
  send(
    answers: AsyncIterable<Answer | EncodedMessage>,
    version: number,
    named: (failure: unknown) => unknown = (failure) => failure,
  ): void {
    this.#pump(answers[Symbol.asyncIterator](), version).catch((failure: unknown) =>
      this.end(named(failure)),
    );
  }

  async #pump(iterator: AsyncIterator<Answer | EncodedMessage>, version: number): Promise<void> {
    this.#iterator = iterator;
    for (;;) {
      const step = await iterator.next();
      if (this.active.isOver) return;
      if (step.done === true) {
        if (this.active.finish()) this.#call.end();
        return;
      }
      this.#writer.write(answerBytes(this.#method, step.value, version));
      if (this.#writer.isFull) await this.#room();
      if (this.active.isOver) return;
    }
  }

  async #room(): Promise<void> {
    const timer = this.#setup.clock.setTimer(() => {
      const message = `the reader took nothing for ${this.#setup.stallMsMax} ms`;
      this.active.interrupt(new QmtlError("BUFFER_FULL", message, { retryAfterMs: 1_000 }));
    }, this.#setup.stallMsMax);
    await this.#writer.room();
    timer.cancel();
  }

  /** Ends the stream with a failure, unless it has ended. */
  end(failure: unknown): void {
    if (!this.active.finish()) return;
    this.#fail(failure);
    this.#returnIterator();
  }

  /** Lets the handler clean up; what it throws now can only be logged. */
  #returnIterator(): void {
    const { feature } = this.#method;
    this.#iterator?.return?.()?.catch((failure: unknown) => {
      this.#setup.logger.warn(`cleaning up ${feature} failed`, { feature, failure });
    });
  }
}

/** Messages that may wait for a slow reader, of at most `WAITING_BYTES_MAX`; then the handler is not asked for more. */
const WAITING_MESSAGES_MAX = 16;
/** Writes to one stream and knows how much of it the reader has not taken yet. */
class StreamWriter {
  readonly #call: Pick<ServerStreamCall, "write">;
  #messages = 0;
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(call: Pick<ServerStreamCall, "write">) {
    this.#call = call;
  }

  /** True while 16 messages or 1 MiB wait. */
  get isFull(): boolean {
    return this.#messages >= WAITING_MESSAGES_MAX || this.#bytes >= WAITING_BYTES_MAX;
  }

  write(bytes: Buffer): void {
    this.#messages += 1;
    this.#bytes += bytes.length;
    const onTaken = (): void => {
      this.#messages -= 1;
      this.#bytes -= bytes.length;
      if (!this.isFull) this.release();
    };
    this.#call.write(new OutgoingMessage(bytes, onTaken));
  }

  /** Resolves when there is room again, or at `release`. */
  async room(): Promise<void> {
    if (!this.isFull) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Ends the wait: the call is over. */
  release(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
