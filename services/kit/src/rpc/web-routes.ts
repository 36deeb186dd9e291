import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  Message,
  MessageShape,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import { connectErrorFrom, QmtlError } from "@qmtl/sdk/rpc";
import type { CallContext, CallPrincipal, EncodedMessage } from "../handlers.ts";
import { type ActiveCall, callCancelled } from "./active-calls.ts";
import { checkRole } from "./call-access.ts";
import { isLongPoll } from "./long-wait.ts";
import { withFieldNamed } from "./not-found-field.ts";
import { answerMessage, checkCall } from "./request-check.ts";
import { checkDecodedSize } from "./request-size.ts";
import { type Answer, notBuilt, type ServedMethod } from "./served-method.ts";
import type { ServerSetup } from "./server-setup.ts";
import type { WebArrival } from "./web-arrival.ts";
import { refusalOf } from "./wire-error.ts";

/** Whether the peer of a call is on this machine; set by the HTTP server for each request. */
export const peerIsLoopback = createContextKey(false, { description: "peer is on loopback" });
/** The body of a call, which is still arriving; set by the HTTP server for each request. */
export const arrivalOfCall = createContextKey<WebArrival | undefined>(undefined, {
  description: "body on its way in",
});
/** The caller; set by `callerGate`. */
const callerOfCall = createContextKey<CallPrincipal | undefined>(undefined, {
  description: "caller",
});

/**
 * Checks the caller and the role before anything of the body is read, then reads the body. Throws what
 * `PrincipalCheck`, `checkRole` and `WebArrival.read` throw.
 */
export function callerGate(setup: ServerSetup): (context: HandlerContext) => Promise<void> {
  const methods = new Map(setup.methods.map((method) => [method.desc, method]));
  return async ({ method: desc, requestHeader, values }) => {
    const method = methods.get(desc);
    if (method === undefined) return;
    try {
      const principal = setup.principalOf({
        header: (name) => requestHeader.get(name) ?? undefined,
        isLoopback: values.get(peerIsLoopback),
      });
      checkRole(method.access, principal, method.feature);
      values.set(callerOfCall, principal);
      await values.get(arrivalOfCall)?.read();
    } catch (failure) {
      throw connectErrorFrom(refusalOf(failure, method, setup.logger));
    }
  };
}

/** Routes of all services for connect-node, over the same handlers as the gRPC server. */
export function webRoutes(setup: ServerSetup): (router: ConnectRouter) => void {
  return (router) => {
    for (const method of setup.methods) addRoute(router, setup, method);
  };
}

function addRoute(router: ConnectRouter, setup: ServerSetup, method: ServedMethod): void {
  const { desc } = method;
  if (isUnary(desc)) {
    router.rpc(desc, (request, context) => unary(setup, method, request, context));
  } else if (isServerStream(desc)) {
    router.rpc(desc, (request, context) => serverStream(setup, method, request, context));
  }
}

const isUnary = (desc: DescMethod): desc is DescMethodUnary => desc.methodKind === "unary";
const isServerStream = (desc: DescMethod): desc is DescMethodServerStreaming =>
  desc.methodKind === "server_streaming";

async function unary(
  setup: ServerSetup,
  method: ServedMethod,
  request: Message,
  context: HandlerContext,
): Promise<MessageShape<DescMessage>> {
  const call = new WebCall(setup, method, context, false);
  try {
    if (method.call?.kind !== "unary") throw notBuilt(method.feature);
    const own = call.context(request);
    const answer = await call.orInterrupted(method.call.invoke(request, own));
    return answerMessage(method, answer, own.schemaVersion);
  } catch (failure) {
    throw call.refusal(withFieldNamed(failure, method.desc.input, request));
  } finally {
    call.end();
  }
}

async function* serverStream(
  setup: ServerSetup,
  method: ServedMethod,
  request: Message,
  context: HandlerContext,
): AsyncGenerator<MessageShape<DescMessage>> {
  const call = new WebCall(setup, method, context, true);
  let iterator: AsyncIterator<Answer | EncodedMessage> | undefined;
  try {
    if (method.call?.kind !== "server_streaming") throw notBuilt(method.feature);
    const own = call.context(request);
    iterator = method.call.invoke(request, own)[Symbol.asyncIterator]();
    for (;;) {
      const step = await call.orInterrupted(iterator.next());
      if (step.done === true) return;
      yield answerMessage(method, step.value, own.schemaVersion);
    }
  } catch (failure) {
    throw call.refusal(withFieldNamed(failure, method.desc.input, request));
  } finally {
    call.end();
    // Not awaited: a handler that waits for something else would delay the answer.
    iterator?.return?.()?.catch(() => {});
  }
}

/** One call at the HTTP server: registered among the active calls, interrupted by the caller or by a drain. */
class WebCall {
  readonly #setup: ServerSetup;
  readonly #method: ServedMethod;
  readonly #connect: HandlerContext;
  readonly #active: ActiveCall;
  readonly #onAbort: () => void;
  #interrupt: ((reason: QmtlError) => void) | undefined;
  #reason: QmtlError | undefined;

  constructor(
    setup: ServerSetup,
    method: ServedMethod,
    context: HandlerContext,
    isStream: boolean,
  ) {
    this.#setup = setup;
    this.#method = method;
    this.#connect = context;
    try {
      this.#active = setup.calls.begin(isStream, (reason) => {
        this.#reason = reason;
        this.#interrupt?.(reason);
      });
    } catch (failure) {
      throw this.refusal(failure);
    }
    this.#onAbort = () => this.#active.interrupt(callAborted(context.signal.reason));
    context.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /**
   * Checks the request and makes the context. Throws what `checkCall` throws, and INVALID_FIELD for too large a
   * request.
   */
  context(request: Message): CallContext & { readonly schemaVersion: number } {
    const { requestHeader, values, timeoutMs } = this.#connect;
    const principal = values.get(callerOfCall);
    if (principal === undefined) throw new Error("a call that passed no gate");
    const method = this.#method;
    checkDecodedSize(method.desc.input, request);
    const { session, version } = checkCall(this.#setup, method, request, principal);
    const active = this.#active;
    if (isLongPoll(request)) active.setLongPoll();
    return {
      principal,
      session,
      schemaVersion: version,
      metadata: new Map(requestHeader),
      get signal() {
        return active.signal;
      },
      get timeoutMs() {
        // Below 0 once it is over; timers take no such delay.
        const leftMs = timeoutMs();
        return leftMs === undefined ? undefined : Math.max(0, leftMs);
      },
    };
  }

  /** The result, or the interruption if that comes first. One wait at a time, so nothing piles up. */
  async orInterrupted<T>(work: Promise<T>): Promise<T> {
    if (this.#reason !== undefined) throw this.#reason;
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject;
      work.then(resolve, reject);
    });
  }

  refusal(failure: unknown): ConnectError {
    return connectErrorFrom(refusalOf(failure, this.#method, this.#setup.logger));
  }

  end(): void {
    this.#connect.signal.removeEventListener("abort", this.#onAbort);
    this.#active.finish();
  }
}

function callAborted(reason: unknown): QmtlError {
  const isTimeout = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
  return isTimeout ? new QmtlError("OUTCOME_UNKNOWN", "the deadline passed") : callCancelled();
}
