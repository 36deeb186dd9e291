import { create, toBinary } from "@bufbuild/protobuf";
import { ControlEventSchema, Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateChange, GateStateSchema } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { SessionKind } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { node, openGatewayRig, submission } from "../testing/gateway-rig.ts";

type Rig = Awaited<ReturnType<typeof openGatewayRig>>;
let rig: Rig;
let strategyId = "";
beforeAll(async () => {
  rig = await openGatewayRig();
  const submitted = await rig.client(GatewayService).submitStrategy({
    ...submission([node("a")]),
    requestId: "r1",
  });
  strategyId = submitted.submission!.strategyId;
});
afterAll(() => rig[Symbol.asyncDispose]());

const control = () => rig.client(ControlStreamService);
const gateTicket = () =>
  control().issueTicket({
    worldId: "w1",
    strategyIds: [strategyId],
    topics: [Topic.GATE],
    rights: [TicketRight.TRADE],
  });

async function publishGate(revision: number, how?: "without its state") {
  const state = create(GateStateSchema, {
    ...rig.world.gate,
    revision: BigInt(revision),
    stateHash: `blake3:${revision}`,
  });
  rig.world.gate = state;
  const event = create(ControlEventSchema, {
    id: `e${revision}`,
    topicKey: "world/w1/gate",
    storeEpoch: 1n,
    revision: BigInt(revision),
    ...(how === undefined
      ? { payload: { case: "gateEvent", value: { state, change: GateChange.DECISION } } }
      : {}),
  });
  await rig.bus.publish("control", event.topicKey, toBinary(ControlEventSchema, event));
}

/** Revisions of the gate as a stream reports them, until `last`. */
async function readUntil(
  last: number,
  request: Parameters<ReturnType<typeof control>["subscribe"]>[0],
) {
  const abort = new AbortController();
  const seen: string[] = [];
  try {
    for await (const { event } of control().subscribe(request, { signal: abort.signal })) {
      const { payload, topicKey } = event!;
      if (topicKey !== "world/w1/gate") continue;
      if (payload.case === "snapshot") seen.push(`snapshot ${event!.revision}`);
      if (payload.case === "gateEvent") seen.push(`event ${event!.revision}`);
      if (seen.at(-1)?.endsWith(` ${last}`)) return seen;
    }
    return seen;
  } finally {
    abort.abort();
  }
}

test("a stream begins with a snapshot, goes on without a gap, and resumes exactly where it was left", async () => {
  const { ticket } = await gateTicket();
  const first = readUntil(3, { ticket });
  await publishGate(2);
  await publishGate(3);
  const seen = await first;
  expect(seen[0]).toMatch(/^snapshot [123]$/);
  expect(seen.at(-1)).toMatch(/ 3$/);
  await publishGate(4);
  await publishGate(5);
  const topicKey = "world/w1/gate";
  const applied = [{ topicKey, revision: 3n, storeEpoch: 1n }];
  expect(await readUntil(5, { ticket, lastApplied: applied })).toEqual(["event 4", "event 5"]);
  const other = [{ topicKey, revision: 3n, storeEpoch: 2n }];
  expect(await readUntil(5, { ticket, lastApplied: other })).toEqual(["snapshot 5"]);
});

test("a change of a gate that is too large for an event is handed out as a snapshot, and what follows as events", async () => {
  const { ticket } = await gateTicket();
  const topicKey = "world/w1/gate";
  const lastApplied = [{ topicKey, revision: 5n, storeEpoch: 1n }];
  const listening = readUntil(7, { ticket, lastApplied });
  await publishGate(6, "without its state");
  expect(await readUntil(6, { ticket, lastApplied })).toEqual(["snapshot 6"]);
  await publishGate(7);

  expect(await listening).toEqual(["snapshot 6", "event 7"]);
});

test("a heartbeat is relayed with what its ticket says of the session", async () => {
  const { ticket, sessionId } = await gateTicket();
  const heartbeat = { heartbeatSeq: 1n, wantLease: true };

  const { reply } = await control().heartbeat({ ticket, heartbeat });

  expect(reply).toMatchObject({ heartbeatSeq: 1n, granted: true });
  const kind = SessionKind.TRADER;
  const claim = { sessionId, worldId: "w1", kind, strategyIds: [strategyId] };
  expect(rig.world.claims.at(-1)).toMatchObject(claim);
  await expect(control().heartbeat({ ticket: `${ticket}x`, heartbeat })).rejects.toMatchObject({
    reason: "TICKET_INVALID",
  });
});

test("the order path is told which session is alive, with the strategies of its newest ticket, and which one ends", async () => {
  const wide = await gateTicket();
  const { sessionId } = wide;
  const beat = (heartbeatSeq: bigint, ticket: string, release = false) =>
    control().heartbeat({ ticket, heartbeat: { heartbeatSeq, release } });
  await beat(1n, wide.ticket);
  const narrow = await control().issueTicket({
    ...{ worldId: "w1", rights: [TicketRight.OBSERVE], sessionId },
  });
  await beat(2n, narrow.ticket);
  rig.world.isDown = true;
  const last = beat(3n, narrow.ticket, true);
  await expect(last).rejects.toMatchObject({ reason: "PEER_UNAVAILABLE" });
  rig.world.isDown = false;

  expect(rig.told.slice(-3)).toEqual([
    ["heard", expect.objectContaining({ sessionId, strategyIds: [strategyId] })],
    ["heard", expect.objectContaining({ sessionId, strategyIds: [] })],
    ["ended", sessionId],
  ]);
});

test("a session without TRADE observes, and is refused when it wants a lease", async () => {
  const { ticket } = await control().issueTicket({ worldId: "w1", rights: [TicketRight.OBSERVE] });

  await control().heartbeat({ ticket, heartbeat: { heartbeatSeq: 1n } });

  const kind = SessionKind.OBSERVER;
  expect(rig.world.claims.at(-1)).toMatchObject({ kind, strategyIds: [] });
  const heartbeat = { heartbeatSeq: 2n, wantLease: true };
  await expect(control().heartbeat({ ticket, heartbeat })).rejects.toMatchObject({
    reason: "TICKET_SCOPE",
  });
});

test("a ticket survives a restart of the gateway", async () => {
  const { ticket } = await gateTicket();
  const again = await rig.make();
  const handlers = again.services.find(
    ({ service }) => service.typeName === ControlStreamService.typeName,
  );
  expect(handlers).toBeDefined();
  const refreshed = await control().refreshTicket({ ticket });
  expect(refreshed.ticket).not.toBe("");
  const { jwksJson } = await control().getSigningKeys({});
  expect(JSON.parse(jwksJson).keys).toHaveLength(1);
  expect(jwksJson).not.toContain('"d"');
  await again.stop();
});

test("without WorldService heartbeats are unavailable and decisions are lowered", async () => {
  const { ticket } = await gateTicket();
  const decisions = rig.client(DecisionService);
  const { decision: fresh } = await decisions.decide({ worldId: "w1" });
  expect(fresh).toMatchObject({
    effectiveMode: EffectiveMode.PAPER,
    executionDomain: ExecutionDomain.DRYRUN,
    stale: false,
  });
  rig.world.isDown = true;
  try {
    const heartbeat = { heartbeatSeq: 9n };
    await expect(control().heartbeat({ ticket, heartbeat })).rejects.toMatchObject({
      reason: "PEER_UNAVAILABLE",
    });
    const { decision: kept } = await decisions.decide({ worldId: "w1" });
    expect(kept).toMatchObject({
      effectiveMode: EffectiveMode.COMPUTE_ONLY,
      executionDomain: ExecutionDomain.BACKTEST,
      stale: true,
    });
    await expect(
      decisions.decide({ worldId: "w1", strategyIds: ["never-asked"] }),
    ).rejects.toMatchObject({ reason: "PEER_UNAVAILABLE" });
  } finally {
    rig.world.isDown = false;
  }
});
