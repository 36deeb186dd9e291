import { create, toBinary } from "@bufbuild/protobuf";
import {
  GatewayService,
  GetSubmissionRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve } from "../handlers.ts";
import { openHttpServer } from "../http-server.ts";
import type { OpenServer } from "./server-setup.ts";

const page = "http://localhost:5173";
const method = "qmtl.gateway.v1.GatewayService/GetSubmission";
const json = '{"submissionId":"a"}';
/** The same request as a gRPC-Web frame: no flag, four bytes of length, the message. */
const frame = framed(
  toBinary(GetSubmissionRequestSchema, create(GetSubmissionRequestSchema, { submissionId: "a" })),
);

function framed(message: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([0, 0, 0, 0, message.length, ...message]);
}

let server: OpenServer;
let calls = 0;
beforeAll(async () => {
  const refused = async () => {
    calls += 1;
    throw new QmtlError("SUBMISSION_NOT_FOUND", "there is no such submission");
  };
  const services = [serve(GatewayService, { getSubmission: refused })];
  server = await openHttpServer({ services, origins: [page] });
});
afterAll(() => server.close());

const send = (init: RequestInit): Promise<Response> =>
  fetch(`http://127.0.0.1:${server.port}/${method}`, init);
const call = (
  type: string,
  body: string | Uint8Array<ArrayBuffer>,
  origin?: string,
): Promise<Response> =>
  send({
    method: "POST",
    headers: { "content-type": type, ...(origin === undefined ? {} : { origin }) },
    body,
  });
const preflight = (origin: string, headers: string): Promise<Response> =>
  send({
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": headers,
    },
  });
const list = (response: Response, header: string): string[] =>
  (response.headers.get(header) ?? "").toLowerCase().split(/, */);
const corsHeaders = (response: Response): string[] =>
  [...response.headers.keys()].filter((name) => name.startsWith("access-control-"));

describe("a page of an allowed origin", () => {
  test.each([
    ["Connect", "content-type,connect-protocol-version,connect-timeout-ms,authorization"],
    ["gRPC-Web", "content-type,x-grpc-web,x-user-agent,grpc-timeout,authorization"],
  ])("may send every header of %s and its key", async (_protocol, headers) => {
    const answer = await preflight(page, headers);

    expect(answer.status).toBe(204);
    expect(answer.headers.get("access-control-allow-origin")).toBe(page);
    expect(list(answer, "access-control-allow-methods")).toContain("post");
    expect(list(answer, "access-control-allow-headers")).toEqual(
      expect.arrayContaining(headers.split(",")),
    );
    expect(calls).toBe(0);
  });

  test("reads a refusal with its reason by Connect", async () => {
    const answer = await call("application/json", json, page);

    expect(answer.headers.get("access-control-allow-origin")).toBe(page);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({
      code: "not_found",
      details: [
        { debug: { reason: "SUBMISSION_NOT_FOUND" } },
        { debug: { fieldViolations: [{ field: "submission_id" }] } },
      ],
    });
  });

  test("may read status, message and details of a refusal by gRPC-Web", async () => {
    const answer = await call("application/grpc-web+proto", frame, page);

    expect(answer.headers.get("access-control-allow-origin")).toBe(page);
    expect(list(answer, "access-control-expose-headers")).toEqual(
      expect.arrayContaining(["grpc-status", "grpc-message", "grpc-status-details-bin"]),
    );
    expect(answer.headers.get("grpc-status") ?? (await answer.text())).toMatch(
      /^5$|grpc-status: 5/,
    );
  });

  test("is not told that it may send cookies", async () => {
    const answer = await preflight(page, "content-type");

    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
  });
});

describe("a page of another origin", () => {
  const others = [
    "http://localhost:5174",
    "https://localhost:5173",
    "http://localhost:5173.evil.test",
    "http://evil.test",
    "null",
  ];

  test.each(others)("%s is refused at its preflight, without a CORS header", async (origin) => {
    const answer = await preflight(origin, "content-type");

    expect(answer.status).toBe(403);
    expect(corsHeaders(answer)).toEqual([]);
  });

  test.each(others)("%s has nothing called, and may read nothing", async (origin) => {
    const before = calls;

    for (const type of ["application/json", "application/grpc-web+proto", "text/plain"]) {
      const answer = await call(type, type === "application/json" ? json : frame, origin);
      expect(answer.status).toBe(403);
      expect(corsHeaders(answer)).toEqual([]);
      expect(await answer.text()).toContain("gateway.web_origins");
    }
    expect(calls).toBe(before);
  });
});

test("a caller that is no page needs no origin, and a cache keeps its answer from pages", async () => {
  const answer = await call("application/json", json);

  expect(answer.status).toBe(404);
  expect(corsHeaders(answer)).toEqual([]);
  expect(answer.headers.get("vary")).toContain("origin");
});
