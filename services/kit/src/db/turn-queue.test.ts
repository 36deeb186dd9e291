import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { TurnQueue } from "./turn-queue.ts";

/** A queue whose jobs end on demand, and a log of what happened in it. */
function openQueue(waitingMax = 100) {
  const queue = new TurnQueue(waitingMax);
  const log: string[] = [];
  const ends: (() => void)[] = [];
  const job = (name: string) => () => {
    log.push(`${name} starts`);
    return new Promise<void>((resolve) => {
      ends.push(() => {
        log.push(`${name} ends`);
        resolve();
      });
    });
  };
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  const endNext = async () => {
    ends.shift()?.();
    await settle();
  };
  return { queue, log, job, settle, endNext, ends };
}

it("starts statements at once, and a transaction when all before it have ended", async () => {
  const { queue, log, job, settle, endNext } = openQueue();
  const all = [
    queue.statement(job("a")),
    queue.statement(job("b")),
    queue.transaction(job("T")),
    queue.statement(job("c")),
  ];
  await settle();
  expect(log).toEqual(["a starts", "b starts"]);
  await endNext();
  await endNext();
  expect(log.slice(2)).toEqual(["a ends", "b ends", "T starts"]);
  await endNext();
  expect(log.slice(5)).toEqual(["T ends", "c starts"]);
  await endNext();
  await Promise.all(all);
  await queue.idle();
});

it("goes on after a job that failed", async () => {
  const queue = new TurnQueue(10);
  const failed = queue.transaction(() => Promise.reject(new Error("no")));
  const statement = queue.statement(() => Promise.reject(new Error("nor this")));
  await expect(failed).rejects.toThrow("no");
  await expect(statement).rejects.toThrow("nor this");
  expect(await queue.transaction(async () => 1)).toBe(1);
});

it("holds nothing of what its jobs came to", async () => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const queue = new TurnQueue(10);
  const run = async (kind: "statement" | "transaction") =>
    new WeakRef(await queue[kind](async () => ({ rows: [kind] })));
  const results = [await run("statement"), await run("transaction"), await run("statement")];
  await queue.idle();
  await setImmediate();
  collect();
  expect(results.map((result) => result.deref())).toEqual([undefined, undefined, undefined]);
  await queue.idle();
});

it("refuses more than it may hold, and takes more when some have ended", async () => {
  const { queue, job, settle, endNext } = openQueue(2);
  const all = [queue.statement(job("a")), queue.transaction(job("T"))];
  await expect(queue.statement(job("b"))).rejects.toMatchObject({ reason: "DB_OVERLOADED" });
  await settle();
  await endNext();
  all.push(queue.statement(job("c")));
  await endNext();
  await endNext();
  await Promise.all(all);
});

it("never runs anything beside a transaction, and starts all in the order they came", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 12 }), async (kinds) => {
      const { queue, log, job, endNext, ends, settle } = openQueue();
      const all = kinds.map((alone, at) =>
        alone ? queue.transaction(job(`T${at}`)) : queue.statement(job(`s${at}`)),
      );
      await settle();
      while (ends.length > 0) await endNext();
      await Promise.all(all);
      const starts = log.filter((line) => line.endsWith("starts"));
      expect(starts).toHaveLength(kinds.length);
      expect(starts.map((line) => Number(/\d+/.exec(line)![0]))).toEqual(kinds.map((_, at) => at));
      const open = new Set<string>();
      for (const line of log) {
        const [name = "", what] = line.split(" ");
        if (what === "ends") open.delete(name);
        else open.add(name);
        if ([...open].some((one) => one.startsWith("T"))) expect(open.size).toBe(1);
      }
    }),
    { seed: 7, numRuns: 100 },
  );
});
