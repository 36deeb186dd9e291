import type { EngineMemory } from "./engine-memory.ts";
import type { Plan } from "./plan.ts";

/** Every input has the bucket and every window is full. */
export const READY = 0;
/** A window is not full yet. */
export const COLD = 1;
/** An input's bucket is missing. */
export const MISSING = 2;

/** Whether a lane can run local row `i`: {@link READY}, {@link COLD} or {@link MISSING}, which wins. */
export function laneReadiness(plan: Plan, memory: EngineMemory, lane: number, i: number): number {
  const { ports, rowsNeeded, clock } = plan.lanes[lane]!;
  let readiness = READY;
  for (const port of ports) {
    const row = port.map < 0 ? i : memory.maps[port.map]![i]!;
    if (row < 0 || memory.presence[plan.slots[port.slot]!.lane]![row] === 0) return MISSING;
    const frame = memory.frames[port.map < 0 ? clock : plan.maps[port.map]!.coarse]!;
    if (row - frame.firstLocal < rowsNeeded - 1) readiness = COLD;
  }
  return readiness;
}

/** Rows before every window on a clock is full, or −1 if a lane on it reads another clock. */
export function plainRows(plan: Plan, clock: number): number {
  let rows = 0;
  for (const lane of plan.lanes) {
    if (lane.clock !== clock) continue;
    if (lane.ports.some((port) => port.map >= 0)) return -1;
    rows = Math.max(rows, lane.rowsNeeded - 1);
  }
  return rows;
}

/** Lanes of a clock in order, or `undefined` if there is a loop among them. */
export function straightLanes(plan: Plan, clock: number): readonly number[] | undefined {
  const lanes: number[] = [];
  for (const stage of plan.stages) {
    const first = stage.kind === "lane" ? stage.lane : stage.lanes[0]!;
    if (plan.lanes[first]!.clock !== clock) continue;
    if (stage.kind === "loop") return undefined;
    lanes.push(first);
  }
  return lanes;
}
