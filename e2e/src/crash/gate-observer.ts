import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import type { Connection } from "@qmtl/sdk/rpc";
import type { JournalLine, Sighting } from "./story-record.ts";

const RETRY_MS = 50;

/** A subscriber that outlives the platform, and records every gate and journal entry it receives. */
export class GateObserver implements AsyncDisposable {
  readonly sightings: Sighting[] = [];
  readonly journalTold: JournalLine[] = [];
  readonly #connection: Connection;
  readonly #world: string;
  readonly #end = new AbortController();
  readonly #loops: Promise<void>[];

  constructor(connection: Connection, world: string) {
    this.#connection = connection;
    this.#world = world;
    this.#loops = [this.#again(() => this.#watchGate()), this.#again(() => this.#watchJournal())];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#loops);
  }

  async #again(watch: () => Promise<void>): Promise<void> {
    while (!this.#end.signal.aborted) {
      // Outages are part of the story.
      await watch().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async #watchGate(): Promise<void> {
    const control = this.#connection.client(ControlStreamService);
    const { signal } = this.#end;
    const worldId = this.#world;
    const { ticket } = await control.issueTicket({ worldId, rights: [TicketRight.OBSERVE] });
    const last = this.sightings.at(-1);
    const lastApplied =
      last === undefined
        ? []
        : [
            {
              topicKey: `world/${worldId}/gate`,
              revision: BigInt(last.revision),
              storeEpoch: BigInt(last.storeEpoch),
            },
          ];
    for await (const { event } of control.subscribe({ ticket, lastApplied }, { signal })) {
      const payload = event?.payload;
      const state =
        payload?.case === "gateEvent"
          ? payload.value.state
          : payload?.case === "snapshot" && payload.value.state.case === "gate"
            ? payload.value.state.value
            : undefined;
      if (state === undefined) continue;
      this.sightings.push({
        subscriber: "observer",
        storeEpoch: Number(state.storeEpoch),
        revision: Number(state.revision),
        fence: Number(state.fence),
      });
    }
  }

  async #watchJournal(): Promise<void> {
    const accounts = this.#connection.client(AccountService);
    const afterEntry = BigInt(this.journalTold.at(-1)?.entry ?? 0);
    const { signal } = this.#end;
    const told = accounts.watchJournal({ accountId: "main", afterEntry }, { signal });
    for await (const { entries } of told) {
      for (const { entry, bodyJson } of entries) {
        this.journalTold.push({ entry: Number(entry), body: bodyJson });
      }
    }
  }
}
