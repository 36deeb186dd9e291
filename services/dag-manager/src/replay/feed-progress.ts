import { create, equals } from "@bufbuild/protobuf";
import { FeedStateSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { hasReason } from "@qmtl/sdk/rpc";
import type { ClockTimer, Logger } from "@qmtl/service-kit";
import { feedTopicKey, readTopic } from "@qmtl/service-kit/control";
import type { DagStore } from "../store/dag-store.ts";
import { emitFeedState, feedNames, feedStates, feedsOf } from "../store/replay-store.ts";

/** Least time between two reports of feeds whose rows pass, milliseconds. */
const emitMs = 1_000;
/** Largest number of remembered keys that belong to no feed; at this number all are forgotten, and looked up again. */
const otherKeysMax = 100_000;

/**
 * Publishes the state of feeds as their rows pass: at most every `emitMs`, and once more after the last row, if need be
 * at the next start.
 */
export class FeedProgress {
  readonly #store: DagStore;
  readonly #logger: Logger;
  /** Keys that were appended to since the last look, except those known to belong to no feed. */
  readonly #appended = new Set<string>();
  readonly #others = new Set<string>();
  #timer: ClockTimer | undefined;
  #telling: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(store: DagStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /** Reports feeds whose last rows an earlier leader did not live to report. Call it once this process leads. */
  async start(): Promise<void> {
    const { clock, write } = this.#store;
    await write(async (tx) => {
      for (const source of await feedNames(tx)) {
        const [state] = await feedStates(tx, [source]);
        const { changes } = await readTopic(tx, "dag", feedTopicKey(source));
        const told = changes.at(-1)?.payload;
        const now = create(FeedStateSchema, state!);
        const isTold = told?.case === "feedUpdated" && equals(FeedStateSchema, told.value, now);
        if (!isTold) await emitFeedState(tx, source, clock.nowMs());
      }
    });
  }

  /** Call it after records of a key were appended. */
  appended(computeKey: string): void {
    if (this.#isStopped || this.#others.has(computeKey)) return;
    this.#appended.add(computeKey);
    this.#timer ??= this.#store.clock.setTimer(() => this.#look(), emitMs);
  }

  /** Cancels the timer, and waits for what is being written. What is not written yet, the next start reports. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#telling;
  }

  #look(): void {
    this.#timer = undefined;
    const keys = [...this.#appended];
    this.#appended.clear();
    this.#telling = this.#emit(keys).catch((error: unknown) => {
      // The next row leads to the next attempt; a process that no longer leads has nothing to report.
      if (!hasReason(error, "NOT_LEADER")) this.#logger.warn("a feed was not told of", { error });
    });
  }

  async #emit(keys: readonly string[]): Promise<void> {
    const feeds = await feedsOf(this.#store.db, keys);
    if (this.#others.size >= otherKeysMax) this.#others.clear();
    for (const key of keys) if (!feeds.has(key)) this.#others.add(key);
    const sources = [...new Set(feeds.values())].sort();
    if (sources.length === 0) return;
    await this.#store.write(async (tx) => {
      for (const source of sources) await emitFeedState(tx, source, this.#store.clock.nowMs());
    });
    this.#store.changed();
  }
}
