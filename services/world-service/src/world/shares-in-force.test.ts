import { expect, test } from "vitest";
import type { BindingRow } from "../store/world-rows.ts";
import { withSharesInForce } from "./shares-in-force.ts";

const bound = (own: Record<string, number | null>): BindingRow[] =>
  Object.entries(own).map(([strategyId, ownShare], boundOrder) => ({
    strategyId,
    strategyName: strategyId,
    stage: "validate",
    ownShare,
    demotedFrom: [],
    picked: null,
    removed: false,
    boundOrder,
    createdMs: 0,
  }));

const shares = (own: Record<string, number | null>): Record<string, number> =>
  Object.fromEntries(withSharesInForce(bound(own)).map((one) => [one.strategyId, one.share]));

test("where no share was ever set the strategies have the world in equal parts", () => {
  expect(shares({ a: null, b: null })).toEqual({ a: 0.5, b: 0.5 });
});

test("a share that was set is in force, and a strategy without one has nothing beside it", () => {
  expect(shares({ a: 0.7, b: null })).toEqual({ a: 0.7, b: 0 });
});

test("a share of nothing that was asked for is given", () => {
  expect(shares({ a: 0, b: 0 })).toEqual({ a: 0, b: 0 });
});

test("a world without strategies has no shares", () => {
  expect(shares({})).toEqual({});
});
