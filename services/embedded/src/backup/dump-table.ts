import type { Tx } from "@qmtl/service-kit/db";
import { fullName, quoted, quotedName, type StoreTable } from "./store-tables.ts";

/**
 * Target size of the text of one fetch, bytes. The next fetch is sized by the longest row so far, so memory stays near
 * it.
 */
const fetchBytes = 2 * 1024 * 1024;
const fetchRowsFirst = 16;
const fetchRowsMax = 1_024;

/** Some rows of a table, one line per row: a JSON array of texts and nulls, each with its line break. */
export interface Lines {
  readonly rows: number;
  readonly text: string;
}

/**
 * The rows of a table in the order of its primary key, texts in the order of their bytes: the same lines from every
 * database that holds the same rows. Each column is in PostgreSQL's own text form, which reads back as the same value.
 */
export async function* dumpTable(tx: Tx, table: StoreTable): AsyncGenerator<Lines> {
  const cursor = quoted(`dump_${table.schema}_${table.name}`);
  const columns = table.columns.map(({ name }, at) => `${quoted(name)}::text as c${at}`);
  const order = table.key.map(({ name, type }) =>
    type === "text" ? `${quoted(name)} collate "C"` : quoted(name),
  );
  await tx.script(
    `declare ${cursor} no scroll cursor for
     select ${columns.join(", ")} from ${quotedName(table)} order by ${order.join(", ")}`,
  );
  let rowsNext = fetchRowsFirst;
  let longest = 1;
  for (;;) {
    const rows = await tx.query(`fetch forward ${rowsNext} from ${cursor}`);
    if (rows.length === 0) break;
    const lines = rows.map((row) => `${JSON.stringify(Object.values(row))}\n`);
    yield { rows: rows.length, text: lines.join("") };
    if (rows.length < rowsNext) break;
    longest = lines.reduce((most, line) => Math.max(most, line.length), longest);
    rowsNext = sized(rowsNext, longest);
  }
  await tx.script(`close ${cursor}`);
}

/** Powers of two, so that there are few different statements. */
function sized(rows: number, longest: number): number {
  let next = Math.min(rows * 2, fetchRowsMax);
  while (next > 1 && next * longest > fetchBytes) next /= 2;
  return next;
}

/** Number of rows of each table that is not left out, by `schema.table`. */
export async function countRows(
  tx: Tx,
  tables: readonly StoreTable[],
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const table of tables.filter(({ isLeftOut }) => !isLeftOut)) {
    const [row] = await tx.query<{ rows: number }>(
      `select count(*) as rows from ${quotedName(table)}`,
    );
    counts.set(fullName(table), row?.rows ?? 0);
  }
  return counts;
}
