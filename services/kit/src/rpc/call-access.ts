import { type DescMethod, getOption, hasOption, type Message } from "@bufbuild/protobuf";
import { access, Role, TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallPrincipal, RoleName } from "../handlers.ts";
import type { SessionScope, TicketRightName } from "../session-scope.ts";

/** Who may call a method, as its `(qmtl.type.v1.access)` option says; read once, when a server starts. */
export interface CallAccess {
  /** Every role that may call, including those above the least one. */
  readonly roles: ReadonlySet<RoleName>;
  /** Lowest roles that may call, for the refusal. */
  readonly required: readonly RoleName[];
  /** Rights of which the ticket must carry one; empty: the request carries no ticket. */
  readonly rights: ReadonlySet<TicketRightName>;
  /** Roles that need no ticket although `rights` is set. */
  readonly exempt: ReadonlySet<RoleName>;
  /** Served on the services' own ports only. */
  readonly isInternal: boolean;
}

/** Checks a ticket and returns what it covers. @throws {QmtlError} TICKET_INVALID, TICKET_EXPIRED, TICKET_SCOPE. */
export type TicketCheck = (ticket: string, principal: CallPrincipal) => SessionScope;

const ROLE_NAMES: ReadonlyMap<Role, RoleName> = new Map([
  [Role.VIEWER, "viewer"],
  [Role.RESEARCHER, "researcher"],
  [Role.OPERATOR, "operator"],
  [Role.OWNER, "owner"],
  [Role.ADAPTER, "adapter"],
  [Role.GATEWAY, "gateway"],
]);

const RIGHT_NAMES: ReadonlyMap<TicketRight, TicketRightName> = new Map([
  [TicketRight.OBSERVE, "observe"],
  [TicketRight.COMPUTE, "compute"],
  [TicketRight.TRADE, "trade"],
  [TicketRight.FEED, "feed"],
]);

/** Each of these includes those before it; ADAPTER and GATEWAY stand apart. */
const LADDER: readonly RoleName[] = ["viewer", "researcher", "operator", "owner"];

/** A role and the roles that include it. */
function rolesFrom(least: RoleName): readonly RoleName[] {
  const step = LADDER.indexOf(least);
  return step < 0 ? [least] : LADDER.slice(step);
}

/** Access of a method. @throws {QmtlError} CONFIG_INVALID for one without the option, which must not be served. */
export function accessOf(method: DescMethod): CallAccess {
  const path = `${method.parent.typeName}.${method.name}`;
  if (!hasOption(method, access)) {
    throw new QmtlError("CONFIG_INVALID", `${path} does not say who may call it`);
  }
  const { least, also, tickets, exempt, internal } = getOption(method, access);
  const lowest = least === Role.UNSPECIFIED ? [] : [named(ROLE_NAMES, least, path)];
  const others = also.map((role) => named(ROLE_NAMES, role, path));
  return {
    roles: new Set([...lowest.flatMap(rolesFrom), ...others]),
    required: [...lowest, ...others],
    rights: new Set(tickets.map((right) => named(RIGHT_NAMES, right, path))),
    exempt: new Set(exempt === Role.UNSPECIFIED ? [] : rolesFrom(named(ROLE_NAMES, exempt, path))),
    isInternal: internal,
  };
}

function named<K, V>(names: ReadonlyMap<K, V>, value: K, path: string): V {
  const name = names.get(value);
  if (name !== undefined) return name;
  throw new QmtlError("CONFIG_INVALID", `${path} names an unknown role or right: ${value}`);
}

/** @throws {QmtlError} ROLE_REQUIRED for a caller whose role may not call; its metadata name the roles that may. */
export function checkRole(access: CallAccess, principal: CallPrincipal, feature: string): void {
  if (access.roles.has(principal.role)) return;
  const required = access.required.join(" or ");
  throw new QmtlError(
    "ROLE_REQUIRED",
    `${principal.name} is ${principal.role}; ${feature} needs ${required}`,
    { metadata: { role: principal.role, required: access.required.join(",") } },
  );
}

/**
 * The session a call acts for: of the signed principal behind a gateway, else of the request's ticket. Undefined for a
 * method without tickets, for a gateway that acts for itself, and for an exempt caller without one.
 *
 * @throws {QmtlError} TICKET_INVALID without a ticket; TICKET_SCOPE for one without any of the rights; else as
 * `checkTicket`.
 */
export function checkSession(
  access: CallAccess,
  request: Message,
  principal: CallPrincipal,
  checkTicket: TicketCheck | undefined,
): SessionScope | undefined {
  if (access.rights.size === 0 || principal.role === "gateway") return undefined;
  const scope = principal.session ?? scopeOfTicket(request, principal, checkTicket);
  if (scope === undefined) {
    if (access.exempt.has(principal.role)) return undefined;
    throw new QmtlError("TICKET_INVALID", "a ticket is required: IssueTicket gives one", {
      fields: [{ field: "ticket", description: "must be the ticket of the session" }],
    });
  }
  if (scope.rights.some((right) => access.rights.has(right))) return scope;
  const required = [...access.rights].join(",");
  throw new QmtlError("TICKET_SCOPE", `the ticket does not carry ${required}`, {
    metadata: { required, rights: scope.rights.join(",") },
  });
}

function scopeOfTicket(
  request: Message,
  principal: CallPrincipal,
  checkTicket: TicketCheck | undefined,
): SessionScope | undefined {
  const ticket = "ticket" in request && typeof request.ticket === "string" ? request.ticket : "";
  if (ticket === "") return undefined;
  if (checkTicket !== undefined) return checkTicket(ticket, principal);
  throw new QmtlError("TICKET_INVALID", "tickets are checked at the gateway only; call it there");
}
