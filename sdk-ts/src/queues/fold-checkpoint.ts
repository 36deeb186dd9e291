import type { FoldState } from "./fold.ts";

/**
 * Canonical text of a fold state, for checkpoints: one JSON object, keys sorted, no spaces, format
 * version `v` first in meaning; equal states have equal text. −∞ (nothing yet) is written as null.
 */
export function serializeFold(state: FoldState): string {
  return JSON.stringify({
    ended: state.ended,
    epoch: state.epoch,
    known_at_ms: finiteOrNull(state.knownAtMs),
    next_row: state.nextRow,
    seq: state.seq,
    v: 1,
    watermark_ms: finiteOrNull(state.watermarkMs),
  });
}

/**
 * Reads a checkpoint back.
 *
 * @throws {RangeError} when the text is not a version-1 checkpoint: a reader must then ask for
 * another one, never start blank.
 */
export function parseFold(text: string): FoldState {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw malformed(text);
  const fields = value as Record<string, unknown>;
  const { ended } = fields;
  if (fields.v !== 1 || typeof ended !== "boolean") throw malformed(text);
  const integer = (name: string): number => {
    const found = fields[name];
    if (typeof found !== "number" || !Number.isSafeInteger(found)) throw malformed(text);
    return found;
  };
  const instant = (name: string): number =>
    fields[name] === null ? Number.NEGATIVE_INFINITY : finite(fields[name], text);
  return {
    epoch: integer("epoch"),
    seq: integer("seq"),
    nextRow: integer("next_row"),
    knownAtMs: instant("known_at_ms"),
    watermarkMs: instant("watermark_ms"),
    ended,
  };
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function finite(value: unknown, text: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw malformed(text);
  return value;
}

function malformed(text: string): RangeError {
  return new RangeError(`not a fold checkpoint: ${text.slice(0, 80)}`);
}
