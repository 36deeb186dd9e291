import type { AccountCore } from "@qmtl/core/execution";
import fc from "fast-check";
import { expect, test } from "vitest";
import { paperAccount } from "../testing/order-bench.ts";
import { type AccountSnapshot, snapshotOfPieces, snapshotPieces } from "./account-snapshot.ts";
import type { MarketSnapshot } from "./booked-marks.ts";
import { type ExecutedRebalance, emptyCore, type SealedSlice } from "./rebuild-books.ts";

/** An arbitrary of every field, also of those that may be absent: one that is added does not compile until it is here. */
type Arbitraries<T> = { readonly [Field in keyof Required<T>]: fc.Arbitrary<Required<T>[Field]> };

const text = fc.string({ maxLength: 8 });
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => one + 0);
const whole = fc.nat();
const list = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 3 });
const bookId = { world: text, strategy: text, instrument: text };
const rows = list(fc.tuple(text, whole, whole));

const market: Arbitraries<MarketSnapshot> = {
  sources: rows,
  funded: rows,
  closes: list(fc.tuple(text, list(fc.record({ bucket: whole, close: number })))),
};
type Sealed = SealedSlice["sealed"][number];
const sealed: Arbitraries<Sealed> = {
  ...{ world: text, strategy: text, bucket: whole, capital: number, return: number },
  exposed: fc.boolean(),
};
const slice: Arbitraries<SealedSlice> = { bucket: whole, sealed: list(fc.record(sealed)) };
const rebalance: Arbitraries<ExecutedRebalance> = {
  batchId: text,
  crosses: list(fc.record({ ...bookId, lots: whole, price: number })),
};
const limits = fc.record({ orderNotionalMax: number, grossNotionalMax: number });
const financing = fc.record({
  ...{ cashRate: number, debitRate: number, borrowRate: number },
  ...{ dayCount: fc.constant(360 as const), zone: text },
});
const instrument = fc.record({ symbol: text, lotSize: text, multiplier: number });
const money = fc.record({
  kind: fc.constantFrom("cash" as const, "margin" as const),
  ...{ leverageMax: number, maintenance: number, financing },
  instrumentLeverageMax: fc.dictionary(fc.constantFrom("X", "Y"), number),
});
const recorded: Arbitraries<AccountSnapshot["recorded"]> = {
  op: fc.constant("settings"),
  ...{ initialCash: number, currency: text, limits, money, instruments: list(instrument) },
  costs: fc.record({ feeBps: number, halfSpreadBps: number }),
};
const snapshots: Arbitraries<AccountSnapshot> = {
  ...{ account: fc.constant("paper"), entry: whole, entryHash: text, difference: text },
  ...{ sequence: whole, market: fc.record(market), recorded: fc.record(recorded) },
  basis: fc.record({ initialCash: number, currency: text, instruments: list(instrument) }),
  core: fc.constant(tradedCore().snapshot()),
  sealedSlices: list(fc.record(slice)),
  rebalances: list(fc.record(rebalance)),
};

/** A core with open and closed orders, fills, a batch and financing. That its rows are whole is its own test. */
function tradedCore(): AccountCore {
  const core = emptyCore(paperAccount);
  const id = { world: "w", strategy: "s", instrument: "SPX" };
  core.apply({
    ...{ op: "allocate", bucket: 0 },
    input: { ...id, share: 1, equity: 1_000, beginsStage: true },
  });
  for (const bucket of [1, 2, 3]) {
    core.apply({ op: "bar", bucket, marks: [{ instrument: "SPX", close: 10 }] });
    core.apply({ op: "set_target", ...id, value: bucket / 4, bucket, mark: 10, drift: 0.1 });
    const [order] = core.openOrders();
    if (bucket === 3 || order === undefined) continue;
    const fill = { orderId: order.id, executionId: `e${bucket}`, lots: order.lots };
    core.apply({ op: "fill", fill: { ...fill, price: 10, fee: 0.1 } });
    core.apply({ op: "fund", timeMs: bucket, rates: [{ instrument: "SPX", rate: 0.01 }] });
  }
  return core;
}

test("a snapshot of an account with everything in it is the same once it was stored, in as many pieces as it takes", () => {
  const { openOrders, closedOrders, fills, financed } = tradedCore().snapshot();
  expect([openOrders.length, closedOrders.length, fills.length]).toEqual([1, 2, 2]);
  expect(financed?.funding).not.toBe(0);
  fc.assert(
    fc.property(fc.record(snapshots), (snapshot) => {
      const pieces = [...snapshotPieces(snapshot)];

      expect(snapshotOfPieces(pieces, snapshot)).toStrictEqual(structuredClone(snapshot));
    }),
    { seed: 11, numRuns: 300 },
  );
});
