import { expect, test } from "vitest";
import { completeShares } from "./complete-shares.ts";

const allocation = (ratio: number, shares: Record<string, number>) => ({
  worldId: "w",
  ratio,
  shares: new Map(Object.entries(shares)),
});

test("a share that is left out stays what it was", () => {
  const wanted = completeShares(allocation(0.9, { a: 0.7 }), [allocation(0.5, { a: 0.2, b: 0.3 })]);

  expect(wanted).toEqual(allocation(0.9, { a: 0.7, b: 0.3 }));
});

test("where no share was ever set the strategies have the world in equal parts", () => {
  const wanted = completeShares(allocation(0.9, {}), [allocation(0.5, { a: 0, b: 0 })]);

  expect(wanted).toEqual(allocation(0.9, { a: 0.5, b: 0.5 }));
});

test("a share of nothing that is asked for is given", () => {
  const wanted = completeShares(allocation(0.9, { a: 0, b: 0 }), [allocation(0.5, { a: 0, b: 0 })]);

  expect(wanted.shares).toEqual(
    new Map([
      ["a", 0],
      ["b", 0],
    ]),
  );
});

test("a world without strategies has no shares", () => {
  expect(completeShares(allocation(0.9, {}), []).shares.size).toBe(0);
});
