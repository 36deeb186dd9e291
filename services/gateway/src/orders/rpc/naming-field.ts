import { QmtlError, StatusCode } from "@qmtl/sdk/rpc";

/** Runs a check. What it does not find is refused under the field that named it. */
export async function namingField<T>(field: string, check: () => T | Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (failure) {
    if (!(failure instanceof QmtlError) || failure.code !== StatusCode.NotFound) throw failure;
    const { reason, message, metadata } = failure;
    const fields = [{ field, description: message }];
    throw new QmtlError(reason, message, { metadata, fields, cause: failure });
  }
}
