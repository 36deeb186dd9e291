import { ConfigError, loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import type { Command } from "commander";
import { type Check, isHealthy, messageOf, printChecks } from "../checks/check.ts";
import { checkAddresses } from "../checks/check-addresses.ts";
import { checkAgreement } from "../checks/check-agreement.ts";
import { checkClock, readGatewayClock } from "../checks/check-clock.ts";
import { checkDataFolders } from "../checks/check-data-folder.ts";
import { checkDeprecated } from "../checks/check-deprecated.ts";
import { checkEnvironment } from "../checks/check-environment.ts";
import { checkFeeds } from "../checks/check-feeds.ts";
import { checkFiles } from "../checks/check-files.ts";
import { checkHealth } from "../checks/check-health.ts";
import { checkLeaders } from "../checks/check-leaders.ts";
import { checkNode } from "../checks/check-node.ts";
import { checkOrders } from "../checks/check-orders.ts";
import { checkPorts } from "../checks/check-ports.ts";
import { checkGateway, type ServiceCheck } from "../checks/check-services.ts";
import { checkBrokers, checkDatabase } from "../checks/check-storage.ts";
import { checkVersions } from "../checks/check-versions.ts";
import type { GlobalOptions } from "../command-settings.ts";
import { ExitCode } from "../exit-codes.ts";

/** `qmtl doctor`: what is wrong with this machine, and what to do about it. */
export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .description(
      "check Node, versions, configuration, ports, services, leaders, database, broker, disk and clock",
    )
    .addHelpText(
      "after",
      "\nExample:\n  qmtl doctor --config qmtl.yml\n\nChanges nothing. Exits with 1 when something is broken; a platform that is not running is not a fault.",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const checks = await examine(options, program.version() ?? "");
      printChecks(checks, options.json === true);
      if (!isHealthy(checks)) process.exitCode = ExitCode.refused;
    });
}

async function examine(options: GlobalOptions, version: string): Promise<Check[]> {
  const machine = [checkNode(), checkVersions(process.cwd(), version)];
  const config = readConfig(options);
  if (config instanceof ConfigError) {
    return [...machine, brokenConfig(config), checkClock(Date.now(), [])];
  }
  const apiKey = process.env.QMTL_API_KEY;
  const gateway = await checkGateway(config, { apiKey });
  const database = await checkDatabase(config, Date.now);
  const gatewayClock = gateway.isThere ? await readGatewayClock(config, Date.now) : undefined;
  const file = options.config === undefined ? {} : { path: options.config };
  const readings = [database.reading, gatewayClock].filter((reading) => reading !== undefined);
  return [
    ...machine,
    { name: "configuration", status: "ok", detail: `of project ${config.project.name} holds` },
    ...checkEnvironment(process.env),
    ...checkAddresses(config),
    ...checkDeprecated(config, file),
    ...checkFiles(config, file),
    platformCheck(gateway),
    ...(await checkLeaders(config)),
    ...(gateway.isThere ? await checkHealth(config) : []),
    ...(gateway.isThere ? await checkAgreement(config, { apiKey }) : []),
    ...(gateway.isThere ? await checkOrders(config, { apiKey }) : []),
    ...(gateway.isThere ? await checkFeeds(config, { apiKey }) : []),
    ...(await checkPorts(config, gateway.isThere)),
    ...(config.storage.kind === "embedded"
      ? checkDataFolders(config, gateway.isThere)
      : [database.check]),
    ...(database.leaders ?? []),
    await checkBrokers(config),
    checkClock(Date.now(), readings),
  ];
}

function readConfig(options: GlobalOptions): QmtlConfig | ConfigError {
  try {
    const config = loadConfig(options.config === undefined ? {} : { path: options.config });
    const { gatewayUrl } = options;
    if (gatewayUrl === undefined) return config;
    return { ...config, sdk: { ...config.sdk, gateway_url: gatewayUrl } };
  } catch (failure) {
    if (failure instanceof ConfigError) return failure;
    throw failure;
  }
}

function brokenConfig(failure: ConfigError): Check {
  const more = failure.issues.length > 1 ? ` (and ${failure.issues.length - 1} more)` : "";
  const detail = `${messageOf(failure)}${more}`;
  const fix = "`qmtl config validate --offline` lists every problem";
  return { name: "configuration", status: "error", detail, fix };
}

/** The platform's check. One that is not running is only a warning: the machine is not at fault. */
function platformCheck({ isThere, status, detail, fix }: ServiceCheck): Check {
  return {
    name: "platform",
    status: isThere ? status : "warning",
    detail,
    ...(fix === undefined ? {} : { fix }),
  };
}
