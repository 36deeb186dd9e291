import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { createPrincipalCheck, openGrpcServer, serve, systemClock } from "@qmtl/service-kit";
import { expect, test } from "vitest";
import { Peer } from "../peers/peer.ts";
import { SliceBooker } from "./slice-booker.ts";
import { SourceKeys } from "./source-keys.ts";

test("a gateway that starts again reads the rows it missed in its own name", async () => {
  const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32).fill(7) };
  const asked: unknown[] = [];
  const queues = serve(QueueDataService, {
    async *consume({ keys: wanted }, { principal }) {
      asked.push({ principal, keys: wanted.map((key) => key.computeKey) });
    },
  });
  const principalOf = createPrincipalCheck({ gateways: [gatewayKey], signedOnly: true });
  await using server = await openGrpcServer({ services: [queues], principalOf });
  const dag = new Peer("dag-manager", `http://127.0.0.1:${server.port}`, {
    clock: systemClock,
    gatewayKey,
  });
  const columns = ["open", "high", "low", "close"];
  const keys = new SourceKeys(
    { query: async () => [], script: async () => {} },
    new Map([["feed", { marked: ["X"], funded: [], columns }]]),
  );
  const computeKey = `blake3:${"0".repeat(64)}`;
  const bars = { nodeId: "n", source: "feed", instrument: "X", columns, isReplay: true };
  keys.add([{ ...bars, computeKey }]);
  const orders = () => ({
    onBars: async () => {},
    rowsPassed: () => {},
    bookedRow: () => 4,
    takeSlice: async () => {},
    isReported: () => true,
    reported: async () => {},
    usesOf: async () => undefined,
    sharing: (worldIds: readonly string[]) => ({ isIdle: () => false, worldIds }),
  });
  const gateway = { name: "gw-test", role: "gateway" } as const;
  const booker = new SliceBooker({ dag, gateway, keys, orders });

  try {
    await booker.missed("feed");
  } finally {
    dag.close();
  }

  expect(asked).toEqual([{ principal: gateway, keys: [computeKey] }]);
});
