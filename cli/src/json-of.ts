import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";

/** A message as plain JSON, in proto3 JSON form with proto field names. */
export function jsonOf<D extends DescMessage>(schema: D, message: MessageShape<D>): unknown {
  return toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
}
