import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { HeartbeatReplySchema } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import { makeHeartbeat } from "@qmtl/core/gate";
import { expect, test } from "vitest";
import { replyFromProto } from "../rpc/index.ts";
import { fakeGateMessage } from "../testing/fake-gate.ts";
import { ManualClock } from "../testing/index.ts";
import { gateInput } from "./gate-from-proto.ts";
import { OrderGate } from "./order-gate.ts";

const facts = { isOpen: true, mode: "paper", strategyIds: ["s"] } as const;

/** A gate with a lease of 10 s, of which 9 can be used. */
function armed(
  lease: MessageInitShape<typeof HeartbeatReplySchema> = {},
  clock = new ManualClock(),
): OrderGate {
  const gate = new OrderGate(clock, { sessionId: "a", worldId: "w", strategyId: "s" });
  gate.take(gateInput(fakeGateMessage("w", { ...facts, revision: 1, fence: 1 }), ["s"]));
  const made = makeHeartbeat(gate.state, clock.reading());
  gate.state = made.state;
  const reply = create(HeartbeatReplySchema, {
    granted: true,
    heartbeatSeq: BigInt(made.heartbeat.heartbeatSeq),
    leaseId: "l",
    fence: 1n,
    emitters: [{ strategyId: "s", sessionId: "a" }],
    lease: durationFromMs(10_000),
    margin: durationFromMs(1_000),
    decisionRemaining: durationFromMs(300_000),
    ...lease,
  });
  gate.take({ kind: "reply", reply: replyFromProto(reply, "a"), now: clock.reading() });
  return gate;
}

test("a write that throws is thrown on, and the freeze behind it is applied", () => {
  const gate = armed();
  const freeze = gateInput(
    fakeGateMessage("w", { ...facts, isOpen: false, revision: 2, fence: 2 }),
    ["s"],
  );

  const write = (): never => {
    gate.take(freeze);
    throw new Error("no connection");
  };

  expect(() => gate.emit(["long"], write)).toThrow("no connection");
  expect(gate.state.inFlight).toBe(0);
  expect(gate.state.applied?.fence).toBe(2);
  expect(gate.refusal(["long"])).toBe("GATE_NOT_OPEN");
});

test.each([
  ["300 ms where the world states none", {}, 300],
  ["50 ms where the world says so", { emitMax: durationFromMs(50) }, 50],
  ["700 ms where the world says so", { emitMax: durationFromMs(700) }, 700],
] as const)(
  "a write that ends past the lease is late after more than %s",
  (_, lease, emitMaxMs) => {
    const stateAfter = (pauseMs: number) => {
      const clock = new ManualClock();
      const gate = armed(lease, clock);
      clock.advance(8_990);
      expect(gate.refusal(["long"])).toBeNull();
      gate.emit(["long"], () => clock.advance(pauseMs));
      return gate.state;
    };

    expect(stateAfter(emitMaxMs)).toMatchObject({ latched: null, lateWrites: 0 });
    expect(stateAfter(emitMaxMs + 1)).toMatchObject({ latched: "late_write", lateWrites: 1 });
  },
);
