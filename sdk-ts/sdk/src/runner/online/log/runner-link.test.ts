import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { QueueRecordSchema, RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import {
  type OwnerFrame,
  OwnerFrameSchema,
  type RunnerFrame,
  RunnerService,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import { expect, test } from "vitest";
import { connectErrorFrom, dressTransport, QmtlError } from "../../../rpc/index.ts";
import { ManualClock } from "../../../testing/manual-clock.ts";
import { waitUntil } from "../../../testing/wait-until.ts";
import type { QueueReplica } from "./queue-replica.ts";
import { RunnerLink } from "./runner-link.ts";

/** One stream as the owner sees it. */
interface OwnerStream {
  readonly frames: RunnerFrame[];
  answer(body: OwnerFrame["body"]): void;
  /** Ends the stream, with a failure if there is one. */
  end(failure?: unknown): void;
}

/** A link to an owner that the test plays. */
function openRig() {
  const clock = new ManualClock();
  const streams: OwnerStream[] = [];
  const told = {
    problems: [] as string[],
    faults: [] as RecordFault[],
    ends: 0,
    refused: [] as string[],
  };
  const transport = createRouterTransport((router) => {
    router.service(RunnerService, {
      async *attach(sent, { signal }) {
        const answers: OwnerFrame[] = [];
        const frames: RunnerFrame[] = [];
        let over: { readonly failure: unknown } | undefined;
        let wake = (): void => {};
        const changed = (): void => wake();
        signal.addEventListener("abort", changed);
        streams.push({
          frames,
          answer(body) {
            answers.push(create(OwnerFrameSchema, { body }));
            changed();
          },
          end(failure) {
            over = { failure };
            changed();
          },
        });
        const read = async (): Promise<void> => {
          for await (const frame of sent) frames.push(frame);
          over ??= { failure: undefined };
          changed();
        };
        read().catch(() => {});
        while (!signal.aborted) {
          const next = answers.shift();
          if (next !== undefined) yield next;
          else if (over !== undefined) {
            if (over.failure !== undefined) throw over.failure;
            return;
          } else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
      },
    });
  });
  const link = new RunnerLink({
    runners: createClient(RunnerService, dressTransport(transport, {})),
    clock,
    tickets: { ensure: async () => {}, ticket: "t", drop: () => true },
    reports: { problem: (problem) => void told.problems.push(problem) },
    listener: {
      recordRefused: (fault) => void told.faults.push(fault),
      endWanted: () => void told.ends++,
      linkRefused: (failure) => void told.refused.push(failure.message),
    },
  });
  link.start();
  /** The stream with this number, once it was opened; time passes until then. */
  const stream = async (at: number): Promise<OwnerStream> => {
    await waitUntil(() => {
      clock.advance(100);
      return streams[at] !== undefined;
    }, `stream ${at}`);
    streams[at]!.answer({
      case: "welcome",
      value: { $typeName: "qmtl.gateway.v1.Welcome", sessionId: "s" },
    });
    return streams[at]!;
  };
  return { link, told, clock, stream };
}

const key = `blake3:${"0".repeat(64)}`;
const replica = (isSource: boolean) =>
  ({ computeKey: key, identity: { isSource } }) as unknown as QueueReplica;
const end = { kind: "END" as const, epoch: 1, seq: 4 };
const cases = ({ frames }: OwnerStream): (string | undefined)[] =>
  frames.map(({ body }) => body.case);

test("after a break the runner attaches again, and sends again what was not answered", async () => {
  const { link, told, stream } = openRig();
  const first = await stream(0);
  link.publish(replica(true), [end]);
  link.publish(replica(true), [end]);
  const ended = link.end({ claim: {}, strategyIds: ["s"] }, new AbortController().signal);
  await waitUntil(() => first.frames.length === 3, "the frames");
  expect(cases(first)).toEqual(["hello", "offer", "end"]);

  first.end(new ConnectError("the gateway is not there", Code.Unavailable));
  const second = await stream(1);
  await waitUntil(() => second.frames.length === 3, "the frames again");

  expect(second.frames.map(({ body }) => body.value)).toEqual(
    first.frames.map(({ body }) => body.value),
  );
  expect(told.problems).toEqual(["the gateway is not there"]);
  const { number } = second.frames[2]!.body.value as { number: bigint };
  second.answer(create(OwnerFrameSchema, { body: { case: "taken", value: { number } } }).body);
  expect(await ended).toMatchObject({ number });
  // A new owner does not know the last end.
  second.end(new ConnectError("gone", Code.Unavailable));
  await stream(2);
  await waitUntil(() => told.ends === 1, "the last end is wanted");
  await link.stop();
});

test("records of computed nodes go with the end of their slice, and are sent once until they are read back", async () => {
  const { link, stream } = openRig();
  const first = await stream(0);
  const row = create(QueueRecordSchema, {
    computeKey: key,
    leaseEpoch: 1n,
    seq: 4n,
    body: { case: "end", value: {} },
  });
  link.follow({ keys: [{ computeKey: key, nextSeq: 4 }], onRecords: () => {} });
  link.publish(replica(false), [end]);
  void link.end({ claim: {} }, new AbortController().signal).catch(() => {});
  await waitUntil(() => first.frames.length === 3, "the frames");
  expect(cases(first)).toEqual(["hello", "follow", "end"]);
  expect(first.frames[2]!.body.value).toMatchObject({ computed: [{ seq: 4n }] });

  first.answer(
    create(OwnerFrameSchema, { body: { case: "share", value: { records: [row] } } }).body,
  );
  first.end(new ConnectError("gone", Code.Unavailable));
  const second = await stream(1);
  await waitUntil(() => second.frames.length === 3, "the frames again");

  expect(second.frames[2]!.body.value).toMatchObject({ computed: [] });
  await link.stop();
});

test("a record that is void is told once, and one that was not stored is sent again", async () => {
  const { link, told, clock, stream } = openRig();
  const first = await stream(0);
  link.publish(replica(false), [end, { ...end, seq: 5 }]);
  await waitUntil(() => first.frames.length === 2, "the records");
  const named = (seq: bigint, fault: RecordFault) => ({
    computeKey: key,
    leaseEpoch: 1n,
    seq,
    fault,
  });
  const refusal = { reason: Reason.PEER_UNAVAILABLE, code: Code.Unavailable, message: "no log" };
  for (const value of [
    { records: [named(4n, RecordFault.STALE_EPOCH)] },
    { records: [named(5n, RecordFault.UNSPECIFIED)], refusal },
  ])
    first.answer(create(OwnerFrameSchema, { body: { case: "voided", value } }).body);
  await waitUntil(() => {
    clock.advance(100);
    return first.frames.some(({ body }, at) => at > 1 && body.case === "computed");
  }, "the record again");

  expect(told.faults).toEqual([RecordFault.STALE_EPOCH]);
  expect(told.problems).toEqual(["no log"]);
  const again = first.frames.filter(({ body }) => body.case === "computed").at(-1)!;
  expect(again.body.value).toMatchObject({ records: [{ seq: 5n }] });
  await link.stop();
});

test.each([
  [
    new QmtlError("FEATURE_NOT_BUILT", "no Attach"),
    "this runner is of another version than the gateway",
  ],
  [
    new QmtlError("SCHEMA_VERSION_UNSUPPORTED", "7..9"),
    "this runner is of another version than the gateway",
  ],
  [new QmtlError("CONFLICT", "taken"), "another process runs with this session"],
  [new QmtlError("TRIMMED", "the log is shorter"), "the log is shorter"],
])("a link that cannot be used ends the run, and says why: %s", async (failure, message) => {
  const { link, told, stream } = openRig();
  const first = await stream(0);
  first.end(connectErrorFrom(failure));
  await waitUntil(() => told.refused.length === 1, "the refusal");
  expect(told.refused[0]).toContain(message);
  await link.stop();
});
