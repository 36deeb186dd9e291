/** System error codes of a failed connection, in plain words. */
const CONNECT_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "network unreachable",
  ETIMEDOUT: "timed out",
};

/** Texts for a connection that was lost while a call waited; see `codeOf`. */
const BROKEN: ReadonlySet<string> = new Set(["Connection dropped", "Call cancelled"]);
const brokenText = "the connection broke before the response";

/**
 * The channel's text for a call without an answer, in plain words: the channel lists where the time of the call went,
 * and repeats the same failure three times. A server's own text is returned unchanged.
 */
export function channelWords(text: string): string {
  const [, seconds] = /^Deadline exceeded(?: after ([0-9.]+)s)?/.exec(text) ?? [];
  if (seconds !== undefined) return `no answer within ${Math.round(Number(seconds) * 10) / 10} s`;
  if (text.startsWith("Deadline exceeded")) return "no answer in time";
  const [, code = "", address] = /connect (E[A-Z]+) ([^\s,]*[^\s,.])/.exec(text) ?? [];
  if (address !== undefined) {
    return `nothing answers at ${address} (${CONNECT_ERRORS[code] ?? code})`;
  }
  const [, host] = /^Name resolution failed for target (?:dns:)?(\S+)/.exec(text) ?? [];
  if (host !== undefined) return `there is no such host: ${host.replace(/:\d+$/, "")}`;
  if (text.startsWith("Received RST_STREAM with code") || BROKEN.has(text)) {
    return brokenText;
  }
  return lastError(text);
}

/** The failure of the channel's last attempt to connect, without what the channel puts around it. */
function lastError(text: string): string {
  if (!text.includes("No connection established")) return text;
  const last = /^.*Last error: (?:Error: )?(.*?)(?: \([^)]*\))?\. Resolution note:.*$/s.exec(
    text,
  )?.[1];
  if (last === "Protocol error") return "what listens there does not speak gRPC";
  return last === undefined || last === "" || last === "null" ? "no connection" : last;
}
