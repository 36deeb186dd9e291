import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock, TicketCheck, TicketRightName } from "@qmtl/service-kit";
import { SignJWT } from "jose";
import type { TicketClaims } from "../ports.ts";
import type { TicketKey } from "../store/ticket-key-store.ts";

const audience = "qmtl-control";
/** Tickets whose signature was checked and that are remembered, at most. */
const checkedMax = 10_000;
const ticketCharsMax = 64 * 1024;

interface CheckedTicket {
  readonly claims: TicketClaims;
  readonly expireMs: number;
}

export interface TicketsOptions {
  readonly clock: Clock;
  readonly ttlSeconds: number;
  /** Sources of the configuration that replay a file. */
  readonly replaySources: readonly string[];
}

/** Issues and checks the short-lived tickets of the control stream: JWTs signed with Ed25519. */
export class Tickets {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #signing: TicketKey;
  readonly #all: readonly TicketKey[];
  readonly #clock: Clock;
  readonly #ttlMs: number;
  /** Sources of replay adapters: whoever runs a strategy may publish their rows, which the file fixes. */
  readonly #replaySources: readonly string[];
  readonly #checked = new Map<string, CheckedTicket>();

  /** The newest key signs; all of them verify, so that tickets survive a restart and a change of key. */
  constructor(keys: readonly TicketKey[], options: TicketsOptions) {
    const newest = keys.at(-1);
    if (newest === undefined) throw new Error("no ticket key");
    this.#signing = newest;
    this.#all = keys;
    this.#keys = new Map(
      keys.map(({ kid, publicJwk }) => [kid, createPublicKey({ key: publicJwk, format: "jwk" })]),
    );
    this.#clock = options.clock;
    this.#ttlMs = options.ttlSeconds * 1_000;
    this.#replaySources = options.replaySources;
  }

  async issue(claims: TicketClaims): Promise<{ ticket: string; expireMs: number }> {
    const nowMs = this.#clock.nowMs();
    const expireMs = nowMs + this.#ttlMs;
    const { sessionId, worldId, strategyIds, topics, purpose, principal } = claims;
    const payload = {
      world: worldId,
      strategies: [...strategyIds],
      topics: [...topics],
      purpose,
      principal,
    };
    const ticket = await new SignJWT(payload)
      .setProtectedHeader({ alg: "EdDSA", kid: this.#signing.kid, typ: "JWT" })
      .setAudience(audience)
      .setSubject(sessionId)
      .setIssuedAt(Math.floor(nowMs / 1_000))
      .setExpirationTime(Math.ceil(expireMs / 1_000))
      .sign(this.#signing.privateKey);
    return { ticket, expireMs };
  }

  /** What a ticket covers. @throws {QmtlError} TICKET_INVALID, TICKET_EXPIRED. */
  verify(ticket: string): TicketClaims {
    return this.check(ticket).claims;
  }

  /** As `verify`, with the end of the ticket. */
  check(ticket: string): CheckedTicket {
    let checked = this.#checked.get(ticket);
    if (checked === undefined) {
      checked = this.#read(ticket);
      if (this.#checked.size >= checkedMax) this.#forgetOldest();
      this.#checked.set(ticket, checked);
    }
    if (this.#clock.nowMs() < checked.expireMs) return checked;
    this.#checked.delete(ticket);
    throw new QmtlError("TICKET_EXPIRED", "the ticket has ended; issue or refresh one");
  }

  /**
   * What a call with this ticket acts for. Only the principal a ticket was issued to can use it.
   *
   * @throws {QmtlError} TICKET_INVALID, TICKET_EXPIRED, TICKET_SCOPE.
   */
  readonly scopeOf: TicketCheck = (ticket, principal) => {
    const { sessionId, worldId, strategyIds, purpose, principal: owner } = this.verify(ticket);
    if (owner !== principal.name) {
      throw new QmtlError("TICKET_SCOPE", `the ticket was not issued to ${principal.name}`);
    }
    const isGate = purpose === "gate";
    const rights: TicketRightName[] = isGate
      ? ["observe", "compute", "trade", "feed"]
      : ["observe"];
    return { sessionId, worldId, strategyIds, sources: isGate ? this.#replaySources : [], rights };
  };

  /** JSON Web Key Set of the public keys. */
  jwksJson(): string {
    const keys = this.#all.map(({ kid, publicJwk }) => ({
      ...publicJwk,
      kid,
      alg: "EdDSA",
      use: "sig",
    }));
    return JSON.stringify({ keys });
  }

  #forgetOldest(): void {
    const [first] = this.#checked.keys();
    if (first !== undefined) this.#checked.delete(first);
  }

  /** Synchronous, so that a heartbeat or an order is checked and handled in one go. */
  #read(ticket: string): CheckedTicket {
    const [head, body, signature, ...rest] =
      ticket.length > ticketCharsMax ? [] : ticket.split(".");
    if (head === undefined || body === undefined || signature === undefined || rest.length > 0) {
      throw invalid("it is no JWT");
    }
    const header = jsonOf(head);
    const kid = textOf(header, "kid");
    const key = this.#keys.get(kid);
    if (textOf(header, "alg") !== "EdDSA" || key === undefined)
      throw invalid("its key is not known");
    const bytes = Buffer.from(`${head}.${body}`);
    if (!verify(null, bytes, key, Buffer.from(signature, "base64url"))) {
      throw invalid("its signature is wrong");
    }
    return claimsOf(jsonOf(body));
  }
}

function claimsOf(body: object): CheckedTicket {
  const purpose = textOf(body, "purpose");
  const expireSeconds = "exp" in body && typeof body.exp === "number" ? body.exp : 0;
  const isOurs = textOf(body, "aud") === audience && (purpose === "gate" || purpose === "observe");
  if (!isOurs) throw invalid("it is for something else");
  return {
    expireMs: expireSeconds * 1_000,
    claims: {
      sessionId: textOf(body, "sub"),
      worldId: textOf(body, "world"),
      strategyIds: textsOf(body, "strategies"),
      topics: textsOf(body, "topics"),
      purpose,
      principal: textOf(body, "principal"),
    },
  };
}

function jsonOf(part: string): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Refused below, like any other text.
  }
  throw invalid("it cannot be read");
}

function textOf(body: object, name: string): string {
  const value: unknown = Reflect.get(body, name);
  if (typeof value === "string") return value;
  throw invalid(`${name} is missing`);
}

function textsOf(body: object, name: string): string[] {
  const value: unknown = Reflect.get(body, name);
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

function invalid(why: string): QmtlError {
  return new QmtlError("TICKET_INVALID", `ticket refused: ${why}`);
}
