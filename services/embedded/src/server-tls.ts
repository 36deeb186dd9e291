import type { QmtlConfig } from "@qmtl/sdk/config";
import type { ServerTls } from "@qmtl/service-kit";
import { readPem, readPrivatePem } from "./pem-file.ts";

/** Certificate of the servers; undefined when none is configured. CONFIG_INVALID names the key whose file cannot be read, or holds a private key and is readable by everybody. */
export function serverTlsFromConfig(config: QmtlConfig): ServerTls | undefined {
  const { tls } = config.security;
  if (tls === null) return undefined;
  return {
    cert: readPem("security.tls.cert", tls.cert),
    key: readPrivatePem("security.tls.key", tls.key),
  };
}
