import { Code } from "@connectrpc/connect";
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";
import { refusalOfLibrary } from "./library-refusal.ts";
import { ArrivingCall, type RequestIntake } from "./request-intake.ts";
import { grpcFailure } from "./wire-error.ts";

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
 * Passes a stream's messages to the connection as they come. By itself grpc-js waits after each one until the
 * connection has taken it, so that every message costs a turn of the event loop and a write of its own. `StreamWriter`
 * limits how much may wait.
 */
class WriteThrough extends ArrivingCall {
  readonly #next: ServerInterceptingCallInterface;

  constructor(next: ServerInterceptingCallInterface, intake: RequestIntake) {
    super(next, intake);
    this.#next = next;
  }

  override sendMessage(message: unknown, callback: () => void): void {
    passOn(this.#next, message, callback, (other) => super.sendMessage(other, callback));
  }
}

/** The same for a stream of requests, whose messages are bounded one by one. */
class DuplexThrough extends ServerInterceptingCall {
  readonly #next: ServerInterceptingCallInterface;

  constructor(next: ServerInterceptingCallInterface) {
    super(next);
    this.#next = next;
  }

  override sendMessage(message: unknown, callback: () => void): void {
    passOn(this.#next, message, callback, (other) => super.sendMessage(other, callback));
  }
}

function passOn(
  next: ServerInterceptingCallInterface,
  message: unknown,
  callback: () => void,
  otherwise: (message: unknown) => void,
): void {
  if (!(message instanceof OutgoingMessage)) {
    otherwise(message);
    return;
  }
  next.sendMessage(message, message.onTaken);
  callback();
}

/**
 * Gives a reason to what grpc-js refuses by itself, such as a message that is too large or whose compression is broken.
 * It sends these refusals by the innermost call, past every wrapper, so it is this call that is changed.
 */
function writeReasons(call: ServerInterceptingCallInterface, bytesMax: number): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = ({ code = status.UNKNOWN, details = "", metadata = null, ...rest }) => {
    const isTold = metadata !== null && metadata.get("grpc-status-details-bin").length > 0;
    const refused = isTold ? undefined : REFUSED_BY_LIBRARY.get(code);
    const own =
      refused === undefined
        ? { code, details, metadata }
        : grpcFailure(refusalOfLibrary({ code: refused, message: details }, bytesMax));
    send({ ...rest, ...own });
  };
}

const REFUSED_BY_LIBRARY: ReadonlyMap<number, Code> = new Map([
  [status.RESOURCE_EXHAUSTED, Code.ResourceExhausted],
  [status.INTERNAL, Code.Internal],
  [status.UNIMPLEMENTED, Code.Unimplemented],
  [status.DEADLINE_EXCEEDED, Code.DeadlineExceeded],
]);

/**
 * Wraps each call once: requests are counted as they arrive, and our streams are written through. Of a stream of requests
 * none is counted: it is read as its handler takes them.
 */
export const callInterceptor =
  (intake: RequestIntake, bytesMax: number): ServerInterceptor =>
  (method, call) => {
    writeReasons(call, bytesMax);
    if (method.requestStream) return new DuplexThrough(call);
    return method.responseStream ? new WriteThrough(call, intake) : new ArrivingCall(call, intake);
  };
