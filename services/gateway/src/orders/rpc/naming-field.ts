import { QmtlError, StatusCode } from "@qmtl/sdk/rpc";

/** Runs a check. A not-found error of it is thrown again with `field` as the field that named what was not found. */
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
