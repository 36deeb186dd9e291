import { QmtlError } from "@qmtl/sdk/errors";
import { ExitCode, RefusalError } from "./exit-codes.ts";

/** Message of a call when nothing answered at the address. */
const NOBODY = /^nothing answers at \S+ \((.*)\)$/;
/** Message of a call when the host has no address, or when something else listens there. */
const NO_GATEWAY = /^(there is no such host|what listens there does not speak gRPC|no connection)/;

/** Why an address does not answer, without the address: the caller prints it beside. */
export function connectionCause(message: string): string {
  return NOBODY.exec(message)?.[1] ?? message;
}

/** Command that starts each service behind a gateway, by the service's name in the metadata of an error. */
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
 * A failed call to a gateway that did not answer, as a refusal that names its address. Returns any other failure as it
 * is, also one that the gateway reports about a service behind it, which names that service.
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
