import { create } from "@bufbuild/protobuf";
import {
  ControlStreamService,
  HeartbeatRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { SubscriptionService } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { describe, expect, test } from "vitest";
import type { CallPrincipal, RoleName } from "../handlers.ts";
import type { SessionScope } from "../session-scope.ts";
import { accessOf, checkRole, checkSession, type TicketCheck } from "./call-access.ts";

const caller = (role: RoleName): CallPrincipal => ({ name: "ann", role });
const scope = (...rights: SessionScope["rights"]): SessionScope => ({
  sessionId: "s",
  worldId: "w",
  strategyIds: ["a"],
  sources: [],
  rights,
});

function reasonOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (failure) {
    if (failure instanceof QmtlError) return failure.reason;
    throw failure;
  }
}

describe("roles", () => {
  const all: readonly RoleName[] = [
    "viewer",
    "researcher",
    "operator",
    "owner",
    "adapter",
    "gateway",
  ];
  const mayCall = (access: ReturnType<typeof accessOf>) =>
    all.filter((role) => reasonOf(() => checkRole(access, caller(role), "M")) === undefined);

  test("a role includes those below it on the ladder, and nothing beside it", () => {
    expect(mayCall(accessOf(WorldService.method.createWorld))).toEqual(["operator", "owner"]);
    expect(mayCall(accessOf(OrderService.method.setTargets))).toEqual([
      "researcher",
      "operator",
      "owner",
    ]);
  });

  test("an internal method is called by gateways, not even by an owner", () => {
    const access = accessOf(SubscriptionService.methods[0]!);

    expect(access.isInternal).toBe(true);
    expect(mayCall(access)).toEqual(["gateway"]);
  });
});

describe("tickets", () => {
  const access = accessOf(OrderService.method.setTargets);
  const observe = accessOf(ControlStreamService.method.heartbeat);
  const request = (ticket: string) => create(HeartbeatRequestSchema, { ticket });
  const trades: TicketCheck = () => scope("observe", "trade");

  test("a call without one is refused, but a gateway's own", () => {
    expect(reasonOf(() => checkSession(access, request(""), caller("owner"), trades))).toBe(
      "TICKET_INVALID",
    );
    expect(checkSession(access, request(""), caller("gateway"), trades)).toBeUndefined();
  });

  test("a ticket without the right is refused", () => {
    const observes: TicketCheck = () => scope("observe");

    expect(reasonOf(() => checkSession(access, request("t"), caller("owner"), observes))).toBe(
      "TICKET_SCOPE",
    );
    expect(checkSession(observe, request("t"), caller("viewer"), observes)).toEqual(
      scope("observe"),
    );
  });

  test("a session the gateway vouches for is believed; a ticket is not, where nobody can check it", () => {
    const session = scope("observe", "trade");

    expect(checkSession(access, request("x"), { ...caller("owner"), session }, undefined)).toBe(
      session,
    );
    expect(reasonOf(() => checkSession(access, request("x"), caller("owner"), undefined))).toBe(
      "TICKET_INVALID",
    );
  });
});
