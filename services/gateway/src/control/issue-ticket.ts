import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { blake3Hex } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import type {
  CallContext,
  CallPrincipal,
  RoleName,
  SessionOrigin,
  TicketRightName,
} from "@qmtl/service-kit";
import type { TopicName } from "@qmtl/service-kit/control";
import type { Db } from "@qmtl/service-kit/db";
import type { Peer } from "../peers/peer.ts";
import type { GateView, TicketClaims } from "../ports.ts";
import { knownStrategies } from "../store/submission-store.ts";
import { type Tickets, ticketCharsMax } from "./tickets.ts";

export interface TicketPorts {
  readonly db: Db;
  readonly tickets: Tickets;
  readonly gates: GateView;
  readonly world: Peer;
  readonly gateway: CallPrincipal;
  /** Sources of the configuration: true for those of a replay adapter. */
  readonly replaySources: ReadonlyMap<string, boolean>;
  readonly newId: () => string;
}

/** What a caller asks a ticket for. */
export interface WantedTicket {
  readonly worldId: string;
  readonly strategyIds: readonly string[];
  readonly sources: readonly string[];
  readonly rights: readonly TicketRightName[];
  readonly topics: readonly TopicName[];
  /** Empty: a new session. */
  readonly sessionId: string;
  /** @default not reported */
  readonly origin?: SessionOrigin | undefined;
}

interface IssuedTicket {
  readonly claims: TicketClaims;
  readonly ticket: string;
  readonly expireMs: number;
}

/** Roles that may have a right; what depends on world or source is checked in `checkRights`. */
const ROLES: Readonly<Record<TicketRightName, readonly RoleName[]>> = {
  observe: ["viewer", "researcher", "operator", "owner", "adapter"],
  compute: ["researcher", "operator", "owner"],
  trade: ["researcher", "operator", "owner"],
  feed: ["researcher", "operator", "owner", "adapter"],
};
const OPERATORS: readonly RoleName[] = ["operator", "owner"];
/** How roles are named in a refusal: the lowest one, and those that stand apart. */
const LEAST: Readonly<Record<TicketRightName, string>> = {
  observe: "viewer,adapter",
  compute: "researcher",
  trade: "researcher",
  feed: "adapter,researcher",
};
/** The same for FEED of a source that is not a replay. */
const LEAST_OF_LIVE_FEED = "adapter,operator";

/**
 * A ticket for one session, as `IssueTicketRequest` says: the role must allow every right, and world, strategies and
 * sources must exist.
 *
 * @throws {QmtlError} INVALID_FIELD, WORLD_NOT_FOUND, STRATEGY_NOT_FOUND, SOURCE_NOT_FOUND, ROLE_REQUIRED,
 *   TICKET_SCOPE, PEER_UNAVAILABLE.
 */
export async function issueTicket(
  ports: TicketPorts,
  wanted: WantedTicket,
  { principal }: Pick<CallContext, "principal">,
): Promise<IssuedTicket> {
  const rights = withObserve(wanted.rights);
  checkNamed(wanted, rights);
  if (wanted.sessionId !== "") checkSessionIsOwn(wanted.sessionId, principal.name);
  const { origin, ...asked } = wanted;
  const { strategyIds, sources } = asked;
  const scope = { ...asked, rights };
  await checkThere(ports, scope);
  await checkRights(ports, scope, principal);
  const sessionId = wanted.sessionId || newSessionId(principal.name, ports.newId);
  const told = origin === undefined ? {} : { origin };
  const claims = { ...scope, ...told, sessionId, principal: principal.name };
  const issued = await ports.tickets.issue(claims);
  if (issued.ticket.length <= ticketCharsMax) return { claims, ...issued };
  const field = sources.length > strategyIds.length ? "sources" : "strategy_ids";
  const description = `has so many entries that the ticket takes ${issued.ticket.length} characters, at most ${ticketCharsMax} are allowed: use several sessions`;
  throw new QmtlError("INVALID_FIELD", `${field} ${description}`, {
    fields: [{ field, description }],
  });
}

/** A new ticket of the same scope; whether the caller's role still allows it is checked again. */
export async function refreshTicket(
  ports: TicketPorts,
  ticket: string,
  { principal }: Pick<CallContext, "principal">,
): Promise<IssuedTicket> {
  const { claims } = ports.tickets.check(ticket, principal);
  await checkRights(ports, claims, principal);
  return { claims, ...(await ports.tickets.issue(claims)) };
}

function withObserve(rights: readonly TicketRightName[]): TicketRightName[] {
  return [...new Set<TicketRightName>(["observe", ...rights])];
}

type Scope = Pick<TicketClaims, "worldId" | "strategyIds" | "sources" | "rights">;

function checkNamed(wanted: WantedTicket, rights: readonly TicketRightName[]): void {
  const needsStrategies = rights.find((right) => right === "compute" || right === "trade");
  const isFeedAlone = rights.every((right) => right === "feed" || right === "observe");
  if (wanted.worldId === "" && !(isFeedAlone && rights.includes("feed"))) {
    throw missing("world_id", "is required for every right except FEED");
  }
  if (needsStrategies !== undefined && wanted.strategyIds.length === 0) {
    throw missing(
      "strategy_ids",
      `${needsStrategies.toUpperCase()} requires the names of its strategies`,
    );
  }
  if (rights.includes("feed") && wanted.sources.length === 0) {
    throw missing("sources", "FEED requires the names of its sources");
  }
}

async function checkThere(ports: TicketPorts, scope: Scope): Promise<void> {
  const { worldId, strategyIds, sources } = scope;
  if (worldId !== "") await ports.gates.ensure(worldId);
  const known = new Set(await knownStrategies(ports.db, strategyIds));
  const strategyId = strategyIds.find((id) => !known.has(id));
  if (strategyId !== undefined) {
    const metadata = { strategy_id: strategyId };
    throw new QmtlError("STRATEGY_NOT_FOUND", `no strategy ${strategyId}`, { metadata });
  }
  const source = sources.find((name) => !ports.replaySources.has(name));
  if (source !== undefined) {
    const metadata = { source };
    throw new QmtlError("SOURCE_NOT_FOUND", `no source named ${source}`, { metadata });
  }
}

async function checkRights(
  ports: TicketPorts,
  { worldId, sources, rights }: Scope,
  principal: CallPrincipal,
): Promise<void> {
  const { role } = principal;
  const isReplay = sources.every((source) => ports.replaySources.get(source) === true);
  const needed = isReplay ? LEAST : { ...LEAST, feed: LEAST_OF_LIVE_FEED };
  for (const right of rights) {
    if (!ROLES[right].includes(role)) throw roleRequired(principal, right, needed[right]);
  }
  if (rights.includes("trade") && !OPERATORS.includes(role)) {
    const call = { principal: ports.gateway };
    const { world } = await ports.world.unary(WorldService.method.getWorld, { worldId }, call);
    if (world?.allowLive !== false) throw roleRequired(principal, "trade", "operator");
  }
  if (rights.includes("feed") && role === "researcher" && !isReplay)
    throw roleRequired(principal, "feed", needed.feed);
}

function roleRequired(principal: CallPrincipal, right: TicketRightName, required: string) {
  const { name, role } = principal;
  const allowed = required.replaceAll(",", " or ");
  const message = `${name} is ${role}; the right ${right.toUpperCase()} needs ${allowed} here`;
  return new QmtlError("ROLE_REQUIRED", message, { metadata: { role, required, right } });
}

function missing(field: string, description: string): QmtlError {
  return new QmtlError("INVALID_FIELD", `${field}: ${description}`, {
    fields: [{ field, description }],
  });
}

/** Digits of a principal's mark in the ids of its sessions. */
const markDigits = 16;

/**
 * An id for a new session of a principal. It begins with a mark of the principal's name, so that any gateway can tell
 * whose session it is, even after a restart or with another store.
 */
function newSessionId(principal: string, newId: () => string): string {
  return `${markOf(principal)}-${newId()}`;
}

/** Refuses a session id that was not made for this principal. @throws {QmtlError} TICKET_SCOPE. */
function checkSessionIsOwn(sessionId: string, principal: string): void {
  if (sessionId.startsWith(`${markOf(principal)}-`)) return;
  const fields = [{ field: "session_id", description: `is not a session of ${principal}` }];
  throw new QmtlError("TICKET_SCOPE", `session ${sessionId} is not one of ${principal}`, {
    fields,
  });
}

function markOf(principal: string): string {
  return blake3Hex(principal).slice(0, markDigits);
}
