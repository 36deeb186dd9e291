import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { StatusSchema } from "@qmtl/contracts/google/rpc/status_pb";
import { channelWords } from "./channel-words.ts";
import { headersFromMetadata } from "./grpc-metadata.ts";

const DETAILS_KEY = "grpc-status-details-bin";

/** What grpc-js hands out for a call that failed. */
export type GrpcStatus = Pick<StatusObject, "code" | "details" | "metadata">;

/** True for a ServiceError or StatusObject of grpc-js. */
export function isGrpcStatus(value: unknown): value is GrpcStatus {
  return (
    typeof value === "object" &&
    value !== null &&
    "code" in value &&
    typeof value.code === "number" &&
    "details" in value &&
    typeof value.details === "string" &&
    "metadata" in value &&
    value.metadata instanceof Metadata
  );
}

function isCode(value: number): value is Code {
  return value >= Code.Canceled && value <= Code.Unauthenticated;
}

/**
 * The text of `grpc-message`. grpc-js decodes it with decodeURI, which leaves the escapes of reserved
 * characters ("%3A") that other servers write; so it is decoded once more, unless that fails.
 */
function decodedText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The status code, but UNAVAILABLE for a call whose connection broke under way. grpc-js reports that as INTERNAL, or as
 * CANCELLED where the other side reset the stream; nobody here cancelled the call, and nothing is wrong with it.
 */
function codeOf({ code, details }: GrpcStatus): Code {
  if (!isCode(code)) return Code.Unknown;
  const isBroken =
    (code === Code.Internal && details.startsWith("Received RST_STREAM with code")) ||
    (code === Code.Canceled && details === "Call cancelled");
  return isBroken ? Code.Unavailable : code;
}

/**
 * A failed grpc-js call as a ConnectError with its details. The message in the details is preferred, because it was
 * never escaped. The channel's own text is put into plain words; the cause keeps the original.
 */
export function connectErrorFromGrpc(failure: GrpcStatus): ConnectError {
  const code = codeOf(failure);
  const error = new ConnectError(
    channelWords(decodedText(failure.details)),
    code,
    headersFromMetadata(failure.metadata),
    undefined,
    failure,
  );
  const bytes = failure.metadata.get(DETAILS_KEY)[0];
  if (bytes === undefined || typeof bytes === "string") return error;
  try {
    const status = fromBinary(StatusSchema, bytes);
    if (status.code !== failure.code) return error;
    const exact = new ConnectError(status.message, code, error.metadata, undefined, failure);
    exact.details = status.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
    return exact;
  } catch {
    // Details we cannot read must not hide the status itself.
    return error;
  }
}
