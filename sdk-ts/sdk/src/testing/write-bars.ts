import { writeFile } from "node:fs/promises";
import type { BarTable } from "../sources/index.ts";

/**
 * CSV text of bars: a header, then a line per bar with its open time (RFC 3339, UTC) and the columns in their order. A
 * NaN is an empty field. Reading the text as a source gives the same numbers, bit for bit.
 *
 * @param bars rows in order
 * @returns the text, with a line break at its end
 * @throws {RangeError} for an infinite value.
 */
export function barsCsv(bars: BarTable): string {
  const names = [...bars.columns.keys()];
  const columns = [...bars.columns.values()];
  const lines = [["time", ...names].join(",")];
  for (let row = 0; row < bars.rows; row++) {
    const cells = columns.map((values, k) => cellOf(values[row]!, names[k]!, row));
    lines.push([new Date(bars.openTimeMs[row]!).toISOString(), ...cells].join(","));
  }
  return `${lines.join("\n")}\n`;
}

/**
 * Writes bars as a CSV file that an entry of `sources:` can name.
 *
 * @param file path of the file; an existing file is replaced
 * @param bars rows in order
 */
export async function writeBars(file: string, bars: BarTable): Promise<void> {
  await writeFile(file, barsCsv(bars));
}

function cellOf(value: number, name: string, row: number): string {
  if (Number.isNaN(value)) return "";
  if (Number.isFinite(value)) return String(value);
  throw new RangeError(`${name} of row ${row} is ${value}`);
}
