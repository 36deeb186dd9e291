import { type Client, Code } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { clientOf, connectTo, dressTransport, QmtlError, type VersionRange } from "@qmtl/sdk/rpc";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openGrpcServer } from "../grpc-server.ts";
import { type CallContext, type ServedService, serve } from "../handlers.ts";
import { openHttpServer } from "../http-server.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { LocalTransport } from "./local-transport.ts";
import type { OpenServer, ServerOptions } from "./server-setup.ts";

/** What the demo handlers saw. */
interface Seen {
  contexts: CallContext[];
  cleanedUp: number;
}

const refusal = () =>
  new QmtlError("SUBMISSION_NOT_FOUND", "no such submission: 100% sure / ünï", {
    fields: [{ field: "submission_id", description: "names nothing" }],
    metadata: { id: "gone" },
    retryAfterMs: 1_500,
  });

const forever = (context: CallContext) =>
  new Promise<never>((_, reject) => {
    context.signal.addEventListener("abort", () => reject(context.signal.reason), { once: true });
  });

function demo(seen: Seen): ServedService[] {
  const gateway = serve(GatewayService, {
    async getSubmission({ submissionId }, context) {
      seen.contexts.push(context);
      if (submissionId === "gone") throw refusal();
      if (submissionId === "bug") throw new Error("secret of the implementation");
      if (submissionId === "slow") return forever(context);
      return { submission: { submissionId } };
    },
    async *watchSubmission({ submissionId }, context) {
      seen.contexts.push(context);
      try {
        for (const stateReason of ["queued", "processing"])
          yield { submission: { submissionId, stateReason } };
        if (submissionId === "gone") throw refusal();
        if (submissionId === "slow") await forever(context);
      } finally {
        seen.cleanedUp += 1;
      }
    },
  });
  return [gateway];
}

interface OpenDemo {
  readonly server: OpenServer;
  readonly gateway: Client<typeof GatewayService>;
  close(): Promise<void>;
}

type Opener = (options: ServerOptions, range: VersionRange | undefined) => Promise<OpenDemo>;

const overGrpc: Opener = async (options, range) => {
  const server = await openGrpcServer(options);
  const connection = connectTo(`http://127.0.0.1:${server.port}`, {
    ...(range === undefined ? {} : { schemaRange: () => range }),
  });
  return {
    server,
    gateway: connection.client(GatewayService),
    async close() {
      connection.close();
      await server.close();
    },
  };
};

const overWeb =
  (kind: "connect-json" | "connect-h2" | "grpc-web"): Opener =>
  async (options, range) => {
    const server = await openHttpServer(options);
    const baseUrl = `http://127.0.0.1:${server.port}`;
    const wire =
      kind === "grpc-web"
        ? createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })
        : createConnectTransport({
            baseUrl,
            httpVersion: kind === "connect-h2" ? "2" : "1.1",
            useBinaryFormat: kind === "connect-h2",
          });
    const transport = dressTransport(wire, range === undefined ? {} : { schemaRange: () => range });
    return {
      server,
      gateway: clientOf(GatewayService, transport),
      close: () => server.close(),
    };
  };

const withinProcess: Opener = async (options, range) => {
  const server = await openGrpcServer(options);
  const connection = connectTo(`http://127.0.0.1:${server.port}`);
  const transport = new LocalTransport(connection.transport, server.local, systemClock);
  const dressed = dressTransport(
    transport,
    range === undefined ? {} : { schemaRange: () => range },
  );
  return {
    server,
    gateway: clientOf(GatewayService, dressed),
    async close() {
      connection.close();
      await server.close();
    },
  };
};

const wires: [string, Opener][] = [
  ["the gRPC server", overGrpc],
  ["the gRPC server, called in its own process", withinProcess],
  ["the HTTP server, Connect JSON over HTTP/1.1", overWeb("connect-json")],
  ["the HTTP server, Connect over HTTP/2 without TLS", overWeb("connect-h2")],
  ["the HTTP server, gRPC-Web over HTTP/1.1", overWeb("grpc-web")],
];

async function failureOf(work: Promise<unknown>): Promise<QmtlError> {
  const failure = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (failure instanceof QmtlError) return failure;
  throw new Error("expected a QmtlError", { cause: failure });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe.each(wires)("%s", (_, opener) => {
  let seen: Seen;
  let open: OpenDemo;
  const range = { min: 1, max: 3 };

  beforeEach(async () => {
    seen = { contexts: [], cleanedUp: 0 };
    open = await opener(
      { services: demo(seen), schemaRange: () => ({ min: 1, max: 2 }), closeMsMax: 300 },
      range,
    );
  });
  afterEach(() => open.close());

  test("answers state the version agreed on and the supported range; the handler knows the version", async () => {
    const { schemaVersion } = await open.gateway.getSubmission({ submissionId: "a" });

    expect(schemaVersion).toMatchObject({ version: 2, supported: { min: 1, max: 2 } });
    expect(seen.contexts[0]?.schemaVersion).toBe(2);
  });

  test("each message of a stream states the version", async () => {
    const messages = await collect(open.gateway.watchSubmission({ submissionId: "a" }));

    expect(messages.map((m) => [m.submission?.stateReason, m.schemaVersion?.version])).toEqual([
      ["queued", 2],
      ["processing", 2],
    ]);
  });

  test("a range with nothing in common is refused with both ranges", async () => {
    const error = await failureOf(
      open.gateway.getSubmission({ submissionId: "a", schemaVersion: { min: 3, max: 4 } }),
    );

    expect(error.reason).toBe("SCHEMA_VERSION_UNSUPPORTED");
    expect(error.metadata).toMatchObject({
      requested_min: "3",
      requested_max: "4",
      supported_max: "2",
    });
  });

  test("an explicit version 0 names the field", async () => {
    const error = await failureOf(
      open.gateway.getSubmission({ submissionId: "a", schemaVersion: { min: 0 } }),
    );

    expect(error.reason).toBe("INVALID_FIELD");
    expect(error.fields.map(({ field }) => field)).toContain("schema_version.min");
  });

  test("a refusal of a unary call keeps reason, code, text, fields, metadata and delay", async () => {
    const error = await failureOf(open.gateway.getSubmission({ submissionId: "gone" }));

    const { reason, message, fields, metadata, retryAfterMs } = refusal();
    expect(error).toMatchObject({
      reason,
      message,
      fields,
      metadata,
      retryAfterMs,
      code: Code.NotFound,
    });
  });

  test("a refusal in the middle of a stream keeps them too, after the messages before it", async () => {
    const states: string[] = [];
    const read = async () => {
      for await (const { submission } of open.gateway.watchSubmission({ submissionId: "gone" })) {
        states.push(submission?.stateReason ?? "");
      }
    };
    const error = await failureOf(read());

    const { reason, message, fields, metadata, retryAfterMs } = refusal();
    expect(error).toMatchObject({ reason, message, fields, metadata, retryAfterMs });
    expect(states).toEqual(["queued", "processing"]);
  });

  test("a broken rule of the contract names its field, in unary calls and streams", async () => {
    const unary = await failureOf(open.gateway.getSubmission({ submissionId: "" }));
    const stream = await failureOf(collect(open.gateway.watchSubmission({ submissionId: "" })));

    for (const [error, field] of [
      [unary, "submission_id"],
      [stream, "submission_id"],
    ] as const) {
      expect(error.reason).toBe("INVALID_FIELD");
      expect(error.fields.map((violation) => violation.field)).toContain(field);
    }
    expect(seen.cleanedUp).toBe(0);
  });

  test("a method that is left out names the feature", async () => {
    const unary = await failureOf(open.gateway.listEvents({}));

    expect([unary.reason, unary.code]).toEqual(["FEATURE_NOT_BUILT", Code.Unimplemented]);
    expect(unary.metadata.feature).toBe("GatewayService.ListEvents");
  });

  test("a bug leaves without a word of detail", async () => {
    const error = await failureOf(open.gateway.getSubmission({ submissionId: "bug" }));

    expect([error.reason, error.code, error.message]).toEqual([
      "BUG",
      Code.Internal,
      "internal error",
    ]);
  });

  test("the deadline ends the call on both sides, and the handler sees how much is left", async () => {
    let error: QmtlError | undefined;
    // A deadline may pass before the call has reached its handler.
    for (let timeoutMs = 150; seen.contexts.length === 0; timeoutMs *= 2)
      error = await failureOf(open.gateway.getSubmission({ submissionId: "slow" }, { timeoutMs }));

    expect([error?.reason, error?.code]).toEqual(["OUTCOME_UNKNOWN", Code.DeadlineExceeded]);
    await waitUntil(() => seen.contexts[0]?.signal.aborted === true && open.server.calls === 0);
  });

  test("timeoutMs is what is left of the caller's deadline, undefined without one", async () => {
    await open.gateway.getSubmission({ submissionId: "a" }, { timeoutMs: 20_000 });
    await collect(open.gateway.watchSubmission({ submissionId: "a" }));

    expect(seen.contexts[0]?.timeoutMs).toBeGreaterThan(1_000);
    expect(seen.contexts[0]?.timeoutMs).toBeLessThanOrEqual(20_000);
    expect(seen.contexts[1]?.timeoutMs).toBeUndefined();
  });

  test("an abort reaches the handler of a unary call", async () => {
    const stop = new AbortController();
    const call = failureOf(
      open.gateway.getSubmission({ submissionId: "slow" }, { signal: stop.signal }),
    );
    await waitUntil(() => seen.contexts.length === 1);
    const { signal } = seen.contexts[0]!;
    expect(signal.aborted).toBe(false);

    stop.abort();

    expect((await call).code).toBe(Code.Canceled);
    await waitUntil(() => signal.aborted);
  });

  test("leaving a stream early ends the handler, which cleans up", async () => {
    for await (const _ of open.gateway.watchSubmission({ submissionId: "slow" })) break;

    await waitUntil(() => seen.cleanedUp === 1 && open.server.calls === 0);
  });

  test("closing ends open streams with DRAINING, and refuses nothing that was answered before", async () => {
    const states: string[] = [];
    const read = async () => {
      for await (const { submission } of open.gateway.watchSubmission({ submissionId: "slow" })) {
        states.push(submission?.stateReason ?? "");
      }
    };
    const failure = failureOf(read());
    await waitUntil(() => states.length === 2);

    await open.server.close();

    const error = await failure;
    expect([error.reason, error.code]).toEqual(["DRAINING", Code.Unavailable]);
    expect(error.retryAfterMs).toBeGreaterThan(0);
    expect(seen.cleanedUp).toBe(1);
  });

  test("a unary call that outlives the bound of the drain is interrupted", async () => {
    const call = failureOf(open.gateway.getSubmission({ submissionId: "slow" }));
    await waitUntil(() => seen.contexts.length === 1);

    await open.server.close();

    // Over gRPC the call is safe to retry, so the client tried again and found no server.
    expect((await call).code).toBe(Code.Unavailable);
    expect(seen.contexts[0]?.signal.reason).toMatchObject({ reason: "DRAINING" });
  });

  test("without keys a caller on loopback is the local owner", async () => {
    await open.gateway.getSubmission({ submissionId: "a" });

    expect(seen.contexts[0]?.principal).toEqual({ name: "local", role: "owner" });
  });

  test("request metadata reaches the handler", async () => {
    await open.gateway.getSubmission(
      { submissionId: "a" },
      { headers: { "x-correlation-id": "c-1" } },
    );

    expect(seen.contexts[0]?.metadata.get("x-correlation-id")).toBe("c-1");
  });
});
