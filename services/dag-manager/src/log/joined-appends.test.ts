import { create } from "@bufbuild/protobuf";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { DbError, DbUnavailable } from "@qmtl/service-kit/db";
import { expect, test } from "vitest";
import { JoinedAppends, joinedEntriesMax } from "./joined-appends.ts";
import type { LogEntry } from "./queue-log.ts";

/** An append of some entries of one key; its heads are not looked at. */
function append(computeKey: string, count = 1) {
  const record = create(QueueRecordSchema, { computeKey });
  const entries: LogEntry[] = Array.from({ length: count }, (_, offset) => {
    return { computeKey, offset, seq: offset, record };
  });
  return { heads: [], entries };
}

/** Joined appends that write what `decide` allows, and the keys of each write. */
function joining(decide: (keys: readonly string[]) => boolean | Promise<boolean>) {
  const written: string[][] = [];
  const joined = new JoinedAppends(async ({ entries }) => {
    const keys = [...new Set(entries.map(({ computeKey }) => computeKey))];
    written.push(keys);
    return decide(keys);
  });
  return { joined, written };
}

test("appends that come together, or while one is written, are written together", async () => {
  let release = (_isWritten: boolean): void => {};
  const held = new Promise<boolean>((resolve) => {
    release = resolve;
  });
  const { joined, written } = joining((keys) => (keys.includes("a") ? held : true));
  const first = [joined.write(append("a")), joined.write(append("b"))];
  while (written.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const later = ["c", "d", "e"].map((key) => joined.write(append(key)));
  release(true);
  expect(await Promise.all([...first, ...later])).toEqual(Array(5).fill(true));
  expect(written).toEqual([
    ["a", "b"],
    ["c", "d", "e"],
  ]);
});

test("one whose head has moved does not keep the others from being written", async () => {
  const { joined, written } = joining((keys) => !keys.includes("moved"));
  const answers = await Promise.all(["a", "moved", "b"].map((key) => joined.write(append(key))));
  expect(answers).toEqual([true, false, true]);
  expect(written).toEqual([["a", "moved", "b"], ["a"], ["moved"], ["b"]]);
});

test("one that the database refuses fails alone; an outage fails all of them, and none is tried again", async () => {
  const refusing = joining((keys) => {
    if (keys.includes("bad")) throw new DbError("SQL_ERROR", "no", { sqlState: "22003" });
    return true;
  });
  const refused = await Promise.allSettled(
    ["a", "bad"].map((key) => refusing.joined.write(append(key))),
  );
  expect(refused.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);

  const lost = joining(() => {
    throw new DbUnavailable("gone");
  });
  const failed = await Promise.allSettled(["a", "b"].map((key) => lost.joined.write(append(key))));
  expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(lost.written).toEqual([["a", "b"]]);
  await expect(lost.joined.write(append("c"))).rejects.toThrow("gone");
});

test("no more go together than one statement takes", async () => {
  const { joined, written } = joining(() => true);
  const half = joinedEntriesMax / 2;
  await Promise.all(
    [append("a", half), append("b", half + 1), append("c", 2 * joinedEntriesMax), append("d")].map(
      (one) => joined.write(one),
    ),
  );
  expect(written).toEqual([["a"], ["b"], ["c"], ["d"]]);
});
