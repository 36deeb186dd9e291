import { fileURLToPath } from "node:url";
import { applyMigrations, type Db, readMigrations } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { appendReturns, bytesFromFloats, chunkSamplesMax, readSeries } from "./returns-table.ts";
import type { SeriesHead } from "./world-rows.ts";

const dayMs = 86_400_000;
const strategyId = `blake3:${"5".repeat(64)}`;
const floats = (from: number, to: number) =>
  Float64Array.from({ length: to - from }, (_, at) => from + at);

const headOf = (samples: number): SeriesHead => ({
  strategyId,
  domain: "dryrun",
  intervalSeconds: 86_400,
  periodsPerYear: 365,
  samples,
  intervals: samples,
  ruinedMs: null,
  fromMs: 0,
  toMs: samples * dayMs,
  dataEndMs: 0,
});

/** Adds samples whose value is their position. */
function add(db: Db, from: number, to: number): Promise<void> {
  const append = {
    head: headOf(to),
    samplesBefore: from,
    returns: floats(from, to),
    bucketEnds: floats(from, to),
    exposed: floats(from, to),
  };
  return appendReturns(db, "w", [append], null);
}

test("a series begun in chunks of 512 goes on in shorter ones, in order, of which none leaves its page", async () => {
  await using host = await openTestPglite();
  const db = host.db("world");
  const folder = fileURLToPath(new URL("../../migrations", import.meta.url));
  await applyMigrations(db, "world", await readMigrations(folder));
  await db.query(
    `insert into world.world (world_id, body, version, stage, policy_version, allocation, created_ms)
     values ('w', '{}', 1, 'draft', 0, 1, 0)`,
  );
  for (const [chunk, from, to] of [
    [0, 0, 512],
    [1, 512, 777],
  ] as const) {
    const bytes = bytesFromFloats(floats(from, to));
    await db.query("insert into world.returns_chunk values ('w', $3, 'dryrun', $1, $2, $2, $2)", [
      chunk,
      bytes,
      strategyId,
    ]);
  }
  for (let at = 777; at < 790; at += 1) await add(db, at, at + 1);
  await add(db, 790, 3_000);

  const [stored] = await readSeries(db, "w", [headOf(3_000)]);

  expect(stored?.marked.returns).toEqual(floats(0, 3_000));
  expect(stored?.marked.endsMs).toEqual(floats(0, 3_000));
  const added = await db.query<{ chunk: number; bytes: number }>(
    "select chunk, pg_column_size(c.*) as bytes from world.returns_chunk c where chunk > 1",
  );
  expect(added.length).toBe(Math.ceil(3_000 / chunkSamplesMax) - Math.floor(777 / chunkSamplesMax));
  // Beyond about 2,000 bytes a row is compressed, and its values are moved out of the page.
  expect(Math.max(...added.map(({ bytes }) => bytes))).toBeLessThan(1_900);
});
