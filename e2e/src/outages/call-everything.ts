import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Connection, dressTransport, QmtlError } from "@qmtl/sdk/rpc";

/** How a call of a method ended. */
export interface Ending {
  /** `WorldService.GetWorld`. */
  readonly method: string;
  /** Undefined for a call that was answered, and for a stream that gave nothing in time. */
  readonly failure: QmtlError | undefined;
}

/** Longest wait for an answer, milliseconds; a stream that gives nothing within is well. */
const answerMs = 12_000;
const streamMs = 2_000;
/** Messages within messages that are filled. */
const depthMax = 3;

/** What text fields are filled with, so that as many calls as possible get as far as the store. */
const TEXT: Readonly<Record<string, string>> = {
  world_id: "w",
  account_id: "main",
  source: "day",
  strategy_id: "s-0000000000000000",
  instrument: "day",
  compute_key: "blake3:0",
  node_id: "blake3:0",
  on_demote: "flat",
  on_lease_lost: "hold",
  clock: "replay",
  code_hash: "",
  policy_yaml: "gates: []",
  quantity: "1",
  price: "1",
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
  const request = create(method.input);
  fill(reflect(method.input, request), 0);
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

/** Fills what a rule may ask for; a request that still breaks one is refused before anything is looked up. */
function fill(message: ReflectMessage, depth: number): void {
  for (const field of message.fields) {
    if (field.name === "schema_version" || field.oneof !== undefined) continue;
    const value = filled(field, depth);
    if (value !== undefined) message.set(field, value);
  }
  for (const oneof of message.oneofs) {
    const [first] = oneof.fields;
    const value = first === undefined ? undefined : filled(first, depth);
    if (first !== undefined && value !== undefined) message.set(first, value);
  }
}

function filled(field: DescField, depth: number) {
  if (field.fieldKind === "scalar") {
    const isText = typeof scalarZero(field) === "string";
    return isText && !field.name.endsWith("token") && field.name !== "ticket"
      ? (TEXT[field.name] ?? "x")
      : undefined;
  }
  if (field.fieldKind === "enum") return field.enum.values[1]?.number;
  if (field.fieldKind === "message" && depth < depthMax && !isWellKnown(field.message)) {
    const inner = reflect(field.message);
    fill(inner, depth + 1);
    return inner;
  }
  return undefined;
}

function scalarZero(field: DescField & { fieldKind: "scalar" }): unknown {
  return field.getDefaultValue() ?? (field.scalar === 9 ? "" : 0);
}

const isWellKnown = ({ typeName }: DescMessage) => typeName.startsWith("google.protobuf.");
