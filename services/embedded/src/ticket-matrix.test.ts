import type { JsonObject } from "@bufbuild/protobuf";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { accessOf } from "@qmtl/service-kit";
import { minimalRequest } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, type KeyRole, startKeyedPlatform } from "./testing/keyed-platform.ts";

/** Calls that carry a ticket, each with the lowest role that makes it. */
const ticketed = gatewayContracts.flatMap((service) =>
  service.methods.flatMap((method) => {
    const { roles, rights } = accessOf(method);
    const caller = (["viewer", "researcher", "operator"] as const).find((role) => roles.has(role));
    return rights.size === 0 || caller === undefined ? [] : [{ method, caller, rights }];
  }),
);

let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform({ ticketSeconds: 10 });
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

/** A ticket that only observes. */
async function observing(role: KeyRole): Promise<string> {
  const control = platform.connection(role).client(ControlStreamService);
  const rights = [TicketRight.OBSERVE];
  return (await control.issueTicket({ worldId: "w", rights })).ticket;
}

/** Expired tickets, by role; the stream of each has ended with it. */
let spent: Promise<ReadonlyMap<KeyRole, string>> | undefined;
function spentTickets(): Promise<ReadonlyMap<KeyRole, string>> {
  spent ??= Promise.all(
    (["viewer", "researcher", "operator"] as const).map(async (role) => {
      const ticket = await observing(role);
      const control = platform.connection(role).client(ControlStreamService);
      const stream = (async () => {
        for await (const _ of control.subscribe({ ticket }));
      })();
      await expect(stream).rejects.toMatchObject({ reason: "TICKET_EXPIRED" });
      return [role, ticket] as const;
    }),
  ).then((all) => new Map(all));
  return spent;
}

/** The ticket with one claim changed, under the old signature. */
function tampered(ticket: string): string {
  const [head, body = "", signature] = ticket.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as JsonObject;
  const changed = { ...claims, rights: ["observe", "compute", "trade", "feed"] };
  return [head, Buffer.from(JSON.stringify(changed)).toString("base64url"), signature].join(".");
}

describe.each(ticketed)("$method.parent.name.$method.name", ({ method, caller, rights }) => {
  const reasonWith = async (ticket: string): Promise<string | undefined> => {
    const request = { ...minimalRequest(method.input), ticket };
    return (await platform.call(caller, method, request)).refusal?.reason;
  };

  test("is refused without a ticket, and with what is none", async () => {
    expect(["TICKET_INVALID", "INVALID_FIELD"]).toContain(await reasonWith(""));
    expect(await reasonWith("a.b.c")).toBe("TICKET_INVALID");
  });

  test("is refused with a ticket that was tampered with", async () => {
    expect(await reasonWith(tampered(await observing(caller)))).toBe("TICKET_INVALID");
  });

  test("is refused with the ticket of somebody else", async () => {
    expect(await reasonWith(await observing("owner"))).toBe("TICKET_SCOPE");
  });

  test("is refused with a ticket whose life is over", async () => {
    const tickets = await spentTickets();
    expect(await reasonWith(tickets.get(caller) ?? "")).toBe("TICKET_EXPIRED");
  });

  test.skipIf(rights.has("observe"))("is refused with a ticket that only observes", async () => {
    expect(await reasonWith(await observing(caller))).toBe("TICKET_SCOPE");
  });
});
