import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PushStream } from "./push-stream.ts";

async function drain<T>(stream: PushStream<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe("a push stream", () => {
  test("gives items in order, whether the reader waits or lags", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("push", "read"), { maxLength: 60 }),
        async (steps) => {
          const stream = new PushStream<number>({ itemsMax: 100 });
          const reads: Promise<IteratorResult<number, undefined>>[] = [];
          let pushed = 0;
          for (const step of steps) {
            if (step === "push") stream.push(pushed++);
            else if (reads.length <= pushed) reads.push(stream.next());
            await Promise.resolve();
          }
          stream.end();
          const early = (await Promise.all(reads)).flatMap((result) =>
            result.done === true ? [] : [result.value],
          );
          expect([...early, ...(await drain(stream))]).toEqual(
            Array.from({ length: pushed }, (_, i) => i),
          );
        },
      ),
      { seed: 3, numRuns: 200 },
    );
  });

  test("fails with BUFFER_FULL at its bound and drops what waited", async () => {
    let ended = 0;
    const stream = new PushStream<number>({ itemsMax: 3, onEnd: () => (ended += 1) });
    expect([1, 2, 3].map((item) => stream.push(item))).toEqual([true, true, true]);

    expect(stream.push(4)).toBe(false);
    expect(stream.push(5)).toBe(false);

    expect([stream.size, stream.isOver, ended]).toEqual([0, true, 1]);
    await expect(stream.next()).rejects.toMatchObject({ reason: "BUFFER_FULL" });
  });

  test("an error comes after the items before it", async () => {
    const stream = new PushStream<number>({ itemsMax: 3 });
    stream.push(1);
    stream.fail(new Error("broken"));

    expect(await stream.next()).toEqual({ done: false, value: 1 });
    await expect(stream.next()).rejects.toThrow("broken");
  });

  test("leaving it unsubscribes once and ends a read that waits", async () => {
    let ended = 0;
    const stream = new PushStream<number>({ itemsMax: 3, onEnd: () => (ended += 1) });
    const waiting = stream.next();

    await stream.return();
    await stream.return();

    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(ended).toBe(1);
    expect(stream.push(1)).toBe(false);
  });
});
