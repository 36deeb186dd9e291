import { createHash, timingSafeEqual } from "node:crypto";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import type { CallContext, CallPrincipal } from "./handlers.ts";
import {
  checkSignature,
  type GatewayKey,
  PRINCIPAL_HEADER,
  principalOf,
  type SignedClaims,
} from "./principal-signature.ts";

/** A key and whom it stands for. */
export interface ApiKey {
  /** The secret text a caller sends as `authorization: Bearer <key>`. */
  readonly key: string;
  readonly name: string;
  readonly role: CallPrincipal["role"];
}

/** What a server knows about a call before anything is decoded. */
export interface CallEvidence {
  /** Value of a request header, lower-case name. */
  header(name: string): string | undefined;
  /** The call came over the loopback interface. */
  readonly isLoopback: boolean;
}

/** Determines who called. @throws {QmtlError} PRINCIPAL_UNKNOWN, PRINCIPAL_UNSIGNED. */
export type PrincipalCheck = (evidence: CallEvidence) => CallPrincipal;

export interface PrincipalOptions {
  /** Keys of callers. @default none */
  keys?: readonly ApiKey[];
  /** Gateways whose signature is accepted. @default none */
  gateways?: readonly GatewayKey[];
  /** Accept only calls signed by a gateway: for the services behind it, when keys are configured. @default false */
  signedOnly?: boolean;
  /** Expiry of signatures. @default the machine's clock */
  clock?: Clock;
}

const LOCAL_OWNER: CallPrincipal = { name: "local", role: "owner" };

/**
 * The rule of all servers. A principal signed by a gateway is taken as it is; else a key stands for its principal;
 * else, if neither keys nor `signedOnly` are configured, a call over loopback is by `local`, an owner.
 */
export function createPrincipalCheck(options: PrincipalOptions = {}): PrincipalCheck {
  const keys = (options.keys ?? []).map((entry) => ({
    digest: digestOf(entry.key),
    principal: { name: entry.name, role: entry.role },
  }));
  const gateways = options.gateways ?? [];
  const clock = options.clock ?? systemClock;
  const isOpen = keys.length === 0 && options.signedOnly !== true;
  const claimsOf = rememberingClaims(gateways);
  return (evidence) => {
    const signed = evidence.header(PRINCIPAL_HEADER);
    if (signed !== undefined && gateways.length > 0) {
      return principalOf(claimsOf(signed), clock.nowMs());
    }
    if (isOpen && evidence.isLoopback) return LOCAL_OWNER;
    if (options.signedOnly === true || signed !== undefined) {
      throw new QmtlError(
        "PRINCIPAL_UNSIGNED",
        "the principal is not signed by a configured gateway",
      );
    }
    const key = bearerOf(evidence.header("authorization"));
    const principal = key === undefined ? undefined : find(keys, digestOf(key));
    if (principal === undefined) {
      throw new QmtlError(
        "PRINCIPAL_UNKNOWN",
        key === undefined
          ? "a key is required: authorization: Bearer <key>"
          : "the key is unknown: no entry of security.keys at the gateway has it (any more); callers of qmtl set QMTL_API_KEY",
      );
    }
    return principal;
  };
}

/** Largest number of signatures remembered as valid; at this number all are forgotten. */
const signaturesMax = 1_000;

/** A gateway sends one signature with many calls: it is checked the first time, its expiry every time. */
function rememberingClaims(gateways: readonly GatewayKey[]): (header: string) => SignedClaims {
  const good = new Map<string, SignedClaims>();
  return (header) => {
    const known = good.get(header);
    if (known !== undefined) return known;
    const claims = checkSignature(header, gateways);
    if (good.size >= signaturesMax) good.clear();
    good.set(header, claims);
    return claims;
  };
}

/** @throws {QmtlError} ROLE_REQUIRED for a caller whose role is not among `roles`. */
export function requireRole(
  context: Pick<CallContext, "principal">,
  ...roles: readonly CallPrincipal["role"][]
): void {
  const { name, role } = context.principal;
  if (roles.includes(role)) return;
  throw new QmtlError("ROLE_REQUIRED", `${name} is ${role}; this needs ${roles.join(" or ")}`, {
    metadata: { role, required: roles.join(",") },
  });
}

const digestOf = (key: string) => createHash("sha256").update(key).digest();

/** Looks at every key, so that the time taken does not reveal which one nearly matched. */
function find(
  keys: readonly { digest: Buffer; principal: CallPrincipal }[],
  digest: Buffer,
): CallPrincipal | undefined {
  let found: CallPrincipal | undefined;
  for (const entry of keys) if (timingSafeEqual(entry.digest, digest)) found = entry.principal;
  return found;
}

function bearerOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^Bearer +(\S+)$/i.exec(header)?.[1];
}
