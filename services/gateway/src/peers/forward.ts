import {
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import {
  accessOf,
  type CallContext,
  type CallPrincipal,
  type ContractVersions,
  EncodedMessage,
  type Handlers,
  type ServedService,
  serve,
} from "@qmtl/service-kit";
import { isTransient } from "./breaker.ts";
import type { Peer, PeerCall } from "./peer.ts";

type AnyHandler = (request: MessageShape<DescMessage>, context: CallContext) => unknown;

/** What has to be done before a method is passed on, by its name. */
type PrecedingCalls<S extends DescService> = {
  readonly [M in keyof Handlers<S>]?: () => Promise<void>;
};

/**
 * A service whose methods are passed on to a peer, with the caller's principal and deadline, except those in `own`.
 * Internal methods are not passed on: they are served on the peer's own port. Unknown fields of requests and answers
 * survive; refusals pass unchanged.
 */
export function forwardService<S extends DescService>(
  service: S,
  peer: Peer,
  own: Handlers<S> = {},
  before: PrecedingCalls<S> = {},
): ServedService {
  const first: Readonly<Record<string, (() => Promise<void>) | undefined>> = { ...before };
  const forwarded: Record<string, AnyHandler> = {};
  for (const method of service.methods) {
    if (accessOf(method).isInternal) continue;
    const handler = forwardMethod(method, peer, first[method.localName]);
    if (handler !== undefined) forwarded[method.localName] = handler;
  }
  const handlers = { ...forwarded, ...serve(service, own).handlers };
  const relayed = new Set(Object.keys(forwarded).filter((name) => !Object.hasOwn(own, name)));
  return { service, handlers: handlers as Handlers<DescService>, relayed };
}

function forwardMethod(
  method: DescMethod,
  peer: Peer,
  before: (() => Promise<void>) | undefined,
): AnyHandler | undefined {
  switch (method.methodKind) {
    case "unary": {
      const forward = forwardUnary({ ...method, methodKind: "unary" }, peer);
      if (before === undefined) return forward;
      return async (request, context) => {
        await before();
        return forward(request, context);
      };
    }
    case "server_streaming":
      return (request, context) =>
        peer.stream({ ...method, methodKind: "server_streaming" }, request, callOf(context));
    case "client_streaming":
    case "bidi_streaming":
      return undefined;
  }
}

/** What a peer reports about the contracts it serves; empty while it does not answer. */
export async function contractsOf(peer: Peer, gateway: CallPrincipal): Promise<ContractVersions[]> {
  try {
    const { getCapabilities } = SystemService.method;
    const call = { principal: gateway, timeoutMs: capabilitiesMsMax };
    const { capabilities } = await peer.unary(getCapabilities, {}, call);
    return (capabilities?.contracts ?? []).flatMap(({ contract, supported }) => {
      const { min, max } = supported ?? {};
      return min === undefined || max === undefined ? [] : [{ contract, supported: { min, max } }];
    });
  } catch (failure) {
    if (isTransient(failure)) return [];
    throw failure;
  }
}

/** Longest wait for what a peer reports about itself, milliseconds. */
const capabilitiesMsMax = 1_000;

/** One unary method, passed on. */
export function forwardUnary<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  peer: Peer,
): (request: MessageInitShape<I>, context: CallContext) => Promise<MessageShape<O>> {
  return (request, context) => peer.unary(method, request, callOf(context));
}

/**
 * A server stream passed on as bytes: answers are not decoded here. Read as a message without fields, each field of
 * the answer is one unknown field that keeps its bytes.
 */
export async function* forwardEncoded<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  peer: Peer,
  request: MessageInitShape<I>,
  context: CallContext,
): AsyncGenerator<EncodedMessage> {
  const opaque: DescMethodServerStreaming<I, typeof EmptySchema> = {
    ...method,
    output: EmptySchema,
  };
  for await (const answer of peer.stream(opaque, request, callOf(context))) {
    yield new EncodedMessage(toBinary(EmptySchema, answer));
  }
}

/** The call a handler makes for its own caller, in the name of the caller's session if there is one. */
export function callOf(context: CallContext): PeerCall {
  const { principal, session, signal, timeoutMs } = context;
  return {
    principal: session === undefined ? principal : { ...principal, session },
    signal,
    timeoutMs,
  };
}
