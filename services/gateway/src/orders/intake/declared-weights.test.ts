import { expect, test } from "vitest";
import { DeclaredWeights } from "./declared-weights.ts";

test("a session that goes on stating targets keeps its bounds, however many others came and went", async () => {
  let max = 0.5;
  const weightBounds = async () => new Map([["A", new Map([["SPX", max]])]]);
  const declared = new DeclaredWeights({ weightBounds });
  const boundOf = async (session: string) =>
    (await declared.of(session, "w1", [{ strategy: "A" }])).get("A")?.get("SPX");
  expect(await boundOf("mine")).toBe(0.5);

  max = 2;
  for (let other = 0; other < 2_500; other += 1) {
    await boundOf(`other-${other}`);
    if (other % 500 === 0) await boundOf("mine");
  }

  expect(await boundOf("mine")).toBe(0.5);
});
