import { fromBinary } from "@bufbuild/protobuf";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { createMetrics, silentLogger } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { controlTopic } from "../bus/control-events.ts";
import { Peer } from "../peers/peer.ts";
import { ControlHub } from "./control-hub.ts";
import { EventLog } from "./event-log.ts";
import { GateBook } from "./gate-book.ts";

const ticketMs = 300_000;

/** A hub over a bus nobody publishes on, whose time moves only when told. */
async function openHub() {
  await using opened = new AsyncDisposableStack();
  const host = opened.use(await openTestPglite());
  const bus = opened.use(await openEmbeddedBus({ db: host.db("bus") }));
  await bus.ensureTopics([{ topic: controlTopic }]);
  const clock = new ManualClock();
  const logger = silentLogger;
  const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32) };
  const world = new Peer("world-service", "http://127.0.0.1:1", { clock, gatewayKey });
  opened.defer(() => world.close());
  const gates = new GateBook({ world, gateway: { name: "gw-test", role: "gateway" }, logger });
  const events = await EventLog.open(host.db("gateway"), { clock, logger });
  const hub = new ControlHub({ bus, gates, clock, logger, events, metrics: createMetrics() });
  await hub.start();
  opened.defer(() => hub.stop());
  const all = opened.move();
  return { hub, clock, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

test("a stream lives as long as its ticket, marks all the way, and is cut then with a stable reason", async () => {
  await using rig = await openHub();
  const { hub, clock } = rig;
  const stream = hub.subscribe({
    topicKeys: ["world/w1/policy"],
    applied: new Map(),
    version: 1,
    expireMs: clock.nowMs() + ticketMs,
    signal: new AbortController().signal,
  });
  const next = async () => {
    const { value } = await stream.next();
    return fromBinary(SubscribeResponseSchema, value!.bytes).event!.type;
  };
  expect(await next()).toBe("snapshot");

  for (let passedMs = 2_000; passedMs < ticketMs; passedMs += 2_000) {
    const mark = next();
    clock.advance(2_000);
    expect(await mark).toBe("progress_mark");
  }
  const last = next();
  clock.advance(2_000);

  await expect(last).rejects.toMatchObject({ reason: "TICKET_EXPIRED" });
  expect(await stream.next()).toEqual({ done: true, value: undefined });
});
