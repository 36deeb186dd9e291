import type { QmtlConfig } from "@qmtl/sdk/config";
import { invalidConfig } from "./invalid-config.ts";

/**
 * Refuses a standby over embedded storage, whose folder is locked by one process.
 *
 * @throws {QmtlError} CONFIG_INVALID
 */
export function refuseStandbyOfFolder({ storage }: QmtlConfig): void {
  if (storage.kind === "postgres") return;
  const why = "must be postgres for a standby: a data folder belongs to one process";
  throw invalidConfig("storage.kind", why);
}
