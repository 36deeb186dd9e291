import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ConsumeRequest,
  type ConsumeResponseSchema,
  QueueDataService,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { CallContext, EncodedMessage } from "@qmtl/service-kit";
import { forwardEncoded } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import type { LiveReader, RecordHub } from "./record-hub.ts";
import type { ReplayFeeds } from "./replay-feeds.ts";
import type { SourceKeys } from "./source-keys.ts";
import type { Watermark } from "./watermark-registry.ts";

export interface ConsumePorts {
  readonly dag: Peer;
  readonly keys: SourceKeys;
  readonly feeds: ReplayFeeds;
  readonly live: Pick<RecordHub, "follow" | "unfollow">;
}

type Answer = EncodedMessage | MessageInitShape<typeof ConsumeResponseSchema>;

/**
 * Relays the records of queues. A stream that follows queues of replay feeds also tells how far the feeds stand that
 * move with them.
 */
export async function* consumeRows(
  ports: ConsumePorts,
  request: ConsumeRequest,
  context: CallContext,
): AsyncGenerator<Answer> {
  if (request.historyOnly) {
    yield* readRows(ports, request, context);
    return;
  }
  // It reads the log for itself; that it waits for what comes is for others to know.
  const reader: LiveReader = { takeRecords: () => {}, takeSlice: () => {}, lookAgain: () => {} };
  for (const { computeKey } of request.keys) ports.live.follow(computeKey, reader);
  try {
    yield* readRows(ports, request, context);
  } finally {
    for (const { computeKey } of request.keys) ports.live.unfollow(computeKey, reader);
  }
}

async function* readRows(
  { dag, keys, feeds }: ConsumePorts,
  request: ConsumeRequest,
  context: CallContext,
): AsyncGenerator<Answer> {
  const records = forwardEncoded(QueueDataService.method.consume, dag, request, context);
  await keys.learn(request.keys.map(({ computeKey }) => computeKey));
  const sources = request.keys.flatMap(
    ({ computeKey }) => keys.replayKey(computeKey)?.source ?? [],
  );
  if (request.historyOnly || sources.length === 0) {
    yield* records;
    return;
  }
  const reader = new StreamReader(records);
  const watermarks = feeds.follow(new Set(sources), reader.wake);
  try {
    for (;;) {
      if (watermarks.isEmpty) await reader.next();
      if (!watermarks.isEmpty) yield { watermarks: watermarks.drain().map(messageOf) };
      const record = reader.take();
      if (record === undefined) continue;
      if (record.done === true) return;
      yield record.value;
    }
  } finally {
    watermarks.end();
    await records.return(undefined);
  }
}

/** The next record of a stream, and whatever else wakes its reader. */
class StreamReader {
  readonly #records: AsyncGenerator<EncodedMessage>;
  #arrived: IteratorResult<EncodedMessage> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isAsked = false;
  #isNew = false;
  #resolve: () => void = () => {};

  constructor(records: AsyncGenerator<EncodedMessage>) {
    this.#records = records;
  }

  /** There is something to tell. */
  readonly wake = (): void => {
    this.#isNew = true;
    this.#resolve();
  };

  /** Resolves when a record has arrived, or something else woke the reader. @throws what the stream throws. */
  async next(): Promise<void> {
    this.#ask();
    if (!this.#isNew)
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
    this.#isNew = false;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Removes and returns the record that has arrived. */
  take(): IteratorResult<EncodedMessage> | undefined {
    const arrived = this.#arrived;
    this.#arrived = undefined;
    return arrived;
  }

  #ask(): void {
    if (this.#isAsked || this.#arrived !== undefined) return;
    this.#isAsked = true;
    this.#records.next().then(
      (arrived) => {
        this.#isAsked = false;
        this.#arrived = arrived;
        this.wake();
      },
      (error: unknown) => {
        this.#failure = { error };
        this.wake();
      },
    );
  }
}

function messageOf({ source, row, timeMs }: Watermark) {
  return { source, row: BigInt(row), time: timestampFromMs(Math.trunc(timeMs)) };
}
