import type { Queryable, SqlParam } from "./db.ts";

/** Rows in one statement; more go in several. Few enough that each count keeps a prepared statement of its own. */
export const rowsPerStatementMax = 16;

/**
 * Runs a statement over many rows. `sql` is given the list `($1::type, …), ($9::type, …)` and puts it behind VALUES;
 * the types are those of the columns, in order. No row, no statement. Use it inside a transaction if all rows must go
 * together. It is a few times faster than `jsonb_to_recordset` and `unnest`, which cost a function call a column.
 */
export async function queryRows(
  db: Queryable,
  types: readonly string[],
  rows: readonly (readonly SqlParam[])[],
  sql: (values: string) => string,
): Promise<void> {
  const running: Promise<unknown>[] = [];
  for (let at = 0; at < rows.length; at += rowsPerStatementMax) {
    const part = rows.slice(at, at + rowsPerStatementMax);
    running.push(db.query(sql(placeholders(types, part.length)), part.flat()));
  }
  await Promise.all(running);
}

function placeholders(types: readonly string[], rows: number): string {
  return Array.from({ length: rows }, (_, row) => {
    const params = types.map((type, column) => `$${row * types.length + column + 1}::${type}`);
    return `(${params.join(", ")})`;
  }).join(", ");
}
