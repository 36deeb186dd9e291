import fc from "fast-check";
import { expect, test } from "vitest";
import { applyTrade, type Position } from "./position.ts";

const flatPosition = (): Position => ({ quantity: 0, averageCost: 0 });

test("a flip realises the old side whole and starts at the fill price", () => {
  const position = { quantity: 10, averageCost: 100 };

  const realised = applyTrade(position, -15, 110);

  expect(realised).toBe(100);
  expect(position).toEqual({ quantity: -5, averageCost: 110 });
});

test("a reduction keeps the average cost, a close leaves nothing", () => {
  const position = { quantity: -10, averageCost: 100 };

  expect(applyTrade(position, 4, 90)).toBe(40);
  expect(position).toEqual({ quantity: -6, averageCost: 100 });
  expect(applyTrade(position, 6, 105)).toBe(-30);
  expect(position).toEqual(flatPosition());
});

test("books hold the sum of fills, and realised plus unrealised is what the trades earned", () => {
  const trade = fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 1, max: 200 }));
  fc.assert(
    fc.property(
      fc.array(trade, { maxLength: 40 }),
      fc.integer({ min: 1, max: 200 }),
      (trades, mark) => {
        const position = flatPosition();
        let realised = 0;
        let cash = 0;
        for (const [lots, price] of trades.filter(([lots]) => lots !== 0)) {
          realised += applyTrade(position, lots, price);
          cash -= lots * price;
        }

        expect(position.quantity).toBe(trades.reduce((sum, [lots]) => sum + lots, 0));
        const unrealised = position.quantity * (mark - position.averageCost);
        expect(realised + unrealised).toBeCloseTo(cash + position.quantity * mark, 6);
      },
    ),
    { seed: 11, numRuns: 300 },
  );
});
