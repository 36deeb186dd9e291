import type { MessageInitShape } from "@bufbuild/protobuf";
import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { RunnerFrameSchema } from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";

type RunnerFrame = MessageInitShape<typeof RunnerFrameSchema>;
type FrameBody = NonNullable<RunnerFrame["body"]>;

/** Largest number of records in one frame, of feeds and of computed nodes. */
const offeredMax = 64;
const computedMax = 1_000;
/** Records of one frame take about this many bytes at most; the gateway takes frames of 1 MiB. */
const recordBytesMax = 256 * 1024;

/**
 * Frames on their way to the gateway, in order. Records of computed nodes of one moment go together, and with the end of
 * their slice. To be iterated once.
 */
export class FrameQueue implements AsyncIterable<RunnerFrame> {
  readonly #ticket: () => string;
  readonly #bodies: FrameBody[] = [];
  #sentTicket = "";
  #computed: WireRecord[] = [];
  /** The last frame with rows of feeds. */
  #offer: { readonly body: FrameBody; readonly records: readonly WireRecord[] } | undefined;
  #isEnded = false;
  #wake: (() => void) | undefined;

  /** `ticket` states the session's current ticket: a frame has it if it is a new one. */
  constructor(ticket: () => string) {
    this.#ticket = ticket;
  }

  push(body: FrameBody): void {
    const chunks = chunked(this.#computed, computedMax);
    this.#computed = [];
    const last = body.case === "end" ? chunks.pop() : undefined;
    for (const records of chunks) this.#bodies.push({ case: "computed", value: { records } });
    if (last !== undefined && body.case === "end")
      this.#bodies.push({ case: "end", value: { ...body.value, computed: last } });
    else this.#bodies.push(body);
    this.#signalled();
  }

  /** Records of queues that the session holds; `isFeed`: each waits at a barrier. */
  records(records: readonly WireRecord[], isFeed: boolean): void {
    if (records.length === 0) return;
    if (isFeed) {
      // What is offered at one moment goes together: it may pass together.
      const before = this.#bodies.at(-1) === this.#offer?.body ? this.#offer : undefined;
      if (before !== undefined) this.#bodies.pop();
      for (const own of chunked([...(before?.records ?? []), ...records], offeredMax)) {
        const body: FrameBody = { case: "offer", value: { records: own } };
        this.#offer = { body, records: own };
        this.push(body);
      }
      return;
    }
    this.#computed.push(...records);
    this.#signalled();
  }

  /** Nothing follows. */
  end(): void {
    this.#isEnded = true;
    this.#signalled();
  }

  [Symbol.asyncIterator](): AsyncIterator<RunnerFrame, void, void> {
    return { next: () => this.#next() };
  }

  /** The next frame. One that has to be waited for comes after everything that is pushed at the same moment. */
  async #next(): Promise<IteratorResult<RunnerFrame, void>> {
    for (;;) {
      if (this.#bodies.length === 0 && this.#computed.length > 0) this.#flush();
      const body = this.#bodies.shift();
      if (body !== undefined) {
        const ticket = this.#ticket();
        const isNew = ticket !== this.#sentTicket;
        this.#sentTicket = ticket;
        return { done: false, value: isNew ? { ticket, body } : { body } };
      }
      if (this.#isEnded) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #flush(): void {
    for (const records of chunked(this.#computed, computedMax))
      this.#bodies.push({ case: "computed", value: { records } });
    this.#computed = [];
  }

  #signalled(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** Consecutive parts of at most so many records, and about so many bytes. */
function chunked(records: readonly WireRecord[], countMax: number): WireRecord[][] {
  const chunks: WireRecord[][] = [];
  let bytes = 0;
  for (const record of records) {
    const size = sizeOf(record);
    const chunk = chunks.at(-1);
    if (chunk === undefined || chunk.length >= countMax || bytes + size > recordBytesMax) {
      chunks.push([record]);
      bytes = size;
    } else {
      chunk.push(record);
      bytes += size;
    }
  }
  return chunks;
}

/** About how many bytes a record takes. */
function sizeOf({ body }: WireRecord): number {
  const around = 200;
  if (body.case !== "rows") return around;
  const { columns, inputSeq } = body.value;
  return columns.reduce((sum, { length }) => sum + length + 3, around + 5 * inputSeq.length);
}
