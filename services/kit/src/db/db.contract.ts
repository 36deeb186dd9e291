import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Db } from "./db.ts";
import { ConstraintViolation, DbUnavailable, UniqueViolation } from "./db-errors.ts";
import { applyMigrations, migrate } from "./migrate.ts";

const value = async (db: Db, sql: string, params: Parameters<Db["query"]>[1] = []) => {
  const [row] = await db.query<{ v: unknown }>(`select (select ${sql}) as v`, params);
  return row?.v;
};

/**
 * What every `Db` must do. `open` gives a `Db` of schema `contract` on an empty database; further calls give one on the
 * same database.
 */
export function dbContract(open: () => Promise<Db>): void {
  let db: Db;

  beforeAll(async () => {
    db = await open();
    await db.script(`create schema contract;
      create table contract.item (id bigint primary key, name text not null, note text unique, n int check (n > 0));
      create table contract.child (id bigint primary key references contract.item (id) deferrable initially deferred)`);
  });
  afterAll(async () => {
    await db.close();
    await db.close();
  });

  describe("values", () => {
    it.each([
      ["5::int2", 5],
      ["5::int4", 5],
      ["5::int8", 5],
      ["9007199254740991::int8", Number.MAX_SAFE_INTEGER],
      ["count(*) from (values (1), (2)) t", 2],
      ["1.50::numeric", "1.50"],
      ["12345678901234567890.123456789::numeric", "12345678901234567890.123456789"],
      ["'NaN'::float8", Number.NaN],
      ["'-Infinity'::float8", Number.NEGATIVE_INFINITY],
      ["0.1::float8", 0.1],
      ["0.1::float4", 0.1],
      ["true", true],
      ["null::int8", null],
      ["'x'::text", "x"],
      ["'\\x00ff10'::bytea", new Uint8Array([0, 255, 16])],
      ["''::bytea", new Uint8Array()],
      ['\'{"a": [1, null, "x"]}\'::jsonb', { a: [1, null, "x"] }],
      ["'[1.5]'::json", [1.5]],
      ["timestamptz '2026-01-02 03:04:05.678901+02'", Date.UTC(2026, 0, 2, 1, 4, 5, 678)],
      ["timestamptz '1969-12-31 23:59:59.5Z'", -500],
      ["'infinity'::timestamptz", Number.POSITIVE_INFINITY],
      ["date '2026-01-02'", "2026-01-02"],
      ["timestamp '2026-01-02 03:04:05'", "2026-01-02 03:04:05"],
      ["interval '1 day 2 hours'", "1 day 02:00:00"],
      ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
      ["array[1, null, 3]::int8[]", [1, null, 3]],
      [
        "array[[1, 2], [3, 4]]::int4[]",
        [
          [1, 2],
          [3, 4],
        ],
      ],
      ["'{}'::text[]", []],
      [
        "array['a b', 'c\"d', 'e\\f', 'NULL', '', 'g,h', null]",
        ["a b", 'c"d', "e\\f", "NULL", "", "g,h", null],
      ],
      ["array['\\x01'::bytea]", [new Uint8Array([1])]],
      ["array['{\"a\": 1}'::jsonb]", [{ a: 1 }]],
      ["array[true, false]", [true, false]],
      ["array[1.10]::numeric[]", ["1.10"]],
      ["'[0:1]={7,8}'::int4[]", [7, 8]],
    ])("reads %s", async (sql, expected) => {
      expect(await value(db, sql)).toEqual(expected);
    });

    it("refuses an int8 beyond 2^53 and stays usable", async () => {
      await expect(value(db, "9007199254740993::int8")).rejects.toThrow(RangeError);
      expect(await value(db, "1")).toBe(1);
    });

    it.each([
      ["$1::int8", 7, 7],
      ["$1::int8", 7n, 7],
      ["$1::float8", -0, -0],
      ["$1::float8", 0.1, 0.1],
      ["$1::float8", Number.NaN, Number.NaN],
      ["$1::float8", Number.MIN_VALUE, Number.MIN_VALUE],
      ["$1::numeric", "0.10", "0.10"],
      ["$1::bool", false, false],
      ["$1::text", null, null],
      ["$1::text", "ünï 🙂 \\ '", "ünï 🙂 \\ '"],
      ["$1::timestamptz", new Date(1_767_000_000_123), 1_767_000_000_123],
      ["$1::bytea", new Uint8Array([0, 1, 255]), new Uint8Array([0, 1, 255])],
      ["$1::bytea", new Uint8Array(100_000).fill(7), new Uint8Array(100_000).fill(7)],
      ["$1::jsonb", JSON.stringify([1, { a: null }]), [1, { a: null }]],
      ["$1::int8[]", [1, null, 2], [1, null, 2]],
      [
        "$1::text[]",
        ["a,b", 'c"d', "e\\f", "NULL", "", null],
        ["a,b", 'c"d', "e\\f", "NULL", "", null],
      ],
      [
        "$1::bytea[]",
        [new Uint8Array([1, 2]), new Uint8Array()],
        [new Uint8Array([1, 2]), new Uint8Array()],
      ],
      ["$1::timestamptz[]", [new Date(5)], [5]],
      ["$1::float8[]", [[1.5], [2.5]], [[1.5], [2.5]]],
    ])("binds %s to %s", async (sql, param, expected) => {
      expect(await value(db, sql, [param])).toEqual(expected);
    });

    it("gives any text array and any double back bit for bit", async () => {
      const text = fc.string({ unit: "binary" }).map((s) => s.replace(/\0|[\ud800-\udfff]/g, ""));
      await fc.assert(
        fc.asyncProperty(fc.array(text), fc.array(fc.double()), async (texts, doubles) => {
          const [row] = await db.query<{ t: string[]; d: number[] }>(
            "select $1::text[] as t, $2::float8[] as d",
            [texts, doubles],
          );
          expect(row).toEqual({ t: texts, d: doubles });
        }),
        { seed: 7, numRuns: 60 },
      );
    });

    it("leaves the caller's bytes with the caller", async () => {
      const bytes = Buffer.from("kept").subarray(1);
      await value(db, "$1::bytea", [bytes]);
      expect(bytes.toString()).toBe("ept");
    });

    it("refuses a bare object as a parameter", async () => {
      const params = JSON.parse("[{}]");
      await expect(value(db, "$1::jsonb", params)).rejects.toThrow(TypeError);
    });
  });

  describe("errors", () => {
    it("names the constraint of a duplicate", async () => {
      await db.query("insert into contract.item (id, name) values (1, 'a')");
      const again = db.query("insert into contract.item (id, name) values (1, 'b')");
      await expect(again).rejects.toSatisfy(
        (e) => e instanceof UniqueViolation && e.constraint === "item_pkey",
      );
    });

    it("names the constraint or column of other violations", async () => {
      const check = db.query("insert into contract.item (id, name, n) values (2, 'a', 0)");
      await expect(check).rejects.toSatisfy(
        (e) => e instanceof ConstraintViolation && e.constraint === "item_n_check",
      );
      const missing = db.query("insert into contract.item (id) values (2)");
      await expect(missing).rejects.toSatisfy(
        (e) => e instanceof ConstraintViolation && e.constraint === "name",
      );
    });

    it("gives a wrong statement's SQLSTATE and goes on", async () => {
      await expect(db.query("selec 1")).rejects.toMatchObject({
        reason: "SQL_ERROR",
        sqlState: "42601",
      });
      await expect(db.query("select $1::int", ["x"])).rejects.toMatchObject({ sqlState: "22P02" });
      expect(await value(db, "1")).toBe(1);
    });

    it("refuses several statements in one query", async () => {
      await expect(db.query("select 1; select 2")).rejects.toMatchObject({ sqlState: "42601" });
    });

    it("stores nothing of a script that fails", async () => {
      const script = "insert into contract.item (id, name) values (50, 'a'); select 1/0";
      await expect(db.script(script)).rejects.toMatchObject({ sqlState: "22012" });
      expect(await db.query("select id from contract.item where id = 50")).toEqual([]);
    });
  });

  describe("transactions", () => {
    const names = async (id: number) =>
      (await db.query<{ name: string }>("select name from contract.item where id = $1", [id])).map(
        (row) => row.name,
      );
    const insert = "insert into contract.item (id, name) values ($1, $2)";

    it("commits what a resolved function did and returns its result", async () => {
      const result = await db.transaction(async (tx) => {
        await tx.query(insert, [100, "a"]);
        return "done";
      });
      expect([result, await names(100)]).toEqual(["done", ["a"]]);
    });

    it("rolls back when the function rejects", async () => {
      const failed = db.transaction(async (tx) => {
        await tx.query(insert, [101, "a"]);
        throw new Error("changed my mind");
      });
      await expect(failed).rejects.toThrow("changed my mind");
      expect(await names(101)).toEqual([]);
    });

    it("does not pretend to have committed after a swallowed error", async () => {
      const swallowed = db.transaction(async (tx) => {
        await tx.query(insert, [102, "a"]);
        await tx.query("select 1/0").catch(() => {});
      });
      await expect(swallowed).rejects.toMatchObject({ reason: "TRANSACTION_ABORTED" });
      expect(await names(102)).toEqual([]);
    });

    it("reports a constraint that fails only at commit", async () => {
      const late = db.transaction((tx) => tx.query("insert into contract.child values (999)"));
      await expect(late).rejects.toMatchObject({ reason: "CONSTRAINT_VIOLATION" });
      expect(await value(db, "1")).toBe(1);
    });

    it("waits for statements that the function did not await", async () => {
      await db.transaction(async (tx) => {
        tx.query(insert, [103, "a"]).catch(() => {});
      });
      expect(await names(103)).toEqual(["a"]);
    });

    it("runs statements of one transaction in order though started together", async () => {
      await db.transaction(async (tx) => {
        const update = (name: string) =>
          tx.query("update contract.item set name = $1 where id = 100", [name]);
        await Promise.all([update("x"), update("y"), update("z")]);
      });
      expect(await names(100)).toEqual(["z"]);
    });

    it("fails as a whole when one of several statements started together fails", async () => {
      const together = db.transaction(async (tx) => {
        await Promise.all([
          tx.query(insert, [110, "a"]),
          tx.query(insert, [100, "taken"]),
          tx.query(insert, [111, "a"]),
        ]);
      });
      await expect(together).rejects.toThrow(UniqueViolation);
      expect([await names(110), await names(111)]).toEqual([[], []]);
    });

    it("leaves nothing open after a transaction without statements", async () => {
      expect(await db.transaction(async () => 7)).toBe(7);
      await db.query(insert, [112, "a"]);
      expect(await names(112)).toEqual(["a"]);
    });

    it("runs a statement by its text again after the table was changed by a script", async () => {
      await db.script(
        "create table contract.changing (a int); insert into contract.changing values (1)",
      );
      const read = () => db.query("select * from contract.changing");
      expect([await read(), await read()]).toEqual([[{ a: 1 }], [{ a: 1 }]]);
      await db.script("alter table contract.changing add column b text default 'x'");
      expect(await read()).toEqual([{ a: 1, b: "x" }]);
      await db.script("drop table contract.changing");
      await expect(read()).rejects.toMatchObject({ sqlState: "42P01" });
    });

    it("refuses the tx after its end, and the db within", async () => {
      const leaked = await db.transaction(async (tx) => tx);
      await expect(leaked.query("select 1")).rejects.toThrow("has ended");
      await expect(db.transaction(() => db.query("select 1"))).rejects.toThrow("use its tx");
      const nested = db.transaction(() => db.transaction(async () => 1));
      await expect(nested).rejects.toThrow("use its tx");
      expect(await value(db, "1")).toBe(1);
    });

    it("lets work that a transaction left behind use the db later", async () => {
      let later: Promise<unknown> | undefined;
      let open: () => void = () => {};
      const gate = new Promise<void>((resolve) => {
        open = resolve;
      });
      await db.transaction(async () => {
        later = gate.then(() => value(db, "1"));
      });
      open();
      expect(await later).toBe(1);
    });

    it("keeps a counter right under concurrent transactions", async () => {
      await db.query(insert, [200, "0"]);
      const add = () =>
        db.transaction(async (tx) => {
          const [row] = await tx.query<{ name: string }>(
            "select name from contract.item where id = 200 for update",
          );
          await setImmediate();
          await tx.query("update contract.item set name = $1 where id = 200", [
            String(Number(row?.name) + 1),
          ]);
        });
      await Promise.all(Array.from({ length: 20 }, add));
      expect(await names(200)).toEqual(["20"]);
    });
  });

  describe("migrations", () => {
    const withFolder = async (
      files: Record<string, string>,
      use: (folder: string) => Promise<void>,
    ) => {
      const folder = await mkdtemp(join(tmpdir(), "qmtl-migrations-"));
      try {
        for (const [name, sql] of Object.entries(files)) await writeFile(join(folder, name), sql);
        await use(folder);
      } finally {
        await rm(folder, { recursive: true });
      }
    };

    it("applies each file once, also when started twice at once, and goes on with new files", async () => {
      const first = {
        "001-a.sql": "create table {{schema}}.m (id int); insert into contract.m values (1);",
      };
      await withFolder(first, async (folder) => {
        const other = await open();
        const counts = await Promise.all([migrate(db, folder), migrate(other, folder)]);
        await other.close();
        expect(counts.toSorted()).toEqual([0, 1]);
      });
      const second = { ...first, "002-b.sql": "insert into contract.m values (2);" };
      await withFolder(second, async (folder) => expect(await migrate(db, folder)).toBe(1));
      expect(await value(db, "array_agg(id order by id) from contract.m")).toEqual([1, 2]);
      await withFolder(
        { "001-a.sql": `${first["001-a.sql"]} -- edited`, "002-b.sql": "" },
        async (folder) => {
          await expect(migrate(db, folder)).rejects.toThrow("was edited");
        },
      );
      await withFolder(first, async (folder) => {
        await expect(migrate(db, folder)).rejects.toThrow("is at service 2, this build knows 1");
      });
    });

    it.each([
      [
        "from version 0.1, which recorded no format",
        "delete from contract.migration where component = 'store_format'",
        "version 0.1",
      ],
      [
        "from a newer version",
        "update contract.migration set version = 3 where component = 'store_format'",
        "store format 3",
      ],
    ])("refuses data %s, and changes nothing", async (_what, deed, words) => {
      const landed = () =>
        value(db, "array_agg(component || version order by 1) from contract.migration");
      await applyMigrations(db, "formats", []);
      await db.query(deed);
      const before = await landed();

      const step = { version: 1, name: "a", sql: "create table {{schema}}.formats (id int);" };
      const outcome = await applyMigrations(db, "formats", [step]).catch((why: unknown) => why);
      const after = await landed();
      await db.query("delete from contract.migration where component = 'store_format'");
      await db.query(`insert into contract.migration (component, version, name, sha256)
        values ('store_format', 2, 'contracts-v1', '')`);

      expect(outcome).toMatchObject({
        reason: "STORE_FORMAT_REFUSED",
        message: expect.stringContaining(words),
      });
      expect(after).toEqual(before);
      expect(await value(db, "to_regclass('contract.formats')::text")).toBeNull();
    });

    it("leaves nothing of a file that fails", async () => {
      const files = {
        "001-a.sql": "create table {{schema}}.m (id int); insert into contract.m values (1);",
        "002-b.sql": "insert into contract.m values (2);",
        "003-c.sql": "insert into contract.m values (3); select 1/0;",
      };
      await withFolder(files, async (folder) => {
        await expect(migrate(db, folder)).rejects.toMatchObject({ sqlState: "22012" });
      });
      expect(await value(db, "max(id) from contract.m")).toBe(2);
    });

    it("refuses stray names, gaps and transaction control", async () => {
      await withFolder({ "1-a.sql": "" }, (f) =>
        expect(migrate(db, f)).rejects.toThrow("NNN-name.sql"),
      );
      await withFolder({ "002-a.sql": "" }, (f) =>
        expect(migrate(db, f)).rejects.toThrow("should be number 1"),
      );
    });
  });

  it("refuses calls after it was closed and finishes those before", async () => {
    const other = await open();
    const running = other.query("select 1 as v");
    const closed = other.close();
    expect(await running).toEqual([{ v: 1 }]);
    await closed;
    await expect(other.query("select 1")).rejects.toThrow(DbUnavailable);
  });
}
