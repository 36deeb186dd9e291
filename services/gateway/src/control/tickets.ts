import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallPrincipal, Clock, TicketCheck } from "@qmtl/service-kit";
import { topicNames } from "@qmtl/service-kit/control";
import { SignJWT } from "jose";
import type { TicketClaims } from "../ports.ts";
import type { TicketKey } from "../store/ticket-key-store.ts";

const audience = "qmtl-control";
/** Largest number of tickets whose signature was checked and that are remembered. */
const checkedMax = 10_000;
/** Largest number of characters of a ticket: the contract's limit. */
export const ticketCharsMax = 64 * 1024;
/** Rights as tickets name them. */
const ticketRights = ["observe", "compute", "trade", "feed"] as const;

interface CheckedTicket {
  readonly claims: TicketClaims;
  readonly expireMs: number;
}

/** Issues and checks the short-lived tickets of the control stream: JWTs signed with Ed25519. */
export class Tickets {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #signing: TicketKey;
  readonly #all: readonly TicketKey[];
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #checked = new Map<string, CheckedTicket>();

  /** The newest key signs; all of them verify, so that tickets survive a restart and a change of key. */
  constructor(keys: readonly TicketKey[], options: { clock: Clock; ttlSeconds: number }) {
    const newest = keys.at(-1);
    if (newest === undefined) throw new Error("no ticket key");
    this.#signing = newest;
    this.#all = keys;
    this.#keys = new Map(
      keys.map(({ kid, publicJwk }) => [kid, createPublicKey({ key: publicJwk, format: "jwk" })]),
    );
    this.#clock = options.clock;
    this.#ttlMs = options.ttlSeconds * 1_000;
  }

  async issue(claims: TicketClaims): Promise<{ ticket: string; expireMs: number }> {
    const nowMs = this.#clock.nowMs();
    const expireMs = nowMs + this.#ttlMs;
    const { sessionId, worldId, strategyIds, sources, topics, rights, principal, origin } = claims;
    const payload = {
      principal,
      world: worldId,
      strategies: [...strategyIds],
      sources: [...sources],
      topics: [...topics],
      rights: [...rights],
      ...(origin === undefined ? {} : { process: origin.process, start_ms: origin.startMs }),
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

  /** The claims of a ticket, whoever presents it. @throws {QmtlError} TICKET_INVALID, TICKET_EXPIRED. */
  verify(ticket: string): TicketClaims {
    return this.#check(ticket).claims;
  }

  /**
   * The claims of a ticket, and when it expires. Only the principal it was issued to can use it.
   *
   * @throws {QmtlError} TICKET_INVALID, TICKET_EXPIRED, TICKET_SCOPE.
   */
  check(ticket: string, principal: Pick<CallPrincipal, "name">): CheckedTicket {
    const checked = this.#check(ticket);
    if (checked.claims.principal === principal.name) return checked;
    throw new QmtlError("TICKET_SCOPE", `the ticket was not issued to ${principal.name}`);
  }

  #check(ticket: string): CheckedTicket {
    let checked = this.#checked.get(ticket);
    if (checked === undefined) {
      checked = this.#read(ticket);
      if (this.#checked.size >= checkedMax) this.#forgetOldest();
      this.#checked.set(ticket, checked);
    }
    if (this.#clock.nowMs() < checked.expireMs) return checked;
    this.#checked.delete(ticket);
    throw new QmtlError("TICKET_EXPIRED", "the ticket has expired; IssueTicket gives a new one");
  }

  /** The session scope of a call with this ticket, for the servers. See `check`. */
  readonly scopeOf: TicketCheck = (ticket, principal) => {
    const { sessionId, worldId, strategyIds, sources, rights } = this.check(
      ticket,
      principal,
    ).claims;
    return { sessionId, worldId, strategyIds, sources, rights };
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
      throw invalid("it is not a JWT");
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
  const expireSeconds = "exp" in body && typeof body.exp === "number" ? body.exp : 0;
  if (textOf(body, "aud") !== audience) throw invalid("it was issued for another audience");
  return {
    expireMs: expireSeconds * 1_000,
    claims: {
      sessionId: textOf(body, "sub"),
      worldId: textOf(body, "world"),
      strategyIds: textsOf(body, "strategies"),
      sources: textsOf(body, "sources"),
      topics: known(textsOf(body, "topics"), topicNames),
      rights: known(textsOf(body, "rights"), ticketRights),
      principal: textOf(body, "principal"),
      ...originOf(body),
    },
  };
}

/** Where the session runs, if its ticket says so. */
function originOf(body: object): Pick<TicketClaims, "origin"> {
  if (!("process" in body) || typeof body.process !== "string") return {};
  const startMs = "start_ms" in body && typeof body.start_ms === "number" ? body.start_ms : 0;
  return { origin: { process: body.process, startMs } };
}

/** The texts that are of a closed set; a right or topic that is not known here allows nothing. */
function known<T extends string>(texts: readonly string[], set: readonly T[]): T[] {
  return set.filter((each) => texts.includes(each));
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
