import { expect, test } from "vitest";
import type { HeartbeatReply } from "../gate/index.ts";
import { makeHeartbeat } from "../gate/index.ts";
import { fakeGateMessage } from "../testing/fake-gate.ts";
import { ManualClock } from "../testing/index.ts";
import { gateInput } from "./gate-from-proto.ts";
import { OrderGate } from "./order-gate.ts";

const facts = { isOpen: true, mode: "paper", strategyIds: ["s"] } as const;

/** A gate with a lease of 10 s, of which 9 can be used. */
function armed(): OrderGate {
  const clock = new ManualClock();
  const gate = new OrderGate(clock, { sessionId: "a", worldId: "w", strategyId: "s" });
  gate.take(gateInput(fakeGateMessage("w", { ...facts, revision: 1, fence: 1 }), ["s"]));
  const made = makeHeartbeat(gate.state, clock.reading());
  gate.state = made.state;
  const reply: HeartbeatReply = {
    granted: true,
    sessionId: "a",
    heartbeatSeq: made.heartbeat.heartbeatSeq,
    leaseId: "l",
    fence: 1,
    requiredRevision: 0,
    emitterFor: new Map([["s", "a"]]),
    leaseMs: 10_000,
    marginMs: 1_000,
    decisionRemainingMs: 300_000,
  };
  gate.take({ kind: "reply", reply, now: clock.reading() });
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
