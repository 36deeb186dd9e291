import type { Engine } from "./engine.ts";

const BYTES = 8;

/**
 * State of a node after its last row as canonical bytes: little-endian float64, NaN as 0x7ff8000000000000, in the
 * order of its lanes. Empty for a node without state. Only consumed input is in it.
 */
export function saveNode(engine: Engine, node: number): Uint8Array {
  const numbers: number[] = [];
  const { served, lane } = engine.plan.nodes[node]!;
  for (const each of [...served, lane]) {
    const state = engine.kernel(each)?.save();
    if (state !== undefined) for (const value of state) numbers.push(value);
    for (const value of guardedTail(engine, each)) numbers.push(value);
  }
  if (numbers.length === 0) return new Uint8Array();
  const bytes = new Uint8Array(numbers.length * BYTES);
  const view = new DataView(bytes.buffer);
  numbers.forEach((value, k) => {
    if (Number.isNaN(value)) view.setBigUint64(k * BYTES, 0x7ff8000000000000n, true);
    else view.setFloat64(k * BYTES, value, true);
  });
  return bytes;
}

/**
 * Restores a state written by {@link saveNode}.
 * @throws {RangeError} when the bytes are not a state of this node (I14).
 */
export function loadNode(engine: Engine, node: number, bytes: Uint8Array): void {
  const { name, served, lane } = engine.plan.nodes[node]!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  const take = (count: number): Float64Array => {
    if (offset + count * BYTES > bytes.byteLength) throw wrongSize(name, bytes.byteLength);
    const values = Float64Array.from({ length: count }, (_, k) =>
      view.getFloat64(offset + k * BYTES, true),
    );
    offset += count * BYTES;
    return values;
  };
  for (const each of [...served, lane]) {
    const kernel = engine.kernel(each);
    if (kernel === undefined) continue;
    kernel.load(take(kernel.save().length));
    putTail(engine, each, take);
  }
  if (offset !== bytes.byteLength) throw wrongSize(name, bytes.byteLength);
}

function wrongSize(name: string, length: number): RangeError {
  return new RangeError(`${length} bytes are not a valid state of node "${name}"`);
}

/**
 * What stands in for a missing value may come from any time in the past, so the window of a guarded port is part of the
 * node's state.
 */
function guardedTail(engine: Engine, lane: number): number[] {
  const { column, presence, end, rows } = tailOf(engine, lane);
  return rows === 0
    ? []
    : [...column.subarray(end - rows, end), ...presence.subarray(end - rows, end)];
}

function putTail(engine: Engine, lane: number, take: (count: number) => Float64Array): void {
  const { column, presence, end, rows, frame } = tailOf(engine, lane);
  if (rows === 0) return;
  column.set(take(rows), end - rows);
  presence.set(take(rows), end - rows);
  frame.hasMissing = true;
}

function tailOf(engine: Engine, lane: number) {
  const { clock, slots, guard } = engine.plan.lanes[lane]!;
  const column = engine.columns[slots[0]!]!;
  const frame = engine.frames[clock]!;
  const rows = column instanceof Float64Array ? (guard?.tailRows ?? 0) : 0;
  const values = column instanceof Float64Array ? column : new Float64Array(0);
  return { column: values, presence: engine.presence[lane]!, end: frame.end, rows, frame };
}
