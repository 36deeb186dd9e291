import { timestampMs } from "@bufbuild/protobuf/wkt";
import type {
  ConsumeFrom,
  ConsumeRequest,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { Clock, EncodedMessage } from "@qmtl/service-kit";
import { consumeAnswer } from "./encoded-record.ts";
import { batches, LogReader } from "./log-reader.ts";
import type { LogTail } from "./log-tail.ts";
import type { LogPosition, QueueLog } from "./queue-log.ts";

export interface ConsumeOptions {
  /** An empty response is sent after this long without records, milliseconds. */
  readonly keepAliveMs: number;
  /** How often to look for what other processes appended, milliseconds; 0: no other process appends. */
  readonly pollMs: number;
}

interface ConsumePorts {
  readonly log: QueueLog;
  readonly tail: LogTail;
  readonly clock: Clock;
  /** Since when no other process can have appended, by the monotonic clock; undefined while another one can. */
  readonly aloneSinceMs: () => number | undefined;
}

/**
 * Streams the effective records of some keys, first history, then live, in seq order within each key.
 *
 * The first record of a key is the START in force where it begins, if there is one: a reader that does not
 * begin at the first record takes the epoch from it, and seq and row from the record after it.
 */
export async function* consume(
  ports: ConsumePorts,
  options: ConsumeOptions,
  request: ConsumeRequest,
  signal: AbortSignal,
): AsyncGenerator<EncodedMessage> {
  const from = request.keys.map((item) => ({
    computeKey: item.computeKey,
    position: positionOf(item),
  }));
  const { log, tail, clock } = ports;
  const reader = await LogReader.open(log, tail, from, request.historyOnly);
  const waitMs =
    options.pollMs > 0 ? Math.min(options.pollMs, options.keepAliveMs) : options.keepAliveMs;
  const wake = (): void => reader.wake();
  signal.addEventListener("abort", wake);
  let sentMs = clock.monotonicMs();
  let lookedMs: number | undefined;
  try {
    while (!signal.aborted) {
      const records = await reader.next();
      for (const batch of batches(records)) {
        yield consumeAnswer(batch);
        sentMs = clock.monotonicMs();
      }
      if (request.historyOnly && reader.isAtEnd) return;
      if (records.length > 0) continue;
      if (clock.monotonicMs() - sentMs >= options.keepAliveMs) {
        yield consumeAnswer([]);
        sentMs = clock.monotonicMs();
      }
      const timer = clock.setTimer(wake, waitMs);
      if (!signal.aborted) await reader.changed();
      timer.cancel();
      if (options.pollMs === 0) continue;
      const aloneSinceMs = ports.aloneSinceMs();
      if (aloneSinceMs === undefined || aloneSinceMs !== lookedMs) reader.look();
      lookedMs = aloneSinceMs;
    }
  } finally {
    signal.removeEventListener("abort", wake);
    reader.close();
  }
}

function positionOf(from: ConsumeFrom): LogPosition {
  const { position } = from;
  switch (position.case) {
    case "fromSeq":
      return { kind: "seq", seq: Number(position.value) };
    case "fromRow":
      return { kind: "row", row: Number(position.value) };
    case "knownAtTime":
      return { kind: "known_at", knownAtMs: timestampMs(position.value) };
    case "tail":
      return position.value ? { kind: "tail" } : { kind: "first" };
    default:
      return { kind: "first" };
  }
}
