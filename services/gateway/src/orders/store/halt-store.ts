import { appendControlEvent, haltTopicKey, readTopic } from "@qmtl/service-kit/control";
import type { Db, Tx } from "@qmtl/service-kit/db";
import { haltToProto } from "../rpc/order-messages.ts";
import { deleteHalt, type Halt, type HaltPlace, Halts, insertHalt } from "./halts.ts";

/** Stores a halt, and tells topic HALT if that changed what is in force. */
export async function storeHalt(tx: Tx, halt: Halt, nowMs: number): Promise<void> {
  await lockHalts(tx);
  if (await insertHalt(tx, halt)) await tellHalts(tx, nowMs);
}

/** Removes a halt, and tells topic HALT if there was one. */
export async function removeHalt(tx: Tx, place: HaltPlace, nowMs: number): Promise<void> {
  await lockHalts(tx);
  if (await deleteHalt(tx, place)) await tellHalts(tx, nowMs);
}

/** Tells of halts that were stored before there was a topic. */
export async function tellOldHalts(db: Db, nowMs: number): Promise<void> {
  const { revision } = await readTopic(db, "gateway", haltTopicKey);
  if (revision > 0) return;
  await db.transaction(async (tx) => {
    await lockHalts(tx);
    if ((await Halts.load(tx)).list().length > 0) await tellHalts(tx, nowMs);
  });
}

/** One at a time: each event has all halts that are in force after it. */
async function lockHalts(tx: Tx): Promise<void> {
  await tx.query("LOCK TABLE gateway.halt IN SHARE ROW EXCLUSIVE MODE");
}

async function tellHalts(tx: Tx, nowMs: number): Promise<void> {
  const halts = (await Halts.load(tx)).list().map((halt) => haltToProto(halt, true));
  const payload = { case: "haltsUpdated", value: { halts } } as const;
  await appendControlEvent(
    tx,
    "gateway",
    { topicKey: haltTopicKey, subject: "halt", payload },
    nowMs,
  );
}
