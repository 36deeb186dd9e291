import { reasonName } from "@qmtl/sdk/rpc";

/** A result with the name of its reason, empty for none. */
export function named<R extends { reason?: Parameters<typeof reasonName>[0] }>(
  result: R,
): Omit<R, "reason"> & { reason: string } {
  return { ...result, reason: reasonName(result.reason ?? 0) ?? "" };
}
