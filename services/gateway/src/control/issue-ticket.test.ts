import { create } from "@bufbuild/protobuf";
import { GateStateSchema } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallPrincipal,
  createPrincipalCheck,
  openGrpcServer,
  type RoleName,
  serve,
  systemClock,
  type TicketRightName,
} from "@qmtl/service-kit";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Peer } from "../peers/peer.ts";
import { ticketKeys } from "../store/ticket-key-store.ts";
import { issueTicket, refreshTicket, type TicketPorts, type WantedTicket } from "./issue-ticket.ts";
import { Tickets } from "./tickets.ts";

const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32).fill(7) };
const ttlSeconds = 300;

/** A gateway with strategy `s`, sources `replay` and `live-feed`, and worlds `paper` and `live`. */
async function openRig() {
  await using opened = new AsyncDisposableStack();
  const host = opened.use(await openTestPglite());
  const db = host.db("gateway");
  await db.script(`create schema gateway;
    create table gateway.submission (strategy_id text not null);
    create table gateway.ticket_key (kid text primary key, private_jwk jsonb, created_ms bigint);
    insert into gateway.submission values ('s')`);
  const services = [
    serve(WorldService, {
      getWorld: async ({ worldId }) => ({ world: { worldId, allowLive: worldId === "live" } }),
    }),
  ];
  const principalOf = createPrincipalCheck({ gateways: [gatewayKey] });
  const server = opened.use(await openGrpcServer({ services, principalOf }));
  const clock = new ManualClock();
  const world = new Peer("world-service", `http://127.0.0.1:${server.port}`, {
    clock: systemClock,
    gatewayKey,
  });
  opened.defer(() => world.close());
  let ids = 0;
  const newId = () => `id-${++ids}`;
  const tickets = new Tickets(await ticketKeys(db, clock, newId), { clock, ttlSeconds });
  const ports: TicketPorts = {
    db,
    tickets,
    world,
    gateway: { name: "gw-test", role: "gateway" },
    gates: {
      state: () => undefined,
      forget: () => {},
      onHeard: () => () => {},
      async ensure(worldId) {
        if (worldId !== "paper" && worldId !== "live")
          throw new QmtlError("WORLD_NOT_FOUND", `no world ${worldId}`);
        return create(GateStateSchema, { worldId });
      },
    },
    replaySources: new Map([
      ["replay", true],
      ["live-feed", false],
    ]),
    newId,
  };
  const all = opened.move();
  return { ports, clock, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

let rig: Awaited<ReturnType<typeof openRig>>;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const caller = (role: RoleName, name: string = role): { principal: CallPrincipal } => ({
  principal: { name, role },
});
const wanted = (rights: readonly TicketRightName[], over: Partial<WantedTicket> = {}) => ({
  worldId: "paper",
  strategyIds: ["s"],
  sources: [],
  topics: ["gate" as const],
  sessionId: "",
  rights,
  ...over,
});
const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => "granted",
    (failure: unknown) => (failure instanceof QmtlError ? failure.reason : String(failure)),
  );

describe("a ticket", () => {
  const roles = ["viewer", "researcher", "operator", "owner", "adapter"] as const;
  const outcomes = async (ask: WantedTicket) => {
    const granted: string[] = [];
    for (const role of roles) {
      const reason = await reasonOf(issueTicket(rig.ports, ask, caller(role)));
      if (reason === "granted") granted.push(role);
      else expect(reason).toBe("ROLE_REQUIRED");
    }
    return granted;
  };
  const live = { worldId: "live" };
  const feedOf = (source: string) => ({ sources: [source] });

  test("that names so much that no call would take it is refused, not issued", async () => {
    const sources = Array.from({ length: 1_000 }, (_, at) => String(at).padEnd(100, "x"));
    const ports = { ...rig.ports, replaySources: new Map(sources.map((name) => [name, true])) };

    const ask = issueTicket(ports, wanted(["feed"], { sources }), caller("owner"));

    await expect(ask).rejects.toMatchObject({
      reason: "INVALID_FIELD",
      fields: [{ field: "sources", description: expect.stringContaining("at most 65536") }],
    });
  });

  test.each([
    ["OBSERVE", wanted(["observe"]), ["viewer", "researcher", "operator", "owner", "adapter"]],
    ["COMPUTE", wanted(["compute"]), ["researcher", "operator", "owner"]],
    ["TRADE on paper", wanted(["trade"]), ["researcher", "operator", "owner"]],
    ["TRADE where live is allowed", wanted(["trade"], live), ["operator", "owner"]],
    [
      "COMPUTE where live is allowed",
      wanted(["compute"], live),
      ["researcher", "operator", "owner"],
    ],
    [
      "FEED of a replay source",
      wanted(["feed"], feedOf("replay")),
      ["researcher", "operator", "owner", "adapter"],
    ],
    [
      "FEED of another source",
      wanted(["feed"], feedOf("live-feed")),
      ["operator", "owner", "adapter"],
    ],
    [
      "FEED without a world",
      wanted(["feed"], { ...feedOf("live-feed"), worldId: "", strategyIds: [] }),
      ["operator", "owner", "adapter"],
    ],
  ])("with %s is for the roles that the contract names", async (_what, ask, granted) => {
    expect(await outcomes(ask)).toEqual(granted);
  });

  test.each([
    ["a replay source", "replay", "adapter,researcher"],
    ["another source", "live-feed", "adapter,operator"],
  ])(
    "with FEED of %s that a viewer asks for names the roles that may",
    async (_, source, required) => {
      const ask = wanted(["feed"], feedOf(source));

      await expect(issueTicket(rig.ports, ask, caller("viewer"))).rejects.toMatchObject({
        reason: "ROLE_REQUIRED",
        metadata: { required, right: "feed" },
      });
    },
  );

  test("keeps where its session runs when it is refreshed", async () => {
    const origin = { process: "trader-3:4711", startMs: 1_700_000_000_000 };
    const first = await issueTicket(rig.ports, wanted(["observe"], { origin }), caller("viewer"));
    const next = await refreshTicket(rig.ports, first.ticket, caller("viewer"));

    expect(rig.ports.tickets.verify(next.ticket).origin).toEqual(origin);
  });

  test.each([
    ["another world", wanted(["observe"], { worldId: "nowhere" }), "WORLD_NOT_FOUND"],
    ["another strategy", wanted(["trade"], { strategyIds: ["s", "x"] }), "STRATEGY_NOT_FOUND"],
    ["another source", wanted(["feed"], { sources: ["replay", "x"] }), "SOURCE_NOT_FOUND"],
    ["TRADE without strategies", wanted(["trade"], { strategyIds: [] }), "INVALID_FIELD"],
    ["COMPUTE without strategies", wanted(["compute"], { strategyIds: [] }), "INVALID_FIELD"],
    ["FEED without sources", wanted(["feed"]), "INVALID_FIELD"],
    ["COMPUTE without a world", wanted(["compute"], { worldId: "" }), "INVALID_FIELD"],
  ])("for %s is refused", async (_what, ask, reason) => {
    expect(await reasonOf(issueTicket(rig.ports, ask, caller("owner")))).toBe(reason);
  });

  test("carries OBSERVE whatever else, and its claims are the contract's", async () => {
    const ask = wanted(["compute", "feed"], { sources: ["replay"] });
    const { ticket, claims } = await issueTicket(rig.ports, ask, caller("researcher", "ann"));

    const body = JSON.parse(Buffer.from(ticket.split(".")[1]!, "base64url").toString());
    expect(body).toEqual({
      aud: "qmtl-control",
      sub: claims.sessionId,
      principal: "ann",
      world: "paper",
      strategies: ["s"],
      sources: ["replay"],
      topics: ["gate"],
      rights: ["observe", "compute", "feed"],
      iat: expect.any(Number),
      exp: body.iat + ttlSeconds,
    });
  });

  test("works for the principal it was issued to, and for nobody else", async () => {
    const { ticket } = await issueTicket(rig.ports, wanted(["trade"]), caller("owner", "ann"));
    const { scopeOf } = rig.ports.tickets;

    expect(scopeOf(ticket, { name: "ann", role: "owner" })).toMatchObject({ worldId: "paper" });
    expect(() => scopeOf(ticket, { name: "bob", role: "owner" })).toThrow(/not issued to bob/);
    expect(() => scopeOf(`${ticket}x`, { name: "ann", role: "owner" })).toThrow(/signature/);
  });

  test("widens the caller's own session, and never one of somebody else", async () => {
    const ann = caller("owner", "ann");
    const { sessionId } = (await issueTicket(rig.ports, wanted(["observe"]), ann)).claims;

    const wider = await issueTicket(rig.ports, wanted(["trade"], { sessionId }), ann);

    expect(wider.claims).toMatchObject({ sessionId, rights: ["observe", "trade"] });
    const stolen = issueTicket(
      rig.ports,
      wanted(["observe"], { sessionId }),
      caller("owner", "bob"),
    );
    expect(await reasonOf(stolen)).toBe("TICKET_SCOPE");
    const made = issueTicket(rig.ports, wanted(["observe"], { sessionId: "server-1" }), ann);
    expect(await reasonOf(made)).toBe("TICKET_SCOPE");
  });

  test("is refreshed only while the caller's role still allows its rights", async () => {
    const { ticket } = await issueTicket(rig.ports, wanted(["trade"]), caller("researcher", "ann"));

    const again = await refreshTicket(rig.ports, ticket, caller("researcher", "ann"));
    expect(again.claims.rights).toEqual(["observe", "trade"]);
    const lowered = refreshTicket(rig.ports, ticket, caller("viewer", "ann"));
    expect(await reasonOf(lowered)).toBe("ROLE_REQUIRED");
    const other = refreshTicket(rig.ports, ticket, caller("owner", "bob"));
    expect(await reasonOf(other)).toBe("TICKET_SCOPE");
    rig.clock.advance(ttlSeconds * 1_000);
    const ended = refreshTicket(rig.ports, ticket, caller("researcher", "ann"));
    expect(await reasonOf(ended)).toBe("TICKET_EXPIRED");
  });
});
