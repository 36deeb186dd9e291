import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { credentials, Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import {
  GatewayService,
  WatchSubmissionResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { service as healthService } from "grpc-health-check";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { openGrpcServer } from "./grpc-server.ts";
import { EncodedMessage, type Handlers, serve } from "./handlers.ts";
import type { OpenServer, ServerOptions } from "./rpc/server-setup.ts";
import { freePorts } from "./testing/free-port.ts";
import { waitUntil } from "./testing/wait-until.ts";

type GatewayHandlers = Handlers<typeof GatewayService>;

function open(
  handlers: GatewayHandlers,
  options: Partial<ServerOptions> = {},
): Promise<OpenServer> {
  return openGrpcServer({
    services: [serve(GatewayService, handlers)],
    closeMsMax: 300,
    ...options,
  });
}

function dial(server: Pick<OpenServer, "port">, options: Parameters<typeof connectTo>[1] = {}) {
  const connection = connectTo(`http://127.0.0.1:${server.port}`, options);
  return { connection, gateway: connection.client(GatewayService) };
}

async function refusalOf(work: Promise<unknown>): Promise<QmtlError> {
  const failure = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (failure instanceof QmtlError) return failure;
  throw new Error("expected a QmtlError", { cause: failure });
}

interface Run {
  readonly code: number | null;
  readonly output: string;
}

function bufCurl(...args: readonly string[]): Promise<Run> {
  const binary = fileURLToPath(new URL("../../../node_modules/.bin/buf", import.meta.url));
  const child = spawn(binary, ["curl", "--protocol", "grpc", "--http2-prior-knowledge", ...args]);
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

const echo: GatewayHandlers = {
  getSubmission: async ({ submissionId }) => {
    if (submissionId === "gone") {
      throw new QmtlError("SUBMISSION_NOT_FOUND", "no such submission", {
        metadata: { id: "gone" },
      });
    }
    return { submission: { submissionId } };
  },
};

describe("a foreign gRPC client, buf curl", () => {
  test("lists the services, calls one by its JSON, and shows error details", {
    timeout: 60_000,
  }, async () => {
    await using server = await open(echo);
    const url = `http://127.0.0.1:${server.port}`;
    const method = `${url}/qmtl.gateway.v1.GatewayService/GetSubmission`;

    const [services, health, answer, refusal] = await Promise.all([
      bufCurl("--list-services", url),
      bufCurl("--data", "{}", `${url}/grpc.health.v1.Health/Check`),
      bufCurl("--data", '{"submission_id":"s-1"}', method),
      bufCurl("--data", '{"submission_id":"gone"}', method),
    ]);

    expect(services.output.trim().split("\n").sort()).toEqual([
      "grpc.health.v1.Health",
      "qmtl.gateway.v1.GatewayService",
    ]);
    expect(JSON.parse(health.output)).toEqual({ status: "SERVING" });
    expect(JSON.parse(answer.output)).toMatchObject({ submission: { submissionId: "s-1" } });
    expect(refusal.code).not.toBe(0);
    const { code, details } = JSON.parse(refusal.output);
    expect(code).toBe("not_found");
    expect(details[0].type).toBe("google.rpc.ErrorInfo");
    expect(Buffer.from(details[0].value, "base64").toString()).toContain("SUBMISSION_NOT_FOUND");
  });

  test("finds reflection v1alpha, too", { timeout: 60_000 }, async () => {
    await using server = await open(echo);

    const { output } = await bufCurl(
      "--reflect-protocol",
      "grpc-v1alpha",
      "--list-methods",
      `http://127.0.0.1:${server.port}`,
    );

    expect(output).toContain("qmtl.gateway.v1.GatewayService/SubmitStrategy");
  });
});

test("health is SERVING for the server and each service, NOT_SERVING while it drains", async () => {
  let release = () => {};
  await using server = await open(
    {
      getSubmission: async () => {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return {};
      },
    },
    { closeMsMax: 20_000 },
  );
  const client = new GrpcClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
  const { Check } = healthService;
  const check = (service: string) =>
    new Promise<unknown>((resolve, reject) => {
      client.makeUnaryRequest(
        "/grpc.health.v1.Health/Check",
        Check!.requestSerialize,
        Check!.responseDeserialize,
        { service },
        new Metadata(),
        (failure, answer) => (failure === null ? resolve(answer) : reject(failure)),
      );
    });
  await expect(check("")).resolves.toMatchObject({ status: "SERVING" });
  await expect(check("qmtl.gateway.v1.GatewayService")).resolves.toMatchObject({
    status: "SERVING",
  });
  const { connection, gateway } = dial(server);
  const call = gateway.getSubmission({ submissionId: "a" });
  await waitUntil(() => server.calls === 1);

  const drained = server.drain();

  await expect(check("")).resolves.toMatchObject({ status: "NOT_SERVING" });
  const late = await refusalOf(
    dial(server, { repeatableMethods: [] }).gateway.getSubmission({ submissionId: "b" }),
  );
  expect(late.reason).toBe("DRAINING");
  release();
  await Promise.all([call, drained]);
  client.close();
  connection.close();
});

test("a client finds the server again after a restart on the same port", async () => {
  const [port = 0] = await freePorts(1);
  const first = await open(echo, { port });
  const { connection, gateway } = dial(first);
  await gateway.getSubmission({ submissionId: "a" });
  await first.close();
  expect((await refusalOf(gateway.getSubmission({ submissionId: "a" }))).code).toBe(
    Code.Unavailable,
  );

  await using _second = await open(echo, { port });
  await connection.transport.ready(25_000);

  expect((await gateway.getSubmission({ submissionId: "b" })).submission?.submissionId).toBe("b");
  expect(connection.transport.state()).toBe("ready");
  connection.close();
  expect(connection.transport.state()).toBe("closed");
});

test("a safe call is repeated until the server answers; one that is not safe fails at once", async () => {
  let calls = 0;
  await using server = await open({
    async getSubmission({ submissionId }) {
      calls += 1;
      if (calls < 3) throw new QmtlError("NOT_LEADER", "not yet");
      return { submission: { submissionId } };
    },
  });
  const unsafe = dial(server, { repeatableMethods: [] });
  expect((await refusalOf(unsafe.gateway.getSubmission({ submissionId: "a" }))).reason).toBe(
    "NOT_LEADER",
  );
  expect(calls).toBe(1);

  const safe = dial(server);
  await safe.gateway.getSubmission({ submissionId: "a" });

  expect(calls).toBe(3);
  unsafe.connection.close();
  safe.connection.close();
});

test("it stops with an idle client and an open stream, and its port is free again", async () => {
  const [port = 0] = await freePorts(1);
  const handlers: GatewayHandlers = {
    async *watchSubmission(_, { signal }) {
      yield { submission: { stateReason: "queued" } };
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  };
  const server = await open(handlers, { port });
  const idle = dial(server);
  await idle.connection.transport.ready(25_000);
  const busy = dial(server);
  const stream = busy.gateway.watchSubmission({ submissionId: "a" })[Symbol.asyncIterator]();
  await stream.next();
  const ended = refusalOf(Promise.resolve(stream.next()));

  await server.close();
  await server.close();

  expect((await ended).reason).toBe("DRAINING");
  await using again = await open(echo, { port });
  expect(again.port).toBe(port);
  idle.connection.close();
  busy.connection.close();
});

test("closing the connection gives up the calls in flight", async () => {
  await using server = await open({
    getSubmission: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  });
  const { connection, gateway } = dial(server);
  const call = refusalOf(gateway.getSubmission({ submissionId: "a" }));
  await waitUntil(() => server.calls === 1);

  connection.close();

  expect((await call).code).toBe(Code.Canceled);
  await waitUntil(() => server.calls === 0);
});

test("a port in use is named, in the error alone", async () => {
  await using server = await open(echo);
  const printed = vi.spyOn(console, "error");
  onTestFinished(() => printed.mockRestore());

  const error = await refusalOf(open(echo, { port: server.port }));

  expect(error.reason).toBe("PORT_TAKEN");
  expect(error.message).toContain(String(server.port));
  expect(error.metadata.port).toBe(String(server.port));
  expect(printed).not.toHaveBeenCalled();
});

describe("a reader that takes nothing", () => {
  const message = toBinary(
    WatchSubmissionResponseSchema,
    create(WatchSubmissionResponseSchema, { submission: { stateReason: "x".repeat(32_768) } }),
  );

  /** A grpc-js client that reads one message and then no more. (Before its first read it would buffer all.) */
  function openUnread(server: OpenServer) {
    const client = new GrpcClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const request = Buffer.from([0x12, 1, 97]);
    const call = client.makeServerStreamRequest(
      "/qmtl.gateway.v1.GatewayService/WatchSubmission",
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      request,
      new Metadata(),
    );
    call.on("error", () => {});
    call.once("data", () => call.pause());
    return { client, call };
  }

  test("stops the handler after a bounded number of messages, and gets them all when it reads on", async () => {
    let produced = 0;
    await using server = await open({
      async *watchSubmission() {
        for (; produced < 2_000; produced += 1) yield new EncodedMessage(message);
      },
    });
    const { client, call } = openUnread(server);
    await waitUntil(() => produced > 5);
    let before = -1;
    while (before !== produced) {
      before = produced;
      for (let turn = 0; turn < 200; turn += 1)
        await new Promise((resolve) => setImmediate(resolve));
    }
    // 1 MiB in the server, and what HTTP/2 windows and sockets take: far from the 62 MiB of the whole stream.
    expect(produced).toBeLessThan(400);

    let received = 1;
    await new Promise<void>((resolve) => {
      call.on("data", () => {
        received += 1;
      });
      call.on("end", resolve);
      call.resume();
    });
    expect(received).toBe(2_000);
    client.close();
  });

  test("loses the stream after the bound, and the handler is told", async () => {
    let aborted: unknown;
    await using server = await open(
      {
        async *watchSubmission(_, { signal }) {
          signal.addEventListener("abort", () => {
            aborted = signal.reason;
          });
          for (;;) yield new EncodedMessage(message);
        },
      },
      { stallMsMax: 100 },
    );
    const { client } = openUnread(server);

    await waitUntil(() => aborted !== undefined);

    expect(aborted).toMatchObject({ reason: "BUFFER_FULL" });
    expect(server.calls).toBe(0);
    client.close();
  });
});

test("an encoded message passes byte for byte, unknown fields and all", async () => {
  const encoded = toBinary(
    WatchSubmissionResponseSchema,
    create(WatchSubmissionResponseSchema, {
      schemaVersion: { version: 7 },
      submission: { stateReason: "queued" },
    }),
  );
  const bytes = Buffer.concat([encoded, Buffer.from([0xa2, 0x06, 2, 104, 105])]);
  await using server = await open({
    async *watchSubmission() {
      yield new EncodedMessage(bytes);
    },
  });
  const client = new GrpcClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
  const received: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    client
      .makeServerStreamRequest(
        "/qmtl.gateway.v1.GatewayService/WatchSubmission",
        (request: Buffer) => request,
        (answer: Buffer) => answer,
        Buffer.from([0x12, 1, 97]),
        new Metadata(),
      )
      .on("data", (answer: Buffer) => received.push(answer))
      .on("end", resolve)
      .on("error", reject);
  });

  expect(received.map((answer) => answer.toString("hex"))).toEqual([bytes.toString("hex")]);
  client.close();
});

test("bytes that are no such message are INVALID_FIELD, not a bug", async () => {
  await using server = await open(echo);
  const client = new GrpcClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
  const code = await new Promise<number>((resolve) => {
    client.makeUnaryRequest(
      "/qmtl.gateway.v1.GatewayService/GetSubmission",
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      Buffer.from([0x12, 200, 1]),
      new Metadata(),
      (failure) => resolve(failure?.code ?? 0),
    );
  });
  expect(code).toBe(Code.InvalidArgument);
  client.close();
});

test("messages up to 16 MiB pass both ways, larger ones are refused without harm to the connection", async () => {
  await using server = await open({
    submitStrategy: async ({ graph }) => ({
      submission: { stateReason: graph?.nodes.map(({ paramsJson }) => paramsJson).join("") ?? "" },
    }),
  });
  const { connection, gateway } = dial(server, { timeoutMs: 25_000 });
  const node = {
    nodeId: `blake3:${"0".repeat(64)}`,
    nodeType: "price",
    intervalSeconds: 60n,
    period: 1,
    paramsJson: `{${"x".repeat(64 * 1024 - 1)}`,
    schemaCompatId: "f64:a",
    codeHash: "h",
    columns: [{ name: "a", kind: ColumnKind.F64 }],
  };
  const submit = (mebibytes: number) =>
    gateway.submitStrategy({
      requestId: "r",
      strategyName: "s",
      graph: { nodes: Array.from({ length: mebibytes * 16 }, () => node) },
    });
  const answer = await submit(15);
  expect(answer.submission?.stateReason.length).toBe(15 * 1024 * 1024);

  const error = await refusalOf(submit(17));

  expect(error.code).toBe(Code.ResourceExhausted);
  await submit(1);
  connection.close();
});
