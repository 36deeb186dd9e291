import type { RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { type CarriedRecord, wireRecord } from "../sources/queue-row.ts";
import { Publisher, type PublisherOptions } from "./online-publisher.ts";
import type { QueueReplica } from "./queue-replica.ts";

/** A source's Publish may be held at its barrier this long before it is repeated, milliseconds. */
const heldMsMax = 30_000;
const computedMsMax = 10_000;

export interface RunPublishersOptions
  extends Pick<PublisherOptions, "data" | "clock" | "tickets" | "onProblem"> {
  /** A record was refused for good. */
  readonly onRefused: (fault: RecordFault) => void;
}

/** One lane for each source, whose rows a barrier may hold, and one for everything that is computed. */
export class RunPublishers {
  readonly #options: RunPublishersOptions;
  readonly #lanes = new Map<string, Publisher>();

  constructor(options: RunPublishersOptions) {
    this.#options = options;
  }

  publish(key: QueueReplica, records: readonly CarriedRecord[]): void {
    const { isSource } = key.identity;
    const lane = isSource ? key.computeKey : "computed";
    let publisher = this.#lanes.get(lane);
    if (publisher === undefined) {
      const { onRefused, ...ports } = this.#options;
      publisher = new Publisher({
        ...ports,
        timeoutMs: isSource ? heldMsMax : computedMsMax,
        ...(isSource ? { batchMax: 1, isHeld: true } : {}),
        onRefused: (_record, fault) => onRefused(fault),
      });
      this.#lanes.set(lane, publisher);
    }
    publisher.send(records.map((record) => wireRecord(key.computeKey, record)));
  }

  /** Drops what waits and gives calls up. */
  async stop(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.stop()));
  }
}
