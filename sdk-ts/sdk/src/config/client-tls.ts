import { readFileSync } from "node:fs";
import type { ClientTls } from "../rpc/channel-options.ts";
import { QmtlError } from "../rpc/qmtl-error.ts";
import type { QmtlConfig } from "./config-schema.ts";

/**
 * The TLS options that `connectTo` needs for an https gateway: the certificate authorities of `security.ca_file`. Empty
 * if that key is null: then the system's authorities apply.
 *
 * @throws {QmtlError} CONFIG_INVALID when the file cannot be read.
 */
export function clientTls(config: QmtlConfig): { readonly tls?: ClientTls } {
  const file = config.security.ca_file;
  if (file === null) return {};
  try {
    return { tls: { ca: readFileSync(file) } };
  } catch (failure) {
    const why = failure instanceof Error ? failure.message : String(failure);
    const description = `the file cannot be read: ${why}`;
    throw new QmtlError("CONFIG_INVALID", `security.ca_file: ${description}`, {
      fields: [{ field: "security.ca_file", description }],
    });
  }
}
