import { gzipSync } from "node:zlib";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { qmtlErrorFrom } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openGrpcServer } from "../grpc-server.ts";
import { serve } from "../handlers.ts";
import { openHttpServer } from "../http-server.ts";
import type { OpenServer } from "./server-setup.ts";

const services = () => [
  serve(GatewayService, { getSubmission: async () => ({}) }),
  serve(ActivationService, {}),
];
const GET_SUBMISSION = "qmtl.gateway.v1.GatewayService/GetSubmission";
let web: OpenServer;
let grpc: OpenServer;
beforeAll(async () => {
  web = await openHttpServer({ services: services() });
  grpc = await openGrpcServer({ services: services() });
});
afterAll(async () => {
  await web.close();
  await grpc.close();
});

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

async function ask(path: string, { method = "POST", headers = {}, body = "{}" }: Asked = {}) {
  const answer = await fetch(`http://127.0.0.1:${web.port}/${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(method === "POST" ? { body } : {}),
  });
  const error = errorFromJsonBytes(await answer.bytes(), undefined, new ConnectError("none"));
  const { reason, code, fields, metadata, message } = qmtlErrorFrom(error);
  const isTold = error.details.length > 0;
  return { status: answer.status, isTold, reason, code, fields, metadata, message };
}

const packed = (encoding: string, body: Uint8Array<ArrayBuffer>): Asked => ({
  headers: { "content-encoding": encoding },
  body,
});

describe("what the web port refuses by itself has a reason", () => {
  test.each([
    ["an unknown service", "qmtl.nothing.v1.NothingService/Get"],
    ["an unknown method", "qmtl.gateway.v1.GatewayService/Nothing"],
    ["an internal method of another port", "qmtl.world.v1.ActivationService/PlanApply"],
    ["a path that is none", "nothing"],
  ])("%s", async (_, path) => {
    expect(await ask(path)).toMatchObject({
      status: 404,
      isTold: true,
      reason: "METHOD_NOT_SERVED",
      code: Code.Unimplemented,
      metadata: { method: path },
    });
  });

  test("a method called by PUT, and one with another content type", async () => {
    expect(await ask(GET_SUBMISSION, { method: "PUT" })).toMatchObject({
      status: 405,
      isTold: true,
      reason: "INVALID_FIELD",
    });
    expect(await ask(GET_SUBMISSION, { headers: { "content-type": "text/xml" } })).toMatchObject({
      status: 415,
      isTold: true,
      fields: [{ field: "content-type" }],
    });
  });

  test("a compression that is not known, and one that is not what was sent", async () => {
    const garbage = new Uint8Array([1, 2, 3, 4, 5]);
    expect(await ask(GET_SUBMISSION, packed("zoo", garbage))).toMatchObject({
      status: 501,
      isTold: true,
      reason: "FEATURE_NOT_BUILT",
    });
    for (const encoding of ["br", "gzip"]) {
      expect(await ask(GET_SUBMISSION, packed(encoding, garbage))).toMatchObject({
        status: 400,
        isTold: true,
        reason: "INVALID_FIELD",
      });
    }
  });

  test("a message above 1 MiB, also one that is so only once it is unpacked: not to be repeated", async () => {
    const large = JSON.stringify({ submissionId: "x".repeat(1024 * 1024) });
    const bomb = new Uint8Array(gzipSync(large));
    for (const asked of [{ body: large }, packed("gzip", bomb)]) {
      expect(await ask(GET_SUBMISSION, asked)).toMatchObject({
        status: 400,
        isTold: true,
        reason: "MESSAGE_TOO_LARGE",
        code: Code.InvalidArgument,
        metadata: { max_bytes: "1048576" },
      });
    }
  });

  test("a gRPC-Web call without a message is the caller's mistake, not a compression", async () => {
    const answer = await fetch(`http://127.0.0.1:${web.port}/${GET_SUBMISSION}`, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto" },
      body: new Uint8Array(0),
    });
    const trailers = `${await answer.text()} ${[...answer.headers].join("\n")}`;

    expect(trailers).toMatch(/grpc-status[:,]\s*3/);
    expect(trailers).not.toMatch(/FEATURE_NOT_BUILT|compression/);
  });

  test("the same by gRPC-Web and by gRPC", async () => {
    const baseUrl = `http://127.0.0.1:${web.port}`;
    const transports = [
      createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
      createGrpcTransport({ baseUrl }),
    ];
    for (const transport of transports) {
      const large = { submissionId: "x".repeat(1024 * 1024) };
      const tooLarge = await failureOf(
        createClient(GatewayService, transport).getSubmission(large),
      );
      const internal = await failureOf(createClient(ActivationService, transport).planApply({}));

      expect(tooLarge).toMatchObject({ reason: "MESSAGE_TOO_LARGE", code: Code.InvalidArgument });
      expect(internal).toMatchObject({ reason: "METHOD_NOT_SERVED", code: Code.Unimplemented });
    }
  });
});

async function failureOf(work: Promise<unknown>) {
  const failure = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return qmtlErrorFrom(failure);
}

/** A call of grpc-js with bytes of our own. */
function call(path: string, body: Buffer, isGzipped = false) {
  const client = new Client(`127.0.0.1:${grpc.port}`, credentials.createInsecure(), {
    "grpc.max_send_message_length": -1,
    "grpc.default_compression_algorithm": isGzipped ? 2 : 0,
  });
  const pass = (bytes: Buffer) => bytes;
  return new Promise<ReturnType<typeof qmtlErrorFrom>>((resolve) => {
    const done = (failure: ServiceError | null) => {
      client.close();
      resolve(qmtlErrorFrom(failure));
    };
    client.makeUnaryRequest(`/${path}`, pass, pass, body, new Metadata(), {}, done);
  });
}

describe("what the gRPC port refuses by itself has a reason", () => {
  test.each([
    ["an unknown service", "qmtl.nothing.v1.NothingService/Get"],
    ["an unknown method", "qmtl.gateway.v1.GatewayService/Nothing"],
    ["an internal method of another port", "qmtl.world.v1.ActivationService/PlanApply"],
  ])("%s", async (_, path) => {
    expect(await call(path, Buffer.alloc(0))).toMatchObject({
      reason: "METHOD_NOT_SERVED",
      code: Code.Unimplemented,
      metadata: { method: path },
    });
  });

  test("a message above 16 MiB, also one that is so only once it is unpacked: not to be repeated", async () => {
    for (const isGzipped of [false, true]) {
      const body = Buffer.alloc(17 * 1024 * 1024);
      expect(await call(GET_SUBMISSION, body, isGzipped)).toMatchObject({
        reason: "MESSAGE_TOO_LARGE",
        code: Code.InvalidArgument,
        metadata: { max_bytes: "16777216" },
      });
    }
  });
});
