import { cors } from "@connectrpc/connect";
import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { isLoopbackHost } from "@qmtl/sdk/rpc";

/** A Node request handler of HTTP/1.1 or HTTP/2. */
export type WebHandler = ReturnType<typeof connectNodeAdapter>;
export type WebRequest = Parameters<WebHandler>[0];
export type WebResponse = Parameters<WebHandler>[1];

/** How long a browser may remember a preflight, seconds. */
const PREFLIGHT_SECONDS = 7_200;

export interface WebGuardOptions {
  /** Origins whose pages may call, such as "http://localhost:5173". The server's own origin always may. */
  readonly origins: readonly string[];
  /** Require a loopback Host: without keys, a page elsewhere must not reach us by a name that resolves to us. */
  readonly loopbackOnly: boolean;
}

/** True when the request's socket is on this machine. */
export function isLoopbackRequest(request: WebRequest): boolean {
  const address = request.socket?.remoteAddress ?? "";
  return isLoopbackHost(address.startsWith("::ffff:") ? address.slice(7) : address);
}

function hostOf(request: WebRequest): string {
  const authority = request.headers[":authority"];
  return (typeof authority === "string" ? authority : request.headers.host) ?? "";
}

function isOwnOrigin(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}

/**
 * Answers preflights and refuses what a foreign web page sends; true when the request was answered.
 *
 * Requests without an Origin do not come from a page and pass.
 */
export function guardWeb(
  request: WebRequest,
  response: WebResponse,
  options: WebGuardOptions,
): boolean {
  const host = hostOf(request);
  const hostname = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
  if (options.loopbackOnly && !isLoopbackHost(hostname))
    return refuse(response, 421, "this host is not served");
  // Set even without an Origin, so that a cache does not give the answer to a page.
  response.setHeader("vary", "origin");
  const { origin } = request.headers;
  if (origin === undefined) return false;
  if (!isOwnOrigin(origin, host) && !options.origins.includes(origin))
    return refuse(response, 403, "pages of this origin may not call; see gateway.web_origins");
  response.setHeader("access-control-allow-origin", origin);
  response.setHeader("access-control-expose-headers", cors.exposedHeaders.join(", "));
  if (request.method !== "OPTIONS") return false;
  response.setHeader("access-control-allow-methods", cors.allowedMethods.join(", "));
  response.setHeader(
    "access-control-allow-headers",
    [...cors.allowedHeaders, "authorization"].join(", "),
  );
  response.setHeader("access-control-max-age", String(PREFLIGHT_SECONDS));
  response.statusCode = 204;
  response.end();
  return true;
}

/** The text is for a person at the network inspector or with curl: without CORS headers no page can read it. */
function refuse(response: WebResponse, statusCode: number, text: string): true {
  response.statusCode = statusCode;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`${text}\n`);
  return true;
}
