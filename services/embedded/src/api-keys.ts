import { type QmtlConfig, resolveSecret, secretBytesMin } from "@qmtl/sdk/config";
import type { ApiKey } from "@qmtl/service-kit";
import { invalidConfig } from "./invalid-config.ts";

/** What fits behind `authorization: Bearer`. */
const SENDABLE = /^[\x21-\x7e]+$/;

/**
 * Keys of callers as the configuration names them, with their secrets read. Throws CONFIG_INVALID for one that cannot
 * be sent; as `resolveSecret` for one that is missing, exposed or too short.
 */
export function apiKeysFromConfig(config: QmtlConfig): ApiKey[] {
  return Object.entries(config.security.keys).map(([id, entry]) => {
    const field = `security.keys.${id}.secret`;
    const key = resolveSecret(entry.secret, { key: field, bytesMin: secretBytesMin });
    if (!SENDABLE.test(key)) {
      throw invalidConfig(field, "a key is one word of printable ASCII characters");
    }
    return { key, name: entry.principal, role: entry.role };
  });
}
