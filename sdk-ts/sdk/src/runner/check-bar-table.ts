import { FeedError } from "@qmtl/core/dataflow";
import type { BarTable } from "../sources/index.ts";

/**
 * Refuses a table of an author's own source that is not what it says: columns of another length, times that do not rise.
 *
 * @throws {FeedError} naming the source, the column and the row.
 */
export function checkBarTable(name: string, table: BarTable): void {
  const { rows, openTimeMs, bucketEndMs, columns } = table;
  const all = [["openTimeMs", openTimeMs], ["bucketEndMs", bucketEndMs], ...columns] as const;
  for (const [column, values] of all) {
    const what = `source "${name}": "${column}"`;
    if (!(values instanceof Float64Array)) throw new FeedError(`${what} must be a Float64Array`);
    if (values.length !== rows) {
      throw new FeedError(`${what} has ${values.length} values, the table says ${rows} rows`);
    }
  }
  if (rows === 0) throw new FeedError(`source "${name}" has no rows`);
  for (let row = 0; row < rows; row++) {
    const isLate = row === 0 || openTimeMs[row]! > openTimeMs[row - 1]!;
    if (isLate && bucketEndMs[row]! > openTimeMs[row]!) continue;
    const fix = "open times must rise and each bar end after it opens";
    throw new FeedError(`source "${name}", row ${row} (open ${openTimeMs[row]} ms): ${fix}`);
  }
}
