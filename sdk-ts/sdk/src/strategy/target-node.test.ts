import { expect, test } from "vitest";
import * as q from "./index.ts";

const signal = new q.StreamInput({ source: "px", columns: ["x"], interval: "1d" });

const weight = (stale?: Partial<q.StaleSignal>, onMissing?: q.OnMissing) =>
  new q.WeightTargetNode({ signal, instrument: "X", stale, onMissing });
const position = (stale?: Partial<q.StaleSignal>) =>
  new q.PositionTargetNode({ signal, instrument: "X", thresholds: { longEnter: 1 }, stale });

/** A rule for a stale signal, from its words. */
function rule(what: string, after?: number): Partial<q.StaleSignal> {
  // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
  return JSON.parse(JSON.stringify({ after, then: what }));
}

test("a target holds after five buckets without a signal, and its id does not depend on when that is reported", () => {
  expect(weight().stale).toEqual(rule("hold", 5));
  expect(weight({ after: 9 }).params).toEqual(weight().params);
  expect(position({ after: 9 }).params).toEqual(position().params);
  expect(weight({ after: 9 }).semanticsVersion).toBe(1);
});

test("a target that goes flat is another node, and is run on rows without a signal", () => {
  expect(weight(rule("flat")).params).toEqual({ ...weight().params, stale_flat_after: 5 });
  expect(position(rule("flat", 2)).params).toMatchObject({ stale_flat_after: 2 });
  expect(weight(rule("flat")).modeOf("signal")).toBe("nan");
  expect(weight().modeOf("signal")).toBe("skip");
});

test.each<[string, () => unknown]>([
  ["WeightTargetNode.stale.after: must be an integer in 1..10000", () => weight({ after: 0 })],
  ["WeightTargetNode.stale.then: must be hold or flat, not sell", () => weight(rule("sell"))],
  [
    'WeightTargetNode.stale.afer: is no option; did you mean "after"?',
    () => weight({ afer: 1 } as never),
  ],
  [
    'WeightTargetNode.stale.then: "flat" needs onMissing "skip"',
    () => weight(rule("flat"), "carry"),
  ],
])("%s", (message, declare) => {
  expect(declare).toThrow(q.DeclarationError);
  expect(declare).toThrow(message);
});
