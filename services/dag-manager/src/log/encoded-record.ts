import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ConsumeResponseSchema } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { type QueueRecord, QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { EncodedMessage } from "@qmtl/service-kit";

const encoded = new WeakMap<QueueRecord, Uint8Array>();

/** A record as bytes, encoded once for its size, the log and every reader. It must not change after the first call. */
export function encodedRecord(record: QueueRecord): Uint8Array {
  const known = encoded.get(record);
  if (known !== undefined) return known;
  const bytes = toBinary(QueueRecordSchema, record);
  encoded.set(record, bytes);
  return bytes;
}

/** What every response begins with: its schema version. */
const head = toBinary(ConsumeResponseSchema, {
  $typeName: ConsumeResponseSchema.typeName,
  schemaVersion: { $typeName: "qmtl.type.v1.SchemaVersion", version: 1 },
  records: [],
  watermarks: [],
});
const recordsField = ConsumeResponseSchema.field.records.number;

/** A `ConsumeResponse`, assembled from the encoded records. */
export function consumeAnswer(records: readonly QueueRecord[]): EncodedMessage {
  const writer = new BinaryWriter().raw(head);
  for (const record of records) {
    writer.tag(recordsField, WireType.LengthDelimited).bytes(encodedRecord(record));
  }
  return new EncodedMessage(writer.finish());
}
