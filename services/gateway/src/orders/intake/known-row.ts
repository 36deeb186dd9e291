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

/**
 * Refuses targets that name a row which no feed of the timeline has: the feed of their row is not named.
 *
 * @param sources a feed of the timeline, and those that the call ends rows of.
 * @throws {QmtlError} INVALID_FIELD.
 */
export async function checkTargetRows(
  barrier: BarrierEnds,
  sources: readonly string[],
  targets: readonly { readonly row: number }[],
): Promise<void> {
  const last = Math.max(...targets.map(({ row }) => row));
  const at = targets.findIndex(({ row }) => row === last);
  const field = `update.targets[${at}].row`;
  const feeds = new Set(sources.flatMap((source) => barrier.timelineOf(source)));
  let refusal: unknown;
  for (const source of feeds) {
    try {
      await checkKnownRow(barrier, { source, row: last }, { source: field, row: field });
      return;
    } catch (failure) {
      // A feed that is not configured here says nothing about the row.
      if (hasReason(failure, "SOURCE_NOT_FOUND")) continue;
      if (!hasReason(failure, "INVALID_FIELD")) throw failure;
      refusal = failure;
    }
  }
  if (refusal !== undefined) throw refusal;
}
