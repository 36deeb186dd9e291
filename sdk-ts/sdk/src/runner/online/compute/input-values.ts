import type { SignalSource, SourceValues } from "../../signals/signal-source.ts";
import type { OnlineBucket, OnlineClocks } from "./clocks.ts";
import type { OnlineWiring } from "./wiring.ts";

/** Reads what sources have at a bucket from their queues. */
export class InputValues implements SourceValues {
  readonly #inputs: OnlineWiring["inputs"];
  readonly #clocks: OnlineClocks;
  readonly #bucket: OnlineBucket;
  readonly #intervalMs: number;

  /** @param intervalMs length of the target's buckets: of a source with longer ones the last row counts */
  constructor(
    inputs: OnlineWiring["inputs"],
    clocks: OnlineClocks,
    bucket: OnlineBucket,
    intervalMs: number,
  ) {
    this.#inputs = inputs;
    this.#clocks = clocks;
    this.#bucket = bucket;
    this.#intervalMs = intervalMs;
  }

  hasValue({ nodeId, output, intervalMs }: SignalSource): boolean {
    const input = this.#inputs.find((each) => each.nodeId === nodeId);
    if (input === undefined) return true;
    const { key } = input.clock;
    if (intervalMs <= this.#intervalMs && !this.#bucket.rows.has(key)) return false;
    const found = input.replica.row(this.#clocks.lastRow(key));
    return found === undefined || !Number.isNaN(found.content?.values[output] ?? Number.NaN);
  }
}
