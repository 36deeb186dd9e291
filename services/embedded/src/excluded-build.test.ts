import { create } from "@bufbuild/protobuf";
import { QueueService, ReleaseReason } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import {
  type QueueRecord,
  QueueRecordSchema,
  RowsSchema,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { ProcessingNode, Runner, Strategy, WeightTargetNode } from "@qmtl/sdk";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PaperLab, symbolOf } from "./testing/paper-lab.ts";
import { closesOf, dayMs, firstMs, historyDays, start, walk } from "./testing/paper-market.ts";

const leaseMs = 3_000;
const dayOf = (day: number): number => firstMs + (historyDays + day) * dayMs;

class Plain extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const signal = new ProcessingNode({
      name: "signal",
      inputs: { close: closesOf("day", "1d") },
      period: 1,
      compute: (w) => (w.close.latest() % 1) - 0.5,
    });
    const instrument = symbolOf("day");
    this.addNodes([new WeightTargetNode({ signal, instrument, weightMin: -1, weightMax: 1 })]);
  }
}

let lab: PaperLab;
beforeAll(async () => {
  const nodeLeases = `node_lease_ms: ${leaseMs}, node_renew_ms: 800, node_margin_ms: 400`;
  lab = await PaperLab.open({ day: walk(81, { to: historyDays + 60 }) }, start, { nodeLeases });
  await lab.createWorld("day");
});
afterAll(() => lab?.[Symbol.asyncDispose]());

const queues = () => lab.connection.client(QueueService);
const data = () => lab.connection.client(QueueDataService);
const run = () => Runner.worker([new Plain()], { config: lab.config, worldId: "w" });

/** Queue of a kind of node of the strategy, with its holder. */
async function queueOf(node: string, strategyId: string) {
  const { queues: found } = await queues().listQueueStats({ strategyId });
  const one = found.find(({ queue }) => queue?.queue.includes(node));
  return { key: one?.queue?.computeKey ?? "", holder: one?.holderSessionId ?? "" };
}

/** A session of another build, which computes one node of the strategy by hand. */
class ForeignHolder {
  readonly #key: string;
  readonly #ticket: string;
  #epoch = 0n;
  #seq = 0n;
  #row = 0n;

  private constructor(key: string, ticket: string) {
    this.#key = key;
    this.#ticket = ticket;
  }

  static async open(key: string, strategyId: string): Promise<ForeignHolder> {
    const rights = [TicketRight.COMPUTE];
    const asked = { worldId: "w", strategyIds: [strategyId], rights };
    const { ticket } = await lab.connection.client(ControlStreamService).issueTicket(asked);
    return new ForeignHolder(key, ticket);
  }

  get #lease() {
    return { computeKey: this.#key, leaseEpoch: this.#epoch };
  }

  async hold(): Promise<void> {
    const keys = [{ computeKey: this.#key, build: "foreign" }];
    const asked = { ticket: this.#ticket, keys, wait: { seconds: 10n, nanos: 0 } };
    const [lease] = (await queues().acquireLeases(asked)).leases;
    const { leaseEpoch = 0n, checkpoint } = lease ?? {};
    this.#epoch = leaseEpoch;
    this.#seq = checkpoint?.nextSeq ?? 0n;
    this.#row = checkpoint?.nextRow ?? 0n;
    const value = { build: "foreign" };
    await this.#publish(
      create(QueueRecordSchema, { ...this.#lease, body: { case: "start", value } }),
    );
  }

  /** Publishes its next row: the value of the row before it, and one. */
  async compute(): Promise<void> {
    const records: QueueRecord[] = [];
    const asked = { keys: [{ computeKey: this.#key }], historyOnly: true };
    for await (const answer of data().consume(asked)) records.push(...answer.records);
    const last = records.findLast(({ body }) => body.case === "rows")?.body;
    if (last?.case !== "rows") throw new Error("there is no row to go on from");
    const { $typeName: _, ...old } = last.value;
    const at = old.count - 1;
    const endOf = (bytes: Uint8Array) => Buffer.from(bytes).readDoubleLE(8 * at);
    const next = (value: number) => new Uint8Array(new Float64Array([value]).buffer);
    const rows = create(RowsSchema, {
      ...{ row: this.#row, count: 1, stateHash: new Uint8Array(), windowHash: new Uint8Array() },
      bucketEndMs: next(endOf(old.bucketEndMs) + dayMs),
      knownAtMs: next(endOf(old.knownAtMs) + dayMs),
      columns: old.columns.map((column) => next(endOf(column) + 1)),
    });
    const body = { case: "rows" as const, value: rows };
    await this.#publish(create(QueueRecordSchema, { ...this.#lease, seq: this.#seq, body }));
    this.#seq += 1n;
    this.#row += 1n;
  }

  /** Keeps the lease until the test has ended, or the signal aborts. */
  keep(signal: AbortSignal): void {
    const renew = () =>
      queues()
        .renewLeases({ ticket: this.#ticket, leases: [this.#lease] })
        .catch(() => undefined);
    const timer = setInterval(() => void renew(), 500);
    const end = () => clearInterval(timer);
    signal.addEventListener("abort", end);
    onTestFinished(end);
  }

  async release(): Promise<void> {
    const reason = ReleaseReason.STOP;
    await queues().releaseLeases({ ticket: this.#ticket, leases: [this.#lease], reason });
  }

  async #publish(record: QueueRecord): Promise<void> {
    const { results } = await data().publish({ ticket: this.#ticket, records: [record] });
    expect(results).toMatchObject([{ effective: true }]);
  }
}

test("a run whose node another build holds waits with it, goes on with it, and ends once nobody holds the node", async () => {
  const first = await run();
  await expect.poll(() => first.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  const strategyId = first.status().strategies[0]?.strategyId ?? "";
  await lab.advance("day", dayOf(3));
  await first.stop();
  const { key } = await queueOf("column", strategyId);
  const foreign = await ForeignHolder.open(key, strategyId);
  await foreign.hold();
  await foreign.compute();
  await foreign.release();
  const events: string[] = [];
  const onEvent = ({ kind }: { readonly kind: string }) => events.push(kind);
  const second = await Runner.worker([new Plain()], {
    ...{ config: lab.config, worldId: "w", onEvent },
  });
  const failed = second.done.then(
    () => "",
    (error: unknown) => String(error),
  );
  const ended = () => second.status().strategies[0]?.bucketEnd ?? Number.NaN;
  await expect.poll(() => second.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  await lab.advance("day", dayOf(4));
  await expect.poll(() => events, { timeout: 10_000 }).toContain("diverged");
  await foreign.hold();
  const keeping = new AbortController();
  foreign.keep(keeping.signal);

  await lab.release("day", dayOf(5));
  await new Promise((resolve) => setTimeout(resolve, 6 * leaseMs));
  expect(ended()).toBe(dayOf(4));
  expect(await Promise.race([failed, "it waits"])).toBe("it waits");
  expect((await queueOf("column", strategyId)).holder).not.toBe("");
  expect((await queueOf("weight_target", strategyId)).holder).toBe("");

  await foreign.compute();
  await lab.settled("day");
  expect(ended()).toBe(dayOf(5));
  await expect
    .poll(async () => (await queueOf("weight_target", strategyId)).holder)
    .toBe(second.sessionId);

  keeping.abort();
  await lab.release("day", dayOf(6));

  expect(await failed).toMatch(/^QueueDivergedError: nobody computes "close_day": this build/);
}, 120_000);
