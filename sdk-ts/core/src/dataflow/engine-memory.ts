import { makeNumberColumn, makePresenceColumn, makeRefColumn } from "../cache/sliding-column.ts";
import type { Column } from "../nodes/kernel.ts";
import { ClockFrame } from "./clock-frame.ts";
import type { Plan } from "./plan.ts";

/** Columns of one run of a plan. */
export interface EngineMemory {
  /** Per clock. */
  readonly frames: readonly ClockFrame[];
  /** Per slot. */
  readonly columns: readonly Column[];
  /** Presence flags per lane. */
  readonly presence: readonly Uint8Array[];
  /** Rows of the coarse clock per row of the fine one, per map; valid for the rows being run. */
  readonly maps: readonly Int32Array[];
}

/** Allocates all memory of a run; none is allocated later. */
export function makeMemory(plan: Plan, chunk: number): EngineMemory {
  const frames = plan.clocks.map((clock) => new ClockFrame(clock.spec, clock.lookback, chunk));
  const columns = plan.slots.map((slot) => {
    const frame = frames[plan.lanes[slot.lane]!.clock]!;
    const make = slot.kind === "f64" ? makeNumberColumn : makeRefColumn;
    const column = make(frame.capacity);
    frame.addColumn(column);
    return column.values;
  });
  const presence = plan.lanes.map((lane) => {
    const frame = frames[lane.clock]!;
    const column = makePresenceColumn(frame.capacity);
    frame.addPresence(column);
    return column.values;
  });
  const maps = plan.maps.map((map) => new Int32Array(frames[map.fine]!.capacity).fill(-1));
  return { frames, columns, presence, maps };
}

/** Puts "no value" into a row. */
export function clearRow(column: Column, i: number): void {
  if (column instanceof Float64Array) column[i] = Number.NaN;
  else column[i] = undefined;
}
