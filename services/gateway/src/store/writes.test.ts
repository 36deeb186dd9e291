import { type Db, DbError, type PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { partsTogetherMax, rowsStatement, rowsTogetherMax, Writes } from "./writes.ts";

let host: PgliteHost;
let db: Db;
/** Transactions and statements that the database was asked for. */
let asked: string[] = [];

beforeAll(async () => {
  host = await openTestPglite();
  const inner = host.db("w");
  await inner.script(`create schema w; create table w.line (id bigint primary key, text text);
    create table w.other (id bigint primary key, text text not null)`);
  db = {
    kind: inner.kind,
    schema: inner.schema,
    query: (sql, params) => {
      asked.push("statement");
      return inner.query(sql, params);
    },
    script: (sql) => inner.script(sql),
    transaction: (fn, options) => {
      asked.push("transaction");
      return inner.transaction(fn, options);
    },
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
});
beforeEach(async () => {
  await db.query("truncate w.line, w.other");
  asked = [];
});
afterAll(() => host.close());

const types = ["bigint", "text"];
const insertLines = rowsStatement(
  types,
  (rows) => `INSERT INTO w.line SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL`,
);
const insertOthers = rowsStatement(
  types,
  (rows) => `INSERT INTO w.other SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL`,
);
const rowsOf = (from: number, count: number) =>
  Array.from({ length: count }, (_, at) => [from + at, `t${from + at}`]);
const lines = () => host.db("w").query("select id, text from w.line order by id");
const others = () => host.db("w").query("select id, text from w.other order by id");
const asRows = (from: number, count: number) =>
  rowsOf(from, count).map(([id, text]) => ({ id, text }));

test("writes of several tables, of any number of rows, are one statement", async () => {
  for (const [at, count] of [1, 2, 3, 5, 9, rowsTogetherMax].entries()) {
    const writes = new Writes();
    writes.addRows(insertLines, rowsOf(100 * at, count));
    writes.addRows(insertOthers, rowsOf(100 * at, 1));
    writes.add("UPDATE w.other SET text = $2 WHERE id = $1", [-1, "nobody"]);
    await writes.storeIn(db);
    expect((await lines()).slice(-count)).toEqual(asRows(100 * at, count));
  }
  expect(await others()).toHaveLength(6);
  expect(new Set(asked)).toEqual(new Set(["statement"]));
});

test("nothing to write asks for nothing", async () => {
  const writes = new Writes();
  writes.addRows(insertLines, []);
  await writes.storeIn(db);
  expect([writes.isEmpty, asked]).toEqual([true, []]);
});

test("more rows, or more parts, than fit in a statement go in one transaction", async () => {
  const many = new Writes();
  many.addRows(insertLines, rowsOf(0, 2 * rowsTogetherMax + 3));
  await many.storeIn(db);
  const parts = new Writes();
  for (let at = 0; at <= partsTogetherMax; at += 1) parts.addRows(insertOthers, rowsOf(at, 1));
  await parts.storeIn(db);
  expect(asked.filter((one) => one === "transaction")).toHaveLength(2);
  expect(await lines()).toEqual(asRows(0, 2 * rowsTogetherMax + 3));
  expect(await others()).toEqual(asRows(0, partsTogetherMax + 1));
});

test("what is refused in one part leaves nothing of the others", async () => {
  const writes = new Writes();
  writes.addRows(insertLines, rowsOf(0, 3));
  writes.addRows(insertOthers, [[1, null]]);
  await expect(writes.storeIn(db)).rejects.toThrow(DbError);
  expect(await lines()).toEqual([]);
});

test("a condition that does not hold stores nothing and says so; one that holds stores all", async () => {
  const holds = (wanted: number) => ({
    sql: "(SELECT count(*) FROM w.other WHERE id = ANY($1::bigint[])) = $2::int",
    params: [[7, 8], wanted],
  });
  const writes = new Writes();
  writes.addRows(insertLines, rowsOf(0, 2));
  expect(await writes.storeIf(db, [holds(0), holds(1)])).toBe(false);
  expect(await lines()).toEqual([]);
  expect(await writes.storeIf(db, [holds(0), holds(0)])).toBe(true);
  expect(await lines()).toEqual(asRows(0, 2));
  // Any other failure is not mistaken for a condition that does not hold.
  await expect(writes.storeIf(db, [holds(0)])).rejects.toMatchObject({
    reason: "UNIQUE_VIOLATION",
  });
});
