import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  createLogger,
  createPrincipalCheck,
  OutageLog,
  openGrpcServer,
  serve,
  systemClock,
  systemService,
} from "@qmtl/service-kit";
import { freePorts } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { Peer } from "./peer.ts";

const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32).fill(7) };
const gateway = { name: "gw-test", role: "gateway" } as const;

interface Line {
  readonly level: string;
  readonly message: string;
  readonly failedCalls?: number;
  readonly linesNotWritten?: Readonly<Record<string, number>>;
}

/** A WorldService whose work fails with `failure`, if set; its health says so. */
async function openBehind(port = 0) {
  const state: { failure: QmtlError | undefined } = { failure: undefined };
  const own = [
    serve(RebalancingService, {
      listAllocations: async () => {
        if (state.failure !== undefined) throw state.failure;
        return {};
      },
    }),
  ];
  const health = {
    states: () => new Map([[RebalancingService.typeName, state.failure === undefined]]),
    onChange: (listener: () => void) => {
      changed.add(listener);
      return () => changed.delete(listener);
    },
  };
  const changed = new Set<() => void>();
  const server = await openGrpcServer({
    port,
    services: [...own, systemService({ services: own, serverVersion: "1" })],
    principalOf: createPrincipalCheck({ gateways: [gatewayKey] }),
    health,
  });
  onTestFinished(() => server.close());
  return {
    port: server.port,
    close: () => server.close(),
    fail(failure: QmtlError | undefined) {
      state.failure = failure;
      for (const listener of changed) listener();
    },
  };
}

/** The gateway's side of it, with its log. */
function dial(port: number) {
  const lines: Line[] = [];
  const texts: string[] = [];
  const write = (line: string) => {
    texts.push(line);
    lines.push(JSON.parse(line));
  };
  const outages = new OutageLog(createLogger({ name: "gateway", destination: { write } }));
  const logger = outages.quiet();
  const name = "world-service";
  const peer = new Peer(name, `http://127.0.0.1:${port}`, {
    clock: systemClock,
    gatewayKey,
    monitor: outages.monitorPeer(name),
    work: outages.monitorWork(name),
  });
  onTestFinished(() => peer.close());
  const call = { principal: gateway, timeoutMs: 5_000 };
  return {
    lines,
    texts,
    /** A call that needs the peer's work, logged by its caller when it fails. */
    async work() {
      const { listAllocations } = RebalancingService.method;
      await peer.unary(listAllocations, {}, call).catch((error: unknown) => {
        logger.warn("gate not loaded", { error });
      });
    },
    /** What the probe does every two seconds. */
    async probe() {
      await peer
        .unary(SystemService.method.getCapabilities, {}, call)
        .then(() => peer.lookAgain(5_000))
        .catch(() => {});
    },
  };
}

test.each([
  new QmtlError("STORE_UNAVAILABLE", "the database does not answer; try again"),
  new QmtlError("NOT_LEADER", "another process leads"),
])(
  "a peer that answers and cannot work ($reason) is one line when it begins and one when it ends, however often it is asked",
  async (failure) => {
    const behind = await openBehind();
    const { lines, texts, work, probe } = dial(behind.port);
    await work();

    behind.fail(failure);
    for (let round = 0; round < 4; round += 1) {
      await work();
      await probe();
    }
    behind.fail(undefined);
    await probe();
    await work();

    expect(lines).toMatchObject([
      {
        level: "error",
        message: "the world-service answers, but cannot work; failures are counted until it can",
        reason: failure.reason,
        why: failure.message,
      },
      {
        level: "info",
        message: "the world-service can work again",
        failedCalls: expect.any(Number),
        linesNotWritten: { "gate not loaded": 4 },
      },
    ]);
    expect(texts.filter((text) => text.includes("stack"))).toEqual([]);
  },
);

test("a peer that is killed is told in one short line without a stack, and one when it is back", async () => {
  const behind = await openBehind();
  const { port } = behind;
  const { lines, texts, work, probe } = dial(port);
  await work();

  await behind.close();
  for (let round = 0; round < 5; round += 1) await work();
  await openBehind(port);
  await expect.poll(async () => probe().then(() => lines.length), { timeout: 10_000 }).toBe(2);

  expect(lines).toMatchObject([
    {
      level: "error",
      message: expect.stringContaining("does not answer"),
      why: expect.any(String),
    },
    { level: "info", message: "the world-service answers again" },
  ]);
  expect(texts[0]!.length).toBeLessThan(500);
  expect(texts[0]).not.toMatch(/stack|Resolution note|LB pick/);
});

test("a gateway that starts before the service behind it says so once, as no error", async () => {
  const [port = 0] = await freePorts(1);
  const { lines, work, probe } = dial(port);

  for (let round = 0; round < 5; round += 1) await work();
  await openBehind(port);
  await expect.poll(async () => probe().then(() => lines.length), { timeout: 10_000 }).toBe(2);

  expect(lines.map(({ level, message }) => [level, message])).toEqual([
    ["info", "the world-service does not answer yet; failures are counted until it does"],
    ["info", "the world-service answers"],
  ]);
});
