import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescMethod } from "@bufbuild/protobuf";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { RebalancingExecutionService } from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { SubscriptionService } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { accessOf } from "@qmtl/service-kit";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Platform, startPlatform } from "./start-platform.ts";

const roles = ["viewer", "researcher", "operator", "owner", "adapter"] as const;
const keyOf = (role: string): string => `${role}-key-of-the-test`;

/** Served at the gateway's address. */
const services = [
  ...[GatewayService, ControlStreamService, OrderService, AccountService],
  ...[RebalancingExecutionService, QueueService, QueueDataService, SystemService],
  ...[WorldService, PolicyService, DecisionService, ActivationService, RebalancingService],
];
const methods = services.flatMap((service) => service.methods.map((method) => [method] as const));

const folder = mkdtempSync(join(tmpdir(), "qmtl-roles-"));
let platform: Platform;
const connections = new Map<string, Connection>();

beforeAll(async () => {
  for (const role of roles) {
    writeFileSync(join(folder, role), keyOf(role), { mode: 0o600 });
  }
  const keys = roles.map(
    (role) => `${role}: {principal: ${role}, role: ${role}, secret: {file: ${role}}}`,
  );
  const [gateway, web, dag, world] = await freePorts(4);
  const file = join(folder, "qmtl.yml");
  writeFileSync(
    file,
    `storage: {kind: embedded, data_dir: data}
telemetry: {log_level: error}
gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
security: {keys: {${keys.join(", ")}}}
`,
  );
  platform = await startPlatform(loadConfig({ path: file }));
  for (const role of [...roles, "wrong"]) {
    const apiKey = keyOf(role);
    connections.set(role, connectTo(platform.addresses.gateway, { apiKey, repeatableMethods: [] }));
  }
  connections.set("none", connectTo(platform.addresses.gateway, { repeatableMethods: [] }));
}, 120_000);
afterAll(async () => {
  for (const connection of connections.values()) connection.close();
  await platform?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Reason of the refusal of an empty request; undefined when it was answered. */
async function reasonFor(caller: string, method: DescMethod): Promise<string | undefined> {
  const client: Readonly<Record<string, unknown>> = connections.get(caller)!.client(method.parent);
  const call = client[method.localName];
  if (typeof call !== "function") throw new Error(`no method ${method.name}`);
  const over = new AbortController();
  try {
    const answer: unknown = call({}, { signal: over.signal, timeoutMs: 5_000 });
    if (method.methodKind === "unary") await answer;
    else for await (const _ of answer as AsyncIterable<unknown>) break;
    return undefined;
  } catch (failure) {
    if (failure instanceof QmtlError) return failure.reason;
    throw failure;
  } finally {
    over.abort();
  }
}

describe.each(methods)("$parent.name.$name", (method) => {
  test("is refused to each role that its contract does not name, and to no other", async () => {
    const access = accessOf(method);
    const refused: string[] = [];
    for (const role of roles) {
      if ((await reasonFor(role, method)) === "ROLE_REQUIRED") refused.push(role);
    }

    expect(refused).toEqual(roles.filter((role) => !access.roles.has(role)));
  });

  test("is refused without a key and with a wrong one", async () => {
    expect(await reasonFor("none", method)).toBe("PRINCIPAL_UNKNOWN");
    expect(await reasonFor("wrong", method)).toBe("PRINCIPAL_UNKNOWN");
  });
});

test.each([DiffService, SubscriptionService])(
  "$name is not served at the gateway",
  async (service) => {
    for (const method of service.methods) {
      expect(await reasonFor("owner", method)).toBe("FEATURE_NOT_BUILT");
    }
  },
);
