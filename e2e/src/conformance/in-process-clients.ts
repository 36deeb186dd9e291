import { readFileSync } from "node:fs";
import {
  createFileRegistry,
  type DescMethod,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toJson,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "@qmtl/contracts/google/rpc/error_details_pb";
import { connectTo, QmtlError } from "@qmtl/sdk/rpc";
import {
  type ConformanceClient,
  type Outcome,
  type Platform,
  refusalFrom,
  statusName,
} from "./outcome.ts";

let contracts: FileRegistry | undefined;

/** Everything in the contracts, from the committed image. */
function registry(): FileRegistry {
  const image = new URL("../../../proto/baseline.binpb", import.meta.url);
  contracts ??= createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));
  return contracts;
}

function methodOf(name: string): DescMethod {
  const [service = "", method = ""] = name.split("/");
  const found = registry()
    .getService(service)
    ?.methods.find((each) => each.name === method);
  if (found === undefined) throw new Error(`no method ${name}`);
  return found;
}

/** The SDK's connection. Where a step states no schema versions, it states 1..1 by itself. */
export function typescriptClient({ gatewayUrl }: Platform): ConformanceClient {
  return {
    async call({ method, request, key, isStream }) {
      const desc = methodOf(method);
      let message: Message;
      try {
        message = fromJson(desc.input, request as JsonValue, { registry: registry() });
      } catch (failure) {
        return { status: "NOT_SENT", message: String(failure) };
      }
      await using connection = connectTo(gatewayUrl, key === "" ? {} : { apiKey: key });
      const made = Reflect.get(connection.client(desc.parent), desc.localName) as (
        message: Message,
      ) => Promise<Message> & AsyncIterable<Message>;
      try {
        const answering = made(message);
        const answer = isStream ? await firstOf(answering) : await answering;
        return { status: "OK", answer: toJson(desc.output, answer, { registry: registry() }) };
      } catch (failure) {
        if (!(failure instanceof QmtlError)) throw failure;
        const { code, reason, metadata, fields } = failure;
        const paths = fields.map(({ field }) => field);
        return { status: statusName(Code[code]), reason, metadata, fields: paths };
      }
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

async function firstOf(stream: AsyncIterable<Message>): Promise<Message> {
  for await (const message of stream) return message;
  throw new Error("the stream ended without a message");
}

interface ConnectFailure {
  readonly code: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

/** JSON over HTTP, as a page sends it: the request of a step reaches the server unchecked. */
export function webClient({ webUrl }: Platform): ConformanceClient {
  return {
    async call(call) {
      const body = JSON.stringify(call.request);
      const response = await fetch(`${webUrl}/${call.method}`, {
        method: "POST",
        headers: {
          "content-type": call.isStream ? "application/connect+json" : "application/json",
          "connect-protocol-version": "1",
          ...(call.key === "" ? {} : { authorization: `Bearer ${call.key}` }),
        },
        body: call.isStream ? enveloped(body) : body,
      });
      if (!call.isStream) return answerOf(await response.json(), response.ok);
      return streamedOutcome(response);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

function answerOf(json: unknown, isOk: boolean): Outcome {
  return isOk ? { status: "OK", answer: json } : connectRefusal(json as ConnectFailure);
}

/** A refusal in Connect's JSON. */
export function connectRefusal({ code, details = [] }: ConnectFailure): Outcome {
  const read = details.flatMap(({ type, value }) => {
    const bytes = Buffer.from(value, "base64");
    const kinds = [ErrorInfoSchema, BadRequestSchema];
    return kinds
      .filter(({ typeName }) => typeName === type)
      .map((kind) => ({
        "@type": type,
        ...(toJson(kind, fromBinary(kind, bytes)) as object),
      }));
  });
  return refusalFrom(code, read);
}

/** An envelope of the Connect protocol: flags, length, message. */
function enveloped(body: string): Buffer {
  const bytes = Buffer.from(body);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** The first message of a stream, or the refusal it ends with. */
async function streamedOutcome(response: Response): Promise<Outcome> {
  let seen = Buffer.alloc(0);
  for await (const chunk of response.body ?? []) {
    seen = Buffer.concat([seen, chunk]);
    const length = seen.length < 5 ? Number.POSITIVE_INFINITY : seen.readUInt32BE(1);
    if (seen.length < 5 + length) continue;
    const json: unknown = JSON.parse(seen.subarray(5, 5 + length).toString());
    const isEnd = (seen[0]! & 2) !== 0;
    return isEnd ? connectRefusal((json as { error: ConnectFailure }).error) : answerOf(json, true);
  }
  throw new Error("the stream ended without a message");
}
