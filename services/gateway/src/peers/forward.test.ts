import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { connectTo } from "@qmtl/sdk/rpc";
import {
  createPrincipalCheck,
  type OpenServer,
  openGrpcServer,
  serve,
  systemClock,
  systemService,
} from "@qmtl/service-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { contractsOf, forwardService } from "./forward.ts";
import { Peer } from "./peer.ts";

const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32).fill(7) };
const gateway = { name: "gw-test", role: "gateway" } as const;
const open = new AsyncDisposableStack();
let peer: Peer;
let caller: ReturnType<typeof connectTo>;
let behind: OpenServer;
let opened = 0;
/** What happened, in order. */
const happened: string[] = [];

beforeAll(async () => {
  const own = [
    serve(RebalancingService, {
      listAllocations: async () => {
        happened.push("listed");
        return {};
      },
    }),
    serve(QueueService, {
      openContext: async () => {
        opened += 1;
        return {};
      },
    }),
  ];
  const ranges = (service: { typeName: string }) => ({
    min: 1,
    max: service.typeName === RebalancingService.typeName ? 2 : 1,
  });
  behind = open.use(
    await openGrpcServer({
      services: [...own, systemService({ services: own, schemaRange: ranges, serverVersion: "9" })],
      schemaRange: ranges,
      principalOf: createPrincipalCheck({ gateways: [gatewayKey] }),
    }),
  );
  peer = new Peer("peer", `http://127.0.0.1:${behind.port}`, { clock: systemClock, gatewayKey });
  open.defer(() => peer.close());
  const listAllocations = async () => void happened.push("before");
  const forwarded = [
    forwardService(RebalancingService, peer, {}, { listAllocations }),
    forwardService(QueueService, peer),
  ];
  const front = open.use(
    await openGrpcServer({
      services: [
        ...forwarded,
        systemService({
          services: forwarded,
          serverVersion: "1",
          behind: () => contractsOf(peer, gateway),
        }),
      ],
    }),
  );
  caller = connectTo(`http://127.0.0.1:${front.port}`, { repeatableMethods: [] });
  open.defer(() => caller.close());
});
afterAll(() => open.disposeAsync());

test("a proxy lets the server behind agree on the version, and tells that server's range", async () => {
  const { schemaVersion } = await caller
    .client(RebalancingService)
    .listAllocations({ schemaVersion: { min: 2, max: 2 } });

  expect(schemaVersion).toMatchObject({ version: 2, supported: { min: 1, max: 2 } });
});

test("what has to be done before a method is passed on is done by then", async () => {
  happened.length = 0;
  await caller.client(RebalancingService).listAllocations({});

  expect(happened).toEqual(["before", "listed"]);
});

test("a version nobody behind the proxy speaks is refused with the ranges of the server behind", async () => {
  const call = caller.client(RebalancingService).listAllocations({ schemaVersion: { min: 3 } });

  await expect(call).rejects.toMatchObject({
    reason: "SCHEMA_VERSION_UNSUPPORTED",
    metadata: { requested_min: "3", supported_max: "2" },
  });
});

test("a range that is none is refused by the proxy already", async () => {
  const call = caller.client(RebalancingService).listAllocations({ schemaVersion: { max: 0 } });

  await expect(call).rejects.toMatchObject({ reason: "INVALID_FIELD" });
});

test("an internal method is not served at the proxy, not even to an owner", async () => {
  const call = caller.client(QueueService).openContext({});

  await expect(call).rejects.toMatchObject({ reason: "METHOD_NOT_SERVED" });
  expect(opened).toBe(0);
});

test("capabilities of a proxy are those of the server behind it, and nothing while that does not answer", async () => {
  const supportedOf = async () => {
    const { capabilities } = await caller.client(SystemService).getCapabilities({});
    return capabilities?.contracts.find((one) => one.contract === RebalancingService.typeName)
      ?.supported;
  };
  expect(await supportedOf()).toMatchObject({ min: 1, max: 2 });

  await behind.close();
  expect(await supportedOf()).toBeUndefined();
});
