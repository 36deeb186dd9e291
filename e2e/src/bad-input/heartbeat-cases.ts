import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ControlStreamService,
  type IssueTicketRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { describe, expect, test } from "vitest";
import type { BadInputStack } from "./bad-input-stack.ts";
import { refusalOf } from "./refusals.ts";

const worldId = "w";

/** What is asked for, what is wrong with it, and the refusal. */
type Refused = [string, MessageInitShape<typeof IssueTicketRequestSchema>, string, string];

/** Tests of tickets for what does not exist or is another's, and of heartbeats that their ticket does not cover. */
export function heartbeatCases(at: () => BadInputStack): void {
  const control = () => at().connection.client(ControlStreamService);

  describe("a ticket", () => {
    const trade = { worldId, rights: [TicketRight.TRADE] };
    test.each([
      ["a world that is not there", { worldId: "another" }, "NotFound", "WORLD_NOT_FOUND"],
      ["a strategy nobody handed in", { strategyIds: ["s-1"] }, "NotFound", "STRATEGY_NOT_FOUND"],
      ["a source that is not there", { sources: ["moon"] }, "NotFound", "SOURCE_NOT_FOUND"],
      ["a session of somebody else", { sessionId: "own" }, "PermissionDenied", "TICKET_SCOPE"],
      ["TRADE without strategies", trade, "InvalidArgument", "INVALID_FIELD"],
      ["FEED without sources", { rights: [TicketRight.FEED] }, "InvalidArgument", "INVALID_FIELD"],
      ["OBSERVE without a world", { worldId: "" }, "InvalidArgument", "INVALID_FIELD"],
      ["no right", { rights: [] }, "InvalidArgument", "INVALID_FIELD"],
      ["a right nobody knows", { rights: [99 as TicketRight] }, "InvalidArgument", "INVALID_FIELD"],
    ] satisfies Refused[])("for %s is refused", async (_what, change, status, reason) => {
      const before = await at().stored();
      const asked = { worldId, rights: [TicketRight.OBSERVE] };
      const call = control().issueTicket({ ...asked, ...change });

      expect(await refusalOf(call)).toMatchObject({ status, reason });
      expect(await at().stored()).toBe(before);
    });
  });

  describe("a heartbeat", () => {
    const ticketOf = () => control().issueTicket({ worldId, rights: [TicketRight.OBSERVE] });

    test("that wants a lease under a ticket without TRADE is refused", async () => {
      const before = await at().stored();
      const { ticket } = await ticketOf();
      const heartbeat = { heartbeatSeq: 1n, wantLease: true, gateShut: true };

      expect(await refusalOf(control().heartbeat({ ticket, heartbeat }))).toMatchObject({
        status: "PermissionDenied",
        reason: "TICKET_SCOPE",
        fields: ["heartbeat.want_lease"],
      });
      expect(await at().stored()).toBe(before);
    });

    test("with a ticket that was changed is refused", async () => {
      const { ticket } = await ticketOf();
      const call = control().heartbeat({ ticket: `${ticket}x`, heartbeat: { heartbeatSeq: 1n } });

      expect(await refusalOf(call)).toMatchObject({
        status: "Unauthenticated",
        reason: "TICKET_INVALID",
      });
    });

    test("of a session nobody has heard of is answered when its ticket is good", async () => {
      const { ticket } = await ticketOf();

      const { reply } = await control().heartbeat({ ticket, heartbeat: { heartbeatSeq: 1n } });

      expect(reply).toMatchObject({ heartbeatSeq: 1n, granted: false });
      expect(reply?.requiredRevision).toBeGreaterThan(0n);
    });
  });
}
