import { readFileSync } from "node:fs";
import type { ClientTls } from "../rpc/channel-options.ts";
import { QmtlError } from "../rpc/qmtl-error.ts";
import type { QmtlConfig } from "./config-schema.ts";

/**
 * What `connectTo` needs beside the address of an https gateway: the authorities of `security.ca_file`, or nothing.
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
