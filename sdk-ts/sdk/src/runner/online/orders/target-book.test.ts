import { expect, test } from "vitest";
import type { OnlineTarget } from "../session/graph.ts";
import { TargetBook } from "./target-book.ts";

const target: OnlineTarget = {
  nodeId: "n",
  name: "t",
  instrument: "X",
  markSource: "feed",
  max: 1,
  signalId: "s",
  signalSources: [],
  // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
  stale: { after: 5, then: "hold" },
  intervalMs: 60_000,
};

function decided(value: number): TargetBook {
  const targets = new TargetBook([target]);
  targets.decide([value]);
  return targets;
}

test("a target is stated until the router took it, and again when it has another value", () => {
  const targets = decided(0.5);
  const stated = targets.unsent();
  expect(stated.values).toEqual([0.5]);

  targets.taken(0, stated);
  expect(targets.unsent().targets).toEqual([]);

  targets.decide([0.25]);
  expect(targets.unsent().values).toEqual([0.25]);
});

test("an answer from before the gate armed again does not count for the lease in force", () => {
  const targets = decided(0.5);
  const before = targets.unsent();

  targets.restate();
  targets.taken(0, before);

  expect(targets.unsent().values).toEqual([0.5]);
});
