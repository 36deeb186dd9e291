// Commits a state change with its event, prints that, and runs until it is killed; nothing is published.
import { writeSync } from "node:fs";
import { openPglite } from "../db/pglite-db.ts";
import { appendOutbox, migrateOutbox } from "./outbox.ts";

const [, , dataDir = ""] = process.argv;
const host = await openPglite({ dataDir });
const db = host.db("s");
await migrateOutbox(db);
await db.script("create table s.state (id int primary key)");
await db.transaction(async (tx) => {
  await tx.query("insert into s.state values (1)");
  const payload = new TextEncoder().encode("committed");
  await appendOutbox(tx, "s", { topic: "t", key: "k", type: "T", payload, revision: 1 });
});
writeSync(1, "committed\n");
process.stdin.resume();
