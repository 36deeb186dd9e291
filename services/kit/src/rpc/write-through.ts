import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { ArrivingCall, type RequestIntake } from "./request-intake.ts";

/** A message of a server stream on its way to the reader. */
export class OutgoingMessage {
  readonly bytes: Buffer;
  /** Called when the connection has taken it. */
  readonly onTaken: () => void;

  constructor(bytes: Buffer, onTaken: () => void) {
    this.bytes = bytes;
    this.onTaken = onTaken;
  }
}

/**
 * Hands a stream's messages to the connection as they come. By itself grpc-js waits after each one until the
 * connection has taken it, so that every message costs a turn of the event loop and a write of its own; how much
 * may wait is for `StreamWriter` to say.
 */
class WriteThrough extends ArrivingCall {
  readonly #next: ServerInterceptingCallInterface;

  constructor(next: ServerInterceptingCallInterface, intake: RequestIntake) {
    super(next, intake);
    this.#next = next;
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (!(message instanceof OutgoingMessage)) {
      super.sendMessage(message, callback);
      return;
    }
    this.#next.sendMessage(message, message.onTaken);
    callback();
  }
}

/**
 * One wrapper for each call: requests are counted as they come in, and our server streams are written through. Methods with a stream
 * of requests, such as those of reflection, are left as they are.
 */
export const callInterceptor =
  (intake: RequestIntake): ServerInterceptor =>
  (method, call) => {
    if (method.requestStream) return new ServerInterceptingCall(call);
    return method.responseStream ? new WriteThrough(call, intake) : new ArrivingCall(call, intake);
  };
