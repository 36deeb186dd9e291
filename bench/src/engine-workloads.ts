import {
  compilePlan,
  type NodeKernel,
  observedClock,
  type Plan,
  type RuntimeGraph,
  type SweepVariant,
} from "@qmtl/core/dataflow";
import {
  type Column,
  catalogue,
  type KernelSpec,
  type KernelState,
  numbers,
  userCompute,
} from "@qmtl/core/nodes";
import {
  handBands,
  handEma,
  handExtreme,
  handLogReturn,
  handRateOfChange,
  handRsi,
  handStddev,
  handSum,
} from "./engine-hand-indicators.ts";

const MINUTE_MS = 60_000;

/** Seeded random walk of prices. */
export function randomWalk(rows: number, seed: number): Float64Array {
  let state = seed;
  let price = 100;
  return Float64Array.from({ length: rows }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    price *= 1 + (state / 2 ** 32 - 0.5) * 0.002;
    return price;
  });
}

/** Bucket ends of a minute clock. */
export function minutes(rows: number): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => (i + 1) * MINUTE_MS);
}

function bind<P>(spec: KernelSpec<P>, params: P, readsWindows = false): NodeKernel {
  return {
    lookback: spec.lookback(params),
    warmup: spec.warmup(params),
    readsWindows,
    create: () => spec.create(params),
  };
}

interface Made {
  readonly id: string;
  readonly kernel: NodeKernel;
  readonly inputs: readonly string[];
  readonly outputs?: number;
}

/** Plan of nodes over one source `close`. */
function planOf(made: readonly Made[], wanted: readonly string[]): Plan {
  return compilePlan({ graph: graphOf(made), supplied: ["close"], wanted });
}

function graphOf(made: readonly Made[]): RuntimeGraph {
  return {
    nodes: [
      {
        id: "close",
        name: "close",
        intervalMs: MINUTE_MS,
        outputs: ["f64"],
        inputs: [],
        clock: observedClock("close", MINUTE_MS),
      },
      ...made.map(({ id, kernel, inputs, outputs = 1 }) => ({
        id,
        name: id,
        intervalMs: MINUTE_MS,
        outputs: new Array<"f64">(outputs).fill("f64"),
        inputs: inputs.map((node, k) => ({ port: `p${k}`, node, output: 0 })),
        kernel,
      })),
    ],
  };
}

class CrossKernel {
  #fast: Float64Array = new Float64Array(0);
  #slow: Float64Array = new Float64Array(0);
  #out: Float64Array = new Float64Array(0);
  #side = 0;

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#fast = numbers(inputs, 0);
    this.#slow = numbers(inputs, 1);
    this.#out = numbers(outputs, 0);
  }

  run(from: number, to: number): void {
    const fast = this.#fast;
    const slow = this.#slow;
    const out = this.#out;
    let side = this.#side;
    for (let i = from; i < to; i++) {
      const a = fast[i]!;
      const b = slow[i]!;
      side = a > b ? 1 : a <= b ? 0 : side;
      out[i] = side;
    }
    this.#side = side;
  }

  save(): KernelState {
    return Float64Array.of(this.#side);
  }

  load(state: KernelState): void {
    this.#side = state[0]!;
  }
}

class EquityKernel {
  readonly #fee: number;
  #price: Float64Array = new Float64Array(0);
  #side: Float64Array = new Float64Array(0);
  #out: Float64Array = new Float64Array(0);
  #last = Number.NaN;
  #held = 0;
  #value = 1;

  constructor(fee: number) {
    this.#fee = fee;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.#price = numbers(inputs, 0);
    this.#side = numbers(inputs, 1);
    this.#out = numbers(outputs, 0);
  }

  run(from: number, to: number): void {
    const price = this.#price;
    const side = this.#side;
    const out = this.#out;
    const fee = this.#fee;
    let last = this.#last;
    let held = this.#held;
    let value = this.#value;
    for (let i = from; i < to; i++) {
      const now = price[i]!;
      const change = now / last - 1;
      if (!Number.isNaN(change)) value *= 1 + held * change;
      if (!Number.isNaN(now)) last = now;
      const next = side[i]!;
      if (next !== held) value *= 1 - fee;
      held = next;
      out[i] = value;
    }
    this.#last = last;
    this.#held = held;
    this.#value = value;
  }

  save(): KernelState {
    return Float64Array.of(this.#last, this.#held, this.#value);
  }

  load(state: KernelState): void {
    this.#last = state[0]!;
    this.#held = state[1]!;
    this.#value = state[2]!;
  }
}

/** Crossing of two averages, fee and equity: 4 nodes over `close`, named by what they compute. */
export function crossVariant(fast: number, slow: number, fee: number): SweepVariant {
  const side = `side-${fast}-${slow}`;
  const equity = `equity-${fast}-${slow}`;
  const here = { lookback: 0, warmup: 1, readsWindows: false };
  const graph = graphOf([
    ...[fast, slow].map((window) => ({
      id: `sma-${window}`,
      kernel: bind(catalogue.sma.spec, { window }),
      inputs: ["close"],
    })),
    {
      id: side,
      kernel: { ...here, create: () => new CrossKernel() },
      inputs: [`sma-${fast}`, `sma-${slow}`],
    },
    {
      id: equity,
      kernel: { ...here, create: () => new EquityKernel(fee) },
      inputs: ["close", side],
    },
  ]);
  return { graph, wanted: [equity] };
}

/** Plan of one {@link crossVariant}. */
export function crossPlan(fast: number, slow: number, fee: number): Plan {
  return compilePlan({ ...crossVariant(fast, slow, fee), supplied: ["close"] });
}

interface Indicator {
  readonly kernel: NodeKernel;
  readonly outputs: number;
  hand(x: Float64Array, outs: readonly Float64Array[]): void;
}

function indicators(): Indicator[] {
  const one = (
    kernel: NodeKernel,
    hand: (x: Float64Array, out: Float64Array) => void,
  ): Indicator => ({
    kernel,
    outputs: 1,
    hand: (x, outs) => hand(x, outs[0]!),
  });
  const { sma, sum, stddev, ema, rsi, rate_of_change, log_return, min, max, bollinger } = catalogue;
  return [
    ...[5, 10, 30, 200].map((n) =>
      one(bind(sma.spec, { window: n }), (x, out) => handSum(x, out, n, n)),
    ),
    one(bind(sum.spec, { window: 20 }), (x, out) => handSum(x, out, 20, 1)),
    ...[10, 20, 60].map((n) =>
      one(bind(stddev.spec, { window: n, ddof: 0 }), (x, out) => handStddev(x, out, n)),
    ),
    ...[5, 12, 26].map((n) => one(bind(ema.spec, { window: n }), (x, out) => handEma(x, out, n))),
    ...[3, 14].map((n) => one(bind(rsi.spec, { window: n }), (x, out) => handRsi(x, out, n))),
    ...[1, 10].map((lag) =>
      one(bind(rate_of_change.spec, { lag }), (x, out) => handRateOfChange(x, out, lag)),
    ),
    one(bind(log_return.spec, { lag: 1 }), (x, out) => handLogReturn(x, out, 1)),
    one(bind(min.spec, { window: 20 }), (x, out) => handExtreme(x, out, 20, -1)),
    one(bind(max.spec, { window: 20 }), (x, out) => handExtreme(x, out, 20, 1)),
    ...[20, 50].map((n) => ({
      kernel: bind(bollinger.spec, { window: n, multiplier: 2 }),
      outputs: 3,
      hand: (x: Float64Array, outs: readonly Float64Array[]) => handBands(x, outs, n, 2),
    })),
  ];
}

/** Twenty indicators (24 columns) over `close`, and the same as twenty hand loops over given columns. */
export function indicatorPlan(): {
  plan: Plan;
  hand: (x: Float64Array, outs: readonly Float64Array[][]) => void;
  columns: readonly number[];
} {
  const all = indicators();
  const made = all.map(({ kernel, outputs }, k) => ({
    id: `i${k}`,
    kernel,
    inputs: ["close"],
    outputs,
  }));
  return {
    plan: planOf(
      made,
      made.map((node) => node.id),
    ),
    columns: all.map((each) => each.outputs),
    hand: (x, outs) => {
      all.forEach((each, k) => {
        each.hand(x, outs[k]!);
      });
    },
  };
}

/** One cheap author function: newest minus oldest of a window of 5. */
export function userPlan(): Plan {
  const kernel = bind(
    userCompute,
    {
      period: 5,
      makeCall:
        ([w]) =>
        () =>
          w!.latest() - w!.at(0),
    },
    true,
  );
  return planOf([{ id: "user", kernel, inputs: ["close"] }], ["user"]);
}
