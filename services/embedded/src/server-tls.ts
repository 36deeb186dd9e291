import { readFileSync } from "node:fs";
import { ExposedFile, type QmtlConfig, readPrivateFile } from "@qmtl/sdk/config";
import type { ServerTls } from "@qmtl/service-kit";
import { invalidConfig } from "./invalid-config.ts";

/**
 * Certificate of the servers; undefined when none is configured. Throws CONFIG_INVALID, naming the key whose file
 * cannot be read, or holds a private key and is readable by everybody.
 */
export function serverTlsFromConfig(config: QmtlConfig): ServerTls | undefined {
  const { tls } = config.security;
  if (tls === null) return undefined;
  return {
    cert: readPem("security.tls.cert", tls.cert),
    key: readPrivatePem("security.tls.key", tls.key),
  };
}

/** Bytes of a PEM file that a key of the configuration names. Throws CONFIG_INVALID when it cannot be read. */
function readPem(field: string, file: string): Uint8Array {
  return readNamed(field, () => readFileSync(file));
}

/** As `readPem`, for a private key: throws CONFIG_INVALID also when everybody on the machine can read it. */
function readPrivatePem(field: string, file: string): Uint8Array {
  return readNamed(field, () => readPrivateFile(file));
}

function readNamed(field: string, read: () => Uint8Array): Uint8Array {
  try {
    return read();
  } catch (failure) {
    const why = failure instanceof Error ? failure.message : String(failure);
    const isExposed = failure instanceof ExposedFile;
    throw invalidConfig(field, isExposed ? why : `the file cannot be read: ${why}`);
  }
}
