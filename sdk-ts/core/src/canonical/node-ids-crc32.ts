import { crc32 } from "node:zlib";

/**
 * CRC-32 (that of zlib) continued over the UTF-8 bytes of every id, in the order given; 0 for none.
 * It guards a submission's id list against damage in transport, nothing more.
 */
export function nodeIdsCrc32(ids: Iterable<string>): number {
  let sum = 0;
  for (const id of ids) sum = crc32(id, sum);
  return sum;
}
