import { blake3Hex } from "@qmtl/core/canonical";
import {
  AccountCore,
  OfflineAccount,
  SimulatedBroker,
  type TradingCosts,
} from "@qmtl/core/execution";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PositionTargetNode, StreamInput } from "../../strategy/index.ts";
import type { SourceRows } from "../source-files/source-rows.ts";
import type { TradedRows } from "./bar-replay.ts";
import type { ComputedColumn } from "./compute.ts";
import type { OfflineMarket } from "./market.ts";
import { type OfflineTrading, tradeOffline } from "./trade.ts";

const hour = 3_600_000;
const day = 24 * hour;
const runs = { seed: 5, numRuns: 100 };
const costly = { feeBps: 10, halfSpreadBps: 20 };

type Bar = readonly [openMs: number, open: number, close: number];

function feedOf(name: string, intervalMs: number, bars: readonly Bar[]): SourceRows {
  const open = Float64Array.from(bars, ([, price]) => price);
  const close = Float64Array.from(bars, ([, , price]) => price);
  const openTimeMs = Float64Array.from(bars, ([ms]) => ms);
  const columns = new Map([
    ["open", open],
    ["high", open.map((price, i) => Math.max(price, close[i]!))],
    ["low", open.map((price, i) => Math.min(price, close[i]!))],
    ["close", close],
  ]);
  const bucketEndMs = openTimeMs.map((ms) => ms + intervalMs);
  return {
    name,
    table: { rows: bars.length, openTimeMs, bucketEndMs, columns },
    firstRow: 7,
    intervalMs,
    periodsPerYear: 252,
    datasetFingerprint: name,
    rowsLeft: 0,
    schedule: "observed",
    isSparse: false,
    lastBeforeStartMs: undefined,
    files: [],
    column: (column) => columns.get(column)!,
  };
}

/** Bars that each open at the previous close. */
function steady(closes: readonly number[], interval = day, fromMs = 0): Bar[] {
  return closes.map((close, k) => [fromMs + k * interval, closes[k - 1] ?? close, close]);
}

interface Traded {
  readonly symbol: string;
  readonly source: string;
  readonly costs?: TradingCosts;
  readonly lotSize?: string;
  readonly sameBarClose?: boolean;
  readonly notionalMin?: number;
}

const capital = 10_000;

function marketOf(traded: readonly Traded[]): OfflineMarket {
  return {
    instruments: traded.map(
      ({ symbol, source, costs, lotSize = "0.000001", sameBarClose = false, notionalMin = 0 }) => {
        const signal = new StreamInput({ source, columns: ["close"] });
        const node = new PositionTargetNode({
          signal,
          instrument: symbol,
          thresholds: { longEnter: 1 },
        });
        const money = costs === undefined ? { noCosts: true as const } : { costs };
        return {
          target: {
            ...{ nodeId: symbol, name: `target of ${symbol}`, node },
            ...{ signalId: source, signalName: source, intervalMs: day },
          },
          traded: { symbol, lotSize, sameBarClose, notionalMin, ...money },
          markSource: source,
          funding: null,
        };
      },
    ),
    accountId: undefined,
    initialCash: capital,
    currency: "USD",
    limits: {},
    money: { kind: "margin", leverageMax: 100 },
    isLeverageStated: true,
  };
}

function targetsAt(...values: readonly (readonly [endMs: number, value: number])[]) {
  return {
    endMs: Float64Array.from(values, ([ms]) => ms),
    values: Float64Array.from(values, ([, value]) => value),
    firstRow: 0,
  } satisfies ComputedColumn;
}

/** A target on every row of a feed. */
function targetsOn({ table }: SourceRows, values: readonly number[]): ComputedColumn {
  return targetsAt(...values.map((value, k) => [table.bucketEndMs[k]!, value] as const));
}

function rowsOf(...feeds: readonly SourceRows[]): Map<string, TradedRows> {
  return new Map(
    feeds.map((feed) => [feed.name, { feed, first: 0, end: feed.table.rows }] as const),
  );
}

function told({ events }: OfflineTrading): string[] {
  return events.map((event) =>
    event.kind === "signal"
      ? `${event.signal.instrument} wants ${event.signal.target}`
      : `${event.fill.side} ${event.fill.instrument} at ${event.fill.price}`,
  );
}

describe("targets over several instruments", () => {
  test("each is a fraction of the whole capital, which the others' gains have moved", () => {
    const a = feedOf("A", day, steady([100, 100, 200, 200, 200]));
    const b = feedOf("B", day, steady([50, 50, 50, 50, 50]));
    const market = marketOf([
      { symbol: "X", source: "A" },
      { symbol: "Y", source: "B" },
    ]);
    const trading = tradeOffline(
      market,
      [targetsAt([day, 0.5]), targetsAt([3 * day, 0.5])],
      rowsOf(a, b),
    );

    // 50 X bought at 100 are worth 10,000 on the third day: half of 15,000 buys 150 Y.
    expect(trading.fills.map((fill) => [fill.instrument, fill.quantity])).toEqual([
      ["X", "50"],
      ["Y", "150"],
    ]);
    expect([...trading.equity]).toEqual([10_000, 10_000, 15_000, 15_000, 15_000]);
    expect(trading.holdings.map(({ lots, mark }) => [lots / 1e6, mark])).toEqual([
      [50, 200],
      [150, 50],
    ]);
  });

  test("at one moment fills at the opens come first, then the targets, both in the order of the market", () => {
    const a = feedOf("A", day, steady([10, 10, 10, 10]));
    const b = feedOf("B", day, steady([20, 20, 20, 20]));
    const traded = [
      { symbol: "Y", source: "B" },
      { symbol: "X", source: "A" },
    ];
    const targets = [targetsOn(b, [0.2, 0, 0, 0]), targetsOn(a, [0.1, -0.1, -0.1, -0.1])];

    const trading = tradeOffline(marketOf(traded), targets, rowsOf(b, a));

    expect(told(trading)).toEqual([
      "Y wants 0.2",
      "X wants 0.1",
      "buy Y at 20",
      "buy X at 10",
      "Y wants 0",
      "X wants -0.1",
      "sell Y at 20",
      "sell X at 10",
      "sell X at 10",
    ]);
  });

  test("a target of another market's row fills on the first bar that begins from then on", () => {
    const a = feedOf("A", hour, steady([1, 1, 1, 1], hour, 2 * day + 9 * hour));
    const b = feedOf("B", day, [
      [0, 10, 11],
      [day, 12, 13],
      [2 * day, 14, 15], // has begun when A decides
      [5 * day, 16, 17],
    ]);
    const column = targetsAt([2 * day + 10 * hour, 1]);

    const trading = tradeOffline(marketOf([{ symbol: "Y", source: "B" }]), [column], rowsOf(a, b));

    // Sized at the last close, 13; bought at the open of the fifth day.
    expect(trading.fills).toMatchObject([{ price: 16, quantity: "769.230769" }]);
    expect(trading.fills[0]!.eventTimeMs).toBe(5 * day);
    expect(trading.timesMs).toHaveLength(4); // A is read, not traded
  });

  test("a market that is shut while another decides trades at its next open", () => {
    const a = feedOf("A", day, steady([1, 1, 1, 1]));
    const b = feedOf("B", day, [
      [0, 10, 11],
      [3 * day, 12, 13],
    ]);
    const trading = tradeOffline(
      marketOf([{ symbol: "Y", source: "B" }]),
      [targetsOn(a, [0, 1, 1, 1])],
      rowsOf(a, b),
    );

    expect(trading.fills).toMatchObject([{ price: 12, eventTimeMs: 3 * day }]);
    expect([...trading.timesMs]).toEqual([day, 4 * day]);
  });

  test("an instrument whose bars begin later is traded from its first close on", () => {
    const a = feedOf("A", day, steady([1, 1, 1, 1]));
    const b = feedOf("B", day, steady([10, 10], day, 2 * day));
    const always = targetsAt([Number.NEGATIVE_INFINITY, 0.5]);
    const trading = tradeOffline(
      marketOf([
        { symbol: "X", source: "A" },
        { symbol: "Y", source: "B" },
      ]),
      [always, always],
      rowsOf(a, b),
    );

    expect(trading.fills.map(({ instrument, eventTimeMs }) => [instrument, eventTimeMs])).toEqual([
      ["X", day],
      ["Y", 3 * day],
    ]);
  });

  test("every bar of every traded feed marks the account, the others at their last close", () => {
    const a = feedOf("A", day, steady([100, 100, 100]));
    const b = feedOf("B", 12 * hour, steady([10, 10, 10, 20, 20, 10], 12 * hour));
    const market = marketOf([
      { symbol: "X", source: "A" },
      { symbol: "Y", source: "B" },
    ]);

    const trading = tradeOffline(market, [targetsAt([0, 0]), targetsAt([day, 1])], rowsOf(a, b));

    expect(trading.timesMs).toHaveLength(6);
    expect([...trading.returns]).toEqual([0, 0, 1, 0, -0.5]);
    expect([...trading.turnover]).toEqual([0, 1, 0, 0, 0]);
  });

  test("costs and fill rule are those of each instrument, and a signal precedes its fill", () => {
    const a = feedOf("A", day, steady([10, 11, 12]));
    const market = marketOf([
      { symbol: "X", source: "A", sameBarClose: true },
      { symbol: "Y", source: "A", costs: { feeBps: 100, halfSpreadBps: 0 } },
    ]);
    const trading = tradeOffline(
      market,
      [targetsAt([day, 0.1]), targetsAt([2 * day, 0.11])],
      rowsOf(a),
    );

    expect(told(trading)).toEqual(["X wants 0.1", "buy X at 10", "Y wants 0.11", "buy Y at 11"]);
    expect(trading.holdings.map(({ fees }) => fees)).toEqual([0, trading.fees]);
    expect(trading.fees).toBeCloseTo(11.11, 9);
    expect(trading.fills[0]!.eventTimeMs).toBe(day);
  });
});

/**
 * Trades the same as a gateway would: at each moment the rows of all feeds, sealed together, then the targets.
 */
function tradedOnPaper(
  market: OfflineMarket,
  targets: Readonly<Record<string, ComputedColumn>>,
  feeds: Readonly<Record<string, SourceRows>>,
) {
  const instruments = market.instruments.map(({ traded }) => traded);
  const own = { world: "w", strategy: "s" };
  const core = new AccountCore({
    account: "main",
    instruments,
    initialCash: capital,
    hashHex: blake3Hex,
  });
  const broker = new SimulatedBroker({ instruments, costs: costly });
  const fills: object[] = [];
  const returns: number[] = [];
  const input = { ...own, share: 1, equity: capital, beginsStage: true };
  core.apply({ op: "allocate", input, bucket: 0 });
  const ends = Object.values(feeds).flatMap(({ table }) => [...table.bucketEndMs]);
  for (const bucket of [...new Set(ends)].sort((one, other) => one - other)) {
    const marks: { instrument: string; close: number }[] = [];
    for (const [instrument, { table, column }] of Object.entries(feeds)) {
      const row = table.bucketEndMs.indexOf(bucket);
      if (row < 0) continue;
      const [open, high, low, close] = ["open", "high", "low", "close"].map((n) => column(n)[row]!);
      const prices = { open: open!, high: high!, low: low!, close: close! };
      const span = { openTimeMs: table.openTimeMs[row]!, bucketEndMs: bucket };
      for (const fill of broker.onBar({ instrument, row, ...span, ...prices })) {
        const { orderId, executionId, lots, price, fee } = fill;
        core.apply({ op: "fill", fill: { orderId, executionId, lots, price, fee } });
        fills.push({ instrument, lots, price, fee });
      }
      marks.push({ instrument, close: close! });
    }
    core.apply({ op: "bar", bucket, marks });
    const marked = marks.map(({ instrument }) => instrument);
    const declared = [{ ...own, instruments: Object.keys(feeds) }];
    const { sealed = [] } = core.apply({ op: "seal", bucket, instruments: marked, declared });
    returns.push(...sealed.flatMap((one) => one.return ?? []));
    for (const [instrument, { endMs, values }] of Object.entries(targets)) {
      const value = values[endMs.indexOf(bucket)] ?? Number.NaN;
      if (Number.isNaN(value)) continue;
      const mark = core.mark(instrument)!;
      const { notionalMin } = instruments.find(({ symbol }) => symbol === instrument)!;
      const stated = { ...own, instrument, value, bucket, mark, notionalMin };
      const { effects } = core.apply({ op: "set_target", ...stated });
      for (const effect of effects) {
        if (effect.kind !== "send") continue;
        const { id, lots, reduceOnly } = effect.order;
        broker.accept({ id, instrument, lots, bucket, reduceOnly });
        core.apply({ op: "state", order: id, state: "accepted", reason: "" });
      }
    }
  }
  return { fills, returns };
}

const price = fc.integer({ min: 50, max: 200 });
const least = fc.constantFrom(0, 500, 3_000);
const weight = fc.constantFrom(-1, -0.4, 0, 0.25, 0.5, 1, Number.NaN);

/** A feed with gaps, its own interval and its own beginning. */
const anyFeed = (name: string) =>
  fc
    .record({
      intervalMs: fc.constantFrom(day, 6 * hour),
      begin: fc.integer({ min: 0, max: 3 }),
      bars: fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), price, price), {
        minLength: 2,
        maxLength: 25,
      }),
    })
    .map(({ intervalMs, begin, bars }) => {
      let at = begin;
      const made = bars.map(([gap, open, close]): Bar => {
        at += gap;
        return [at * intervalMs, open, close];
      });
      return feedOf(name, intervalMs, made);
    });

const anyRun = fc
  .record({ a: anyFeed("A"), b: anyFeed("B"), crossed: fc.boolean() })
  .chain(({ a, b, crossed }) => {
    const on = (feed: SourceRows) =>
      fc
        .array(weight, { minLength: feed.table.rows, maxLength: feed.table.rows })
        .map((values) => targetsOn(feed, values));
    return fc.record({
      a: fc.constant(a),
      b: fc.constant(b),
      x: on(crossed ? b : a),
      y: on(crossed ? a : b),
    });
  });

const pair = (costs?: TradingCosts): Traded[] => [
  { symbol: "X", source: "A", ...(costs && { costs }) },
  { symbol: "Y", source: "B", ...(costs && { costs }) },
];

describe("whatever is traded", () => {
  test("equity is cash and positions at their last closes", () => {
    fc.assert(
      fc.property(anyRun, ({ a, b, x, y }) => {
        const trading = tradeOffline(marketOf(pair(costly)), [x, y], rowsOf(a, b));
        const feeds = { X: a, Y: b };
        const { ruin } = trading;
        trading.timesMs.forEach((now, k) => {
          if (ruin !== undefined && now >= ruin.timeMs) expect(trading.equity[k]).toBe(0);
          if (ruin !== undefined && now > ruin.timeMs) return;
          let equity = capital;
          for (const [symbol, feed] of Object.entries(feeds)) {
            const last = feed.table.bucketEndMs.findLastIndex((end) => end <= now);
            const mark = feed.column("close")[last] ?? 0;
            for (const fill of trading.fills.filter(({ instrument }) => instrument === symbol)) {
              const bar = feed.table.openTimeMs.indexOf(fill.eventTimeMs);
              if (feed.table.bucketEndMs[bar]! > now) continue;
              const signed = fill.side === "buy" ? Number(fill.quantity) : -Number(fill.quantity);
              equity += signed * (mark - fill.price) - fill.fee;
            }
          }
          const told = now === ruin?.timeMs ? ruin.equity : trading.equity[k]!;
          expect(told).toBeCloseTo(equity, 6);
        });
      }),
      runs,
    );
  });

  test("no order fills on a bar that had begun when it was decided", () => {
    fc.assert(
      fc.property(anyRun, ({ a, b, x, y }) => {
        const { events } = tradeOffline(marketOf(pair()), [x, y], rowsOf(a, b));
        const decided = new Map<string, number[]>();
        for (const event of events) {
          if (event.kind === "signal") {
            const { instrument, bucketEndMs } = event.signal;
            decided.set(instrument, [...(decided.get(instrument) ?? []), bucketEndMs]);
            continue;
          }
          const { instrument, eventTimeMs } = event.fill;
          const before = decided.get(instrument)!.filter((ms) => ms <= eventTimeMs);
          expect(before.length, `${instrument} filled at ${eventTimeMs}`).toBeGreaterThan(0);
        }
      }),
      runs,
    );
  });

  test("what comes later changes nothing of what was", () => {
    fc.assert(
      fc.property(anyRun, fc.integer({ min: 1, max: 20 }), ({ a, b, x, y }, cut) => {
        const whole = tradeOffline(marketOf(pair(costly)), [x, y], rowsOf(a, b));
        const first = rowsOf(a, b);
        first.set("A", { feed: a, first: 0, end: Math.min(cut, a.table.rows) });
        const lastMs = a.table.bucketEndMs[Math.min(cut, a.table.rows) - 1]!;
        const ended = b.table.bucketEndMs.filter((end) => end <= lastMs).length;
        first.set("B", { feed: b, first: 0, end: ended });
        const part = tradeOffline(marketOf(pair(costly)), [x, y], first);

        expect(part.timesMs).toEqual(whole.timesMs.slice(0, part.timesMs.length));
        expect(part.equity).toEqual(whole.equity.slice(0, part.equity.length));
        expect(part.events).toEqual(whole.events.slice(0, part.events.length));
      }),
      runs,
    );
  });

  test("the order in which feeds are given does not matter", () => {
    fc.assert(
      fc.property(anyRun, ({ a, b, x, y }) => {
        const market = marketOf(pair(costly));
        const one = tradeOffline(market, [x, y], rowsOf(a, b));
        expect(tradeOffline(market, [x, y], rowsOf(b, a))).toEqual(one);
      }),
      runs,
    );
  });

  test("one instrument gives what stepping through its bars gives", () => {
    fc.assert(
      fc.property(anyRun, ({ a, x }) => {
        const values = [...x.values].slice(0, a.table.rows);
        const trading = tradeOffline(
          marketOf([{ symbol: "X", source: "A", costs: costly }]),
          [targetsOn(a, values)],
          rowsOf(a),
        );
        const account = new OfflineAccount({
          instruments: [{ symbol: "X", lotSize: "0.000001", costs: costly }],
          capital,
          money: { kind: "margin", leverageMax: 100 },
        });
        const [open, high, low, close] = ["open", "high", "low", "close"].map((n) => a.column(n));
        for (let i = 0; i < a.table.rows; i++) {
          const target = values[i] ?? Number.NaN;
          account.step(7 + i, open![i]!, high![i]!, low![i]!, close![i]!, target);
        }
        const ruin = account.equity().findIndex((value) => value <= 0);
        const lived = ruin < 0 ? a.table.rows : ruin + 1;
        const equity = account
          .equity()
          .slice(0, lived)
          .map((value) => Math.max(0, value));
        const ended = new Float64Array(a.table.rows - equity.length);
        expect([...trading.equity]).toEqual([...equity, ...ended]);
        expect(trading.returns).toEqual(equity.slice(1).map((value, i) => value / equity[i]! - 1));
        expect(trading.orders).toEqual(account.orders);
        expect(trading.fills.map(({ executionId }) => executionId)).toEqual(
          account.fills.map(({ executionId }) => executionId),
        );
      }),
      runs,
    );
  });

  test("an instrument that is never wanted changes nothing but the moments of marking", () => {
    fc.assert(
      fc.property(anyRun, ({ a, b, x }) => {
        const [first] = pair(costly);
        const wanted = targetsOn(a, [...x.values].slice(0, a.table.rows));
        const never = targetsAt([0, 0]);
        const alone = tradeOffline(marketOf([first!]), [wanted], rowsOf(a));
        const beside = tradeOffline(marketOf(pair(costly)), [wanted, never], rowsOf(a, b));

        expect(beside.events).toEqual(alone.events);
        const at = (ms: number) => beside.timesMs.indexOf(ms);
        expect(Array.from(alone.timesMs, (ms) => beside.equity[at(ms)])).toEqual([...alone.equity]);
        expect(beside.fees).toBe(alone.fees);
      }),
      runs,
    );
  });

  test("fills and returns are those of the core and the broker that paper runs on", () => {
    const calm = fc.integer({ min: 80, max: 120 }); // nobody is ruined: there would be no returns
    const bar = fc.tuple(fc.integer({ min: 1, max: 3 }), calm, calm, weight, weight);
    const anyBars = fc.record({
      intervalMs: fc.constantFrom(day, 8 * hour, 5 * hour),
      rows: fc.array(bar, { minLength: 3, maxLength: 25 }),
    });
    type AnyBars = typeof anyBars extends fc.Arbitrary<infer T> ? T : never;
    const made = (name: string, { intervalMs, rows }: AnyBars) => {
      let at = -1;
      const bars = rows.map(([gap, open, close], k): Bar => {
        at += k === 0 ? 1 : gap;
        return [at * intervalMs, open, close];
      });
      return feedOf(name, intervalMs, bars);
    };
    fc.assert(
      fc.property(anyBars, anyBars, fc.boolean(), least, (barsA, barsB, crossed, notionalMin) => {
        const a = made("A", barsA);
        const b = made("B", barsB);
        // Time from which both have a mark: before it, paper refuses a target and offline keeps it.
        const fromMs = Math.max(a.table.bucketEndMs[0]!, b.table.bucketEndMs[0]!);
        const stated = (on: SourceRows, values: readonly number[]) =>
          targetsOn(
            on,
            values.map((value, k) => (on.table.bucketEndMs[k]! < fromMs ? Number.NaN : value)),
          );
        const [onX, onY] = crossed ? [b, a] : [a, b];
        const x = stated(
          onX,
          (crossed ? barsB : barsA).rows.map((row) => row[3]),
        );
        const y = stated(
          onY,
          (crossed ? barsA : barsB).rows.map((row) => row[4]),
        );
        const traded = pair(costly).map((one) => ({ ...one, notionalMin }));
        const market = marketOf(traded);

        const offline = tradeOffline(market, [x, y], rowsOf(a, b));
        const paper = tradedOnPaper(market, { X: x, Y: y }, { X: a, Y: b });

        const told = offline.fills.map(({ instrument, side, quantity, price, fee }) => {
          const lots = Math.round(Number(quantity) * 1e6) * (side === "buy" ? 1 : -1);
          return { instrument, lots, price, fee };
        });
        expect(told).toEqual(paper.fills);
        expect(offline.ruin).toBeUndefined();
        expect([...offline.returns]).toEqual(paper.returns);
      }),
      runs,
    );
  });

  test("positions opened at one moment earn together what they earn apart", () => {
    const common = fc.record({
      closes: fc.array(fc.tuple(price, price), { minLength: 3, maxLength: 20 }),
      weights: fc.tuple(fc.constantFrom(-1, 0.25, 0.5), fc.constantFrom(-0.5, 0.25, 1)),
      exits: fc.tuple(fc.integer({ min: 1, max: 19 }), fc.integer({ min: 1, max: 19 })),
    });
    fc.assert(
      fc.property(common, ({ closes, weights, exits }) => {
        const a = feedOf("A", day, steady(closes.map(([close]) => close)));
        const b = feedOf("B", day, steady(closes.map(([, close]) => close)));
        const targets = weights.map((value, k) =>
          targetsAt([day, value], [(exits[k]! + 1) * day, 0]),
        );
        const [first, second] = pair(costly);
        const both = tradeOffline(marketOf(pair(costly)), targets, rowsOf(a, b));
        const x = tradeOffline(marketOf([first!]), [targets[0]!], rowsOf(a));
        const y = tradeOffline(marketOf([second!]), [targets[1]!], rowsOf(b));
        // What closes at a moment of its own, because nothing is left, earns otherwise from there on.
        fc.pre([both, x, y].every((trading) => trading.equity.every((equity) => equity > 0)));

        fc.pre([both, x, y].every(({ ruin }) => ruin === undefined));
        both.equity.forEach((equity, k) => {
          expect(equity).toBeCloseTo(x.equity[k]! + y.equity[k]! - capital, 6);
        });
        expect(both.fees).toBeCloseTo(x.fees + y.fees, 9);
      }),
      runs,
    );
  });
});
