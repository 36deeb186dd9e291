import { type DescMethod, type DescService, fromJson } from "@bufbuild/protobuf";
import { type Connection, dressTransport, QmtlError } from "@qmtl/sdk/rpc";
import { minimalRequest } from "@qmtl/service-kit/testing";

/** How a call of a method ended. */
export interface Ending {
  /** `WorldService.GetWorld`. */
  readonly method: string;
  /** Undefined for a call that was answered, and for a stream that gave nothing in time. */
  readonly failure: QmtlError | undefined;
}

/** Longest wait for an answer, and for a first message of a stream, milliseconds; a silent stream is no failure. */
const answerMs = 12_000;
const streamMs = 2_000;

/** Values of fields by name, so that as many calls as possible reach the store. */
const THERE = {
  world_id: "w",
  account_id: "main",
  source: "day",
  sources: "day",
  instrument: "day",
  strategy_id: "s-0000000000000000",
};

/** Calls every method of the services once, with requests made from their descriptors. */
export async function callEverything(
  connection: Connection,
  services: readonly DescService[],
): Promise<Ending[]> {
  const endings: Ending[] = [];
  for (const service of services) {
    for (const method of service.methods) {
      const name = `${service.name}.${method.name}`;
      endings.push({ method: name, failure: await failureOf(connection, method) });
    }
  }
  return endings;
}

async function failureOf(
  connection: Connection,
  method: DescMethod,
): Promise<QmtlError | undefined> {
  const request = fromJson(method.input, minimalRequest(method.input, THERE));
  const transport = dressTransport(connection.transport, {});
  const signal = AbortSignal.timeout(method.methodKind === "unary" ? answerMs : streamMs);
  try {
    if (method.methodKind === "unary") {
      const unary = { ...method, methodKind: method.methodKind };
      await transport.unary(unary, signal, answerMs, undefined, request);
    } else if (method.methodKind === "server_streaming") {
      const stream = { ...method, methodKind: method.methodKind };
      const { message } = await transport.stream(
        stream,
        signal,
        undefined,
        undefined,
        once(request),
      );
      for await (const _ of message) break;
    }
    return undefined;
  } catch (failure) {
    if (signal.aborted && method.methodKind !== "unary") return undefined;
    if (failure instanceof QmtlError) return failure;
    throw failure;
  }
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}
