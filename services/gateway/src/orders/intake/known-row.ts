import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import type { BarrierEnds, EndedRow } from "../../ports.ts";

/**
 * Refuses a row of a feed that the log does not have, so that no call waits for its bars.
 *
 * @param fields fields of the request that name the feed and the row.
 * @throws {QmtlError} SOURCE_NOT_FOUND, INVALID_FIELD.
 */
export async function checkKnownRow(
  barrier: BarrierEnds,
  { source, row }: EndedRow,
  fields: { readonly source: string; readonly row: string },
): Promise<void> {
  try {
    await barrier.checkRow(source, row);
  } catch (failure) {
    if (!hasReason(failure, "SOURCE_NOT_FOUND", "INVALID_FIELD")) throw failure;
    const { reason, message, metadata } = failure;
    const field = reason === "SOURCE_NOT_FOUND" ? fields.source : fields.row;
    const description = failure.fields[0]?.description ?? message;
    const named = { metadata, fields: [{ field, description }], cause: failure };
    throw new QmtlError(reason, message, named);
  }
}
