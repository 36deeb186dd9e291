import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { expect, onTestFinished, test } from "vitest";
import { openGrpcServer } from "../grpc-server.ts";
import { serve } from "../handlers.ts";
import { silentLogger } from "../logger.ts";
import { createMetrics } from "../metrics.ts";
import type { OpenServer } from "../rpc/server-setup.ts";
import { freePorts } from "../testing/free-port.ts";
import { LeadershipMonitor } from "./leadership-monitor.ts";

/** One process of a service: serves while it leads, and counts the calls that it got. */
interface Instance {
  readonly server: OpenServer;
  readonly url: string;
  asked: number;
  leads(isLeading: boolean): void;
}

async function openInstance(name: string, isLeading: boolean): Promise<Instance> {
  const leading = new LeadershipMonitor({
    part: name,
    logger: silentLogger,
    metrics: createMetrics(),
  });
  leading.set(isLeading ? "leads" : "standby");
  const refuse = () => {
    instance.asked += 1;
    if (!leading.isLeading) throw new QmtlError("NOT_LEADER", "another process leads");
  };
  const services = [
    serve(GatewayService, {
      getSubmission: async () => {
        refuse();
        return { submission: { submissionId: name } };
      },
      async *watchSubmission() {
        refuse();
        yield { submission: { submissionId: name } };
      },
    }),
  ];
  const server = await openGrpcServer({ services, health: leading.healthOf(services) });
  onTestFinished(() => server.close());
  const instance: Instance = {
    server,
    url: `http://127.0.0.1:${server.port}`,
    asked: 0,
    leads: (is) => leading.set(is ? "leads" : "standby"),
  };
  return instance;
}

function dial(urls: readonly string[], options: Parameters<typeof connectTo>[1] = {}) {
  const connection = connectTo(urls.join(","), options);
  onTestFinished(() => connection.close());
  const client = connection.client(GatewayService);
  return {
    get: async () => (await client.getSubmission({ submissionId: "s" })).submission?.submissionId,
    watch: async () => {
      for await (const { submission } of client.watchSubmission({ submissionId: "s" }))
        return submission?.submissionId;
      return undefined;
    },
    client,
  };
}

test("calls go to the address that leads, not to the first of the list", async () => {
  const standby = await openInstance("standby", false);
  const leader = await openInstance("leader", true);
  const { get, watch } = dial([standby.url, leader.url]);

  expect(await get()).toBe("leader");
  expect(await watch()).toBe("leader");
  expect(standby.asked).toBe(0);
});

test("a call refused with NOT_LEADER is sent to the one that leads now, whatever its method", async () => {
  const first = await openInstance("first", true);
  const second = await openInstance("second", false);
  const moved: string[] = [];
  const { get, watch } = dial([first.url, second.url], {
    repeatableMethods: [],
    onMoved: () => moved.push("moved"),
  });
  expect(await get()).toBe("first");

  first.leads(false);
  second.leads(true);

  expect(await get()).toBe("second");
  expect(moved).toEqual(["moved"]);
  first.leads(true);
  second.leads(false);
  expect(await watch()).toBe("first");
});

test("while nobody leads a call waits, and goes to the first that takes over", async () => {
  const first = await openInstance("first", true);
  const second = await openInstance("second", false);
  const { get } = dial([first.url, second.url]);
  expect(await get()).toBe("first");

  first.leads(false);
  const answer = get();
  const askedBefore = first.asked;
  await expect.poll(() => first.asked + second.asked).toBeGreaterThan(askedBefore + 1);
  second.leads(true);

  expect(await answer).toBe("second");
});

test("when the leader is gone, calls that may be repeated go to the one that takes over", async () => {
  const first = await openInstance("first", true);
  const second = await openInstance("second", false);
  const { get, watch } = dial([first.url, second.url]);
  expect(await get()).toBe("first");

  await first.server.close();
  const answers = Promise.all([get(), watch()]);
  second.leads(true);

  expect(await answers).toEqual(["second", "second"]);
});

test("a call that must not be repeated fails when its server is gone, and the next one finds the leader", async () => {
  const first = await openInstance("first", true);
  const second = await openInstance("second", false);
  const { get } = dial([first.url, second.url], { repeatableMethods: [] });
  expect(await get()).toBe("first");
  second.leads(true);

  await first.server.close();

  await expect(get()).rejects.toMatchObject({ reason: "PEER_UNAVAILABLE" });
  expect(await get()).toBe("second");
});

test("a refusal that a gateway passes on from behind does not send its callers to a standby", async () => {
  const standby = await openInstance("standby", false);
  const failing = serve(GatewayService, {
    getSubmission: async () => {
      throw new QmtlError("NOT_LEADER", "the service behind has no leader");
    },
  });
  const front = await openGrpcServer({ services: [failing] });
  onTestFinished(() => front.close());
  const { client } = dial([standby.url, `http://127.0.0.1:${front.port}`], {});

  const call = client.getSubmission({ submissionId: "s" }, { timeoutMs: 400 });

  await expect(call).rejects.toBeInstanceOf(QmtlError);
  expect(standby.asked).toBe(0);
});

test("with nobody at any address a call fails as an outage, within its own time", async () => {
  const ports = await freePorts(2);
  const { client } = dial(ports.map((port) => `http://127.0.0.1:${port}`));

  const call = client.getSubmission({ submissionId: "s" }, { timeoutMs: 600 });

  await expect(call).rejects.toMatchObject({ reason: "PEER_UNAVAILABLE" });
});
