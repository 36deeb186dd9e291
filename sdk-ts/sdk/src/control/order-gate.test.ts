import { readFileSync } from "node:fs";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { HeartbeatReplySchema } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { makeHeartbeat } from "@qmtl/core/gate";
import { describe, expect, test } from "vitest";
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
  const gate = new OrderGate(clock, { sessionId: "a", worldId: "w", strategyIds: ["s"] });
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

/** An order of the strategy that raises a long position. */
const long = { strategyId: "s", sides: ["long"] } as const;

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

  expect(() => gate.emit([long], "dryrun", write)).toThrow("no connection");
  expect(gate.state.inFlight).toBe(0);
  expect(gate.state.applied?.fence).toBe(2);
  expect(gate.refusal(long)).toBe("GATE_NOT_OPEN");
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
      expect(gate.refusal(long)).toBeNull();
      gate.emit([long], "dryrun", () => clock.advance(pauseMs));
      return gate.state;
    };

    expect(stateAfter(emitMaxMs)).toMatchObject({ latched: [], lateWrites: 0 });
    expect(stateAfter(emitMaxMs + 1)).toMatchObject({ latched: ["late_write"], lateWrites: 1 });
  },
);

interface ModeCase {
  readonly id: string;
  readonly name: string;
  readonly input: { readonly effective_mode: string | null; readonly as_of?: string };
  readonly expected: Readonly<Record<string, unknown>>;
}

const file = new URL("../../../../e2e/vectors/mode.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: ModeCase[] };

/** A number that no version of the contract gives to a mode. */
const unknownMode = 99 as EffectiveMode;
/** Why a gate refuses a state, in the words of the vectors. */
const reasons: Readonly<Record<string, string>> = { UNSPECIFIED_ENUM: "decision_unavailable" };

/** Cases that the gate deliberately does not follow, by id: the reason, and what the gate does instead. */
const overridden: Readonly<Record<string, { because: string; instead: object }>> = {
  "mode-10": {
    because: "qmtl.type.v1.EffectiveMode is a closed enum, not a text: another spelling is unknown",
    instead: { ...cases.find(({ id }) => id === "mode-07")!.expected },
  },
  "mode-11": {
    because:
      "ADR 12: a submission without as-of pins its sources or is refused, see plan-contexts.test.ts; a gate knows no data",
    instead: { execution_domain: "dryrun", downgraded: false, reason: null, safe_mode: false },
  },
};

/** A mode as the enum of the contract. */
function wireMode(mode: string | null): EffectiveMode {
  if (mode === null) return EffectiveMode.UNSPECIFIED;
  const name = mode.toUpperCase().replace("-", "_");
  return Object.entries(EffectiveMode).find(([known]) => known === name)?.[1] ?? unknownMode;
}

/** How a strategy's gate reads its mode, in the words of the vectors. */
function readMode(mode: EffectiveMode) {
  const names = ["validate", "compute-only", "paper", "live", "shadow"] as const;
  const known = names.find((name) => wireMode(name) === mode);
  const base = { ...facts, mode: known ?? "validate", revision: 1, fence: 1 };
  const state = fakeGateMessage("w", base);
  if (known === undefined) {
    for (const one of state.activations) one.effectiveMode = mode;
  }
  const gate = new OrderGate(new ManualClock(), {
    sessionId: "a",
    worldId: "w",
    strategyIds: ["s"],
  });
  const nack = gate.take(gateInput(state, ["s"])).find(({ kind }) => kind === "send_nack");
  const isTaken = gate.state.applied !== null;
  return {
    canonical_mode: gate.mode("s"),
    execution_domain: gate.standingClaim().domain,
    downgraded: !isTaken,
    reason: nack?.kind === "send_nack" ? reasons[nack.reason] : null,
    safe_mode:
      !isTaken && gate.refusal({ strategyId: "s", sides: ["long", "short"] }) === "NO_STATE",
  };
}

describe("golden cases of modes", () => {
  test.each(cases)("$id $name", ({ id, input, expected }) => {
    const read = readMode(wireMode(input.effective_mode));

    expect(read).toMatchObject(overridden[id]?.instead ?? expected);
  });

  test("every exception is of a case that the gate does not follow", () => {
    for (const [id, { because }] of Object.entries(overridden)) {
      const { input, expected } = cases.find((one) => one.id === id)!;
      expect(readMode(wireMode(input.effective_mode)), because).not.toMatchObject(expected);
    }
  });
});
