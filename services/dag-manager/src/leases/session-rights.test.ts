import { ReleaseReason } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { demoGraphs, keyOf, sourceKeyOf } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import { float64s, outcomeOf, row, rows, start } from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";
import { ticketOf } from "../testing/test-tickets.ts";

const close = keyOf("close");
const sma200 = keyOf("sma200");
const bars = sourceKeyOf("bars");
const [computing, feeding] = [["observe", "compute"] as const, ["observe", "feed"] as const];

async function holder(dag: TestDag, computeKey: string): Promise<string> {
  const { queues } = await dag.queues.listQueueStats({ computeKeys: [computeKey] });
  return queues[0]!.holderSessionId;
}

async function publish(dag: TestDag, ticket: string, records: QueueRecord[]) {
  const { results } = await dag.data.publish({ ticket, records });
  return results.map(outcomeOf);
}

async function history(dag: TestDag, computeKey: string): Promise<QueueRecord[]> {
  const records: QueueRecord[] = [];
  for await (const chunk of dag.data.consume({ keys: [{ computeKey }], historyOnly: true })) {
    records.push(...chunk.records);
  }
  return records;
}

describeEachDatabase("what a session may hold and publish", (databases) => {
  test.each([
    { what: "another strategy", key: sma200, scope: { strategyIds: ["B"] } },
    { what: "no strategy", key: close, scope: { strategyIds: [] } },
    { what: "another world", key: close, scope: { worldId: "w2" } },
    { what: "no COMPUTE", key: close, scope: { rights: feeding } },
    { what: "no FEED", key: bars, scope: { rights: computing } },
    { what: "another source", key: bars, scope: { sources: ["held"] } },
  ])(
    "a ticket of $what gets no lease of the key, and publishes nothing",
    async ({ key, scope }) => {
      await using dag = await openDag(databases());
      await submitGraph(dag);
      const ticket = ticketOf({ sessionId: "other", ...scope });
      const refused = { reason: "TICKET_SCOPE", metadata: { compute_key: key } };

      await expect(lease(dag, ticket, [key])).rejects.toMatchObject(refused);
      await expect(publish(dag, ticket, [start(key, 1)])).rejects.toMatchObject(refused);

      expect(await holder(dag, key)).toBe("");
      expect(await history(dag, key)).toEqual([]);
    },
  );

  test("one key that is not covered refuses the call, and none of its keys is granted", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    const ticket = ticketOf({ sessionId: "other", rights: computing });

    await expect(lease(dag, ticket, [close, bars])).rejects.toMatchObject({
      reason: "TICKET_SCOPE",
      metadata: { compute_key: bars },
    });

    expect(await holder(dag, close)).toBe("");
  });

  test("a node that a second strategy comes to share is then that one's, too", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    const ticket = ticketOf({ sessionId: "b", strategyIds: ["B"] });
    await expect(lease(dag, ticket, [close])).rejects.toMatchObject({ reason: "TICKET_SCOPE" });

    await submitGraph(dag, "B", demoGraphs.b);

    expect(await lease(dag, ticket, [close])).toEqual([1]);
  });

  test("a price forged under the epoch of another session is refused, and a START says who wrote it", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    const feeder = ticketOf({ sessionId: "feeder", rights: feeding, worldId: "", strategyIds: [] });
    await lease(dag, feeder, [bars]);
    await publish(dag, feeder, [start(bars, 1, { sessionId: "somebody" }), row(bars, 1, 0)]);
    const forged = [row(bars, 1, 1, 99)];

    await expect(publish(dag, "forger", forged)).rejects.toMatchObject({
      reason: "TICKET_SCOPE",
      metadata: { compute_key: bars, epoch: "1" },
    });

    const records = await history(dag, bars);
    expect(records.map(({ seq }) => seq)).toEqual([0n, 0n]);
    expect(records[0]!.body).toMatchObject({ case: "start", value: { sessionId: "feeder" } });
    // Sent again, it is the same record, whatever session it names.
    expect(await publish(dag, feeder, [start(bars, 1, { sessionId: "else" })])).toEqual(["ok"]);
    expect(await publish(dag, feeder, rows(bars, 1, 0, 2))).toEqual(["ok", "ok"]);
  });

  test("a lease that the ticket does not cover any more is not renewed, and nobody gives up that of another", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    await lease(dag, "s1", [close, sma200]);
    const leases = [close, sma200].map((computeKey) => ({ computeKey, leaseEpoch: 1n }));
    const narrow = ticketOf({ sessionId: "s1", worldId: "w2" });

    const renewed = async (ticket: string) =>
      (await dag.queues.renewLeases({ ticket, leases })).renewals.map((one) => one.renewed);

    expect(await renewed("s1")).toEqual([true, true]);
    expect(await renewed("s2")).toEqual([false, false]);
    expect(await renewed(narrow)).toEqual([false, false]);
    await dag.queues.releaseLeases({ ticket: "s2", leases, reason: ReleaseReason.STOP });
    expect(await holder(dag, close)).toBe("s1");
  });

  test("snapshots are taken of the holder alone", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    await publish(dag, "s1", [start(close, 1), row(close, 1, 0)]);
    const place = { computeKey: close, seq: 0n, row: 0n };
    const snapshots = [{ ...place, stateHash: float64s(0), state: new Uint8Array([1]) }];
    const put = (ticket: string) => dag.queues.putSnapshots({ ticket, snapshots });

    await expect(put("s2")).rejects.toMatchObject({
      reason: "LEASE_LOST",
      metadata: { compute_key: close },
    });
    await expect(put(ticketOf({ sessionId: "s1", worldId: "w2" }))).rejects.toMatchObject({
      reason: "TICKET_SCOPE",
    });
    expect((await dag.queues.getSnapshots({ computeKeys: [close] })).snapshots).toEqual([]);
    expect(await put("s1")).toMatchObject({ stored: 1, ignored: 0 });
  });

  test("without a ticket, or with one that only observes, nothing is done", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    const observer = ticketOf({ sessionId: "s1", rights: ["observe"] });

    await expect(lease(dag, "", [close])).rejects.toMatchObject({ reason: "INVALID_FIELD" });
    await expect(lease(dag, observer, [close])).rejects.toMatchObject({ reason: "TICKET_SCOPE" });
    await expect(publish(dag, observer, [start(close, 1)])).rejects.toMatchObject({
      reason: "TICKET_SCOPE",
    });
  });
});
