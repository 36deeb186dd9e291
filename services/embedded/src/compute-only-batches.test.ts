import { timestampMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  column,
  ema,
  ProcessingNode,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk";
import { expect, test } from "vitest";
import { type LabFeed, PaperLab, seededNumbers, symbolOf } from "./testing/paper-lab.ts";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2020, 0, 1);
const [historyDays, days] = [10, 180];
const start = new Date(firstMs + historyDays * dayMs).toISOString().slice(0, 10);
/** Until when the world may only compute. */
const heldMs = firstMs + 150 * dayMs;

function feedOf(seed: number, isHoliday: (day: number) => boolean, speed?: number): LabFeed {
  const random = seededNumbers(seed);
  const lines: string[] = [];
  let close = 100;
  for (let day = 0; day < days; day++) {
    const open = close * (1 + 0.01 * (random() - 0.5));
    close = open * (1 + 0.03 * (random() - 0.5));
    const prices = [open, Math.max(open, close) * 1.002, Math.min(open, close) * 0.998, close];
    const date = new Date(firstMs + day * dayMs).toISOString();
    if (!isHoliday(day)) lines.push([date, ...prices.map((price) => price.toFixed(4))].join(","));
  }
  return { interval: "1d", lines, ...(speed === undefined ? {} : { speed }) };
}

/** Of each of two feeds a share that follows its mean. */
class Follow extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    for (const source of ["a", "b"]) {
      const columns = ["open", "high", "low", "close"];
      const bars = new StreamInput({ source, columns, interval: "1d" });
      const close = column(bars, "close", { name: `close_${source}` });
      const mean = ema(close, 3, { name: `mean_${source}` });
      const signal = new ProcessingNode({
        name: `weight_${source}`,
        inputs: { close, mean },
        period: 1,
        compute: (w) =>
          0.4 * Math.max(-1, Math.min(1, 40 * (w.close.latest() / w.mean.latest() - 1))),
      });
      const instrument = symbolOf(source);
      this.addNodes([new WeightTargetNode({ signal, instrument, weightMin: -1, weightMax: 1 })]);
    }
  }
}

/** The rows of all queues with their seq, state hash and inputs, however they are joined to records. */
async function rowsOf({ connection }: PaperLab): Promise<string[]> {
  const { queues } = await connection.client(QueueService).listQueueStats({ pageSize: 1_000 });
  const keys = queues.map(({ queue }) => ({
    computeKey: queue?.computeKey ?? "",
    position: { case: "fromSeq" as const, value: 0n },
  }));
  const rows: string[] = [];
  const history = connection.client(QueueDataService).consume({ keys, historyOnly: true });
  for await (const { records } of history) {
    for (const { computeKey, seq, leaseEpoch, body } of records) {
      if (body.case !== "rows") continue;
      const { value } = body;
      const ports = value.inputSeq.length / value.count;
      for (let at = 0; at < value.count; at++) {
        const hex = (bytes: Uint8Array): string =>
          Buffer.from(bytes.subarray(8 * at, 8 * (at + 1))).toString("hex");
        const { bucketEndMs, knownAtMs, columns, stateHash } = value;
        const content = [bucketEndMs, knownAtMs, ...columns, stateHash].map(hex);
        const inputs = value.inputSeq.slice(at * ports, (at + 1) * ports);
        const place = [computeKey, leaseEpoch, seq + BigInt(at), value.row + BigInt(at)];
        rows.push([...place, ...content, ...inputs].join(" "));
      }
    }
  }
  return rows.sort();
}

/** Bars in the journal, marks and all, and the number of moments at which they were booked. */
async function barsOf({ connection }: PaperLab): Promise<{ bars: string[]; bookings: number }> {
  const bars: string[] = [];
  const times = new Set<number>();
  let pageToken = "";
  do {
    const ask = { accountId: "main", kinds: [JournalKind.BAR], pageSize: 1_000, pageToken };
    const answer = await connection.client(AccountService).listJournal(ask);
    for (const { row, bodyJson, createTime } of answer.entries) {
      bars.push(`${row} ${bodyJson}`);
      times.add(createTime === undefined ? 0 : timestampMs(createTime));
    }
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  return { bars, bookings: times.size };
}

/** A world that may only compute up to a hold, and is on paper from there to the end of its files. */
async function session(speed?: number) {
  await using lab = await PaperLab.open(
    { a: feedOf(1, () => false, speed), b: feedOf(2, (day) => day % 7 === 3, speed) },
    start,
  );
  await lab.createWorld("a");
  const run = await Runner.session(new Follow(), { config: lab.config, worldId: "w" });
  await using _ = run;
  await expect.poll(() => run.status().holderOf, { timeout: 60_000 }).toBeGreaterThan(0);
  const { strategyId } = run.status();
  await lab.allocate({ [strategyId]: 1 });
  await lab.apply(EffectiveMode.COMPUTE_ONLY, [strategyId]);
  await lab.advance("a", heldMs);
  const computeOnly = { ...(await barsOf(lab)), rows: await rowsOf(lab) };
  const { row, wantedOrders, evaluations } = run.status();
  await lab.apply(EffectiveMode.PAPER, [strategyId]);
  await lab.advance("a");
  await run.done;
  const { bars } = await barsOf(lab);
  const after = { bars, orders: await lab.orders(), equity: await lab.equity() };
  return { computeOnly, after, status: { row, wantedOrders, own: evaluations.own } };
}

test("a world that catches up in batches has the records, marks, counts, orders and equity of one that goes row by row", async () => {
  const oneByOne = await session(2_000);
  const batched = await session();

  const { bookings, ...same } = batched.computeOnly;
  const { bookings: bookingsOneByOne, ...expected } = oneByOne.computeOnly;
  expect(same.rows.length).toBeGreaterThan(1_000);
  expect(same).toEqual(expected);
  expect(batched.status).toEqual(oneByOne.status);
  expect(batched.after).toEqual(oneByOne.after);
  expect(batched.after.orders.length).toBeGreaterThan(20);
  expect(bookingsOneByOne).toBeGreaterThan(70);
  expect(bookings).toBeLessThan(bookingsOneByOne / 4);
}, 300_000);
