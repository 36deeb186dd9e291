import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata } from "@grpc/grpc-js";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { connectErrorFrom, grpcStatusFrom, qmtlErrorFrom } from "./error-details.ts";
import { QmtlError, type ReasonName } from "./qmtl-error.ts";
import { codeOfReason, isReasonName } from "./reason-code.ts";

const reasons = Object.keys(Reason).filter((name): name is ReasonName => isReasonName(name));

function overGrpc(error: QmtlError): QmtlError {
  const status = grpcStatusFrom(error);
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(status.detailsBin));
  return qmtlErrorFrom({ code: status.code, details: encodeURI(status.message), metadata });
}

describe("errors over the wire", () => {
  test("every reason of the contracts has a code and comes back as itself", () => {
    expect(reasons.length).toBe(Object.keys(Reason).length - 1);
    for (const reason of reasons) {
      const back = overGrpc(new QmtlError(reason, "text"));
      expect([back.reason, back.code]).toEqual([reason, codeOfReason(reason)]);
    }
  });

  test("message, fields, metadata and delay survive, whatever characters they hold", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 40 });
    fc.assert(
      fc.property(
        text,
        fc.array(fc.record({ field: text, description: text }), { maxLength: 5 }),
        fc.dictionary(fc.stringMatching(/^[a-z_]{1,10}$/), text, {
          maxKeys: 5,
          noNullPrototype: true,
        }),
        fc.option(fc.integer({ min: 0, max: 100_000 }), { nil: undefined }),
        (message, fields, metadata, retryAfterMs) => {
          const sent = new QmtlError("WORLD_HELD", message, {
            fields,
            metadata,
            ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
          });
          const back = overGrpc(sent);
          expect(back.message).toBe(message);
          expect(back.fields).toEqual(fields);
          expect(back.metadata).toEqual(metadata);
          expect(back.retryAfterMs).toBe(retryAfterMs);
        },
      ),
      { seed: 7, numRuns: 200 },
    );
  });

  test("half of a surrogate pair does not break the answer", () => {
    const back = overGrpc(
      new QmtlError("CONFLICT", "bad \ud800 text", { metadata: { a: "\udc00" } }),
    );
    expect(back.message).toBe("bad \ufffd text");
    expect(back.metadata).toEqual({ a: "\ufffd" });
  });

  test("an error with ten thousand fields stays within a header block and says how many it dropped", () => {
    const fields = Array.from({ length: 10_000 }, (_, i) => ({
      field: `nodes[${i}]`,
      description: "x".repeat(90),
    }));
    const sent = new QmtlError("INVALID_FIELD", "y".repeat(100_000), { fields });

    expect(grpcStatusFrom(sent).detailsBin.length).toBeLessThan(6_200);
    const back = overGrpc(sent);
    expect(back.fields.length).toBeGreaterThan(5);
    expect(Number(back.metadata.fields_omitted)).toBe(10_000 - back.fields.length);
    expect(back.message.length).toBeLessThanOrEqual(2_048);
  });

  test("a bug leaves without a word of detail", () => {
    const back = overGrpc(qmtlErrorFrom(new Error("password is hunter2")));
    expect([back.reason, back.message]).toEqual(["BUG", "internal error"]);
    expect(connectErrorFrom(qmtlErrorFrom(new Error("hunter2"))).message).not.toContain("hunter2");
  });
});

describe("qmtlErrorFrom", () => {
  test.each([
    [Code.Unavailable, "PEER_UNAVAILABLE"],
    [Code.DeadlineExceeded, "OUTCOME_UNKNOWN"],
    [Code.Unimplemented, "FEATURE_NOT_BUILT"],
    [Code.Unauthenticated, "PRINCIPAL_UNKNOWN"],
    [Code.NotFound, "BUG"],
  ] as const)("a foreign error of code %i keeps the code and gets reason %s", (code, reason) => {
    const error = qmtlErrorFrom(new ConnectError("from a proxy", code));
    expect([error.code, error.reason]).toEqual([code, reason]);
  });

  test("a message that the transport itself does not send for its size is told as too large, not as too much at once", () => {
    const text = "Attempted to send message with a size larger than 16777216";
    const error = qmtlErrorFrom(new ConnectError(text, Code.ResourceExhausted));
    expect([error.code, error.reason]).toEqual([Code.ResourceExhausted, "MESSAGE_TOO_LARGE"]);
  });

  test("a reason this version does not know is kept in the metadata", () => {
    const sent = new ConnectError("later", Code.FailedPrecondition);
    const known = connectErrorFrom(new QmtlError("HALTED", "x"));
    sent.details = known.details.map((detail) =>
      "desc" in detail
        ? { ...detail, value: { ...detail.value, reason: "FROM_THE_FUTURE" } }
        : detail,
    );
    const error = qmtlErrorFrom(sent);
    expect(error.code).toBe(Code.FailedPrecondition);
    expect(error.metadata.unknown_reason).toBe("FROM_THE_FUTURE");
  });

  test("a text escaped twice is decoded twice, a text with a lone percent sign is left alone", () => {
    const of = (details: string) =>
      qmtlErrorFrom({ code: 5, details, metadata: new Metadata() }).message;
    expect(of("a%3Ab")).toBe("a:b");
    expect(of("100% sure")).toBe("100% sure");
  });

  test("details that cannot be read do not hide the status", () => {
    const metadata = new Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from([255, 255, 255]));
    expect(qmtlErrorFrom({ code: 14, details: "down", metadata }).reason).toBe("PEER_UNAVAILABLE");
  });

  test("an abort is an unknown outcome, with the code of a call given up", () => {
    const error = qmtlErrorFrom(AbortSignal.abort().reason);
    expect([error.reason, error.code]).toEqual(["OUTCOME_UNKNOWN", Code.Canceled]);
  });
});
