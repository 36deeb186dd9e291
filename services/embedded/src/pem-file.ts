import { readFileSync } from "node:fs";
import { invalidConfig } from "./invalid-config.ts";

/** Bytes of a PEM file that a key of the configuration names. CONFIG_INVALID when it cannot be read. */
export function readPem(field: string, file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (failure) {
    const why = failure instanceof Error ? failure.message : String(failure);
    throw invalidConfig(field, `the file cannot be read: ${why}`);
  }
}
