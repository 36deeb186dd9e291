import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { catalogue } from "./catalogue.ts";
import type { KernelSpec } from "./kernel.ts";
import type { PositionTargetParams } from "./position-target.ts";
import type { WeightTargetParams } from "./weight-target.ts";

/** Runs a node over whole columns behind a NaN head, in calls of `chunk` rows, first row = absolute `row0`. */
function run<P>(
  spec: KernelSpec<P>,
  params: P,
  inputs: readonly (readonly number[])[],
  { chunk = 7, row0 = 0 } = {},
): number[][] {
  const rows = inputs[0]?.length ?? 0;
  const head = spec.lookback(params);
  const kernel = spec.create(params);
  const columns = inputs.map((x) => Float64Array.from([...new Array(head).fill(Number.NaN), ...x]));
  const outputs = spec.outputs.map(() => new Float64Array(head + rows).fill(Number.NaN));
  kernel.bind(columns, outputs, {
    rowOf: () => null,
    endMs: () => new Float64Array(columns[0]!.length),
    baseOf: () => 0,
    showsNan: () => false,
  });
  for (let i = head; i < head + rows; i += chunk) {
    kernel.run(i, Math.min(i + chunk, head + rows), row0 - head);
  }
  return outputs.map((out) => [...out.slice(head)]);
}

function expectClose(actual: readonly number[], expected: readonly number[], scale = 0): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    if (Number.isNaN(e)) expect(a, `row ${i}`).toBeNaN();
    else
      expect(Math.abs(a - e), `row ${i}: ${a} vs ${e}`).toBeLessThanOrEqual(
        1e-9 * Math.max(Math.abs(e), scale, 1e-12),
      );
  }
}

const NO = Number.NaN;

function slide(x: readonly number[], n: number, f: (window: number[]) => number): number[] {
  return x.map((_, i) => {
    const window = x.slice(Math.max(0, i - n + 1), i + 1);
    return window.length < n || window.some(Number.isNaN) ? NO : f(window);
  });
}
const mean = (w: number[]) => w.reduce((a, b) => a + b, 0) / w.length;
const deviation = (w: number[], ddof: number) => {
  const m = mean(w);
  return Math.sqrt(w.reduce((a, b) => a + (b - m) ** 2, 0) / (w.length - ddof));
};
const lagged = (x: readonly number[], n: number, f: (now: number, before: number) => number) =>
  x.map((now, i) => f(now, x[i - n] ?? NO));

/** A recursive node by its definition over the values that are not NaN. */
function overValues(x: readonly number[], f: (values: number[]) => number[]): number[] {
  const out = f(x.filter((value) => !Number.isNaN(value)));
  let k = 0;
  return x.map((value) => (Number.isNaN(value) ? NO : out[k++]!));
}
const slowEma = (n: number) => (v: number[]) =>
  v.map((_, i) => {
    if (i < n - 1) return NO;
    let e = mean(v.slice(0, n));
    for (let k = n; k <= i; k++) e = (v[k]! * 2 + e * (n - 1)) / (n + 1);
    return e;
  });
const wilder = (n: number, v: readonly number[]) => {
  let a = mean(v.slice(0, n));
  for (const x of v.slice(n)) a += (x - a) / n;
  return a;
};
const slowRsi = (n: number) => (v: number[]) =>
  v.map((_, i) => {
    if (i < n) return NO;
    const d = v.slice(1, i + 1).map((x, k) => x - v[k]!);
    const up = wilder(
      n,
      d.map((x) => Math.max(x, 0)),
    );
    const down = wilder(
      n,
      d.map((x) => Math.max(-x, 0)),
    );
    return up + down === 0 ? 0 : (100 * up) / (up + down);
  });

const price = fc.oneof(
  { weight: 30, arbitrary: fc.double({ min: 50, max: 150, noNaN: true }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
);
const series = fc.array(price, { minLength: 1, maxLength: 120 });
const size = fc.integer({ min: 2, max: 12 });
const calls = fc.record({
  chunk: fc.integer({ min: 1, max: 50 }),
  row0: fc.integer({ min: 0, max: 40 }),
});

describe("each node equals its definition", () => {
  test.each([
    ["sma", catalogue.sma.spec, (x: number[], n: number) => slide(x, n, mean)],
    ["sum", catalogue.sum.spec, (x: number[], n: number) => slide(x, n, (w) => mean(w) * n)],
    ["min", catalogue.min.spec, (x: number[], n: number) => slide(x, n, (w) => Math.min(...w))],
    ["max", catalogue.max.spec, (x: number[], n: number) => slide(x, n, (w) => Math.max(...w))],
    ["ema", catalogue.ema.spec, (x: number[], n: number) => overValues(x, slowEma(n))],
    ["rsi", catalogue.rsi.spec, (x: number[], n: number) => overValues(x, slowRsi(n))],
  ] as const)("%s", (_name, spec, slow) => {
    fc.assert(
      fc.property(series, size, calls, (x, window, how) => {
        expectClose(run(spec, { window }, [x], how)[0]!, slow(x, window));
      }),
      { seed: 1, numRuns: 150 },
    );
  });

  test.each([
    ["rate_of_change", catalogue.rate_of_change.spec, (a: number, b: number) => a / b - 1],
    ["price_change", catalogue.price_change.spec, (a: number, b: number) => a - b],
    ["log_return", catalogue.log_return.spec, (a: number, b: number) => Math.log(a) - Math.log(b)],
  ] as const)("%s", (_name, spec, slow) => {
    fc.assert(
      fc.property(series, size, calls, (x, lag, how) => {
        expectClose(run(spec, { lag }, [x], how)[0]!, lagged(x, lag, slow), 1e-5);
      }),
      { seed: 2, numRuns: 100 },
    );
  });

  test("stddev of a population and of a sample, and the bands around the mean", () => {
    fc.assert(
      fc.property(series, size, calls, (x, window, how) => {
        for (const ddof of [0, 1] as const) {
          const out = run(catalogue.stddev.spec, { window, ddof }, [x], how)[0]!;
          expectClose(
            out,
            slide(x, window, (w) => deviation(w, ddof)),
            1e-4,
          );
        }
        const [mid, upper, lower] = run(
          catalogue.bollinger.spec,
          { window, multiplier: 2 },
          [x],
          how,
        );
        expectClose(mid!, slide(x, window, mean));
        expectClose(
          upper!,
          slide(x, window, (w) => mean(w) + 2 * deviation(w, 0)),
        );
        expectClose(
          lower!,
          slide(x, window, (w) => mean(w) - 2 * deviation(w, 0)),
          1,
        );
      }),
      { seed: 3, numRuns: 100 },
    );
  });

  test("atr averages true ranges from the second bar on", () => {
    const bar = fc.tuple(
      fc.double({ min: 50, max: 150, noNaN: true }),
      fc.double({ min: 0, max: 9, noNaN: true }),
    );
    fc.assert(
      fc.property(
        fc.array(bar, { minLength: 2, maxLength: 60 }),
        size,
        calls,
        (bars, window, how) => {
          const close = bars.map(([c]) => c);
          const high = bars.map(([c, w]) => c + w);
          const low = bars.map(([c, w]) => c - w / 2);
          const ranges = high
            .map((h, i) =>
              Math.max(h - low[i]!, Math.abs(h - close[i - 1]!), Math.abs(low[i]! - close[i - 1]!)),
            )
            .slice(1);
          const slow = close.map((_, i) => (i < window ? NO : wilder(window, ranges.slice(0, i))));
          expectClose(run(catalogue.atr.spec, { window }, [high, low, close], how)[0]!, slow);
        },
      ),
      { seed: 4, numRuns: 100 },
    );
  });
});

describe("lag and changed", () => {
  test("lag is the value of an earlier row, there or not", () => {
    expect(run(catalogue.lag.spec, { lag: 2 }, [[1, 2, NO, 4, 5]])).toEqual([[NO, NO, 1, 2, NO]]);
    fc.assert(
      fc.property(series, size, calls, (x, lag, how) => {
        const [out] = run(catalogue.lag.spec, { lag }, [x], how);

        expect(out).toEqual(lagged(x, lag, (_, before) => before));
      }),
      { seed: 9, numRuns: 100 },
    );
  });

  test("changed is 1 at the first value and where the value is another than the last one, over holes", () => {
    const x = [NO, 3, 3, NO, 3, 4, NO, NO, 3, 0, -0];

    for (const chunk of [1, 2, 11]) {
      expect(run(catalogue.changed.spec, {}, [x], { chunk })).toEqual([
        [NO, 1, 0, NO, 0, 1, NO, NO, 1, 1, 0],
      ]);
    }
  });

  test("changed and hysteresis go on from a saved state", () => {
    const bounds = { longEnter: 2, longExit: 1, shortEnter: null, shortExit: null };
    const x = Array.from({ length: 40 }, (_, i) =>
      i % 7 === 3 ? NO : Math.round(3 * Math.sin(i)),
    );
    const kinds = [
      () => catalogue.changed.spec.create({}),
      () => catalogue.hysteresis.spec.create(bounds),
    ];
    for (const create of kinds) {
      const over = (kernel: ReturnType<typeof create>, from: number) => {
        const out = new Float64Array(x.length);
        const never = {
          rowOf: () => null,
          endMs: () => out,
          baseOf: () => 0,
          showsNan: () => false,
        };
        kernel.bind([Float64Array.from(x)], [out], never);
        kernel.run(from, x.length, 0);
        return [...out.slice(20)];
      };
      const early = create();
      const out = new Float64Array(20);
      const ports = { rowOf: () => null, endMs: () => out, baseOf: () => 0, showsNan: () => false };
      early.bind([Float64Array.from(x.slice(0, 20))], [out], ports);
      early.run(0, 20, 0);
      const late = create();
      late.load(early.save());

      expect(over(late, 20)).toEqual(over(create(), 0));
    }
  });
});

describe("numbers that break careless sums", () => {
  test("a value of 1e16 leaves nothing behind once it is out of the window", () => {
    const x = [1, 2, 1e16, 3, 4, 5, 6, 7, 8, 9, 10];

    const [mean5] = run(catalogue.sma.spec, { window: 3 }, [x]);
    const [deviation3] = run(catalogue.stddev.spec, { window: 3, ddof: 0 }, [x]);

    expect(mean5!.slice(5)).toEqual([4, 5, 6, 7, 8, 9]);
    for (const value of deviation3!.slice(5)) expect(value).toBeCloseTo(Math.sqrt(2 / 3), 12);
  });

  test("a NaN run empties exactly the windows it lies in, and infinities too", () => {
    const [out] = run(catalogue.sma.spec, { window: 2 }, [
      [1, NO, NO, 2, 4, Number.POSITIVE_INFINITY, 1, 3],
    ]);

    expect(out).toEqual([NO, NO, NO, NO, 3, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 2]);
  });

  test("of both zeros the maximum is +0 and the minimum −0", () => {
    expect(run(catalogue.max.spec, { window: 2 }, [[-0, 0, -0, -0]])[0]).toEqual([NO, 0, 0, -0]);
    expect(run(catalogue.min.spec, { window: 2 }, [[-0, 0, -0, 0]])[0]).toEqual([NO, -0, -0, -0]);
  });

  test("a constant series has deviation exactly 0", () => {
    const [out] = run(catalogue.stddev.spec, { window: 4, ddof: 0 }, [new Array(12).fill(0.1)]);

    expect(out!.slice(3)).toEqual(new Array(9).fill(0));
  });
});

test("windowed nodes give the same bits from any start with full windows, and for any size of calls", () => {
  const values = fc.array(fc.oneof(price, fc.constantFrom(-0, 0, 1e16, 1e-300)), {
    minLength: 30,
    maxLength: 90,
  });
  fc.assert(
    fc.property(
      values,
      size,
      fc.integer({ min: 0, max: 25 }),
      fc.integer({ min: 1, max: 9 }),
      (x, window, start, chunk) => {
        const cases = [
          [catalogue.sma.spec, { window }],
          [catalogue.max.spec, { window }],
          [catalogue.stddev.spec, { window, ddof: 0 }],
          [catalogue.bollinger.spec, { window, multiplier: 2 }],
        ] as const;
        for (const [spec, params] of cases) {
          const loose: KernelSpec<typeof params> = spec as KernelSpec<typeof params>;
          const whole = run(loose, params, [x], { chunk: 90 });
          const late = run(loose, params, [x.slice(start)], { chunk, row0: start });
          whole.forEach((column, k) => {
            expect(late[k]!.slice(window - 1)).toEqual(column.slice(start + window - 1));
          });
        }
      },
    ),
    { seed: 5, numRuns: 150 },
  );
});

test("the declared warm-up of recursive nodes bounds the effect of the start to 1e-9", () => {
  const x = Array.from({ length: 900 }, (_, i) => 100 + 20 * Math.sin(i) + 7 * Math.cos(i * i));
  for (const spec of [catalogue.ema.spec, catalogue.rsi.spec]) {
    for (const window of [2, 5, 14]) {
      const warmup = spec.warmup({ window });
      const whole = run(spec, { window }, [x])[0]!;
      const late = run(spec, { window }, [x.slice(300)], { row0: 300 })[0]!;

      for (let i = warmup - 1; i < late.length; i++) {
        expect(Math.abs(late[i]! - whole[300 + i]!)).toBeLessThan(1e-9 * 100);
      }
    }
  }
});

interface TalibFile {
  input: Record<"high" | "low" | "close", number[]>;
  cases: { node: keyof typeof catalogue; params: never; expected: (number | null)[][] }[];
}

test("values equal TA-Lib's on real bars, warm-up included", () => {
  const file = readVectors<TalibFile>("talib.json");
  for (const { node, params, expected } of file.cases) {
    const { spec, ports } = catalogue[node];
    const inputs = ports.map((port) => file.input[port === "source" ? "close" : (port as "close")]);
    const out = run(spec as KernelSpec<never>, params, inputs);
    out.forEach((column, k) => {
      expectClose(
        column,
        expected[k]!.map((value) => value ?? NO),
      );
    });
  }
});

interface HysteresisFile {
  cases: {
    name: string;
    input: {
      thresholds: Record<"long_enter" | "long_exit" | "short_enter" | "short_exit", number | null>;
      signals: number[];
    };
    expected: number[];
  }[];
}

describe("position target", () => {
  const rule = (bounds: Partial<PositionTargetParams>, signals: number[]) =>
    run(
      catalogue.position_target.spec,
      {
        longEnter: null,
        longExit: null,
        shortEnter: null,
        shortExit: null,
        longWeight: 1,
        shortWeight: -1,
        holdWeight: 0,
        ...bounds,
      },
      [signals],
    )[0]!;

  test.each(readVectors<HysteresisFile>("hysteresis.json").cases)(
    "golden case: $name",
    ({ input, expected }) => {
      const { long_enter, long_exit, short_enter, short_exit } = input.thresholds;

      const out = rule(
        {
          longEnter: long_enter,
          longExit: long_exit,
          shortEnter: short_enter,
          shortExit: short_exit,
        },
        input.signals,
      );

      expect(out).toEqual(expected);
    },
  );

  test("and hysteresis give the same side of every signal, whatever the bounds", () => {
    const bound = fc.option(fc.integer({ min: -2, max: 2 }), { nil: null });
    const signal = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(NO));
    fc.assert(
      fc.property(
        fc.record({ longEnter: bound, longExit: bound, shortEnter: bound, shortExit: bound }),
        fc.array(signal, { minLength: 1, maxLength: 60 }),
        calls,
        (bounds, signals, how) => {
          const [sides] = run(catalogue.hysteresis.spec, bounds, [signals], how);

          expect(sides).toEqual(rule(bounds, signals));
        },
      ),
      { seed: 8, numRuns: 200 },
    );
  });

  test("a NaN signal keeps the side, and unset bounds are never met", () => {
    expect(rule({ longEnter: 1, longExit: 0 }, [NO, 1, NO, -9, NO, -9])).toEqual([
      0, 1, 1, 0, 0, 0,
    ]);
    expect(rule({ shortEnter: -1, shortExit: 0 }, [5, -1, NO, 5])).toEqual([0, -1, -1, 0]);
  });

  test("weights replace one, minus one and nought", () => {
    expect(
      rule(
        { longEnter: 1, shortEnter: -1, longWeight: 0.5, shortWeight: -0.2, holdWeight: 0.1 },
        [0, 1, -1],
      ),
    ).toEqual([0.1, 0.5, -0.2]);
  });
});

describe("weight target", () => {
  const rule = (params: Partial<WeightTargetParams>, signals: number[]) =>
    run(catalogue.weight_target.spec, { weightMin: -1, weightMax: 1, step: 0.1, ...params }, [
      signals,
    ])[0]!;

  test("is the signal, changed by a step or more; 0 is always taken and NaN keeps what was", () => {
    expect(rule({}, [NO, 0.05, 0.1, 0.15, 0.25, NO, 0.2, 0, -0.05, -0.3])).toEqual([
      0, 0, 0.1, 0.1, 0.25, 0.25, 0.25, 0, 0, -0.3,
    ]);
    expect(rule({ step: 0 }, [0.001, -0, 0.002])).toEqual([0.001, 0, 0.002]);
  });

  test("is held within its bounds", () => {
    const infinite = Number.POSITIVE_INFINITY;
    expect(rule({}, [2, -7, infinite, -infinite])).toEqual([1, -1, 1, -1]);
    expect(rule({ weightMin: 0, weightMax: 2 }, [-1, 1.5, 9])).toEqual([0, 1.5, 2]);
  });
});

function readVectors<T>(name: string): T {
  return JSON.parse(
    readFileSync(new URL(`../../../../e2e/vectors/${name}`, import.meta.url), "utf8"),
  );
}
