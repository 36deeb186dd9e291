import { expect, test } from "vitest";
import { ruleText } from "./rule-text.ts";

test("of two bounds on one metric, the text says which one it is", () => {
  expect(
    ["enter", "exit", "min"].map((kind) => ruleText({ kind, text: "sharpe 0.9 ≥ 0.5" })),
  ).toEqual(["to enter: sharpe 0.9 ≥ 0.5", "to stay: sharpe 0.9 ≥ 0.5", "sharpe 0.9 ≥ 0.5"]);
});
