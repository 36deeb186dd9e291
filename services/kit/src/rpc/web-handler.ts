import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError, createConnectRouter } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  contentTypeStreamJson,
  contentTypeUnaryJson,
  endStreamFlag,
  endStreamFromJson,
  endStreamToJson,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import {
  type ConnectNodeAdapterOptions,
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { connectErrorFrom, QmtlError } from "@qmtl/sdk/rpc";
import type { Logger } from "../logger.ts";
import type { WebHandler } from "./web-guard.ts";

/**
 * As `connectNodeAdapter`, but a request whose JSON cannot be read is refused as any other bad input is: with a reason,
 * and the field where it is known. The library refuses it before anything of ours is called.
 */
export function webHandler(options: ConnectNodeAdapterOptions, logger: Logger): WebHandler {
  const acceptCompression = [compressionGzip, compressionBrotli];
  const router = createConnectRouter({ acceptCompression, ...options });
  options.routes(router);
  const handlers = new Map(router.handlers.map((each) => [each.requestPath, each]));
  return (request, response) => {
    const [path = ""] = (request.url ?? "").split("?", 1);
    const handler = handlers.get(path);
    if (handler === undefined) {
      if (options.fallback !== undefined) options.fallback(request, response);
      else {
        response.statusCode = 404;
        response.end();
      }
      return;
    }
    const values = options.contextValues?.(request);
    const call = universalRequestFromNodeRequest(request, response, undefined, values);
    handler(call)
      .then((answer) => {
        const told = withReason(call, answer, handler.method.input);
        return universalResponseToNodeResponse(told, response);
      })
      .catch((error: unknown) => {
        if (ConnectError.from(error).code === Code.Aborted) return;
        logger.error("a call at the web door failed", { method: path, error });
      });
  };
}

function withReason(
  { header }: UniversalServerRequest,
  answer: UniversalServerResponse,
  input: DescMessage,
): UniversalServerResponse {
  const { body } = answer;
  if (body === undefined) return answer;
  const asked = header.get("content-type") ?? "";
  const isPlain = answer.header?.has("content-encoding") !== true;
  if (answer.status === 400 && asked.startsWith(contentTypeUnaryJson) && isPlain) {
    const own = new Headers(answer.header);
    own.delete("content-length");
    return { ...answer, header: own, body: mapped(body, (chunk) => ownError(chunk, input)) };
  }
  if (!asked.startsWith(contentTypeStreamJson)) return answer;
  return { ...answer, body: mapped(body, (chunk) => ownEndOfStream(chunk, input)) };
}

/** The first chunk changed: a refusal of the whole call has no other. */
async function* mapped(
  chunks: AsyncIterable<Uint8Array>,
  change: (chunk: Uint8Array) => Uint8Array,
): AsyncIterable<Uint8Array> {
  let isFirst = true;
  for await (const chunk of chunks) {
    yield isFirst ? change(chunk) : chunk;
    isFirst = false;
  }
}

function ownError(bytes: Uint8Array, input: DescMessage): Uint8Array {
  const fallback = new ConnectError("", Code.InvalidArgument);
  const error = errorFromJsonBytes(bytes, undefined, fallback);
  return isOfTheLibrary(error) ? errorToJsonBytes(refusalOf(error, input), undefined) : bytes;
}

/** Envelopes have a byte of flags and four of length. */
const ENVELOPE_HEAD = 5;

function ownEndOfStream(envelope: Uint8Array, input: DescMessage): Uint8Array {
  if (envelope[0] !== endStreamFlag) return envelope;
  const { error, metadata } = endStreamFromJson(envelope.subarray(ENVELOPE_HEAD));
  if (error === undefined || !isOfTheLibrary(error)) return envelope;
  const text = JSON.stringify(endStreamToJson(metadata, refusalOf(error, input), undefined));
  const bytes = new TextEncoder().encode(text);
  const own = new Uint8Array(ENVELOPE_HEAD + bytes.length);
  own[0] = endStreamFlag;
  new DataView(own.buffer).setUint32(1, bytes.length);
  own.set(bytes, ENVELOPE_HEAD);
  return own;
}

/** Every refusal of ours has details. */
const isOfTheLibrary = ({ code, details }: ConnectError): boolean =>
  code === Code.InvalidArgument && details.length === 0;

function refusalOf({ rawMessage }: ConnectError, input: DescMessage): ConnectError {
  const [, unknown, typed, enumType] =
    /key "([^"]*)" is unknown|cannot decode (?:field|list|map) [\w.]*\.(\w+) from JSON|cannot decode enum ([\w.]+) from JSON/.exec(
      rawMessage,
    ) ?? [];
  const field = unknown ?? typed ?? (enumType && onlyFieldOf(input, enumType));
  const description = unknown === undefined ? rawMessage : "is not known";
  const fields = field === undefined ? [] : [{ field, description }];
  return connectErrorFrom(new QmtlError("INVALID_FIELD", rawMessage, { fields }));
}

/**
 * Path of the field of an enum in a request: of an unknown value the library tells the enum alone. Undefined when the
 * request has several.
 */
function onlyFieldOf(input: DescMessage, enumType: string): string | undefined {
  const found = fieldsOf(input, enumType, new Set());
  return found.length === 1 ? found[0] : undefined;
}

function fieldsOf(message: DescMessage, enumType: string, within: Set<DescMessage>): string[] {
  if (within.has(message)) return [];
  within.add(message);
  const found = message.fields.flatMap((field) => {
    if (field.enum?.typeName === enumType) return [field.name];
    if (field.message === undefined) return [];
    return fieldsOf(field.message, enumType, within).map((path) => `${field.name}.${path}`);
  });
  within.delete(message);
  return found;
}
