import { create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { anyPack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "@qmtl/contracts/google/rpc/error_details_pb";
import { StatusSchema } from "@qmtl/contracts/google/rpc/status_pb";
import { connectErrorFromGrpc, isGrpcStatus } from "./grpc-status.ts";
import { QmtlError, type ReasonName } from "./qmtl-error.ts";
import { isReasonName, reasonOfCode } from "./reason-code.ts";
import { StatusCode } from "./status-code.ts";

/** `domain` of every ErrorInfo of this product. */
export const ERROR_DOMAIN = "qmtl";

/**
 * Limits on what an error carries over the wire, because trailers share one header block. Beyond them, text is cut and
 * fields are dropped and counted.
 */
const MESSAGE_CHARS_MAX = 2_048;
const FIELDS_MAX = 100;
const TEXT_CHARS_MAX = 512;
const METADATA_MAX = 32;
const STATUS_BYTES_MAX = 6_144;

interface Detail {
  desc: DescMessage;
  value: MessageShape<DescMessage>;
}

/** At most `max` characters, and no half of a surrogate pair: gRPC's escaping would throw on it. */
function cut(text: string, max: number): string {
  const short = text.length <= max ? text : `${text.slice(0, max - 1)}…`;
  return short.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** The message that is sent: the text of a bug never leaves the process. */
function wireMessage(error: QmtlError): string {
  return error.reason === "BUG" ? "internal error" : cut(error.message, MESSAGE_CHARS_MAX);
}

function details(error: QmtlError, fieldsMax: number, metadataMax: number): Detail[] {
  const bug = error.reason === "BUG";
  const fields = bug ? [] : error.fields.slice(0, fieldsMax);
  const metadata: Record<string, string> = {};
  if (!bug) {
    for (const [key, value] of Object.entries(error.metadata).slice(0, metadataMax)) {
      metadata[cut(key, TEXT_CHARS_MAX)] = cut(value, TEXT_CHARS_MAX);
    }
    if (fields.length < error.fields.length) {
      metadata.fields_omitted = String(error.fields.length - fields.length);
    }
  }
  const info = { reason: error.reason, domain: ERROR_DOMAIN, metadata };
  const out: Detail[] = [{ desc: ErrorInfoSchema, value: create(ErrorInfoSchema, info) }];
  if (fields.length > 0) {
    const fieldViolations = fields.map((violation) => ({
      field: cut(violation.field, TEXT_CHARS_MAX),
      description: cut(violation.description, TEXT_CHARS_MAX),
    }));
    out.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (error.retryAfterMs !== undefined) {
    const retryDelay = durationFromMs(error.retryAfterMs);
    out.push({ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay }) });
  }
  return out;
}

function encode(error: QmtlError, parts: readonly Detail[]): Uint8Array {
  return toBinary(
    StatusSchema,
    create(StatusSchema, {
      code: error.code,
      message: wireMessage(error),
      details: parts.map((part) => anyPack(part.desc, part.value)),
    }),
  );
}

/** The details and their encoding, at most 6 KiB: fields go first, then metadata. */
function fitted(error: QmtlError): { parts: Detail[]; bytes: Uint8Array } {
  let fieldsMax = FIELDS_MAX;
  let metadataMax = METADATA_MAX;
  for (;;) {
    const parts = details(error, fieldsMax, metadataMax);
    const bytes = encode(error, parts);
    if (bytes.length <= STATUS_BYTES_MAX || (fieldsMax === 0 && metadataMax === 0)) {
      return { parts, bytes };
    }
    if (fieldsMax > 0) fieldsMax = Math.min(error.fields.length, fieldsMax) >> 1;
    else metadataMax >>= 1;
  }
}

/** What a gRPC server answers: code, text and the bytes of `grpc-status-details-bin`. */
export interface GrpcStatusParts {
  readonly code: number;
  readonly message: string;
  readonly detailsBin: Uint8Array;
}

/** An error as gRPC status parts. At most 100 fields and 6 KiB; dropped fields are counted in `fields_omitted`. */
export function grpcStatusFrom(error: QmtlError): GrpcStatusParts {
  return { code: error.code, message: wireMessage(error), detailsBin: fitted(error).bytes };
}

/** An error as Connect sends it, with the same details and bounds. */
export function connectErrorFrom(error: QmtlError): ConnectError {
  return new ConnectError(wireMessage(error), error.code, undefined, fitted(error).parts, error);
}

/**
 * Converts any failure to a QmtlError: a ConnectError, a grpc-js status and an abort by their status code and details;
 * anything else becomes a BUG with the failure as its cause. A QmtlError is returned as it is.
 *
 * Without an ErrorInfo of this product the reason follows from the status code, and the code is kept. A reason that
 * this version does not know is kept in `metadata.unknown_reason`.
 */
export function qmtlErrorFrom(failure: unknown): QmtlError {
  if (failure instanceof QmtlError) return failure;
  if (failure instanceof ConnectError) return fromConnectError(failure);
  if (isGrpcStatus(failure)) return fromConnectError(connectErrorFromGrpc(failure));
  if (
    failure instanceof Error &&
    (failure.name === "AbortError" || failure.name === "TimeoutError")
  ) {
    return fromConnectError(ConnectError.from(failure));
  }
  const message = failure instanceof Error ? failure.message : String(failure);
  return new QmtlError("BUG", message, { cause: failure });
}

function fromConnectError(error: ConnectError): QmtlError {
  const carried = error.cause;
  if (carried instanceof QmtlError) return carried;
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === ERROR_DOMAIN);
  const known = info !== undefined && isReasonName(info.reason) ? info.reason : undefined;
  const metadata = { ...info?.metadata };
  if (info !== undefined && known === undefined) metadata.unknown_reason = info.reason;
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap((detail) =>
      detail.fieldViolations.map(({ field, description }) => ({ field, description })),
    );
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new QmtlError(known ?? reasonWithout(error), error.rawMessage, {
    fields,
    metadata,
    code: error.code,
    cause: error,
    ...(delay === undefined ? {} : { retryAfterMs: durationMs(delay) }),
  });
}

/**
 * Reason of an error that came without one. RESOURCE_EXHAUSTED for a message too large for the transport is not a rate
 * limit, so it has a reason of its own.
 */
function reasonWithout({ code, rawMessage }: ConnectError): ReasonName {
  const isSize = code === StatusCode.ResourceExhausted && /larger than/.test(rawMessage);
  return isSize ? "MESSAGE_TOO_LARGE" : reasonOfCode(code);
}
