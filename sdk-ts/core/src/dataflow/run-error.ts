import { StateShapeError } from "../nodes/fold-state.ts";

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

/** An author's function threw, or left a state of another shape; `cause` is what was thrown. */
export class ComputeError extends Error {
  override readonly name = "ComputeError";
  /** `STATE_SHAPE` for a state that is not of the shape of the initial one. */
  readonly reason: "COMPUTE_FAILED" | "STATE_SHAPE";
  readonly place: FailurePosition;

  /** @param at where the cause was thrown, for example `strategy.ts:12`; shown at the end of the message */
  constructor(place: FailurePosition, cause: unknown, at?: string) {
    const text = cause instanceof Error ? cause.message : String(cause);
    super(`${describe(place)} failed: ${text}${at === undefined ? "" : ` (${at})`}`, { cause });
    this.place = place;
    this.reason = cause instanceof StateShapeError ? "STATE_SHAPE" : "COMPUTE_FAILED";
  }
}

/** The node nearest above a port without a value because of which it has none. */
export interface MissingCause {
  readonly name: string;
  /** A source; otherwise a node that gives none although its own inputs have values. */
  readonly isSource: boolean;
}

/** A port with `onMissing: fail` has no value, although it had one before. */
export class MissingBucketError extends Error {
  override readonly name = "MissingBucketError";
  readonly reason = "MISSING_BUCKET";
  readonly place: FailurePosition;
  /** Port of the node that has no value. */
  readonly port: string;
  /** Because of whom. */
  readonly lacking: MissingCause;

  constructor(place: FailurePosition, port: string, lacking: MissingCause) {
    const who = `${lacking.isSource ? "source" : "node"} "${lacking.name}"`;
    const message = `port "${port}" has no value, because ${who} has none, and its onMissing is "fail"`;
    super(`${describe(place)}: ${message}`);
    this.place = place;
    this.port = port;
    this.lacking = lacking;
  }
}

/** Rows were handed over in a way the executor does not accept. */
export class FeedError extends Error {
  override readonly name = "FeedError";
  readonly reason = "BAD_FEED";
}
