import { exactJson } from "@qmtl/core/canonical";
import { snapshotRows } from "@qmtl/core/execution";
import { silentLogger } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { type RebuiltBooks, rebuildBooks } from "../account/rebuild-books.ts";
import type { OrderBench } from "./order-bench.ts";

/** All that the journal gives, to the last bit. What has reached the broker is left out. */
export function booksText(books: RebuiltBooks): string {
  const { core, market, recorded, sealedSlices, difference, last } = books;
  const rows = [...snapshotRows(core.snapshot())];
  const told = { ...recorded.journaled, instruments: recorded.journaled.instruments ?? [] };
  return exactJson({ rows, market: market.snapshot(), told, sealedSlices, difference, last });
}

/** The books of an account as its newest snapshot and the journal after it give them. */
export function booksFromSnapshot(bench: OrderBench): Promise<RebuiltBooks> {
  return rebuildBooks(bench.db, bench.router.deps.settings, silentLogger);
}

/** The books of an account as its whole journal gives them, whatever snapshots there are. */
export function booksFromJournal(bench: OrderBench): Promise<RebuiltBooks> {
  return rebuildBooks(withoutSnapshots(bench.db), bench.router.deps.settings, silentLogger);
}

function withoutSnapshots(db: Pick<Db, "query" | "script">): Pick<Db, "query" | "script"> {
  return {
    query: (sql, params) =>
      sql.includes("gateway.account_snapshot") ? Promise.resolve([]) : db.query(sql, params),
    script: (sql) => db.script(sql),
  };
}
