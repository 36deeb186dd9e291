import { type GateScope, type GateState, type GateTimers, stateHash } from "@qmtl/core/gate";
import { GateMachine, type StoredWorld, type WorldTime } from "../apply/index.ts";
import { hashText } from "./hash-text.ts";
import type { ServicePorts } from "./service-ports.ts";

/** The service clock as the gate machine is told it. */
export function worldTime({ clock }: Pick<ServicePorts, "clock">): WorldTime {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() };
}

/**
 * The gate machine of a world, made in this leadership (`isNew`) or read at its beginning. Timers are
 * asked for each time: they change with the world's settings and stage.
 */
export function openMachine(
  ports: ServicePorts,
  stored: StoredWorld & { readonly isNew: boolean },
  timers: () => GateTimers,
): GateMachine {
  const machinePorts = {
    hashState: (state: GateState, scope: GateScope) => stateHash(state, scope, hashText),
    get timers() {
      return timers();
    },
  };
  const now = worldTime(ports);
  if (stored.isNew) return GateMachine.create(stored.row, machinePorts, now);
  return GateMachine.recover(
    stored,
    machinePorts,
    now,
    ports.leadership.beganAtMs ?? now.monotonicMs,
  );
}
