import type { BenchRow } from "./bench-row.ts";

/** A figure without a limit of its own, which others are compared with. */
export function referenceRow(name: string, value: number, unit: string, samples: number): BenchRow {
  return { name, value, unit, samples, limit_name: "none (reference)", ratio_to_limit: 0 };
}

/** A figure that must not exceed `limit`, both in `unit`. */
export function limitRow(
  name: string,
  value: number,
  unit: string,
  samples: number,
  limit: number,
): BenchRow {
  const limit_name = `≤ ${limit} ${unit}`;
  return { name, value, unit, samples, limit_name, ratio_to_limit: value / limit };
}
