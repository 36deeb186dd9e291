import type { MessageInitShape } from "@bufbuild/protobuf";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import {
  type OwnerFrame,
  type RunnerFrameSchema,
  RunnerService,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { column, ProcessingNode, Runner, Strategy, StreamInput, WeightTargetNode } from "@qmtl/sdk";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { foreignSubmission } from "./testing/foreign-submission.ts";
import { type KeyedPlatform, startKeyedPlatform } from "./testing/keyed-platform.ts";
import { PaperLab } from "./testing/paper-lab.ts";

type Frame = MessageInitShape<typeof RunnerFrameSchema>;

const hello = { case: "hello" as const, value: { program: "a test" } };
const claim = { fence: 1n, domain: ExecutionDomain.BACKTEST };
const alive = { case: "alive" as const, value: {} };

/** A stream to the gateway that a test writes frame by frame. */
class TestRunner {
  readonly answers: OwnerFrame[] = [];
  readonly done: Promise<unknown>;
  readonly #over = new AbortController();
  readonly #frames: Frame[] = [];
  #wake: () => void = () => {};
  #read: () => void = () => {};
  #isOver = false;

  constructor(connection: Pick<Connection, "client">, ...frames: readonly Frame[]) {
    this.#frames.push(...frames);
    const read = async (): Promise<unknown> => {
      const { signal } = this.#over;
      try {
        for await (const answer of connection
          .client(RunnerService)
          .attach(this.#sent(), { signal })) {
          this.answers.push(answer);
          this.#read();
        }
        return undefined;
      } catch (failure) {
        return failure;
      }
    };
    this.done = read().finally(() => {
      this.#isOver = true;
      this.#read();
    });
  }

  write(...frames: readonly Frame[]): void {
    this.#frames.push(...frames);
    this.#wake();
  }

  /** The first answer of a kind. */
  async answer(kind: OwnerFrame["body"]["case"]): Promise<OwnerFrame["body"]> {
    for (;;) {
      const found = this.answers.find(({ body }) => body.case === kind);
      if (found !== undefined) return found.body;
      if (this.#isOver) throw await this.done;
      await new Promise<void>((resolve) => {
        this.#read = resolve;
      });
    }
  }

  async close(): Promise<void> {
    this.#over.abort();
    await this.done;
  }

  async *#sent(): AsyncGenerator<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) yield frame;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

describe("a runner that attaches", () => {
  let platform: KeyedPlatform;
  let strategyId: string;
  beforeAll(async () => {
    platform = await startKeyedPlatform();
    const gateway = platform.connection("researcher").client(GatewayService);
    const { submission } = await gateway.submitStrategy(foreignSubmission("foreign", ["w"]));
    strategyId = submission?.strategyId ?? "";
  });
  afterAll(() => platform[Symbol.asyncDispose]());

  const issue = (role: "researcher" | "operator", sessionId = "") =>
    platform
      .connection(role)
      .client(ControlStreamService)
      .issueTicket({
        ...{ worldId: "w", strategyIds: [strategyId], sessionId },
        rights: [TicketRight.COMPUTE],
      });
  const ticketOf = async (role: "researcher" | "operator") => (await issue(role)).ticket;

  test("is welcomed by the name of its session, and kept company", async () => {
    const ticket = await ticketOf("researcher");
    const runner = new TestRunner(platform.connection("researcher"), { ticket, body: hello });
    const welcome = await runner.answer("welcome");
    expect(welcome.value).toMatchObject({ sessionId: expect.stringMatching(/./) });
    await runner.answer(undefined);
    await runner.close();
  });

  test("is refused as a viewer, whatever ticket it shows", async () => {
    const ticket = await ticketOf("researcher");
    const runner = new TestRunner(platform.connection("viewer"), { ticket, body: hello });
    expect(await runner.done).toMatchObject({ reason: "ROLE_REQUIRED" });
  });

  test("is refused with the session of another principal", async () => {
    const ticket = await ticketOf("researcher");
    const runner = new TestRunner(platform.connection("operator"), { ticket, body: hello });
    expect(await runner.done).toMatchObject({ reason: "TICKET_SCOPE" });
  });

  test("is refused without a ticket", async () => {
    const runner = new TestRunner(platform.connection("operator"), { body: hello });
    expect(await runner.done).toMatchObject({
      reason: "TICKET_INVALID",
      fields: [{ field: "ticket" }],
    });
  });

  test("cannot change its session on the way", async () => {
    const ticket = await ticketOf("researcher");
    const other = await ticketOf("researcher");
    const runner = new TestRunner(platform.connection("researcher"), { ticket, body: hello });
    await runner.answer("welcome");
    runner.write({ ticket: other, body: alive });
    expect(await runner.done).toMatchObject({
      reason: "TICKET_SCOPE",
      fields: [{ field: "ticket" }],
    });
  });

  test("of another version is refused by name", async () => {
    const ticket = await ticketOf("researcher");
    const schemaVersion = { min: 7, max: 9 };
    const frame = { schemaVersion, ticket, body: hello };
    const runner = new TestRunner(platform.connection("researcher"), frame);
    expect(await runner.done).toMatchObject({ reason: "SCHEMA_VERSION_UNSUPPORTED" });
  });

  test("is refused a frame that comes out of order", async () => {
    const ticket = await ticketOf("researcher");
    const connection = platform.connection("researcher");
    const early = new TestRunner(connection, { ticket, body: alive });
    const twice = new TestRunner(connection, { ticket, body: hello }, { body: hello });
    for (const runner of [early, twice])
      expect(await runner.done).toMatchObject({
        reason: "INVALID_FIELD",
        fields: [{ field: "body" }],
      });
  });

  test("is refused a frame that breaks a rule, and one of more than a mebibyte", async () => {
    const ticket = await ticketOf("researcher");
    const connection = platform.connection("researcher");
    const queues = [{ computeKey: "no key", position: { case: "fromSeq" as const, value: 0n } }];
    const broken = new TestRunner(
      connection,
      { ticket, body: hello },
      { body: { case: "follow", value: { queues } } },
    );
    expect(await broken.done).toMatchObject({
      reason: "INVALID_FIELD",
      fields: [{ field: expect.stringContaining("compute_key") }],
    });
    const program = "x".repeat(1024 * 1024);
    const large = new TestRunner(connection, {
      ticket,
      body: { case: "hello", value: { program } },
    });
    expect(await large.done).toMatchObject({
      reason: "MESSAGE_TOO_LARGE",
      metadata: { max_bytes: "1048576" },
    });
  });

  test("takes the place of the stream that its session had before", async () => {
    const first = await issue("researcher");
    const connection = platform.connection("researcher");
    const before = new TestRunner(connection, { ticket: first.ticket, body: hello });
    await before.answer("welcome");
    const { ticket } = await issue("researcher", first.sessionId);
    const after = new TestRunner(connection, { ticket, body: hello });
    await after.answer("welcome");
    expect(await before.done).toMatchObject({ reason: "CONFLICT" });
    await after.close();
  });

  test("is told the field of an end that names no feed, and stays attached", async () => {
    const ticket = await ticketOf("researcher");
    const runner = new TestRunner(platform.connection("researcher"), { ticket, body: hello });
    const update = { claim, ends: [{ source: "gone", row: 0n }], strategyIds: [strategyId] };
    runner.write({ body: { case: "end", value: { number: 7n, update } } });
    expect((await runner.answer("taken")).value).toMatchObject({
      number: 7n,
      refusal: { fields: [{ field: "update.ends[0].source" }] },
    });
    await runner.close();
  });
});

class HalfStrategy extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const bars = new StreamInput({ source: "a", columns, interval: "1d" });
    const inputs = { close: column(bars, "close") };
    const half = new ProcessingNode({ name: "half", inputs, period: 1, compute: () => 0.5 });
    this.addNodes([new WeightTargetNode({ signal: half, instrument: "Z" })]);
  }
}

test("an end of a slice that has ended is answered and changes nothing", {
  timeout: 120_000,
}, async () => {
  const lines = Array.from({ length: 12 }, (_, day) => {
    const date = new Date(Date.UTC(2020, 0, 1 + day)).toISOString();
    return `${date},${100 + day},${102 + day},${99 + day},${101 + day}`;
  });
  await using lab = await PaperLab.open({ a: { interval: "1d", lines } }, "2020-01-06");
  await lab.createWorld("a");
  const { config } = lab;
  const connection = connectTo(config.sdk.gateway_url);
  await using run = await Runner.session(new HalfStrategy(), { config, worldId: "w", connection });
  await expect.poll(() => run.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  await lab.advance("a", Date.UTC(2020, 0, 9));
  const { strategyId } = run.status();
  const before = await lab.equity();
  const { ticket } = await lab.connection.client(ControlStreamService).issueTicket({
    ...{ worldId: "w", strategyIds: [strategyId] },
    rights: [TicketRight.COMPUTE, TicketRight.TRADE],
  });
  const runner = new TestRunner(lab.connection, { ticket, body: hello });
  const bucketEndTime = { seconds: BigInt(Date.UTC(2020, 0, 7) / 1_000), nanos: 0 };
  const target = { strategyId, instrument: "Z", size: { case: "weight" as const, value: 1 } };
  const update = {
    claim,
    targets: [{ ...target, row: 1n, bucketEndTime }],
    ends: [{ source: "a", row: 1n }],
    strategyIds: [strategyId],
  };

  runner.write({ body: { case: "end", value: { number: 1n, update } } });
  const taken = await runner.answer("taken");
  await runner.close();
  await lab.advance("a");

  expect(taken.value).toMatchObject({
    number: 1n,
    results: [{ accepted: false, clientOrderIds: [] }],
  });
  expect(taken.value).not.toHaveProperty("refusal");
  expect(await lab.orders()).toEqual([]);
  expect(await lab.equity()).toBe(before);
});
