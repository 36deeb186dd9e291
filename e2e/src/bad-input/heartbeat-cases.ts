import { create } from "@bufbuild/protobuf";
import { HeartbeatSchema } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import {
  ControlStreamService,
  TicketPurpose,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { describe, expect, test } from "vitest";
import type { BadInputStack } from "./bad-input-stack.ts";
import { refusalOf } from "./refusals.ts";

/** Heartbeats that their ticket does not cover, and one that it does. */
export function heartbeatCases(at: () => BadInputStack): void {
  describe("a heartbeat", () => {
    const strategyIds = ["s-1"];
    const beat = (sessionId: string) => ({
      sessionId,
      worldId: "w",
      heartbeatSeq: 1n,
      strategyIds,
      orderCapable: true,
      wantLease: true,
      gateShut: true,
    });
    const ticketOf = (sessionId: string) =>
      at()
        .connection.client(ControlStreamService)
        .issueTicket({ worldId: "w", strategyIds, sessionId, purpose: TicketPurpose.GATE });

    test.each([
      ["heartbeat.session_id", { sessionId: "somebody-else" }],
      ["heartbeat.world_id", { worldId: "another" }],
      ["heartbeat.strategy_ids", { strategyIds: ["s-1", "s-2"] }],
      ["heartbeat.door", { door: true }],
    ])("whose ticket does not cover %s is refused", async (field, change) => {
      const control = at().connection.client(ControlStreamService);
      const before = await at().stored();
      const { ticket } = await ticketOf("own");
      const heartbeat = create(HeartbeatSchema, { ...beat("own"), ...change });

      expect(await refusalOf(control.heartbeat({ ticket, heartbeat }))).toMatchObject({
        status: "PermissionDenied",
        reason: "TICKET_SCOPE",
        fields: [field],
      });
      expect(await at().stored()).toBe(before);
    });

    test("with a ticket that was changed is refused", async () => {
      const control = at().connection.client(ControlStreamService);
      const { ticket } = await ticketOf("own");
      const call = control.heartbeat({ ticket: `${ticket}x`, heartbeat: beat("own") });

      expect(await refusalOf(call)).toMatchObject({
        status: "Unauthenticated",
        reason: "TICKET_INVALID",
      });
    });

    test("of a session nobody has heard of is answered when its ticket is good", async () => {
      const control = at().connection.client(ControlStreamService);
      const { ticket } = await ticketOf("newcomer");

      const { reply } = await control.heartbeat({ ticket, heartbeat: beat("newcomer") });

      expect(reply).toMatchObject({ sessionId: "newcomer", heartbeatSeq: 1n });
      expect(reply?.requiredRevision).toBeGreaterThan(0n);
    });
  });
}
