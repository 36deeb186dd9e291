import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateChange } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { gateInput } from "../control/gate-from-proto.ts";
import { type FakeGateFacts, fakeGateMessage } from "./fake-gate.ts";
import type { FakeSwaps } from "./fake-swaps.ts";
import type { Pulse } from "./pulse.ts";

/** Schema version that every message states. */
const schemaVersion = { version: 1, supported: { min: 1, max: 1 } };

/** The gate, the control stream and the order leases of one world in memory. */
export class FakeControl {
  /** Number of leases given so far. */
  leasesGiven = 0;
  readonly #worldId: string;
  readonly #swaps: FakeSwaps;
  /** Tags of the queues that were added, in order. */
  readonly #tagged: string[][] = [];
  #facts: FakeGateFacts = {
    revision: 1,
    fence: 1,
    isOpen: false,
    mode: "compute-only",
    strategyIds: [],
  };

  constructor(worldId: string, swaps: FakeSwaps) {
    this.#worldId = worldId;
    this.#swaps = swaps;
  }

  /** Opens or shuts the gate for these strategies; each shutting raises the fence. */
  setGate(isOpen: boolean, mode: FakeGateFacts["mode"], strategyIds: readonly string[]): void {
    const { revision, fence } = this.#facts;
    const raised = isOpen ? fence : fence + 1;
    this.#facts = { revision: revision + 1, fence: raised, isOpen, mode, strategyIds };
  }

  /** A queue with these tags was added. */
  tagged(tags: readonly string[]): void {
    this.#tagged.push([...tags]);
  }

  /** Whether orders under this fence are accepted. */
  isCurrent(fence: bigint): boolean {
    return this.#facts.isOpen && fence === BigInt(this.#facts.fence);
  }

  async *events(changed: Pulse, check: () => void, signal: AbortSignal) {
    let revision = 0;
    let tagged = 0;
    const told = new Map<string, string>();
    while (!signal.aborted) {
      check();
      const events: ControlEvent[] = [];
      if (this.#facts.revision !== revision) {
        revision = this.#facts.revision;
        const state = fakeGateMessage(this.#worldId, this.#facts);
        const value = { state, change: GateChange.ACTIVATION };
        events.push(create(ControlEventSchema, { payload: { case: "gateEvent", value } }));
      }
      for (const swap of this.#swaps.all) {
        const name = `${swap.phase}/${swap.fromRow}`;
        if (told.get(swap.swapId) === name) continue;
        told.set(swap.swapId, name);
        events.push(create(ControlEventSchema, { payload: { case: "swapUpdated", value: swap } }));
      }
      for (; tagged < this.#tagged.length; tagged++) {
        const value = { query: { tags: this.#tagged[tagged]! } };
        events.push(create(ControlEventSchema, { payload: { case: "tagQueryUpdated", value } }));
      }
      for (const event of events) yield { schemaVersion, event };
      if (events.length === 0) await changed.changed(signal);
    }
  }

  /**
   * Answers a heartbeat of a session whose ticket covers these strategies: with a lease only if it states the gate as
   * they see it.
   */
  heartbeat(
    heartbeat: { heartbeatSeq: bigint; revision: bigint; stateHash: string },
    { sessionId, strategyIds }: { sessionId: string; strategyIds: readonly string[] },
    leaseMs: number,
  ) {
    const { heartbeatSeq } = heartbeat;
    const { isOpen, fence, revision } = this.#facts;
    const seen = gateInput(fakeGateMessage(this.#worldId, this.#facts), strategyIds);
    const isRight = seen.kind === "event" && heartbeat.stateHash === seen.event.stateHash;
    const granted = isOpen && heartbeat.revision === BigInt(revision) && isRight;
    if (granted) this.leasesGiven++;
    const emitters = strategyIds.map((strategyId) => ({ strategyId, sessionId }));
    const reply = {
      leaseId: `l-${heartbeatSeq}`,
      lease: durationFromMs(leaseMs),
      margin: durationFromMs(1_000),
      heartbeatSeq,
      granted,
      fence: BigInt(fence),
      emitters,
      decisionRemaining: durationFromMs(300_000),
      renewInterval: durationFromMs(200),
    };
    return { schemaVersion, reply };
  }
}
