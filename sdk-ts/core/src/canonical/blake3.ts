import { createBLAKE3, type IHasher } from "hash-wasm";

// One hasher for the whole process: creating one compiles nothing but costs more than hashing 200 bytes.
// A hash runs from init to digest without a pause, so sharing it is safe. Top-level await makes every importer
// wait for the module to be ready, and everything after that is synchronous.
const shared: IHasher = await createBLAKE3();

/** BLAKE3-256 of bytes, or of a string's UTF-8 bytes, as 64 lower-case hex digits. */
export function blake3Hex(data: Uint8Array | string): string {
  return shared.init().update(data).digest("hex");
}
