import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescMethod, JsonValue } from "@bufbuild/protobuf";
import { fromJson } from "@bufbuild/protobuf";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { freePorts } from "@qmtl/service-kit/testing";
import { type Platform, startPlatform } from "../start-platform.ts";

const FEED = "date,open,high,low,close\n2020-01-01,1,1,1,1\n2020-01-02,1,1,1,1\n";

/** Roles of the keys; each key's principal is named as its role. */
export const keyRoles = ["viewer", "researcher", "operator", "owner", "adapter"] as const;
export type KeyRole = (typeof keyRoles)[number];

/** How a call ended: answered, or refused. */
type Outcome =
  | { readonly answer: unknown; readonly refusal?: never }
  | { readonly refusal: QmtlError };

/** An embedded platform with a key for each role, and callers at its gateway. */
export interface KeyedPlatform extends AsyncDisposable {
  readonly web: string;
  keyOf(role: KeyRole): string;
  /**
   * Calls with the role's key; `wrong`: with a key nobody has; `none`: without. For a stream, the first message is the
   * answer.
   */
  call(
    caller: KeyRole | "wrong" | "none",
    method: DescMethod,
    request?: JsonValue,
  ): Promise<Outcome>;
  connection(role: KeyRole): Connection;
}

/**
 * Options of a platform with keys, which also has a source `day`, an instrument, a paper account `main` and a world
 * `w`.
 */
interface KeyedPlatformOptions {
  /** Life of a ticket, seconds. @default 300 */
  readonly ticketSeconds?: number;
  /** A second source `night`, with its instrument `Y`, and a second account `spare`. @default false */
  readonly isDoubled?: boolean;
}

/** Starts it in a folder of its own. */
export async function startKeyedPlatform(
  options: KeyedPlatformOptions = {},
): Promise<KeyedPlatform> {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-keyed-"));
  const keyOf = (role: string): string => `${role}-key-of-the-test`;
  for (const role of keyRoles) writeFileSync(join(folder, role), keyOf(role), { mode: 0o600 });
  const keys = keyRoles.map(
    (role) => `${role}: {principal: ${role}, role: ${role}, secret: {file: ${role}}}`,
  );
  const [gateway, web, dag, world] = await freePorts(4);
  const isDoubled = options.isDoubled ?? false;
  const source =
    "{adapter: csv-replay, file: feed.csv, interval: 1d, start: 2020-01-02, until: start}";
  const instrumentOf = (feed: string) =>
    `{venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: ${feed}}`;
  const account = `{broker: paper, currency: USD, initial_cash: "1000", instruments: [X${isDoubled ? ", Y" : ""}]}`;
  const file = join(folder, "qmtl.yml");
  const text = `storage: {kind: embedded, data_dir: data}
telemetry: {log_level: error}
gateway: {port: ${gateway}, web_port: ${web}, ticket_ttl_seconds: ${options.ticketSeconds ?? 300}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
security: {keys: {${keys.join(", ")}}}
sources: {day: ${source}${isDoubled ? `, night: ${source}` : ""}}
instruments: {X: ${instrumentOf("day")}${isDoubled ? `, Y: ${instrumentOf("night")}` : ""}}
accounts: {main: ${account}${isDoubled ? `, spare: ${account}` : ""}}
`;
  writeFileSync(join(folder, "feed.csv"), FEED);
  writeFileSync(file, text);
  const platform: Platform = await startPlatform(loadConfig({ path: file }));
  const connections = new Map<string, Connection>();
  for (const caller of [...keyRoles, "wrong"]) {
    const options = { apiKey: keyOf(caller), repeatableMethods: [] };
    connections.set(caller, connectTo(platform.addresses.gateway, options));
  }
  connections.set("none", connectTo(platform.addresses.gateway, { repeatableMethods: [] }));
  const connection = (caller: string): Connection => connections.get(caller)!;
  const made = { worldId: "w", clock: WorldClock.REPLAY, source: "day", accountId: "main" };
  await connection("owner").client(WorldService).createWorld({ world: made, requestId: "world" });
  return {
    web: platform.addresses.web,
    keyOf,
    connection,
    call: (caller, method, request = {}) => callWith(connection(caller), method, request),
    async [Symbol.asyncDispose]() {
      for (const each of connections.values()) each.close();
      await platform.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Calls the gateway's web port in JSON, as a browser does. */
export function postJson(
  platform: KeyedPlatform,
  role: KeyRole,
  method: DescMethod,
  request: JsonValue,
): Promise<Response> {
  const body = Buffer.from(JSON.stringify(request));
  const isUnary = method.methodKind === "unary";
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return fetch(`${platform.web}/${method.parent.typeName}/${method.name}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${platform.keyOf(role)}`,
      "content-type": isUnary ? "application/json" : "application/connect+json",
      "connect-protocol-version": "1",
    },
    body: isUnary ? body : Buffer.concat([head, body]),
  });
}

async function callWith(
  connection: Connection,
  method: DescMethod,
  request: JsonValue,
): Promise<Outcome> {
  const client: Readonly<Record<string, unknown>> = connection.client(method.parent);
  const call = client[method.localName];
  if (typeof call !== "function") throw new Error(`no method ${method.name}`);
  const over = new AbortController();
  try {
    const options = { signal: over.signal, timeoutMs: 5_000 };
    const answer: unknown = call(fromJson(method.input, request), options);
    if (method.methodKind === "unary") return { answer: await answer };
    for await (const first of answer as AsyncIterable<unknown>) return { answer: first };
    return { answer: undefined };
  } catch (failure) {
    if (failure instanceof QmtlError) return { refusal: failure };
    throw failure;
  } finally {
    over.abort();
  }
}
