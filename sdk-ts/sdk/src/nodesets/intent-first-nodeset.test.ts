import { expect, test } from "vitest";
import { column, StreamInput } from "../strategy/index.ts";
import { IntentFirstAdapter } from "./intent-first-adapter.ts";
import { INTENT_FIRST_DEFAULT_THRESHOLDS, makeIntentFirstNodeset } from "./intent-first-nodeset.ts";
import { executionOf } from "./nodeset-execution.ts";

function price() {
  const bars = new StreamInput({ source: "spx", columns: ["close"], interval: "1d" });
  return column(bars, "close");
}

test("says what each step does, and that risk and timing pass through", () => {
  const signal = price();
  const set = makeIntentFirstNodeset({ signal, instrument: "SPX", worldId: "w1" });

  const { steps, worldId } = set.describe();

  expect(worldId).toBe("w1");
  expect(steps.map((step) => step.name)).toEqual([
    "pretrade",
    "sizing",
    "execution",
    "publish",
    "fills",
    "portfolio",
    "risk",
    "timing",
  ]);
  expect(steps.filter((step) => !step.acts).map((step) => step.name)).toEqual(["risk", "timing"]);
  expect(steps.slice(-2).every((step) => step.detail.includes("passes everything through"))).toBe(
    true,
  );
  expect(set.capabilities().portfolioScope).toBe("strategy");
});

test("enters beyond 0.6 and leaves within 0.2 unless told otherwise", () => {
  expect(INTENT_FIRST_DEFAULT_THRESHOLDS).toEqual({
    longEnter: 0.6,
    shortEnter: -0.6,
    longExit: 0.2,
    shortExit: -0.2,
  });
  const set = makeIntentFirstNodeset({ signal: price(), instrument: "SPX", longWeight: 0.25 });

  expect(set.tail.params).toMatchObject({ long_enter: 0.6, short_exit: -0.2, long_weight: 0.25 });
});

test("the world and the steps after the target are no part of a node's identity", () => {
  const signal = price();
  const plain = makeIntentFirstNodeset({ signal, instrument: "SPX" });
  const rich = makeIntentFirstNodeset({
    signal,
    instrument: "SPX",
    worldId: "w2",
    initialCash: 5_000,
    executionModel: { noCosts: true },
  });

  expect(rich.tail.params).toEqual(plain.tail.params);
  expect(executionOf(rich.tail)).toEqual({ initialCash: 5_000, noCosts: true });
  expect(rich.describe().steps[2]!.detail).toContain("no costs");
});

test("an adapter binds signal and price later", () => {
  const signal = price();
  const adapter = new IntentFirstAdapter({ instrument: "SPX" });

  expect(adapter.ports).toEqual(["signal", "price"]);
  expect(adapter.bind({ signal }).nodes).toHaveLength(1);
  expect(adapter.bind({ signal, price: signal }).head).toBe(signal);
  expect(adapter.bind({ signal, price: signal }).nodes).toHaveLength(2);
});

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("cash of %s is refused", (initialCash) => {
  expect(() => makeIntentFirstNodeset({ signal: price(), instrument: "SPX", initialCash })).toThrow(
    "makeIntentFirstNodeset.initialCash: must be above 0",
  );
});
