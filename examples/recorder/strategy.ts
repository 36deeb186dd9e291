import { fileURLToPath } from "node:url";
import {
  column,
  makeIntentFirstNodeset,
  ProcessingNode,
  Strategy,
  type StrategyFill,
  StreamInput,
  sma,
  type TargetSignal,
} from "@qmtl/sdk";
import { JsonLinesFile } from "./json-lines-file.ts";

/** Where the record goes: the folder of this file, unless the environment says otherwise. */
const recordFile =
  process.env.RECORD_FILE ?? fileURLToPath(new URL(".qmtl/record.jsonl", import.meta.url));

/**
 * Two averages that cross, and a record of what came of it: a line for each target and each fill.
 *
 * Recording belongs in the callbacks. A node must stay a pure function of its windows: whoever computes it, in whatever
 * order, comes to the same value.
 */
export class Recorder extends Strategy {
  static readonly module = import.meta.url;
  readonly #record = new JsonLinesFile(recordFile);

  override setup(): void {
    const bars = new StreamInput({
      name: "bars",
      source: "sp500",
      columns: ["open", "high", "low", "close"],
      instrument: "SPX",
      interval: "1d",
    });
    const price = column(bars, "close", { name: "price" });
    const lead = new ProcessingNode({
      name: "lead",
      inputs: {
        fast: sma(price, 50, { name: "sma50" }),
        slow: sma(price, 200, { name: "sma200" }),
      },
      period: 1,
      compute: (windows) => windows.fast.latest() / windows.slow.latest() - 1,
    });
    this.addNodeset(
      makeIntentFirstNodeset({
        name: "crossing target",
        signal: lead,
        priceNode: price,
        instrument: "SPX",
        worldId: this.worldId,
        thresholds: { longEnter: 0, longExit: 0 },
      }),
    );
  }

  override async onStart(): Promise<void> {
    await this.#record.open();
    await this.#record.write({ type: "start", strategy: this.name, world: this.worldId });
  }

  override onSignal(signal: TargetSignal): Promise<void> {
    const { node, instrument, target, row, bucketEndMs } = signal;
    const at = new Date(bucketEndMs).toISOString();
    return this.#record.write({ type: "signal", at, row, node, instrument, target });
  }

  override onFill(fill: StrategyFill): Promise<void> {
    const { instrument, side, quantity, price, fee, eventTimeMs } = fill;
    const at = new Date(eventTimeMs).toISOString();
    return this.#record.write({ type: "fill", at, instrument, side, quantity, price, fee });
  }

  override onError(error: Error): Promise<void> {
    return this.#record.write({ type: "error", message: error.message });
  }

  /** Called also after an error, so that nothing recorded is lost. */
  override async onFinish(): Promise<void> {
    await this.#record.write({ type: "finish" });
    await this.#record.close();
  }
}
