import { appendControlEvent, haltTopicKey, readTopic } from "@qmtl/service-kit/control";
import type { Db, Tx } from "@qmtl/service-kit/db";
import { unguarded } from "../../store/writes.ts";
import {
  deleteHalt,
  type Halt,
  type HaltActions,
  type HaltCoverage,
  Halts,
  insertHalt,
  writeLeftToDo,
} from "./halts.ts";
import type { OrderEvents } from "./order-events.ts";

/** The halts that are stored, and topic HALT, which has an event for each change of them. */
export class HaltStore {
  readonly #events: OrderEvents;

  constructor(events: OrderEvents) {
    this.#events = events;
  }

  /** Stores a halt, and emits an event if that changed what is in force. */
  async store(tx: Tx, halt: Halt, nowMs: number): Promise<void> {
    await lockHalts(tx);
    if (await insertHalt(tx, halt)) await this.#emit(tx, nowMs);
  }

  /**
   * Stores a halt for the gateway that leads, whichever that is: a halt takes permission away and never gives any, so
   * nobody need hold the accounts for it. What it was asked to do on
   * these accounts is left to that gateway.
   */
  async leave(
    db: Db,
    halt: Halt,
    leftToDo: HaltActions & { readonly accounts: readonly string[] },
    nowMs: number,
  ): Promise<void> {
    await unguarded(db).transaction(async (tx) => {
      await this.store(tx, halt, nowMs);
      await writeLeftToDo(tx, halt, leftToDo, leftToDo.accounts);
    });
  }

  /** Removes a halt, and emits an event if there was one. */
  async remove(tx: Tx, place: HaltCoverage, nowMs: number): Promise<void> {
    await lockHalts(tx);
    if (await deleteHalt(tx, place)) await this.#emit(tx, nowMs);
  }

  /** Emits an event for halts that were stored before there was a topic. */
  async announceOld(db: Db, nowMs: number): Promise<void> {
    const { revision } = await readTopic(db, "gateway", haltTopicKey);
    if (revision > 0) return;
    await db.transaction(async (tx) => {
      await lockHalts(tx);
      if ((await Halts.load(tx)).list().length > 0) await this.#emit(tx, nowMs);
    });
  }

  async #emit(tx: Tx, nowMs: number): Promise<void> {
    const payload = this.#events.haltsUpdated((await Halts.load(tx)).list());
    const change = { topicKey: haltTopicKey, subject: "halt", payload };
    await appendControlEvent(tx, "gateway", change, nowMs);
  }
}

/** One at a time: each event has all halts that are in force after it. */
async function lockHalts(tx: Tx): Promise<void> {
  await tx.query("LOCK TABLE gateway.halt IN SHARE ROW EXCLUSIVE MODE");
}
