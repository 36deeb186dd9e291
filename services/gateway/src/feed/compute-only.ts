import { ApplyPhase, type GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { Clock, Logger } from "@qmtl/service-kit";
import type { GateView } from "../ports.ts";

/** Stages are read again when they are this old, milliseconds. */
const readAgainMs = 2_000;
/** Stages that are older than this are not known, milliseconds. */
const knownMsMax = 10_000;
/** Largest number of worlds whose stages are remembered; beyond it all are read again. */
const worldsMax = 10_000;

interface ComputeOnlyPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly gates: Pick<GateView, "state">;
  /** Stages of a world's strategies. @throws {QmtlError} PEER_UNAVAILABLE, WORLD_NOT_FOUND. */
  readonly stagesOf: (worldId: string) => Promise<readonly EffectiveMode[]>;
  /** The stages of a world were read. */
  readonly changed: () => void;
}

interface ReadStages {
  /** Revision of the gate that they were read under. */
  readonly gate: string;
  readonly readMs: number;
  readonly isComputeOnly: boolean;
}

/**
 * Which worlds may only compute: none of their strategies has a stage of paper or above, no apply is under way, and
 * nothing holds them. A world whose mode has fallen, that was rolled back or is frozen is not one of them: its stage is
 * still paper. What is not known may order.
 */
export class ComputeOnlyWorlds {
  readonly #ports: ComputeOnlyPorts;
  readonly #read = new Map<string, ReadStages>();
  readonly #reading = new Set<string>();
  readonly #failedMs = new Map<string, number>();

  constructor(ports: ComputeOnlyPorts) {
    this.#ports = ports;
  }

  /** Whether a world may only compute. Reads its stages in the background if they are not known. */
  has(worldId: string): boolean {
    const gate = this.#ports.gates.state(worldId);
    if (gate === undefined || mayOrder(gate)) return false;
    const under = `${gate.storeEpoch}/${gate.revision}`;
    const read = this.#read.get(worldId);
    const ageMs = this.#ports.clock.monotonicMs() - (read?.readMs ?? Number.NEGATIVE_INFINITY);
    if (read?.gate !== under || ageMs >= readAgainMs) this.#readSoon(worldId, under);
    return read?.gate === under && ageMs < knownMsMax && read.isComputeOnly;
  }

  #readSoon(worldId: string, gate: string): void {
    const { clock, logger, stagesOf, changed } = this.#ports;
    const readMs = clock.monotonicMs();
    const failedMs = this.#failedMs.get(worldId) ?? Number.NEGATIVE_INFINITY;
    if (this.#reading.has(worldId) || readMs - failedMs < readAgainMs) return;
    if (this.#read.size >= worldsMax) this.#read.clear();
    this.#reading.add(worldId);
    stagesOf(worldId)
      .then(
        (stages) => {
          this.#failedMs.delete(worldId);
          this.#read.set(worldId, { gate, readMs, isComputeOnly: stages.every(isBelowPaper) });
        },
        (error: unknown) => {
          if (this.#failedMs.size >= worldsMax) this.#failedMs.clear();
          this.#failedMs.set(worldId, readMs);
          logger.debug("the stages of a world are not known", { worldId, error });
        },
      )
      .finally(() => {
        this.#reading.delete(worldId);
        changed();
      })
      .catch((error: unknown) => logger.error("batches stand still", { worldId, error }));
  }
}

/** Phases in which nothing is left that an apply changes; its last one is not announced. */
const quietPhases: readonly ApplyPhase[] = [
  ApplyPhase.UNSPECIFIED,
  ApplyPhase.UNFROZEN,
  ApplyPhase.COMPLETED,
];

/** Whether a gate by itself lets orders out, or is about to. */
function mayOrder({ phase, holds, decision, activations }: GateState): boolean {
  if (!quietPhases.includes(phase) || holds.length > 0) return true;
  const modes = activations.map(({ effectiveMode }) => effectiveMode);
  return !isBelowPaper(decision?.mode) || !modes.every(isBelowPaper);
}

function isBelowPaper(mode: EffectiveMode | undefined): boolean {
  return mode === EffectiveMode.VALIDATE || mode === EffectiveMode.COMPUTE_ONLY;
}
