import type { ConsumeFrom } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import {
  RecordFault,
  type QueueRecord as WireRecord,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { emptyFold, type FoldState, foldStep } from "@qmtl/core/queues";
import { singleRecords } from "../runner/online/log/wire-records.ts";
import { Pulse } from "./pulse.ts";

/** Schema version that every message states. */
const schemaVersion = { min: 1, max: 1, version: 1 };

interface KeyLog {
  readonly records: { readonly record: WireRecord; readonly nextSeq: number }[];
  readonly fold: FoldState;
}

/** What a reader reads. */
interface FakeRead {
  readonly keys: readonly Pick<ConsumeFrom, "computeKey" | "position">[];
  /** End after what is there now. @default false */
  readonly historyOnly?: boolean;
}

/**
 * A log in memory over the product's own fold: void records are refused, and repeated ones count as effective already.
 */
export class FakeLog {
  /** Notified with every record. */
  readonly changed = new Pulse();
  readonly #keys = new Map<string, KeyLog>();
  /** Number of void records. */
  voidRecords = 0;

  /** State of a key after its records. */
  fold(computeKey: string): FoldState {
    return this.#key(computeKey).fold;
  }

  /** All records of a key, in order. */
  records(computeKey: string): WireRecord[] {
    return this.#key(computeKey).records.map(({ record }) => record);
  }

  /** Appends a record, as the log behind a gateway would: void ones are counted and refused. */
  append(record: WireRecord): { readonly effective: boolean; readonly fault: RecordFault } {
    const key = this.#key(record.computeKey);
    const [single] = [...singleRecords(record)];
    if (single === undefined) throw new Error("a record without content");
    const isRepeat =
      single.kind === "START"
        ? single.epoch === key.fold.epoch
        : single.epoch === key.fold.epoch && (single.seq ?? 0) < key.fold.seq;
    if (isRepeat) return { effective: true, fault: RecordFault.UNSPECIFIED };
    const reason = foldStep(key.fold, single);
    if (reason !== null) {
      this.voidRecords++;
      const isStale = reason === "stale_epoch" || reason === "start_not_newer";
      const fault = isStale ? RecordFault.STALE_EPOCH : RecordFault.REPEATED_SEQ;
      return { effective: false, fault };
    }
    key.records.push({ record, nextSeq: key.fold.seq });
    this.changed.notify();
    return { effective: true, fault: RecordFault.UNSPECIFIED };
  }

  /** The stored records of some keys, then the new ones. */
  async *consume(request: FakeRead, check: () => void, signal: AbortSignal) {
    const offsets = request.keys.map(() => 0);
    while (!signal.aborted) {
      check();
      const changed = this.changed.changed(signal);
      const records = request.keys.flatMap(({ computeKey: key, position }, at) => {
        const read = this.read(key, this.#seqOf(key, position), offsets[at]!);
        offsets[at] = read.offset;
        return read.records;
      });
      if (records.length > 0) yield { schemaVersion, records };
      if (request.historyOnly === true) return;
      if (records.length === 0) await changed;
    }
  }

  /** Seq at which a reader's position begins. */
  #seqOf(computeKey: string, position: ConsumeFrom["position"]): number {
    if (position.case === "fromSeq") return Number(position.value);
    if (position.case !== "fromRow") return 0;
    const { records, fold } = this.#key(computeKey);
    for (const { record } of records) {
      const { body } = record;
      let last: bigint | undefined;
      if (body.case === "rows") last = body.value.row + BigInt(body.value.count) - 1n;
      else if (body.case === "empty") last = body.value.toRow;
      if (last !== undefined && last >= position.value) return Number(record.seq);
    }
    return fold.seq;
  }

  /** Records of a key from `offset` on, for a reader that begins at `fromSeq`; the START in force comes first. */
  read(
    computeKey: string,
    fromSeq: number,
    offset: number,
  ): { records: WireRecord[]; offset: number } {
    const { records } = this.#key(computeKey);
    const isStart = (at: number): boolean => records[at]!.record.body.case === "start";
    let at = offset;
    const out: WireRecord[] = [];
    if (offset === 0 && fromSeq > 0) {
      let inForce = -1;
      while (at < records.length && records[at]!.nextSeq <= fromSeq) {
        if (isStart(at)) inForce = at;
        at++;
      }
      if (inForce >= 0) out.push(records[inForce]!.record);
    }
    for (; at < records.length; at++) out.push(records[at]!.record);
    return { records: out, offset: at };
  }

  #key(computeKey: string): KeyLog {
    let key = this.#keys.get(computeKey);
    if (key === undefined) {
      key = { records: [], fold: emptyFold() };
      this.#keys.set(computeKey, key);
    }
    return key;
  }
}
