import type {
  DescMessage,
  DescMethod,
  DescService,
  Message,
  MessageInitShape,
} from "@bufbuild/protobuf";
import { FIRST_VERSION, hasSchemaVersion, QmtlError, type VersionRange } from "@qmtl/sdk/rpc";
import type { CallContext, EncodedMessage, ServedService } from "../handlers.ts";
import { accessOf, type CallAccess } from "./call-access.ts";
import { type ContractMarks, contractMarks } from "./contract-marks.ts";

/** What a handler returns, before the server fills in the schema version. */
export type Answer = MessageInitShape<DescMessage>;

type UnaryFunction = (request: Message, context: CallContext) => Promise<Answer | EncodedMessage>;
type ServerStreamFunction = (
  request: Message,
  context: CallContext,
) => AsyncIterable<Answer | EncodedMessage>;
type BidiStreamFunction = (
  requests: AsyncIterable<Message>,
  context: CallContext,
) => AsyncIterable<Answer | EncodedMessage>;

/** One method of a served service, with what both servers need to know about it. */
export interface ServedMethod {
  readonly desc: DescMethod;
  /** `GatewayService.GetSubmission`. */
  readonly feature: string;
  /** `/qmtl.gateway.v1.GatewayService/GetSubmission`. */
  readonly path: string;
  /** Versions this server speaks. */
  readonly range: VersionRange;
  /** Relayed: the server behind agrees on the version, and refuses those that it does not speak. */
  readonly isRelayed: boolean;
  /** Who may call it. */
  readonly access: CallAccess;
  /** What a request of it can set that is not served, or only in a later version. */
  readonly requestMarks: ContractMarks;
  /** Requests state a range; answers have a version. */
  readonly requestIsVersioned: boolean;
  readonly answerIsVersioned: boolean;
  /** What to call; undefined: not built. */
  readonly call:
    | { readonly kind: "unary"; readonly invoke: UnaryFunction }
    | { readonly kind: "server_streaming"; readonly invoke: ServerStreamFunction }
    | { readonly kind: "bidi_streaming"; readonly invoke: BidiStreamFunction }
    | undefined;
}

/** Versions each service speaks. */
export type SchemaRangeOf = (service: DescService) => VersionRange;

/** All methods of all services, built or not. @throws {QmtlError} CONFIG_INVALID for one without an access option. */
export function servedMethods(
  services: readonly ServedService[],
  rangeOf: SchemaRangeOf = () => FIRST_VERSION,
): readonly ServedMethod[] {
  return services.flatMap((served) =>
    served.service.methods.map((desc) => ({
      desc,
      feature: featureOf(desc),
      path: `/${served.service.typeName}/${desc.name}`,
      range: rangeOf(served.service),
      isRelayed: served.relayed?.has(desc.localName) === true,
      access: accessOf(desc),
      requestMarks: contractMarks(desc.input),
      requestIsVersioned: hasSchemaVersion(desc.input),
      answerIsVersioned: hasSchemaVersion(desc.output),
      call: callOf(desc, served.handlers[desc.localName]),
    })),
  );
}

/** `Service.Method`, as in metadata and capabilities. */
function featureOf(desc: DescMethod): string {
  return `${desc.parent.name}.${desc.name}`;
}

/** `serve()` has matched each handler to its method; here only the kind of call is added. */
function callOf(
  desc: DescMethod,
  handler: (UnaryFunction & ServerStreamFunction & BidiStreamFunction) | undefined,
): ServedMethod["call"] {
  if (handler === undefined) return undefined;
  switch (desc.methodKind) {
    case "unary":
      return { kind: "unary", invoke: handler };
    case "server_streaming":
      return { kind: "server_streaming", invoke: handler };
    case "bidi_streaming":
      return { kind: "bidi_streaming", invoke: handler };
    case "client_streaming":
      return undefined;
  }
}

/** The refusal of a method that has no handler. */
export function notBuilt(feature: string): QmtlError {
  return new QmtlError("FEATURE_NOT_BUILT", `${feature} is not implemented in this version`, {
    metadata: { feature },
  });
}
