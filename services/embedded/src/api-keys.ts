import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import type { ApiKey } from "@qmtl/service-kit";

/** Keys of callers as the configuration names them, with their secrets read. */
export function apiKeysFromConfig(config: QmtlConfig): ApiKey[] {
  return Object.values(config.security.keys).map((entry) => ({
    key: resolveSecret(entry.secret),
    name: entry.principal,
    role: entry.role,
  }));
}
