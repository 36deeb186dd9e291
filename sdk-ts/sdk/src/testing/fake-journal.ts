import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { WatchJournalRequest } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import type { JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import type { Pulse } from "./pulse.ts";

const createTime = timestampFromMs(Date.UTC(2020, 0, 1));

/** One entry of a journal in memory. */
export interface FakeEntry {
  readonly kind: JournalKind;
  readonly strategyId: string;
  readonly row: number;
  readonly body: unknown;
}

/** The journal of one account in memory. */
export class FakeJournal {
  readonly accountId = "main";
  readonly #worldId: string;
  readonly #entries: FakeEntry[] = [];
  /** Number of readers that are watching. */
  watching = 0;

  constructor(worldId: string) {
    this.#worldId = worldId;
  }

  append(entry: FakeEntry): void {
    this.#entries.push(entry);
  }

  list(afterEntry: bigint, kinds: readonly JournalKind[]) {
    return this.#entries.flatMap(({ kind, strategyId, row, body }, at) => {
      const entry = BigInt(at + 1);
      if (entry <= afterEntry || (kinds.length > 0 && !kinds.includes(kind))) return [];
      const place = { accountId: this.accountId, worldId: this.#worldId, strategyId };
      const told = { row: BigInt(row), bodyJson: JSON.stringify(body), createTime };
      return [{ entry, kind, ...place, ...told }];
    });
  }

  async *watch(
    { afterEntry, kinds }: Pick<WatchJournalRequest, "afterEntry" | "kinds">,
    changed: Pulse,
    check: () => void,
    signal: AbortSignal,
  ) {
    let head = afterEntry;
    this.watching++;
    try {
      while (!signal.aborted) {
        check();
        const next = changed.changed(signal);
        const entries = this.list(head, kinds);
        head = entries.at(-1)?.entry ?? head;
        if (entries.length > 0) yield entries;
        else await next;
      }
    } finally {
      this.watching--;
    }
  }
}
