import { QmtlError } from "@qmtl/sdk/rpc";

/** A refusal that names the key of the configuration. */
export function invalidConfig(field: string, description: string): QmtlError {
  return new QmtlError("CONFIG_INVALID", `${field}: ${description}`, {
    fields: [{ field, description }],
  });
}
