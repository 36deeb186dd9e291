import type { CatalogueEntry } from "./catalogue.ts";
import { type Column, type Kernel, type KernelPorts, type KernelState, numbers } from "./kernel.ts";
import { periodEndAfter, type RebalanceSchedule } from "./rebalance-schedule.ts";

/** Parameters of a target that is taken at certain buckets only. */
export interface RebalancedTargetParams<P> {
  /** Those of the target itself. */
  readonly target: P;
  /** How often it is taken; undefined: where its second input is above 0. */
  readonly every: RebalanceSchedule | undefined;
  /** Rows in a row without a signal after which the target is 0; 0: it is held. */
  readonly flatAfter: number;
}

/**
 * Lets a target take its signal at certain buckets only; between them it keeps its value, whatever the signal does.
 *
 * A bucket is due if it is the first that ends at or after the end of a period, or if the input `every` is above 0
 * there. A due bucket whose signal is NaN is passed over: the next one with a signal is taken instead. The first signal
 * is taken at once. The second output is the row of the last bucket taken; NaN before the first.
 *
 * After `flatAfter` buckets without a signal the target begins anew: it is 0, and the next signal is taken at once.
 */
class RebalancedTargetKernel implements Kernel {
  readonly #target: Kernel;
  readonly #period: RebalanceSchedule | undefined;
  readonly #flatAfter: number;
  /** State of the target before its first row. */
  readonly #begin: KernelState;
  #signal: Float64Array = new Float64Array(0);
  #every: Float64Array | undefined;
  #endMs: Float64Array = new Float64Array(0);
  #output: Float64Array = new Float64Array(0);
  #sizedRows: Float64Array = new Float64Array(0);
  #value = Number.NaN;
  #sizedRow = Number.NaN;
  /** End of the period under way; −∞: the next bucket with a signal is due. */
  #nextMs = Number.NEGATIVE_INFINITY;
  #silent = 0; // rows in a row without a signal, at most #flatAfter

  constructor(target: Kernel, period: RebalanceSchedule | undefined, flatAfter: number) {
    this.#target = target;
    this.#period = period;
    this.#flatAfter = flatAfter;
    this.#begin = target.save();
  }

  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void {
    this.#target.bind(inputs.slice(0, 1), outputs.slice(0, 1), ports);
    this.#signal = numbers(inputs, 0);
    this.#every = this.#period === undefined ? numbers(inputs, 1) : undefined;
    this.#endMs = ports.endMs();
    this.#output = numbers(outputs, 0);
    this.#sizedRows = numbers(outputs, 1);
  }

  run(from: number, to: number, base: number): void {
    const signal = this.#signal;
    const every = this.#every;
    const endMs = this.#endMs;
    const out = this.#output;
    const period = this.#period;
    for (let i = from; i < to; i++) {
      if (every !== undefined && every[i]! > 0) this.#nextMs = Number.NEGATIVE_INFINITY;
      const isSilent = Number.isNaN(signal[i]!);
      if (!isSilent) this.#silent = 0;
      else if (this.#silent < this.#flatAfter && ++this.#silent === this.#flatAfter) this.#reset();
      const isDue = !isSilent && endMs[i]! >= this.#nextMs;
      if (isDue) {
        this.#sizedRow = base + i;
        this.#nextMs =
          period === undefined ? Number.POSITIVE_INFINITY : periodEndAfter(period, endMs[i]!);
      }
      if (isDue || Number.isNaN(this.#value)) {
        this.#target.run(i, i + 1, base);
        this.#value = out[i]!;
      } else {
        out[i] = this.#value;
      }
      this.#sizedRows[i] = this.#sizedRow;
    }
  }

  #reset(): void {
    this.#target.load(this.#begin);
    this.#value = 0;
    this.#nextMs = Number.NEGATIVE_INFINITY;
  }

  save(): KernelState {
    const own = [this.#value, this.#sizedRow, this.#nextMs, this.#silent];
    return Float64Array.of(...own, ...this.#target.save());
  }

  load(state: KernelState): void {
    const own = state as unknown as [number, number, number, number];
    [this.#value, this.#sizedRow, this.#nextMs, this.#silent] = own;
    this.#target.load(state.subarray(4));
  }
}

/**
 * The entry of a target that is taken at certain buckets only. Its node also gives the row at which it was last taken.
 *
 * @param entry entry of the target: one input, the signal, and one output
 * @param hasSeries true if a second input, `every`, says at which buckets
 */
export function rebalancedTarget<P>(
  entry: CatalogueEntry<P>,
  hasSeries: boolean,
): CatalogueEntry<RebalancedTargetParams<P>> {
  const { spec, version, ports, outputs } = entry;
  return {
    spec: {
      name: spec.name,
      outputs: ["f64", "f64"],
      lookback: ({ target }) => spec.lookback(target),
      warmup: ({ target }) => spec.warmup(target),
      create: ({ target, every, flatAfter }) =>
        new RebalancedTargetKernel(spec.create(target), every, flatAfter),
    },
    version,
    ports: hasSeries ? [...ports, "every"] : ports,
    outputs: [...outputs, "sized_row"],
  };
}
