import { createHmac, timingSafeEqual } from "node:crypto";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallPrincipal, RoleName } from "./handlers.ts";
import type { SessionScope, TicketRightName } from "./session-scope.ts";

/** Request header in which a gateway forwards the caller's identity. */
export const PRINCIPAL_HEADER = "qmtl-principal";

/** A gateway and the secret it shares with the services behind it; at least 32 bytes. */
export interface GatewayKey {
  readonly gatewayId: string;
  readonly secret: Uint8Array;
}

/** Longest life of a signature, milliseconds: enough for a call and clocks that differ. */
const LIFE_MS_MAX = 60_000;
/** How far the clocks of a gateway and a service may differ, milliseconds. */
const CLOCK_SKEW_MS_MAX = 30_000;
/** Room for a session with 1,000 strategies; HTTP/2 peers here take 64 KiB of headers. */
const HEADER_CHARS_MAX = 48 * 1024;
const SECRET_BYTES_MIN = 32;
const ROLES: readonly string[] = [
  "viewer",
  "researcher",
  "operator",
  "owner",
  "adapter",
  "gateway",
] satisfies RoleName[];
const RIGHTS: readonly string[] = [
  "observe",
  "compute",
  "trade",
  "feed",
] satisfies TicketRightName[];

/**
 * The header by which a gateway vouches for a caller: `base64url(claims).base64url(HMAC-SHA256)`, valid for 60 seconds
 * from `nowMs`.
 *
 * @throws {QmtlError} CONFIG_INVALID for a secret under 32 bytes.
 */
export function signPrincipal(principal: CallPrincipal, key: GatewayKey, nowMs: number): string {
  const claims = {
    gw: key.gatewayId,
    name: principal.name,
    role: principal.role,
    exp: nowMs + LIFE_MS_MAX,
    ...(principal.session === undefined ? {} : { session: principal.session }),
  };
  const body = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${body}.${macOf(body, key).toString("base64url")}`;
}

/** What a signature vouches for, expired or not. */
export interface SignedClaims {
  readonly gw: string;
  readonly name: string;
  readonly role: RoleName;
  readonly exp: number;
  readonly session?: SessionScope;
}

/** Checks who signed a header, but not when. @throws {QmtlError} PRINCIPAL_UNSIGNED unless a known gateway did. */
export function checkSignature(header: string, gateways: readonly GatewayKey[]): SignedClaims {
  const [body, mac, ...rest] = header.length > HEADER_CHARS_MAX ? [] : header.split(".");
  if (body === undefined || mac === undefined || rest.length > 0)
    throw unsigned("not a signed principal");
  const claims = readClaims(body);
  const key = gateways.find(({ gatewayId }) => gatewayId === claims?.gw);
  if (claims === undefined || key === undefined) throw unsigned("signed by no configured gateway");
  const given = Buffer.from(mac, "base64url");
  const right = macOf(body, key);
  if (given.length !== right.length || !timingSafeEqual(given, right))
    throw unsigned("the signature is wrong");
  return claims;
}

/**
 * The principal of checked claims.
 *
 * @throws {QmtlError} PRINCIPAL_UNSIGNED when they have expired or are from the future.
 */
export function principalOf(claims: SignedClaims, nowMs: number): CallPrincipal {
  if (
    nowMs > claims.exp + CLOCK_SKEW_MS_MAX ||
    claims.exp > nowMs + LIFE_MS_MAX + CLOCK_SKEW_MS_MAX
  ) {
    throw unsigned("the signature has expired, or is from the future");
  }
  const { name, role, session } = claims;
  return session === undefined ? { name, role } : { name, role, session };
}

function macOf(body: string, key: GatewayKey): Buffer {
  if (key.secret.length < SECRET_BYTES_MIN) {
    throw new QmtlError(
      "CONFIG_INVALID",
      `the secret of gateway ${key.gatewayId} is under 32 bytes`,
    );
  }
  return createHmac("sha256", key.secret).update(body).digest();
}

function isClaims(value: unknown): value is SignedClaims {
  return (
    typeof value === "object" &&
    value !== null &&
    "gw" in value &&
    typeof value.gw === "string" &&
    "name" in value &&
    typeof value.name === "string" &&
    "exp" in value &&
    typeof value.exp === "number" &&
    "role" in value &&
    typeof value.role === "string" &&
    ROLES.includes(value.role) &&
    (!("session" in value) || isSession(value.session))
  );
}

function isSession(value: unknown): value is SessionScope {
  return (
    typeof value === "object" &&
    value !== null &&
    "sessionId" in value &&
    typeof value.sessionId === "string" &&
    "worldId" in value &&
    typeof value.worldId === "string" &&
    "strategyIds" in value &&
    isTexts(value.strategyIds) &&
    "sources" in value &&
    isTexts(value.sources) &&
    "rights" in value &&
    isTexts(value.rights) &&
    value.rights.every((right) => RIGHTS.includes(right))
  );
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === "string");

function readClaims(body: string): SignedClaims | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body, "base64url").toString("utf8"));
    return isClaims(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function unsigned(why: string): QmtlError {
  return new QmtlError("PRINCIPAL_UNSIGNED", `principal refused: ${why}`);
}
