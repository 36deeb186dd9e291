import type { SdkClock, SdkTimer } from "../../../control/clock.ts";
import type { ReplayFeed } from "../../../sources/replay-feed.ts";
import type { RowContent } from "./wire-records.ts";

/** The claim on a source's queue under which a replay publishes: its `QueueReplica`. */
interface SourceClaim {
  readonly phase: string;
  readonly isEnded: boolean;
  /** Row the log expects next. */
  readonly nextRow: number;
  /** Number of records sent and not yet effective. */
  readonly inWindow: number;
  readonly room: number;
  restored(): void;
  /** Sends a row; `content` undefined: its bucket is missing. */
  produce(row: number, bucketEndMs: number, content: RowContent | undefined): number;
  produceEnd(): void;
}

export interface ReplaySenderOptions {
  readonly feed: ReplayFeed;
  readonly claim: SourceClaim;
  readonly clock: SdkClock;
  /** Largest number of bars per second; `max`: no pause between them. */
  readonly speed: number | "max";
  readonly onProduced: () => void;
}

const none = new Uint8Array();

/**
 * Publishes the rows of a file from the end of the log on, as many as have room, and the next ones once these are
 * effective: a barrier lets them pass slice by slice, or in batches. At a limited speed they are published one by one. A
 * bucket the file has no row for is published as missing. Nothing that is effective is repeated or corrected.
 */
export class ReplaySender {
  readonly #options: ReplaySenderOptions;
  #timer: SdkTimer | undefined;
  #isPaused = false;

  constructor(options: ReplaySenderOptions) {
    this.#options = options;
  }

  /** Sends the next rows if they are due; to be called after each change of the claim. */
  pump(): void {
    const { claim, feed, speed } = this.#options;
    if (claim.phase === "RESTORING") claim.restored();
    if (claim.phase !== "HOLDING" || claim.isEnded || claim.inWindow > 0 || claim.room === 0)
      return;
    const from = claim.nextRow;
    if (from >= feed.rows.endRow) {
      claim.produceEnd();
      return;
    }
    if (this.#isPaused) return;
    this.#keepSpeed();
    const count = speed === "max" ? claim.room : 1;
    const end = Math.min(feed.rows.endRow, from + count);
    for (let row = from; row < end; row++) this.#send(row);
  }

  #send(row: number): void {
    const { claim, feed, onProduced } = this.#options;
    const bucketEndMs = feed.bucketEndMs(row);
    const values = feed.values(row);
    const content = { bucketEndMs, values, inputSeq: [], stateHash: none, windowHash: none };
    claim.produce(row, bucketEndMs, feed.isMissing(row) ? undefined : content);
    onProduced();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#isPaused = true;
  }

  #keepSpeed(): void {
    const { speed, clock } = this.#options;
    if (speed === "max") return;
    this.#isPaused = true;
    this.#timer = clock.setTimer(() => {
      this.#isPaused = false;
      this.pump();
    }, 1_000 / speed);
  }
}
