import type { Message } from "@bufbuild/protobuf";
import type { ServerDuplexStream, StatusObject } from "@grpc/grpc-js";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallContext, CallPrincipal } from "../handlers.ts";
import type { SessionScope } from "../session-scope.ts";
import { checkRole } from "./call-access.ts";
import { GrpcCallContext, principalOfCall } from "./grpc-call.ts";
import { OutgoingStream } from "./grpc-server-stream.ts";
import { type CheckedCall, checkCall, decodeRequest } from "./request-check.ts";
import { notBuilt, type ServedMethod } from "./served-method.ts";
import type { ServerSetup } from "./server-setup.ts";
import { grpcFailure, refusalOf } from "./wire-error.ts";
import type { OutgoingMessage } from "./write-through.ts";

type DuplexCall = ServerDuplexStream<Buffer, OutgoingMessage>;

/** Largest request of a stream, bytes. */
const FRAME_BYTES_MAX = 1024 * 1024;
/** Requests that may wait for the handler; then the connection is not read. */
const WAITING_FRAMES_MAX = 16;

/**
 * A stream of requests that is answered with a stream, at the gRPC server. Each request is decoded and checked when it
 * arrives, like that of a unary call; the caller's identity is established once. A request that is refused ends the
 * stream with its refusal, after those before it were handled.
 */
export function bidiStreamOfGrpcServer(
  setup: ServerSetup,
  method: ServedMethod,
): (call: DuplexCall) => void {
  return (call) => {
    const fail = (failure: unknown) => {
      call.pause();
      const refused: Partial<StatusObject> = grpcFailure(refusalOf(failure, method, setup.logger));
      call.emit("error", refused);
    };
    try {
      const stream = new OutgoingStream(setup, method, call, fail);
      open(setup, method, call, stream).catch((failure: unknown) => stream.end(failure));
    } catch (failure) {
      fail(failure);
    }
  };
}

async function open(
  setup: ServerSetup,
  method: ServedMethod,
  call: DuplexCall,
  stream: OutgoingStream,
): Promise<void> {
  const principal = principalOfCall(setup, call);
  checkRole(method.access, principal, method.feature);
  if (method.call?.kind !== "bidi_streaming") throw notBuilt(method.feature);
  const frames = new FrameReader(setup, method, principal, call);
  const { signal } = stream.active;
  signal.addEventListener("abort", () => frames.stop(), { once: true });
  const first = await frames.first();
  if (stream.active.isOver) return;
  const context = new FrameContext(setup, call, stream, first, frames);
  stream.send(method.call.invoke(frames, context), first.version);
}

/** The requests of one stream, in order. To be iterated once. */
class FrameReader implements AsyncIterable<Message> {
  readonly #setup: ServerSetup;
  readonly #method: ServedMethod;
  readonly #principal: CallPrincipal;
  readonly #call: DuplexCall;
  readonly #waiting: Buffer[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  #ticket = "";
  #first: { readonly message: Message; readonly checked: CheckedCall } | undefined;
  #session: SessionScope | undefined;

  constructor(
    setup: ServerSetup,
    method: ServedMethod,
    principal: CallPrincipal,
    call: DuplexCall,
  ) {
    this.#setup = setup;
    this.#method = method;
    this.#principal = principal;
    this.#call = call;
    call.on("data", (bytes: Buffer) => {
      this.#waiting.push(bytes);
      if (this.#waiting.length >= WAITING_FRAMES_MAX) call.pause();
      this.#signalled();
    });
    call.on("end", () => this.stop());
  }

  /** Session of the newest ticket. */
  get session(): SessionScope | undefined {
    return this.#session;
  }

  /** No further request is read; what waits is dropped once the call is over. */
  stop(): void {
    this.#ended = true;
    this.#signalled();
  }

  /** Waits for the first request, on which version and session of the stream rest. */
  async first(): Promise<CheckedCall> {
    const message = await this.#next();
    if (message === undefined) {
      throw new QmtlError(
        "INVALID_FIELD",
        `${this.#method.feature} ended before its first request`,
      );
    }
    const checked = checkCall(this.#setup, this.#method, message, this.#principal);
    this.#ticket = ticketOf(message);
    this.#session = checked.session;
    this.#first = { message, checked };
    return checked;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, void> {
    const { message } = this.#first!;
    yield message;
    for (;;) {
      const next = await this.#next();
      if (next === undefined) return;
      this.#check(next);
      yield next;
    }
  }

  /** Checks a later request under its own ticket, or the newest before it. */
  #check(message: Message): void {
    const stated = ticketOf(message);
    if (stated === "" && "ticket" in message) message.ticket = this.#ticket;
    const { session } = checkCall(this.#setup, this.#method, message, this.#principal);
    const own = this.#session?.sessionId;
    if (session?.sessionId !== own) {
      throw new QmtlError("TICKET_SCOPE", `the ticket is not one of session ${own}`, {
        fields: [{ field: "ticket", description: "must be of the session that began the stream" }],
      });
    }
    if (stated !== "") this.#ticket = stated;
    this.#session = session;
  }

  async #next(): Promise<Message | undefined> {
    for (;;) {
      const bytes = this.#waiting.shift();
      if (bytes !== undefined) {
        if (this.#waiting.length < WAITING_FRAMES_MAX / 2 && this.#call.isPaused()) {
          this.#call.resume();
        }
        checkSize(bytes);
        return decodeRequest(this.#method, bytes);
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #signalled(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function ticketOf(message: Message): string {
  return "ticket" in message && typeof message.ticket === "string" ? message.ticket : "";
}

function checkSize({ length }: Buffer): void {
  if (length <= FRAME_BYTES_MAX) return;
  const message = `a request of a stream has ${length} bytes; at most ${FRAME_BYTES_MAX} are taken`;
  const metadata = { max_bytes: String(FRAME_BYTES_MAX) };
  throw new QmtlError("MESSAGE_TOO_LARGE", message, { metadata });
}

/** Context of a stream of requests; its session is that of the newest ticket. */
class FrameContext extends GrpcCallContext implements CallContext {
  readonly #frames: FrameReader;

  constructor(
    setup: ServerSetup,
    call: DuplexCall,
    stream: OutgoingStream,
    first: CheckedCall,
    frames: FrameReader,
  ) {
    super(setup, call, stream.active, first);
    this.#frames = frames;
  }

  override get session(): SessionScope | undefined {
    return this.#frames.session;
  }
}
