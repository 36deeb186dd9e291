/** Where in a run something went wrong. */
export interface FailurePosition {
  readonly nodeId: string;
  readonly nodeName: string;
  /** Absolute row. */
  readonly row: number;
  /** Bucket end, milliseconds since the epoch. */
  readonly bucketEndMs: number;
}

function describe(place: FailurePosition): string {
  const time = new Date(place.bucketEndMs).toISOString();
  return `node "${place.nodeName}" at row ${place.row} (bucket ending ${time})`;
}

/** A compute function threw; `cause` is what it threw. */
export class ComputeError extends Error {
  override readonly name = "ComputeError";
  readonly reason = "COMPUTE_FAILED";
  readonly place: FailurePosition;

  /** @param at where the cause was thrown, for example `strategy.ts:12`; shown at the end of the message */
  constructor(place: FailurePosition, cause: unknown, at?: string) {
    const text = cause instanceof Error ? cause.message : String(cause);
    super(`${describe(place)} failed: ${text}${at === undefined ? "" : ` (${at})`}`, { cause });
    this.place = place;
  }
}

/** A node with `onMissing: fail` met a missing bucket. */
export class MissingBucketError extends Error {
  override readonly name = "MissingBucketError";
  readonly reason = "BUCKET_MISSING";
  readonly place: FailurePosition;

  constructor(place: FailurePosition) {
    super(`${describe(place)} lacks an input bucket, and its onMissing is "fail"`);
    this.place = place;
  }
}

/** Rows were handed over in a way the executor does not accept. */
export class FeedError extends Error {
  override readonly name = "FeedError";
  readonly reason = "BAD_FEED";
}
