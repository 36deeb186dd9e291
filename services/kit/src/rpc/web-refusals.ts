import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  contentTypeUnaryJson,
  endStreamFlag,
  endStreamFromJson,
  endStreamToJson,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { connectErrorFrom, QmtlError } from "@qmtl/sdk/rpc";
import { jsonFault } from "./json-fault.ts";
import { notServed, refusalOfLibrary } from "./library-refusal.ts";
import type { WebRequest, WebResponse } from "./web-guard.ts";

/** What a refusal of a call is made from. */
interface AskedCall {
  readonly request: UniversalServerRequest;
  readonly body: () => Uint8Array;
  readonly path: string;
  /** HTTP methods it may be called by. */
  readonly allowed: readonly string[];
  readonly input: DescMessage;
  readonly bytesMax: number;
}

/** Envelopes have a byte of flags and four of length. */
const ENVELOPE_HEAD = 5;
const COMPRESSED_FLAG = 1;

const CONTENT_TYPES =
  "application/json, application/proto, application/grpc-web or application/grpc";

/**
 * The answer as it is sent: a refusal by the library itself gets a reason, too, and the field at fault if there is one.
 * The library refuses what it cannot read before it calls anything of ours.
 */
export async function withReason(
  asked: AskedCall,
  answer: UniversalServerResponse,
): Promise<UniversalServerResponse> {
  const kind = asked.request.header.get("content-type") ?? "";
  if (answer.status === 405 || answer.status === 415) return refusedByHttp(asked, answer);
  if (answer.body === undefined) return answer;
  if (kind.startsWith("application/grpc-web"))
    return { ...answer, body: mapped(answer.body, (chunk) => ownTrailer(chunk, asked, answer)) };
  if (kind.startsWith("application/grpc")) return { ...answer, body: thenTrailer(asked, answer) };
  if (kind.startsWith("application/connect+"))
    return {
      ...answer,
      body: mapped(answer.body, (chunk) => ownEndOfStream(chunk, asked, answer)),
    };
  return answer.status === 200 ? answer : ownError(asked, answer);
}

/** Refuses a call of a method that does not exist, in the protocol in which it was made. */
export function refuseMethod(request: WebRequest, response: WebResponse, path: string): void {
  const kind = request.headers["content-type"] ?? "";
  const error = connectErrorFrom(notServed(path));
  if (kind.startsWith("application/grpc")) {
    const trailer = new Headers();
    setTrailerStatus(trailer, error);
    for (const [name, value] of trailer) response.setHeader(name, value);
    response.setHeader("content-type", kind);
    response.end();
    return;
  }
  response.statusCode = 404;
  response.setHeader("content-type", contentTypeUnaryJson);
  response.end(errorToJsonBytes(error, undefined));
}

/** A refusal by HTTP status, for which the protocols define no body. */
function refusedByHttp(
  { path, request, allowed }: AskedCall,
  answer: UniversalServerResponse,
): UniversalServerResponse {
  const isMethod = answer.status === 405;
  const message = isMethod
    ? `${path} is called by ${allowed.join(" or ")}`
    : `${request.header.get("content-type") ?? "no content type"} is not served: ${CONTENT_TYPES}`;
  const field = isMethod ? "http method" : "content-type";
  const fields = [{ field, description: message }];
  const error = connectErrorFrom(new QmtlError("INVALID_FIELD", message, { fields }));
  const header = new Headers(answer.header);
  header.set("content-type", contentTypeUnaryJson);
  if (isMethod) header.set("allow", allowed.join(", "));
  return { ...answer, header, body: once(errorToJsonBytes(error, undefined)) };
}

async function ownError(
  asked: AskedCall,
  answer: UniversalServerResponse,
): Promise<UniversalServerResponse> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body ?? []) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const plain = unpacked(bytes, answer.header?.get("content-encoding"), asked.bytesMax) ?? bytes;
  const error = errorFromJsonBytes(plain, undefined, new ConnectError("", Code.Unknown));
  if (error.details.length > 0) return { ...answer, body: once(bytes) };
  const own = ownRefusal(error, asked);
  const header = new Headers(answer.header);
  header.delete("content-encoding");
  header.delete("content-length");
  const status = STATUS_OF_CODE.get(own.code) ?? answer.status;
  return { ...answer, status, header, body: once(errorToJsonBytes(own, undefined)) };
}

const STATUS_OF_CODE: ReadonlyMap<Code, number> = new Map([
  [Code.InvalidArgument, 400],
  [Code.Unimplemented, 501],
]);

function ownEndOfStream(
  envelope: Uint8Array,
  asked: AskedCall,
  { header }: UniversalServerResponse,
): Uint8Array {
  const text = lastMessage(envelope, endStreamFlag, header?.get("connect-content-encoding"));
  if (text === undefined) return envelope;
  const { error, metadata } = endStreamFromJson(text);
  if (error === undefined || error.details.length > 0) return envelope;
  const own = endStreamToJson(metadata, ownRefusal(error, asked), undefined);
  return enveloped(endStreamFlag, new TextEncoder().encode(JSON.stringify(own)));
}

function ownTrailer(
  envelope: Uint8Array,
  asked: AskedCall,
  { header }: UniversalServerResponse,
): Uint8Array {
  const text = lastMessage(envelope, trailerFlag, header?.get("grpc-encoding"));
  if (text === undefined) return envelope;
  const trailer = trailerParse(text);
  return writeReason(trailer, asked) ? enveloped(trailerFlag, trailerSerialize(trailer)) : envelope;
}

async function* thenTrailer(
  asked: AskedCall,
  { body, trailer }: UniversalServerResponse,
): AsyncIterable<Uint8Array> {
  yield* body ?? [];
  if (trailer !== undefined) writeReason(trailer, asked);
}

/** Adds the details to a gRPC trailer whose refusal has none; true when it did. */
function writeReason(trailer: Headers, asked: AskedCall): boolean {
  const error = findTrailerError(trailer);
  if (error === undefined || error.details.length > 0) return false;
  setTrailerStatus(trailer, ownRefusal(error, asked));
  return true;
}

function ownRefusal({ code, rawMessage }: ConnectError, asked: AskedCall): ConnectError {
  const refusal = refusalOfLibrary({ code, message: rawMessage }, asked.bytesMax);
  if (code !== Code.InvalidArgument) return connectErrorFrom(refusal);
  const text = jsonOf(asked);
  const fault = text === undefined ? undefined : jsonFault(asked.input, text);
  const fields = fault === undefined ? [] : [fault];
  return connectErrorFrom(new QmtlError("INVALID_FIELD", rawMessage, { fields }));
}

/** The JSON of a request; undefined for one that has none, or whose compression is broken. */
function jsonOf({ request, body, bytesMax }: AskedCall): string | undefined {
  const { header, url } = request;
  const kind = header.get("content-type") ?? "";
  if (request.method === "GET") return new URL(url).searchParams.get("message") ?? undefined;
  if (!kind.includes("json")) return undefined;
  const isEnveloped = kind.includes("+json");
  const isPacked = !isEnveloped || ((body()[0] ?? 0) & COMPRESSED_FLAG) !== 0;
  const encoding = header.get(encodingHeader(kind, isEnveloped));
  const bytes = isEnveloped ? body().subarray(ENVELOPE_HEAD) : body();
  const plain = isPacked ? unpacked(bytes, encoding, bytesMax) : bytes;
  return plain === undefined ? undefined : new TextDecoder().decode(plain);
}

function encodingHeader(kind: string, isEnveloped: boolean): string {
  if (!isEnveloped) return "content-encoding";
  return kind.startsWith("application/grpc") ? "grpc-encoding" : "connect-content-encoding";
}

function unpacked(
  bytes: Uint8Array,
  encoding: string | null | undefined,
  bytesMax: number,
): Uint8Array | undefined {
  try {
    if (encoding === "gzip") return gunzipSync(bytes, { maxOutputLength: bytesMax });
    if (encoding === "br") return brotliDecompressSync(bytes, { maxOutputLength: bytesMax });
    return bytes;
  } catch {
    return undefined;
  }
}

/** Largest size of the end of a stream or a trailer, unpacked, bytes. */
const LAST_BYTES_MAX = 1024 * 1024;

/** Content of the envelope that ends a stream; undefined for any other envelope. */
function lastMessage(
  envelope: Uint8Array,
  flag: number,
  encoding: string | null | undefined,
): Uint8Array | undefined {
  const flags = envelope[0] ?? 0;
  if ((flags & flag) === 0) return undefined;
  const content = envelope.subarray(ENVELOPE_HEAD);
  return (flags & COMPRESSED_FLAG) === 0 ? content : unpacked(content, encoding, LAST_BYTES_MAX);
}

function enveloped(flags: number, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ENVELOPE_HEAD + content.length);
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, content.length);
  bytes.set(content, ENVELOPE_HEAD);
  return bytes;
}

async function* mapped(
  chunks: AsyncIterable<Uint8Array>,
  change: (chunk: Uint8Array) => Uint8Array,
): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) yield change(chunk);
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
