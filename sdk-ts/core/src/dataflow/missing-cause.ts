import type { Column } from "../nodes/kernel.ts";
import type { ClockFrame } from "./clock-frame.ts";
import type { Plan, PlanLane, PlanPort } from "./plan.ts";
import type { MissingCause } from "./run-error.ts";

/** What is looked at to find a cause. */
interface ComputedRows {
  readonly plan: Plan;
  readonly frames: readonly ClockFrame[];
  readonly columns: readonly Column[];
}

/** A row of a lane; local row −1: its clock has no bucket there. */
interface LaneRow {
  readonly lane: number;
  readonly row: number;
}

/**
 * Because of whom a lane has no value at a row: follows inputs without a value, newest row first, up to a node that is
 * supplied, or whose own inputs have values. Called once, when a run fails.
 */
export function missingCause(rows: ComputedRows, lane: number, row: number): MissingCause {
  const { plan } = rows;
  let at: LaneRow = { lane, row };
  for (;;) {
    const { ports, role, node } = plan.lanes[at.lane]!;
    const next = at.row < 0 ? ownClock(plan, ports) : lacking(rows, at);
    if (next === undefined || (role === "node" && plan.nodes[node]!.supplied)) {
      const { name, isSource } = plan.nodes[node]!;
      return { name, isSource };
    }
    at = next;
  }
}

/** The input that brings the clock, which has no bucket. */
function ownClock(plan: Plan, ports: readonly PlanPort[]): LaneRow | undefined {
  const port = ports.find(({ map }) => map < 0) ?? ports[0];
  return port === undefined ? undefined : { lane: plan.slots[port.slot]!.lane, row: -1 };
}

/** The first input of a lane's row that has no value, at the newest of its rows without one. */
function lacking({ plan, frames, columns }: ComputedRows, at: LaneRow): LaneRow | undefined {
  const lane = plan.lanes[at.lane]!;
  const back = lane.role === "node" ? plan.nodes[lane.node]!.lookback : 0;
  for (const port of lane.ports) {
    const writer = plan.slots[port.slot]!.lane;
    const newest = inputRow(plan, frames, lane, port, at.row);
    if (newest < 0) return { lane: writer, row: -1 };
    const first = Math.max(0, frames[plan.lanes[writer]!.clock]!.firstLocal, newest - back);
    for (let row = newest; row >= first; row--) {
      const value = columns[port.slot]![row];
      if (value === undefined || Number.isNaN(value)) return { lane: writer, row };
    }
  }
  return undefined;
}

/** Local row that a port shows at a lane's row; −1 = none. By time: clock maps hold only the rows being run. */
function inputRow(
  plan: Plan,
  frames: readonly ClockFrame[],
  lane: PlanLane,
  port: PlanPort,
  row: number,
): number {
  const map = plan.maps[port.map];
  if (map === undefined) return lane.role === "delay" ? row - 1 : row;
  const closeMs = frames[lane.clock]!.endMs.values[row]!;
  const { endMs, end, firstLocal } = frames[map.coarse]!;
  let found = end - 1;
  while (found >= Math.max(0, firstLocal) && endMs.values[found]! > closeMs) found--;
  if (found < Math.max(0, firstLocal)) return -1;
  return map.mode === "closed" || endMs.values[found] === closeMs ? found : -1;
}
