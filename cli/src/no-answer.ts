import { QmtlError } from "@qmtl/sdk/errors";
import { ExitCode, RefusalError } from "./exit-codes.ts";

/** What a call said that found nobody at an address. */
const NOBODY = /^nothing answers at \S+ \((.*)\)$/;
/** The same, of a host without an address, or of somebody else who listens there. */
const NO_GATEWAY = /^(there is no such host|what listens there does not speak gRPC|no connection)/;

/** Why an address does not answer, said beside the address. */
export function connectionCause(message: string): string {
  return NOBODY.exec(message)?.[1] ?? message;
}

/** How each service behind a gateway is started; by the name it goes by in the metadata of an error. */
const STARTS: Readonly<Record<string, string>> = {
  "dag-manager": "qmtl service dag-manager",
  "world-service": "qmtl service world-service",
};

/** What to do about a service behind the gateway that does not answer. */
export function peerHint(peer: string): string {
  const start = STARTS[peer];
  return start === undefined
    ? "check that it is running; `qmtl doctor` tries each service"
    : `start it: \`${start}\`; \`qmtl doctor\` says whether the gateway reaches it`;
}

/**
 * A call that found nobody at the gateway's address, in words that name it. Any other failure is given back: also that
 * the gateway itself did not reach somebody, which names that service.
 */
export function namingGateway(failure: unknown, gatewayUrl: string): unknown {
  if (!(failure instanceof QmtlError) || failure.reason !== "PEER_UNAVAILABLE") return failure;
  const { message, metadata } = failure;
  if (metadata.peer !== undefined) return failure;
  if (!NOBODY.test(message) && !NO_GATEWAY.test(message)) return failure;
  return new RefusalError(
    `the gateway at ${gatewayUrl} does not answer: ${connectionCause(message)}`,
    ExitCode.unreachable,
    "is the platform running? start it with `qmtl up`, or set --gateway-url",
    failure.reason,
  );
}
