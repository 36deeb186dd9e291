import { expect, test } from "vitest";
import { KeyedSerialQueue, SerialQueue } from "./serial-queue.ts";

/** An operation that ends on demand, and notes its name when it begins. */
function operation(name: string, begun: string[]) {
  let end = (): void => {};
  let fail = (): void => {};
  const ending = new Promise<string>((resolve, reject) => {
    end = () => resolve(name);
    fail = () => reject(new Error(name));
  });
  const run = () => {
    begun.push(name);
    return ending;
  };
  return { run, end, fail };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("operations run one after another in the order they came, and a failed one does not stop the next", async () => {
  const begun: string[] = [];
  const queue = new SerialQueue();
  const [first, second, third] = ["a", "b", "c"].map((name) => operation(name, begun));
  const done = [first!, second!, third!].map((one) => queue.run(one.run));
  await turn();
  expect(begun).toEqual(["a"]);

  first!.fail();
  await expect(done[0]).rejects.toThrow("a");
  await turn();
  expect(begun).toEqual(["a", "b"]);
  second!.end();
  third!.end();

  expect(await Promise.all(done.slice(1))).toEqual(["b", "c"]);
  expect(queue.isIdle).toBe(true);
});

test("one operation beyond the limit is refused and never run; once there is room the next is taken", async () => {
  const begun: string[] = [];
  const refusal = () => new Error("too many");
  const queue = new SerialQueue({ waitingMax: 2, refusal });
  const [first, second, late, next] = ["a", "b", "c", "d"].map((name) => operation(name, begun));
  const done = [first!, second!].map((one) => queue.run(one.run));

  await expect(queue.run(late!.run)).rejects.toThrow("too many");
  first!.end();
  await done[0];
  const taken = queue.run(next!.run);
  second!.end();
  next!.end();

  await taken;
  expect(begun).toEqual(["a", "b", "d"]);
});

test("idle waits for what was taken in, also where it fails, and not for what comes later", async () => {
  const queue = new SerialQueue();
  const first = operation("a", []);
  const done = queue.run(first.run);
  const idle = queue.idle();
  const later = operation("b", []);
  const last = queue.run(later.run);

  first.fail();
  await expect(done).rejects.toThrow("a");
  await idle;

  expect(queue.isIdle).toBe(false);
  later.end();
  await last;
});

test("operations on one key wait for each other, those on another key do not", async () => {
  const begun: string[] = [];
  const queue = new KeyedSerialQueue();
  const [first, second, other] = ["a", "b", "other"].map((name) => operation(name, begun));
  const done = [queue.run(["k"], first!.run), queue.run(["k"], second!.run)];
  const apart = queue.run(["l"], other!.run);
  await turn();
  expect(begun).toEqual(["a", "other"]);

  other!.end();
  first!.fail();
  await expect(done[0]).rejects.toThrow("a");
  second!.end();
  await Promise.all([done[1], apart]);

  expect(begun).toEqual(["a", "other", "b"]);
  expect(queue.isBusy("k")).toBe(false);
});

test("an operation on several keys waits for the earlier ones on each of them", async () => {
  const begun: string[] = [];
  const queue = new KeyedSerialQueue();
  const [left, right, both] = ["left", "right", "both"].map((name) => operation(name, begun));
  const done = [
    queue.run(["l"], left!.run),
    queue.run(["r"], right!.run),
    queue.run(["l", "r"], both!.run),
  ];
  left!.end();
  await turn();
  expect(begun).toEqual(["left", "right"]);

  right!.end();
  both!.end();

  await queue.idle();
  expect(await Promise.all(done)).toEqual(["left", "right", "both"]);
});
