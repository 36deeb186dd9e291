import { Decimal } from "decimal.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { blake3Hex } from "../canonical/blake3.ts";
import { AccountCore } from "./account-core.ts";
import { OfflineAccount } from "./offline-account.ts";
import { OrderRouter } from "./order-router.ts";
import type { TargetInput } from "./router-options.ts";
import { openedLots, planTargets } from "./target-moment.ts";

const own = { world: "w", strategy: "s" } as const;
const x = { ...own, instrument: "X" } as const;

function options(symbols: readonly string[] = ["X"]) {
  const instruments = symbols.map((symbol) => ({ symbol, lotSize: "1" }));
  return { account: "a", instruments, initialCash: 1_000, hashHex: blake3Hex };
}

function router(symbols?: readonly string[]): OrderRouter {
  const made = new OrderRouter(options(symbols));
  made.setAllocation({ ...own, share: 1, equity: 1_000 });
  return made;
}

/** Takes a target and fills its orders at its mark; returns the lots it sent. */
function take(made: OrderRouter, input: Omit<TargetInput, "world" | "strategy" | "instrument">) {
  const { effects } = made.setTarget({ ...x, ...input });
  return effects.flatMap((effect) => {
    if (effect.kind !== "send") return [];
    const { id, lots } = effect.order;
    made.core.onFill({ orderId: id, executionId: id, lots, price: input.mark, fee: 0 });
    return [lots];
  });
}

describe("a target's quantity", () => {
  test("is fixed again when a later row is stated at which it was to be sized", () => {
    const made = router();

    expect(take(made, { value: 0.5, bucket: 1, mark: 100, sizedRow: 7 })).toEqual([5]);
    expect(take(made, { value: 0.5, bucket: 2, mark: 50, sizedRow: 7 })).toEqual([]);
    // 750 of capital: half of it is 7 lots at 50.
    expect(take(made, { value: 0.5, bucket: 3, mark: 50, sizedRow: 8 })).toEqual([2]);
    expect(take(made, { value: 0.5, bucket: 3, mark: 50, sizedRow: 8 })).toEqual([]);
  });

  test("stays when an earlier row or none is stated, as by a client that knows of none", () => {
    const made = router();
    take(made, { value: 0.5, bucket: 1, mark: 100, sizedRow: 7 });

    expect(take(made, { value: 0.5, bucket: 2, mark: 50, sizedRow: 6 })).toEqual([]);
    expect(take(made, { value: 0.5, bucket: 3, mark: 50 })).toEqual([]);
    expect(made.core.book(x)!.target).toMatchObject({ lots: 5, sizedRow: 7 });
    expect(take(made, { value: 0.5, bucket: 4, mark: 50, sizedRow: 7 })).toEqual([]);
  });

  test("is fixed with the one capital that all targets of a moment are given", () => {
    const made = router();

    expect(take(made, { value: 0.5, bucket: 1, mark: 100, capital: 2_000 })).toEqual([10]);
  });

  test("and its terms are in the snapshot, so that a restart sizes nothing twice", () => {
    const made = router();
    take(made, { value: 0.5, bucket: 1, mark: 100, sizedRow: 7, drift: 0.05 });

    const again = new OrderRouter(options(), JSON.parse(JSON.stringify(made.core.snapshot())));

    expect(take(again, { value: 0.5, bucket: 1, mark: 50, sizedRow: 7, drift: 0.05 })).toEqual([]);
    expect(again.core.book(x)!.target).toEqual(made.core.book(x)!.target);
    expect(take(again, { value: 0.5, bucket: 2, mark: 50, sizedRow: 8, drift: 0.05 })).toEqual([2]);
  });

  test("stays as it is for a journal of before there were rows and drifts", () => {
    const core = new AccountCore(options());
    core.apply({ op: "allocate", input: { ...own, share: 1, equity: 1_000 }, bucket: 0 });
    core.apply({ op: "set_target", ...x, value: 0.5, bucket: 1, mark: 100 });
    core.apply({ op: "set_target", ...x, value: 0.5, bucket: 2, mark: 50 });

    expect(core.book(x)!.target).toEqual({ value: 0.5, bucket: 2, lots: 5 });
  });
});

describe("a held weight", () => {
  const strays = (made: OrderRouter, mark: number, capital: number) =>
    made.hasStrayed(made.core.ledger.book(x), mark, capital);

  test("has strayed when it is more than the drift away from the target", () => {
    const made = router();
    take(made, { value: 0.5, bucket: 1, mark: 100, drift: 0.05 });

    expect(strays(made, 110, 1_050)).toBe(false); // 0.524
    expect(strays(made, 150, 1_250)).toBe(true); // 0.6
    expect(strays(made, 60, 800)).toBe(true); // 0.375
  });

  test("without a drift strays however far", () => {
    const made = router();
    take(made, { value: 0.5, bucket: 1, mark: 100 });

    expect(strays(made, 1_000, 5_500)).toBe(false);
  });

  test("counts what working orders may still fill, so that nothing is sent twice", () => {
    const made = router();
    made.setTarget({ ...x, value: 0.5, bucket: 1, mark: 100, drift: 0.05 });

    expect(made.core.book(x)!.quantity).toBe(0);
    expect(strays(made, 100, 1_000)).toBe(false);
  });

  test("is left as it is if sizing again would change nothing, or too little", () => {
    const made = router();
    take(made, { value: 0.09, bucket: 1, mark: 50, drift: 0.01 });

    expect(strays(made, 48, 998)).toBe(false); // one lot is 0.048, two would be 0.096
    expect(strays(made, 110, 1_060)).toBe(true); // 0.104, and not one lot is wanted
    take(made, { value: 0.5, bucket: 2, mark: 50, drift: 0.01, notionalMin: 200 });
    expect(strays(made, 55, 1_050)).toBe(false);
  });

  test("is judged by no capital at all if that is not above 0", () => {
    const made = router();
    take(made, { value: 0.5, bucket: 1, mark: 100, drift: 0.05 });

    expect(strays(made, 100, 0)).toBe(false);
    expect(strays(made, 100, -50)).toBe(false);
  });
});

test("of one moment, targets that reduce are taken first, then those that turn, then those that open", () => {
  const symbols = ["A", "B", "C", "D"];
  const made = router(symbols);
  const target = (instrument: string, value: number, bucket: number) => ({
    ...{ ...own, instrument, value, bucket, mark: 10, capital: 1_000 },
  });
  const before = [target("B", 0.2, 1), target("C", 0.2, 1), target("D", -0.2, 1)];
  for (const one of before) made.setTarget(one);

  const now = [
    target("A", 0.3, 2),
    target("B", 0.4, 2),
    target("C", -0.1, 2),
    target("D", -0.1, 2),
  ];

  const { order } = planTargets(made.core, now);
  expect(order.map((index) => now[index]!.instrument)).toEqual(["D", "C", "A", "B"]);
});

describe("where the account's money allows a share of what is opened", () => {
  const money = { kind: "margin", leverageMax: 0.29 } as const;
  const targets = ["A", "B"].map((instrument) => ({
    ...{ ...own, instrument, value: 0.5, bucket: 1, mark: 5, capital: 1_000 },
  }));

  function cutRouter(): OrderRouter {
    const made = new OrderRouter({ ...options(["A", "B"]), money });
    made.setAllocation({ ...own, share: 1, equity: 1_000 });
    for (const symbol of ["A", "B"]) made.core.onMark(symbol, 5);
    return made;
  }

  test("no lot is lost to float noise: 0.29 of 100 lots are 29, online and offline", () => {
    const made = cutRouter();
    const { cut } = planTargets(made.core, targets);
    for (const target of targets) made.setTarget({ ...target, ...cut });
    const account = new OfflineAccount({
      instruments: ["A", "B"].map((symbol) => ({ symbol, lotSize: "1", costs: freeOfCosts })),
      ...{ capital: 1_000, money },
    });
    for (const at of [0, 1]) account.bar(at, 0, 5, 5, 5, 5);
    account.takeTargets([0, 1].map((at) => ({ at, row: 0, value: 0.5 })));

    expect(cut).toEqual({ openShare: 0.29, openTolerance: 1e-9 });
    expect(made.core.books().map(({ target }) => target?.lots)).toEqual([29, 29]);
    expect(account.orders.map(({ lots }) => lots)).toEqual([29, 29]);
  });

  test("a target of a journal that states no tolerance is cut as it was then", () => {
    const made = cutRouter();

    made.setTarget({ ...targets[0]!, openShare: 0.29 });

    expect(made.core.books().map(({ target }) => target?.lots)).toEqual([28]);
  });

  test("its lots are those of exact arithmetic, whatever is held", () => {
    const lots = fc.integer({ min: -5_000, max: 5_000 });
    const shares = fc.integer({ min: 0, max: 9_999 });
    fc.assert(
      fc.property(lots, lots, shares, (held, wanted, share) => {
        const isSame = held !== 0 && wanted !== 0 && held > 0 === wanted > 0;
        const kept = isSame ? Math.sign(held) * Math.min(Math.abs(held), Math.abs(wanted)) : 0;
        const opened = new Decimal(wanted - kept).mul(share).div(10_000).trunc().toNumber();

        expect(openedLots(held, wanted, share / 10_000) - (kept + opened)).toBe(0);
      }),
      { seed: 3, numRuns: 2_000 },
    );
  });
});

const freeOfCosts = { feeBps: 0, halfSpreadBps: 0 };

describe("offline, targets of one moment", () => {
  const instruments = ["A", "B"].map((symbol) => ({
    ...{ symbol, lotSize: "1", sameBarClose: true },
    costs: { feeBps: 1_000, halfSpreadBps: 0 },
  }));

  test("are sized with one figure, although the first has paid a fee by then", () => {
    const account = new OfflineAccount({ instruments, capital: 1_000 });
    for (const at of [0, 1]) account.bar(at, 0, 10, 10, 10, 10);
    account.takeTargets([
      { at: 0, row: 0, value: 0.5 },
      { at: 1, row: 0, value: 0.5 },
    ]);

    expect(account.orders.map(({ lots }) => lots)).toEqual([50, 50]);
  });

  test("without a mark are left out, and told so", () => {
    const account = new OfflineAccount({ instruments, capital: 1_000 });
    account.bar(0, 0, 10, 10, 10, 10);
    const taken = account.takeTargets([
      { at: 1, row: 0, value: 0.5 },
      { at: 0, row: 0, value: 0.5 },
    ]);

    expect(taken).toEqual([false, true]);
    expect(account.orders.map(({ instrument }) => instrument)).toEqual(["A"]);
  });

  test("step by step are sized again at a later row, and by drift", () => {
    const by = (drift: number) =>
      new OfflineAccount({
        instruments: [{ symbol: "X", lotSize: "1", noCosts: true, drift }],
        capital: 1_000,
      });
    const rows = by(0);
    const drifts = by(0.05);
    [10, 10, 20, 20, 20].forEach((price, row) => {
      rows.step(row, price, price, price, price, 0.5, row < 3 ? 0 : 3);
      drifts.step(row, price, price, price, price, 0.5);
    });

    expect(rows.fills.map(({ lots, row }) => [lots, row])).toEqual([
      [50, 1],
      [-13, 4],
    ]);
    expect(drifts.fills.map(({ lots, row }) => [lots, row])).toEqual([
      [50, 1],
      [-13, 3],
    ]);
  });
});
