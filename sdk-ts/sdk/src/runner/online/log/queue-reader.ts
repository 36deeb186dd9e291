import type { Client } from "@connectrpc/connect";
import type { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { inChunks, queueKeysMax } from "@qmtl/core/queues";
import { pause, type SdkClock } from "../../../control/clock.ts";
import { hasReason, QmtlError } from "../../../rpc/index.ts";
import type { ReadKey, RunnerLink } from "./runner-link.ts";

export interface QueueReaderOptions {
  readonly data: Client<typeof QueueDataService>;
  readonly clock: SdkClock;
  readonly keys: readonly ReadKey[];
  /** Takes the records of one message, in order; none when a feed is known to stand further. */
  readonly onRecords: (records: readonly WireRecord[]) => void;
  /** Over which new records come. */
  readonly link: Pick<RunnerLink, "follow">;
  readonly onProblem: (problem: string) => void;
  /**
   * Called when the log no longer holds the stored records, or has no such key: reading again cannot help, and the
   * reader stops.
   *
   * @default reported as a problem, and reading is tried again
   */
  readonly onGone?: (failure: QmtlError) => void;
}

/** First and longest wait before reading again, milliseconds. */
const againMs = 100;
const againMsMax = 4_000;
/** A stream without records or keep-alives for this long is opened again, milliseconds. */
const silentMsMax = 30_000;

/**
 * Reads queues: first the stored records, one stream for each `queueKeysMax` of them, then new ones over the runner's
 * link. After a break both continue from where they were.
 */
export class QueueReader {
  readonly #options: QueueReaderOptions;
  readonly #stop = new AbortController();
  readonly #streams: readonly (readonly ReadKey[])[];
  #unfollow: (() => void) | undefined;

  constructor(options: QueueReaderOptions) {
    this.#options = options;
    this.#streams = inChunks(options.keys, queueKeysMax);
  }

  /** Reads the stored records; tries again until that succeeds or the reader is stopped. */
  async history(): Promise<void> {
    for (const keys of this.#streams) await this.#history(keys);
  }

  async #history(keys: readonly ReadKey[]): Promise<void> {
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#read(keys);
        return;
      } catch (failure) {
        failures++;
        await this.#wait(failure, failures);
      }
    }
  }

  /** Continues with new records until stopped. */
  follow(): void {
    const { link, keys, onRecords } = this.#options;
    if (!this.#stop.signal.aborted) this.#unfollow ??= link.follow({ keys, onRecords });
  }

  stop(): void {
    this.#stop.abort();
    this.#unfollow?.();
  }

  async #wait(failure: unknown, failures: number): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { onGone } = this.#options;
    if (onGone !== undefined && hasReason(failure, "QUEUE_NOT_FOUND", "TRIMMED")) {
      this.#stop.abort();
      onGone(logGone(failure));
      return;
    }
    this.#options.onProblem(failure instanceof Error ? failure.message : String(failure));
    const delayMs = Math.min(againMsMax, againMs * 2 ** (failures - 1));
    await pause(this.#options.clock, delayMs, this.#stop.signal);
  }

  async #read(read: readonly ReadKey[]): Promise<void> {
    const { data, clock, onRecords } = this.#options;
    const keys = read.map(({ computeKey, nextSeq, fromRow }) => ({
      computeKey,
      position:
        fromRow === undefined
          ? { case: "fromSeq" as const, value: BigInt(nextSeq) }
          : { case: "fromRow" as const, value: BigInt(fromRow) },
    }));
    const call = new AbortController();
    const end = (): void => call.abort();
    this.#stop.signal.addEventListener("abort", end);
    let watch = clock.setTimer(end, silentMsMax);
    try {
      const stream = data.consume({ keys, historyOnly: true }, { signal: call.signal });
      for await (const { records } of stream) {
        watch.cancel();
        watch = clock.setTimer(end, silentMsMax);
        if (records.length > 0) onRecords(records);
        if (this.#stop.signal.aborted) return;
      }
    } finally {
      watch.cancel();
      this.#stop.signal.removeEventListener("abort", end);
      call.abort();
    }
  }
}

/** The error that ends a run because the store it has read from is no longer there. */
export function logGone(why: string | QmtlError): QmtlError {
  const failure = typeof why === "string" ? new QmtlError("TRIMMED", why) : why;
  const message = `${failure.message}: the DAG Manager's store is not the one this run began with, as after a restore of an older backup or a loss of its data; start this run again`;
  const { reason, metadata } = failure;
  return new QmtlError(reason, message, { metadata, cause: failure });
}
