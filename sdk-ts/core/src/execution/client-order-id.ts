/** Longest client order id any broker we know accepts, in characters. */
export const CLIENT_ORDER_ID_LENGTH_MAX = 32;

/** What identifies an order: equal identities mean one order sent twice. The fence is left out on purpose. */
export interface OrderIdentity {
  readonly account: string;
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  /** End of the bucket the order was decided on, epoch milliseconds. */
  readonly bucket: number;
  /** Orders already journaled for (world, strategy, instrument, bucket). */
  readonly intentSequence: number;
}

/** Hex digest of a text, lower case; a prefix such as `blake3:` is allowed and cut off. */
export type HashHex = (text: string) => string;

/**
 * Client order id of an order: `q` and 31 hex digits (124 bits) of the hash of its identity.
 *
 * The same intent has the same id after a restart or a takeover, so a broker that knows the id refuses the
 * second one (A8). Fields are joined as a JSON array: no choice of names can make two identities alike.
 *
 * @throws {RangeError} when the digest has fewer than 31 hex digits
 */
export function clientOrderId(identity: OrderIdentity, hashHex: HashHex): string {
  const { account, world, strategy, instrument, bucket, intentSequence } = identity;
  const text = JSON.stringify([account, world, strategy, instrument, bucket, intentSequence]);
  const digest = hashHex(text);
  const hex = digest.slice(digest.lastIndexOf(":") + 1);
  if (!/^[0-9a-f]{31}/.test(hex)) {
    throw new RangeError(`the hash gave ${JSON.stringify(digest)}, not at least 31 hex digits`);
  }
  return `q${hex.slice(0, CLIENT_ORDER_ID_LENGTH_MAX - 1)}`;
}
