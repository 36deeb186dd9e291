import { expect, test } from "vitest";
import type { OnlineTarget } from "../session/graph.ts";
import { TargetBook } from "./target-book.ts";

const target: OnlineTarget = {
  nodeId: "n",
  name: "t",
  instrument: "X",
  markSource: "feed",
  max: 1,
  drift: 0,
  sizedRowOutput: -1,
  signalId: "s",
  signalSources: [],
  // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
  stale: { after: 5, then: "hold" },
  intervalMs: 60_000,
};
const end = { source: "feed", row: 3 };
const bucket = (value: number, sizedRow = Number.NaN) => ({
  ...{ targets: [value], sizedRows: [sizedRow], ends: [end] },
});

function decided(value: number, of: Partial<OnlineTarget> = {}): TargetBook {
  const targets = new TargetBook([{ ...target, ...of }]);
  targets.decide(bucket(value));
  return targets;
}

test("a target is stated until the router took it, and again when it has another value", () => {
  const targets = decided(0.5);
  const stated = targets.unsent();
  expect(stated.values).toEqual([0.5]);

  targets.taken(0, stated);
  expect(targets.unsent().targets).toEqual([]);

  targets.decide(bucket(0.25));
  expect(targets.unsent().values).toEqual([0.25]);
});

test("an answer from before the gate armed again does not count for the lease in force", () => {
  const targets = decided(0.5);
  const before = targets.unsent();

  targets.restate();
  targets.taken(0, before);

  expect(targets.unsent().values).toEqual([0.5]);
});

test("an equal target is stated again with the row at which it is sized again", () => {
  const targets = decided(0.5);
  targets.taken(0, targets.unsent());

  targets.decide(bucket(0.5, 3));
  const stated = targets.unsent();
  expect([stated.values, stated.sizedRows]).toEqual([[0.5], [3]]);
  targets.taken(0, stated);
  targets.decide(bucket(Number.NaN, Number.NaN));

  expect(targets.unsent().targets).toEqual([]);
  expect(targets.all[0]).toMatchObject({ value: 0.5, sizedRow: 3 });
});

test("a target with a drift is stated with every row of its feed, as a check once the router has it", () => {
  const targets = decided(0.5, { drift: 0.05 });
  expect(targets.unsent().targets[0]!.isCheck).toBe(false);
  targets.taken(0, targets.unsent());
  const other = { source: "other", row: 9 };

  targets.decide({ ...bucket(0.5), ends: [other] });
  expect(targets.unsent().targets).toEqual([]);
  targets.decide(bucket(0.5));

  expect(targets.unsent().targets).toMatchObject([{ value: 0.5, isCheck: true }]);
});

test("the first value is stated even if it is flat: the router may have that of the process before", () => {
  const targets = decided(Number.NaN);
  expect(targets.unsent().targets).toEqual([]);

  targets.decide(bucket(0));
  expect(targets.unsent().values).toEqual([0]);
  targets.taken(0, targets.unsent());
  targets.decide(bucket(0));

  expect(targets.unsent().targets).toEqual([]);
});

test("a run that takes over on a bucket without a value does not flatten the target when its gate opens", () => {
  const targets = decided(Number.NaN, { drift: 0.05 });

  targets.restate();
  targets.decide(bucket(Number.NaN));
  expect(targets.unsent().targets).toEqual([]);

  targets.decide(bucket(0.5));
  expect(targets.unsent().values).toEqual([0.5]);
});
