import { createClient, createRouterTransport } from "@connectrpc/connect";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { afterEach, describe, expect, test } from "vitest";
import { connectErrorFrom, dressTransport, QmtlError } from "../rpc/index.ts";
import { fakeGateMessage } from "../testing/fake-gate.ts";
import { ManualClock, waitUntil } from "../testing/index.ts";
import { ControlSession, OrderGate, TicketKeeper } from "./index.ts";

const schemaVersion = { version: 1, supported: { min: 1, max: 1 } };

interface Times {
  readonly silenceMsMax?: number;
  readonly totalMsMax?: number | null;
  /** Revision of the gate that each stream begins with. @default no gate */
  readonly revision?: number;
  /** Reason with which every stream is refused. @default none */
  readonly refusal?: "TICKET_INVALID";
}

/** State of the server that a test reads and sets. */
interface Seen {
  streams: number;
  tickets: number;
  isDown: boolean;
  /** New streams send nothing. */
  isSilent: boolean;
  revision: number;
  /** Store epoch of the queues. */
  storeEpoch: bigint;
  /** Ends the stream. */
  end(failure: Error): void;
}

/** A session on a control stream that sends one message and then nothing. */
function session({ revision = 0, refusal, ...times }: Times) {
  const clock = new ManualClock();
  const told: string[] = [];
  const seen: Seen = {
    streams: 0,
    tickets: 0,
    isDown: false,
    isSilent: false,
    revision,
    storeEpoch: 1n,
    end() {},
  };
  const transport = createRouterTransport(({ service }) => {
    service(ControlStreamService, {
      issueTicket: () => {
        seen.tickets++;
        if (seen.isDown) throw new Error("down");
        return { schemaVersion, ticket: `t${seen.tickets}` };
      },
      async *subscribe(_request, { signal }) {
        seen.streams++;
        const ended = new Promise<void>((resolve, reject) => {
          signal.addEventListener("abort", () => resolve());
          seen.end = reject;
        });
        if (refusal !== undefined) throw connectErrorFrom(new QmtlError(refusal, "no"));
        if (!seen.isSilent) yield seen.revision === 0 ? { schemaVersion } : gateAt(seen.revision);
        if (!seen.isSilent) yield queuesIn(seen.storeEpoch);
        await ended.catch((failure: QmtlError) => {
          throw connectErrorFrom(failure);
        });
      },
      nack: () => ({ schemaVersion }),
    });
  });
  const ids = { sessionId: "a", worldId: "w", strategyIds: ["s"] };
  const gate = new OrderGate(clock, ids);
  const control = createClient(ControlStreamService, dressTransport(transport, {}));
  const tickets = new TicketKeeper({ ...ids, control, clock });
  tickets.cover(ids.strategyIds);
  const made = new ControlSession({
    ...ids,
    ...times,
    control,
    clock,
    gate,
    tickets,
    listener: {
      onGate: () => {},
      onSwap: () => {},
      onTags: () => {},
      onUnregistered: () => {},
      onQueuesRestored: () => told.push("restored"),
      onHeartbeat: () => {},
      onConnected: () => told.push("connected"),
      onLost: () => told.push("lost"),
    },
  });
  made.start();
  open.push(made);
  /** Lets time pass in steps shorter than any wait here, so that what is due happens in order. */
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { made, gate, clock, told, seen, pass };
}

/** The gate of the world as a stream's first message. */
function gateAt(revision: number) {
  const facts = { fence: 1, isOpen: true, mode: "paper", strategyIds: ["s"] } as const;
  const state = fakeGateMessage("w", { ...facts, revision });
  const topicKey = "world/w/gate";
  const { storeEpoch, revision: at, stateHash } = state;
  const payload = { case: "snapshot", value: { state: { case: "gate", value: state } } } as const;
  return { schemaVersion, event: { topicKey, storeEpoch, revision: at, stateHash, payload } };
}

/** The state of the world's queues in a store. */
function queuesIn(storeEpoch: bigint) {
  const payload = { case: "snapshot", value: { state: { case: "queues", value: {} } } } as const;
  return {
    schemaVersion,
    event: { topicKey: "world/w/queue", storeEpoch, revision: 1n, payload },
  };
}

const open: ControlSession[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.stop()));
});

describe("a control session", () => {
  test("takes a silent stream for broken after the time it was given, and opens another", async () => {
    const { told, seen, pass } = session({ silenceMsMax: 5_000 });
    await waitUntil(() => told.length === 1, "the first stream");

    await pass(5_000);
    expect(told).toEqual(["connected"]);
    await pass(1_000);
    expect(told).toEqual(["connected", "lost"]);

    await pass(1_500);
    await waitUntil(() => told.length === 3, "the second stream");
    expect(seen.streams).toBe(2);
  });

  test("tells that the queues are of another store when their store epoch is another than before", async () => {
    const { told, seen, pass } = session({});
    await waitUntil(() => told.length === 1, "the first stream");
    seen.end(new QmtlError("DRAINING", "stops"));
    await pass(1_500);
    await waitUntil(() => told.length === 3, "the second stream");
    expect(told).toEqual(["connected", "lost", "connected"]);

    seen.storeEpoch = 1_000n;
    seen.end(new QmtlError("DRAINING", "stops"));
    await pass(1_500);

    await waitUntil(() => told.includes("restored"), "the other store");
  });

  test("is patient for 6 s when it was given no time", async () => {
    const { told, pass } = session({});
    await waitUntil(() => told.length === 1, "the first stream");

    await pass(6_000);
    expect(told).toEqual(["connected"]);
    await pass(1_000);
    expect(told).toEqual(["connected", "lost"]);
  });

  test("opens its stream again when it is old, which is no loss", async () => {
    const { told, seen, pass } = session({ totalMsMax: 5_000 });
    await waitUntil(() => told.length === 1, "the first stream");

    await pass(6_500);
    await waitUntil(() => seen.streams === 2, "the second stream");
    await pass(1_000);

    expect(told).toEqual(["connected"]);
  });

  test("an old stream that cannot be opened again is a loss, tried again with growing waits", async () => {
    const { told, seen, pass } = session({ totalMsMax: 5_000 });
    await waitUntil(() => told.length === 1, "the first stream");
    seen.isDown = true;
    open[0]!.dropTicket("t1");
    await pass(500);
    await waitUntil(() => told.length === 2, "the loss");
    const before = seen.tickets;

    await pass(16_000);

    expect(told.slice(0, 2)).toEqual(["connected", "lost"]);
    // After 1, 2, 4 and 8 s.
    expect(seen.tickets - before).toBeGreaterThanOrEqual(3);
    expect(seen.tickets - before).toBeLessThanOrEqual(5);

    seen.isDown = false;
    await pass(9_000);
    await waitUntil(() => told.at(-1) === "connected", "the stream again");
    expect(told.filter((each) => each === "connected")).toHaveLength(2);
  });

  test("tells a stream as lost that stays silent after it was opened again for its age", async () => {
    const { told, seen, pass } = session({ totalMsMax: 2_000, silenceMsMax: 5_000 });
    await waitUntil(() => told.length === 1, "the first stream");
    seen.isSilent = true;

    await pass(7_000);
    expect(told).toEqual(["connected"]);
    await pass(2_000);

    expect(told).toEqual(["connected", "lost"]);
  });

  test("a stream that ends with its ticket is opened again with another, which is no loss", async () => {
    const { told, seen, pass } = session({});
    await waitUntil(() => told.length === 1, "the first stream");

    seen.end(new QmtlError("TICKET_EXPIRED", "over"));
    await pass(1_000);
    await waitUntil(() => seen.streams === 2, "the second stream");

    expect(seen.tickets).toBe(2);
    expect(told).toEqual(["connected"]);
  });

  test("a lost stream whose ticket is refused before it stands again is told once it stands", async () => {
    const { made, told, seen, pass } = session({});
    await waitUntil(() => told.length === 1, "the first stream");

    seen.isSilent = true;
    seen.end(new QmtlError("PEER_UNAVAILABLE", "gone"));
    await pass(2_000);
    await waitUntil(() => seen.streams === 2, "the second stream, which says nothing");
    seen.isSilent = false;
    made.dropTicket("t1");
    await pass(1_000);
    await waitUntil(() => seen.streams === 3, "the third stream");
    await pass(100);

    expect(told).toEqual(["connected", "lost", "connected"]);
  });

  test("a ticket that is never good is a loss", async () => {
    const { told, seen, pass } = session({ refusal: "TICKET_INVALID" });
    await waitUntil(() => told.length === 1, "the refusal");
    await pass(4_000);

    expect(new Set(told)).toEqual(new Set(["lost"]));
    expect(seen.streams).toBeLessThanOrEqual(4);
  });

  test("a refused ticket is dropped once, however many calls it was refused to", async () => {
    const { made, told, seen, pass } = session({});
    await waitUntil(() => told.length === 1, "the first stream");
    for (let call = 0; call < 3; call++) made.dropTicket("t1");
    await pass(1_000);
    await waitUntil(() => seen.streams === 2, "the second stream");

    made.dropTicket("t1");
    await pass(1_000);

    expect([seen.streams, seen.tickets]).toEqual([2, 2]);
    expect(made.ticket).toBe("t2");
    expect(told).toEqual(["connected"]);
  });

  test("is in no hurry with a gateway that has nothing newer than what is applied", async () => {
    const { gate, seen, pass } = session({ revision: 5 });
    await waitUntil(() => gate.state.applied?.revision === 5, "the first state");
    seen.revision = 4;
    open[0]!.dropTicket("t1");
    await pass(20_000);

    // Every stream begins with an older state. Without the growing wait there would be 200 of them.
    expect(seen.streams).toBeGreaterThan(5);
    expect(seen.streams).toBeLessThan(20);
    expect(gate.state.applied?.revision).toBe(5);

    seen.revision = 6;
    await pass(3_000);
    await waitUntil(() => gate.state.applied?.revision === 6, "the newer state");
  });

  test("leaves no timer when it is stopped, also twice and before its first answer", async () => {
    const { made, clock } = session({});
    await Promise.all([made.stop(), made.stop()]);
    expect(clock.timers).toBe(0);

    const later = session({});
    await waitUntil(() => later.told.length === 1, "the stream");
    await later.made.stop();
    expect(later.clock.timers).toBe(0);
  });
});
