import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import {
  findPostgresBinaries,
  hasKafkaJars,
  startPrivateKafka,
  startPrivatePostgres,
} from "@qmtl/service-kit/testing";
import { startServices } from "../../e2e/src/distributed/start-services.ts";
import { startStack } from "../../e2e/src/harness/start-stack.ts";
import { QmtlCommand } from "../../examples/demo/src/qmtl-command.ts";
import { type ProcessUse, UseMeter } from "./process-use.ts";

/** A platform that the bench measures, in whatever shape. */
interface BenchPlatform extends AsyncDisposable {
  readonly configFile: string;
  readonly gatewayUrl: string;
  connect(): Connection;
  /** What its service processes have used so far, together. */
  used(): Promise<ProcessUse>;
}

/** Starts a platform whose configuration ends with this text; the files it names are in a folder of the caller. */
export type OpenPlatform = (config: string) => Promise<BenchPlatform>;

/** `qmtl up`: all services in one process, on the embedded database. */
export const openEmbedded: OpenPlatform = async (config) => {
  await using opened = new AsyncDisposableStack();
  const meter = opened.use(await UseMeter.open());
  const { execArgv, env } = meter;
  const stack = opened.use(await startStack({ config, execArgv, env }));
  const pid = stack.process.pid ?? 0;
  return platformAt(stack.configFile, () => meter.used([pid]), opened.move());
};

/**
 * Three service processes on one PostgreSQL that writes to the disk before it answers a COMMIT, with one Kafka broker
 * for control events, all on this machine. Statements are not counted.
 */
export const openDistributed: OpenPlatform = async (config) => {
  await using opened = new AsyncDisposableStack();
  const meter = opened.use(await UseMeter.open());
  const postgres = opened.use(await startPrivatePostgres({ isDurable: true }));
  const kafka = opened.use(await startPrivateKafka());
  const brokers = kafka.brokers.map((each) => `"${each}"`).join(", ");
  const { execArgv, env } = meter;
  const services = opened.use(
    await startServices({
      config: [
        "storage: {kind: postgres, dsn: {file: dsn}}",
        `bus: {kind: kafka, brokers: [${brokers}]}`,
        "security: {gateways: {gateway-1: {secret: {file: gateway-secret}}}}",
        config,
      ].join("\n"),
      secrets: {
        dsn: await postgres.createDatabase(),
        "gateway-secret": "known to the three services of one run\n",
      },
      program: async (folder) =>
        new QmtlCommand(join(folder, "qmtl.yml"), folder, {
          execArgv,
          env: { ...process.env, ...env },
        }),
    }),
  );
  const configFile = join(services.folder, "qmtl.yml");
  return platformAt(configFile, () => meter.used(services.pids), opened.move());
};

/** Why no distributed platform can be started here; undefined if one can. */
export function whyNoServers(): string | undefined {
  const missing = [
    ...(findPostgresBinaries() === undefined ? ["PostgreSQL"] : []),
    ...(hasKafkaJars() ? [] : ["Kafka"]),
  ];
  if (missing.length === 0) return undefined;
  return `${missing.join(" and ")} not installed: run npm run services:setup`;
}

function platformAt(
  configFile: string,
  used: () => Promise<ProcessUse>,
  all: AsyncDisposableStack,
): BenchPlatform {
  const { gateway_url: gatewayUrl } = loadConfig({ path: configFile, env: {} }).sdk;
  return {
    ...{ configFile, gatewayUrl, used },
    connect: () => connectTo(gatewayUrl),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** A temporary folder, deleted with the stack. */
export async function temporaryFolder(owner: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-bench-"));
  owner.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
