import { Code } from "@connectrpc/connect";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { describeKafka, describeOwnPostgres, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Service, type Services, startServices } from "../distributed/start-services.ts";
import { swingerProject } from "../harness/swinger-project.ts";
import { callEverything, type Ending } from "./call-everything.ts";

const project = swingerProject(40, 40);

/** The services that the gateway's address serves. */
const contracts = [
  WorldService,
  PolicyService,
  DecisionService,
  ActivationService,
  RebalancingService,
  QueueService,
  GatewayService,
  OrderService,
  AccountService,
];

/** Methods whose call ended in an outage; throws if one was reported as a bug, or gave no time to retry after. */
function outagesAmong(endings: readonly Ending[]): string[] {
  const outages = endings.filter(({ failure }) => failure?.code === Code.Unavailable);
  const bugs = endings.filter(({ failure }) => failure?.reason === "BUG");
  const late = endings.filter(({ failure }) => failure?.code === Code.DeadlineExceeded);
  const mute = outages.filter(({ failure }) => failure?.retryAfterMs === undefined);
  const named = (some: readonly Ending[]) =>
    some.map(({ method, failure }) => `${method}: ${failure?.message}`);
  expect({ bugs: named(bugs), late: named(late), mute: named(mute) }).toEqual({
    bugs: [],
    late: [],
    mute: [],
  });
  return outages.map(({ method }) => method);
}

type Checks = readonly { readonly name: string; readonly status: string }[];

describeOwnPostgres("three services", (postgres) => {
  describeKafka("over one bus", (kafka) => {
    let platform: Services;
    let connection: Connection;

    const everything = () => callEverything(connection, contracts);
    /** Status of one check of `qmtl doctor`, which exits with 1 while something is broken. */
    const statusOf = async (name: string): Promise<string | undefined> => {
      const doctor = platform.qmtl.start(["doctor"]);
      const { checks } = await doctor.waitFor("it told", ({ checks }) => checks !== undefined);
      await doctor.end();
      return (checks as Checks).find((check) => check.name === name)?.status;
    };
    const answers = () =>
      waitUntil(async () => {
        const endings = await callEverything(connection, [WorldService]);
        return endings.every(({ failure }) => failure?.code !== Code.Unavailable);
      });

    beforeAll(async () => {
      const brokers = kafka()
        .brokers.map((one) => `"${one}"`)
        .join(", ");
      platform = await startServices({
        config: [
          "storage: {kind: postgres, dsn: {file: dsn}}",
          `bus: {kind: kafka, brokers: [${brokers}]}`,
          project.config,
        ].join("\n"),
        secrets: { dsn: await postgres().createDatabase() },
      });
      await project.write(platform.folder);
      const world = ["--clock", "replay", "--source", "day", "--account", "main"];
      await platform.qmtl.one("world", "create", "w", ...world, "--allocation", "0.8");
      await platform.qmtl.one("policy", "add", "w", "policy.yml");
      const config = loadConfig({ path: `${platform.folder}/qmtl.yml` });
      connection = connectTo(config.sdk.gateway_url, { repeatableMethods: [] });
    }, 300_000);
    afterAll(async () => {
      connection?.close();
      await platform?.[Symbol.asyncDispose]();
    });

    test.each<[Service, string, number]>([
      ["world-service", "WorldService", 15],
      ["dag-manager", "DAG Manager", 4],
    ])(
      "a %s that is killed is UNAVAILABLE with a time to wait, and the doctor names it until it is back",
      async (service, name, least) => {
        await platform.kill(service);

        const outages = outagesAmong(await everything());
        const whileDown = await statusOf(name);
        await platform.start(service);
        await answers();
        const after = await waitUntil(async () => (await statusOf(name)) === "ok");

        expect(outages.length).toBeGreaterThanOrEqual(least);
        expect(whileDown).toBe("error");
        expect(after).toBe(true);
      },
      300_000,
    );

    test("a database that is killed is UNAVAILABLE with a time to wait on every path, and used again when it is back", async () => {
      await postgres().kill();

      const outages = outagesAmong(await everything());
      const whileDown = await statusOf("gateway store");
      await postgres().startAgain();
      await answers();
      const leader = await waitUntil(async () => (await statusOf("WorldService leader")) === "ok");

      expect(outages.length).toBeGreaterThanOrEqual(25);
      expect(whileDown).toBe("error");
      expect(leader).toBe(true);
      outagesAmong(await everything());
    }, 300_000);
  });
});
