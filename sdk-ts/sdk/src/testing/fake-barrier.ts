import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { FakeGraphs } from "./fake-graphs.ts";
import type { FakeLog } from "./fake-log.ts";
import type { Pulse } from "./pulse.ts";

/** Replay barriers in memory: a row of a feed passes once every runner of the feed has ended the previous row. */
export class FakeBarrier {
  /** Last row of any feed that may pass. */
  untilRow = Number.POSITIVE_INFINITY;
  readonly #runners = new Map<string, Map<string, number>>();
  readonly #graphs: FakeGraphs;
  readonly #log: FakeLog;

  constructor(graphs: FakeGraphs, log: FakeLog) {
    this.#graphs = graphs;
    this.#log = log;
  }

  /** Sessions in any feed's runner set, with the last row they ended. */
  get runners(): ReadonlyMap<string, number> {
    return new Map([...this.#runners.values()].flatMap((set) => [...set]));
  }

  /** Sessions in one feed's runner set, with the last row they ended. */
  runnersOf(feed: string): ReadonlyMap<string, number> {
    return this.#runners.get(feed) ?? new Map();
  }

  enter(feed: string, sessionId: string): void {
    const set = this.#runners.get(feed) ?? new Map<string, number>();
    set.set(sessionId, this.passedRow(feed));
    this.#runners.set(feed, set);
  }

  leave(feed: string, sessionId: string): void {
    this.#runners.get(feed)?.delete(sessionId);
  }

  /** Takes a session out of all runner sets. */
  lose(sessionId: string): void {
    for (const set of this.#runners.values()) set.delete(sessionId);
  }

  ended(feed: string, sessionId: string, row: number): void {
    const set = this.#runners.get(feed);
    if (set?.has(sessionId) === true) set.set(sessionId, row);
  }

  /** Last row that has passed, of one feed or of all; −1 before the first. */
  passedRow(feed?: string): number {
    const feeds = feed === undefined ? [...this.#graphs.feeds] : [feed];
    const keys = feeds.flatMap((each) => this.#graphs.keysOf(each));
    return Math.max(-1, ...keys.map((key) => this.#log.fold(key).nextRow - 1));
  }

  /** Appends records, each once it passes; stops when the signal aborts. */
  async publish(
    records: readonly QueueRecord[],
    changed: Pulse,
    check: () => void,
    signal: AbortSignal,
  ) {
    const results = [];
    for (const record of records) {
      const feed = this.#graphs.feedOf(record.computeKey);
      const { body } = record;
      const row =
        body.case === "rows" || body.case === "empty" ? Number(body.value.row) : undefined;
      for (;;) {
        check();
        if (feed === undefined || row === undefined || this.#passes(feed, record.computeKey, row))
          break;
        if (signal.aborted) return results;
        await changed.changed(signal);
      }
      results.push(this.#log.append(record));
    }
    return results;
  }

  #passes(feed: string, key: string, row: number): boolean {
    const isFirst = this.#log.fold(key).seq === 0;
    const ended = [...this.runnersOf(feed).values()];
    return (isFirst || ended.every((each) => each >= row - 1)) && row <= this.untilRow;
  }
}
