import fc from "fast-check";
import { expect, test } from "vitest";
import { clientOrderId } from "./client-order-id.ts";
import { lotsFromQuantity, quantityFromLots, wholeLots } from "./lots.ts";

test("rounds toward zero and forgives float noise below a whole lot", () => {
  expect([0.3 / 0.1, -0.3 / 0.1, 2.9999, -2.9999, -0.4].map(wholeLots)).toEqual([3, -3, 2, -2, 0]);
});

test("a quantity that is not whole lots is refused, not rounded", () => {
  expect(() => lotsFromQuantity("0.15", "0.1")).toThrow(RangeError);
  expect(() => lotsFromQuantity("1e17", "0.1")).toThrow(RangeError);
  expect(() => lotsFromQuantity("1", "0")).toThrow(RangeError);
});

test("lots and decimal strings convert both ways without loss", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -1e12, max: 1e12 }),
      fc.constantFrom("1", "0.1", "0.001", "0.00000001", "100", "0.25"),
      (lots, size) => {
        expect(lotsFromQuantity(quantityFromLots(lots, size), size)).toBe(lots === 0 ? 0 : lots);
      },
    ),
    { seed: 7, numRuns: 300 },
  );
});

test("a client order id has 32 characters and differs in every field", () => {
  const hashHex = (text: string): string => {
    let hash = 0xcbf29ce484222325n;
    for (const character of text) {
      hash = ((hash ^ BigInt(character.codePointAt(0)!)) * 0x100000001b3n) & 0xffffffffffffffffn;
    }
    return `test:${hash.toString(16).padStart(16, "0").repeat(4)}`;
  };
  const base = {
    account: "a",
    world: "w",
    strategy: "s",
    instrument: "X",
    bucket: 5,
    intentSequence: 0,
  };

  const ids = [
    base,
    { ...base, account: "b" },
    { ...base, world: "v" },
    { ...base, strategy: "t" },
    { ...base, instrument: "Y" },
    { ...base, bucket: 6 },
    { ...base, intentSequence: 1 },
    { ...base, world: 'w","s', strategy: "" },
  ].map((identity) => clientOrderId(identity, hashHex));

  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => id.length === 32)).toBe(true);
  expect(() => clientOrderId(base, () => "short")).toThrow(RangeError);
});
