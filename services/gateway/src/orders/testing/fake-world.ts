import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  ApplyPhase,
  GateChange,
  Gate as GateCode,
  type GateState as GateStateMessage,
  GateStateSchema,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import {
  type HeartbeatReply,
  HeartbeatReplySchema,
  HeartbeatSchema,
  RefuseReason,
} from "@qmtl/contracts/qmtl/control/v1/session_pb";
import { EffectiveMode as ModeCode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { blake3Hex } from "@qmtl/core/canonical";
import { stateHash } from "@qmtl/core/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { ClaimedHeartbeat, GateChangeListener, GateView, LeaseRelay } from "../../ports.ts";
import type { ReturnsReport, WorldPeer } from "../gate/world-peer.ts";
import { gateStateFrom } from "../rpc/order-gate-state.ts";
import type { OrderWorld, WorldShares } from "../store/order-world.ts";

const MODES = { "compute-only": ModeCode.COMPUTE_ONLY, paper: ModeCode.PAPER } as const;

/** A WorldService that the test controls: one world's gate, leases and emitters, and the returns that were reported. */
export class FakeWorld implements GateView, LeaseRelay, WorldPeer {
  readonly worldId: string;
  settings: OrderWorld;
  allocations: WorldShares = { ratio: 1, strategies: new Map() };
  /** Strategy → session. */
  readonly emitters = new Map<string, string>();
  readonly modes = new Map<string, keyof typeof MODES>();
  /** Strategies that are bound to the world. */
  readonly bindings = new Set<string>();
  readonly reports: { watermarkMs: number; returns: readonly ReturnsReport[] }[] = [];
  readonly heartbeats: ClaimedHeartbeat[] = [];
  stopped = false;
  isDown = false;
  /** It lost its store: heartbeats are answered as for a world it never had. */
  isGone = false;
  grants = true;
  leaseMs = 10_000;
  /** Undefined: as a WorldService that does not state it. */
  emitMaxMs: number | undefined = undefined;
  fence = 1;
  gate: "OPEN" | "CLOSING" | "CLOSED" = "OPEN";
  #revision = 1;
  #state: GateStateMessage;
  readonly #listeners = new Set<GateChangeListener>();

  constructor(settings: OrderWorld) {
    this.settings = settings;
    this.worldId = settings.worldId;
    this.#state = this.#make();
  }

  /** Publishes the gate as the fields say, under the next revision. */
  publish(change: GateChange = GateChange.ACTIVATION): void {
    this.#revision += 1;
    this.#state = this.#make();
    for (const listener of this.#listeners) listener(this.worldId, this.#state, change);
  }

  /** Freezes or opens; every freeze raises the fence. */
  setGate(gate: "OPEN" | "CLOSING" | "CLOSED"): void {
    if (gate !== "OPEN" && this.gate === "OPEN") this.fence += 1;
    this.gate = gate;
    this.publish(gate === "OPEN" ? GateChange.UNFREEZE : GateChange.FREEZE);
  }

  state(worldId: string): GateStateMessage | undefined {
    return worldId === this.worldId ? this.#state : undefined;
  }

  forget(): void {}

  async ensure(): Promise<GateStateMessage> {
    return this.#state;
  }

  onHeard(listener: GateChangeListener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async renew(claimed: ClaimedHeartbeat): Promise<HeartbeatReply> {
    if (this.isDown || this.stopped) throw new Error("no answer");
    this.heartbeats.push(claimed);
    const heartbeat = create(HeartbeatSchema, claimed.heartbeat);
    if (this.isGone) {
      const refuseReason = RefuseReason.WORLD_NOT_FOUND;
      return create(HeartbeatReplySchema, { heartbeatSeq: heartbeat.heartbeatSeq, refuseReason });
    }
    const isCurrent = heartbeat.revision === this.#state.revision;
    const granted = this.grants && this.gate === "OPEN" && isCurrent && heartbeat.wantLease;
    return create(HeartbeatReplySchema, {
      heartbeatSeq: heartbeat.heartbeatSeq,
      granted,
      leaseId: `lease-${heartbeat.heartbeatSeq}`,
      fence: BigInt(this.fence),
      requiredRevision: this.#state.revision,
      emitters: [...this.emitters].map(([strategyId, sessionId]) => ({ strategyId, sessionId })),
      lease: durationFromMs(this.leaseMs),
      margin: durationFromMs(1_000),
      ...(this.emitMaxMs === undefined ? {} : { emitMax: durationFromMs(this.emitMaxMs) }),
      decisionRemaining: durationFromMs(300_000),
      renewInterval: durationFromMs(2_000),
    });
  }

  setStopped(stopped: boolean): void {
    this.stopped = stopped;
  }

  async world(worldId: string): Promise<OrderWorld> {
    if (worldId === this.settings.worldId) return this.settings;
    throw new QmtlError("WORLD_NOT_FOUND", `no world ${worldId}`);
  }

  async bound(worldId: string): Promise<ReadonlySet<string>> {
    if (this.isDown) throw new Error("no answer");
    if (worldId !== this.worldId) throw new QmtlError("WORLD_NOT_FOUND", `no world ${worldId}`);
    return new Set(this.bindings);
  }

  async shares(): Promise<WorldShares> {
    return this.allocations;
  }

  async reportReturns(report: {
    watermarkMs: number;
    returns: readonly ReturnsReport[];
  }): Promise<void> {
    if (this.isDown) throw new Error("no answer");
    this.reports.push(report);
  }

  #make(): GateStateMessage {
    const message = create(GateStateSchema, {
      worldId: this.worldId,
      storeEpoch: 1n,
      revision: BigInt(this.#revision),
      fence: BigInt(this.fence),
      gate: GateCode[this.gate],
      phase: ApplyPhase.UNSPECIFIED,
      decision: { decisionId: `d${this.fence}`, mode: ModeCode.PAPER },
      requiredRevision: BigInt(this.#revision),
      activations: [...this.modes].sort().flatMap(([strategyId, mode]) =>
        [Side.LONG, Side.SHORT].map((side) => ({
          strategyId,
          side,
          active: mode === "paper",
          weight: 1,
          effectiveMode: MODES[mode],
        })),
      ),
    });
    message.stateHash = stateHash(
      gateStateFrom(message),
      "*",
      (text) => `blake3:${blake3Hex(text)}`,
    );
    return message;
  }
}
