import { readFileSync } from "node:fs";
import { ExposedFile, readPrivateFile } from "@qmtl/sdk/config";
import { invalidConfig } from "./invalid-config.ts";

/** Bytes of a PEM file that a key of the configuration names. CONFIG_INVALID when it cannot be read. */
export function readPem(field: string, file: string): Uint8Array {
  return readNamed(field, () => readFileSync(file));
}

/** As `readPem`, of a private key: CONFIG_INVALID also when everybody on the machine can read it. */
export function readPrivatePem(field: string, file: string): Uint8Array {
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
