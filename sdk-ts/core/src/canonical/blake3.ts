import { createBLAKE3, type IHasher } from "hash-wasm";

// One hasher for the whole process: creating one compiles nothing but costs more than hashing 200 bytes.
// A hash runs from init to digest without a pause, so sharing it is safe. Top-level await makes every importer
// wait for the module to be ready, and everything after that is synchronous.
const shared: IHasher = await createBLAKE3();

/** BLAKE3-256 of bytes, or of a string's UTF-8 bytes, as 64 lower-case hex digits. */
export function blake3Hex(data: Uint8Array | string): string {
  return shared.init().update(data).digest("hex");
}

/** A BLAKE3-256 over many pieces, e.g. a file read in blocks. Not shared: any number may be open at once. */
export interface Blake3Stream {
  update(data: Uint8Array | string): void;
  /** 64 hex digits. Ends the stream. */
  digestHex(): string;
}

/** Opens a stream of its own. */
export async function openBlake3(): Promise<Blake3Stream> {
  const hasher = (await createBLAKE3()).init();
  return {
    update: (data) => void hasher.update(data),
    digestHex: () => hasher.digest("hex"),
  };
}

/**
 * Resolves when hashing is ready. Importing this module already waits for that; the call is for a caller that wants
 * to say so, and may be repeated.
 */
export async function initCanonical(): Promise<void> {}
