import {
  explainConfig,
  type LoadConfigOptions,
  loadConfig,
  type QmtlConfig,
} from "@qmtl/sdk/config";
import { type Command, Option } from "commander";
import { type Check, isHealthy, printChecks } from "../checks/check.ts";
import { checkAddresses } from "../checks/check-addresses.ts";
import { checkDeprecated } from "../checks/check-deprecated.ts";
import { checkFiles } from "../checks/check-files.ts";
import { knockServices } from "../checks/knock-services.ts";
import { knockBrokers, knockDatabase } from "../checks/knock-storage.ts";
import type { GlobalOptions } from "../command-settings.ts";
import { ExitCode } from "../exit-codes.ts";
import { explainAll, printExplanation, printExplanations } from "./config-explain.ts";
import { addConfigWriters } from "./config-generate.ts";

/** What `config validate` looks at; `dagmanager` is an old spelling. */
const targets = ["schema", "gateway", "dag-manager", "dagmanager", "world-service", "all"] as const;

interface ValidateOptions {
  readonly target: (typeof targets)[number];
  readonly offline?: boolean;
}

/** `qmtl config …`: check, write and explain `qmtl.yml`. */
export function addConfigCommands(program: Command): void {
  const config = program.command("config").description("qmtl.yml: check it, write it, explain it");

  config
    .command("validate")
    .description("check the configuration, and knock at the services it names")
    .addOption(
      new Option("--target <target>", "what to check besides the file")
        .choices(targets)
        .default("all"),
    )
    .option("--offline", "do not knock")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl config validate\n  qmtl config validate --target gateway\n  qmtl config validate --offline --json\n\nTarget schema is the file alone. A key that does not hold is told with FILE:LINE:COLUMN and ends with 2; a service that cannot be reached with 3.",
    )
    .action(async (options: ValidateOptions, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions>();
      const { checks, exitCode } = await validate(given, options);
      printChecks(checks, given.json === true);
      if (exitCode !== ExitCode.ok) process.exitCode = exitCode;
    });

  addConfigWriters(config);

  config
    .command("explain [key]")
    .description("what a key means, its default, its value now and where that comes from")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl config explain gateway.port\n  qmtl config explain QMTL__GATEWAY__PORT\n  qmtl config explain\n\nWithout a key: the values of all keys.",
    )
    .action((key: string | undefined, _options: unknown, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions>();
      const asJson = given.json === true;
      const options = fileOptions(given);
      if (key === undefined) return printExplanations(explainAll(options), asJson);
      printExplanation(explainConfig(keyOf(key), options), asJson);
    });
}

/** @throws {ConfigError} with every issue of the file */
async function validate(
  given: GlobalOptions,
  { target, offline }: ValidateOptions,
): Promise<{ checks: readonly Check[]; exitCode: ExitCode }> {
  const options = fileOptions(given);
  const loaded = loadConfig(options);
  const held: Check = { name: "configuration", status: "ok", detail: "every key holds" };
  const schema = [held, ...checkDeprecated(loaded, options)];
  if (target === "schema") return { checks: schema, exitCode: ExitCode.ok };
  const gateway_url = given.gatewayUrl ?? loaded.sdk.gateway_url;
  const config = { ...loaded, sdk: { ...loaded.sdk, gateway_url } };
  const here = [...schema, ...checkAddresses(config), ...checkFiles(config, options)];
  if (offline === true) return { checks: here, exitCode: ExitCode.ok };
  const all = await knockServices(config, { apiKey: process.env.QMTL_API_KEY });
  const wanted = target === "dagmanager" ? "dag-manager" : target;
  const knocks = all.filter(({ name }) => wanted === "all" || name === wanted);
  const servers = wanted === "all" ? await knockStorage(config) : [];
  const checks = [...here, ...knocks, ...servers];
  if (isHealthy(checks)) return { checks, exitCode: ExitCode.ok };
  const isSilent = !isHealthy(servers) || knocks.some(({ isThere }) => !isThere);
  return { checks, exitCode: isSilent ? ExitCode.unreachable : ExitCode.refused };
}

async function knockStorage(config: QmtlConfig): Promise<Check[]> {
  const { check } = await knockDatabase(config, Date.now);
  return [check, await knockBrokers(config)];
}

/** A key by its own name, or by that of its variable: `QMTL__GATEWAY__PORT` is `gateway.port`. */
function keyOf(name: string): string {
  return /^QMTL__/i.test(name) ? name.slice(6).toLowerCase().replaceAll("__", ".") : name;
}

function fileOptions({ config }: GlobalOptions): LoadConfigOptions {
  return config === undefined ? {} : { path: config };
}
