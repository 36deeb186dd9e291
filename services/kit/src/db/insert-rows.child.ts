// Inserts rows into a PGlite folder, and prints the id of each one that was acknowledged, until it is killed.
import { writeSync } from "node:fs";
import { openPglite } from "./pglite-db.ts";

const [, , dataDir = ""] = process.argv;
const host = await openPglite({ dataDir });
const db = host.db("k");
await db.script(
  "create schema if not exists k; create table if not exists k.t (id int primary key, pad text)",
);
const [row] = await db.query<{ next: number }>("select coalesce(max(id), 0) + 1 as next from k.t");
for (let id = row?.next ?? 1; ; id += 1) {
  if (id % 3 === 0) {
    await db.transaction(async (tx) => {
      await tx.query("insert into k.t values ($1, $2)", [id, "x".repeat(id % 500)]);
      await tx.query("update k.t set pad = pad || 'y' where id = $1", [id - 1]);
    });
  } else {
    await db.query("insert into k.t values ($1, $2)", [id, "x".repeat(id % 500)]);
  }
  writeSync(1, `${id}\n`);
}
