import { QmtlError } from "@qmtl/sdk/errors";
import { ExitCode, RefusalError } from "./exit-codes.ts";

/** The system's own words in the message of a channel that could not connect; the message itself where there are none. */
export function connectionCause(message: string): string {
  const words = /connect E[A-Z]+ [^\s,]*[^\s,.]/.exec(message)?.[0];
  if (words !== undefined) return words;
  if (message.startsWith("Name resolution failed")) return "there is no such host";
  // The channel tells the same thing three times over.
  const last = /^.*Last error: (?:Error: )?(.*?)(?: \([^)]*\))?\. Resolution note:.*$/s.exec(
    message,
  )?.[1];
  return last === "Protocol error" ? "what listens there does not speak gRPC" : (last ?? message);
}

/**
 * A call that found nobody at the gateway's address, in words that name it. Any other failure is given back: also that
 * the gateway itself did not reach somebody, which names another address.
 */
export function namingGateway(failure: unknown, gatewayUrl: string): unknown {
  if (!(failure instanceof QmtlError) || failure.reason !== "PEER_UNAVAILABLE") return failure;
  const words = connectionCause(failure.message);
  if (words === failure.message) return failure;
  const address = / (\S+)$/.exec(words)?.[1] ?? "";
  const ports = gatewayUrl.split(",").map((url) => {
    const { protocol, port } = new URL(url);
    return port || (protocol === "https:" ? "443" : "80");
  });
  const isGateway =
    !words.startsWith("connect") || ports.some((port) => address.endsWith(`:${port}`));
  return isGateway
    ? new RefusalError(
        `the gateway at ${gatewayUrl} does not answer: ${words}`,
        ExitCode.unreachable,
        "is the platform running? start it with `qmtl up`, or set --gateway-url",
        failure.reason,
      )
    : new RefusalError(
        `the gateway at ${gatewayUrl} does not reach a service behind it: ${words}`,
        ExitCode.unreachable,
        "start that service, or correct its address where the gateway is configured; `qmtl config validate` knocks at each",
        failure.reason,
      );
}
